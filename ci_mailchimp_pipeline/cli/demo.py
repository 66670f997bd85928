"""``demo``: everything once, on this machine alone."""

import sys
from pathlib import Path

import click

from ci_mailchimp_pipeline.cli.options import failing_in_words


@click.command(short_help="Everything once, on this machine alone.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to put the sample; new or empty. A temporary folder unless given.",
)
@failing_in_words
def demo(folder: Path | None) -> None:
    """Run two exports against a local Mailchimp, from plan to second refresh. Needs no account.

    Nothing leaves this machine. The folder stays, so that you can look at what was made.
    """
    from ci_mailchimp_pipeline.cli.story import tell

    sys.exit(0 if tell(folder) else 1)
