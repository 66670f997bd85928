"""Segments of unified customer profiles to Mailchimp audiences: declared in YAML, run by Dagster."""
