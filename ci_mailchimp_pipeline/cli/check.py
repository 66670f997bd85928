"""``check``: is everything there that a run needs?"""

import sys

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixConfigError


@click.command(short_help="Is everything there that a run needs?")
@click.argument("export", nargs=-1)
@click.option("--offline", is_flag=True, help="Ask neither Mailchimp nor anybody else on the network.")
@json_option(checks=[])
@config_option
def check(export: tuple[str, ...], offline: bool, as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """Check file, source, columns, segments, connection, audience and merge fields. Read-only.

    Checks every export unless some are named. One failing check does not hide the others.
    """
    from ci_mailchimp_pipeline.cli import checking
    from ci_mailchimp_pipeline.cli.output import print_json, stdout, styled, table

    error: FixConfigError | None = None
    try:
        config = read_config(config_path)
    except FixConfigError as broken:
        error = broken
        rows, code = checking.broken_config(broken), broken.exit_code
    else:
        rows, code = checking.check_exports(config, chosen_exports(config, export), offline=offline)
    if as_json:
        document = {"checks": [row.as_json() for row in rows]}
        print_json(document if error is None else {**document, "error": error.as_json()})
        sys.exit(code)
    told = ((row.export, row.check, styled(row.status), row.told) for row in rows)
    stdout().print(table("", ("export", "check", "status", ""), told))
    sys.exit(code)
