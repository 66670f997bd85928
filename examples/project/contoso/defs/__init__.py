"""What Dagster finds by itself."""
