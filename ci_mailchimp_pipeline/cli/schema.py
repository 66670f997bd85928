"""``schema``: the JSON Schema of exports.yaml."""

import click

from ci_mailchimp_pipeline.cli.options import failing_in_words


@click.command(short_help="The JSON Schema of exports.yaml.")
@failing_in_words
def schema() -> None:
    """Print the JSON Schema of exports.yaml, by which editors complete and check it."""
    from ci_mailchimp_pipeline.cli.output import print_json
    from ci_mailchimp_pipeline.config import json_schema

    print_json(json_schema())
