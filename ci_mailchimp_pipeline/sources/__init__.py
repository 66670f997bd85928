"""Where profiles and segment membership come from: a version, and a snapshot of what the exports need."""
