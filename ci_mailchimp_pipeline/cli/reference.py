"""``python -m ci_mailchimp_pipeline.cli.reference``: the command line as Markdown, for docs/cli.md."""

import sys

import click

from ci_mailchimp_pipeline.cli.app import app

_HEAD = """\
# Command line

Made from the program itself by `python -m ci_mailchimp_pipeline.cli.reference > docs/cli.md`; do not edit.

Exit codes: 0 done · 1 a bug · 2 fix the configuration · 3 fix the data · 4 run again later · 5 stopped by a
safety guard · 130 interrupted by Ctrl-C, with everything acknowledged recorded.
When several exports end differently, the gravest counts: 1, 2, 3, 5, 4.

With `--json` a command prints one JSON document on stdout and nothing else there, also when it fails: `error`
then holds `code`, `message` and `fix`.

`exports` and `connections` read the ledger alone. A run that was killed never says how it ended: it counts as
`failed` as soon as its lease has ended (a minute at most; ten, if it was killed before it held its audience).
"""


def reference() -> str:
    """The reference of every command, as Markdown."""
    parent = click.Context(app, info_name="ci-mailchimp", **app.context_settings)
    sections = [_HEAD, _section(app, parent)]
    for name, command in app.commands.items():
        with click.Context(command, info_name=name, parent=parent) as context:
            sections.append(_section(command, context))
    return "\n".join(sections)


def _section(command: click.Command, context: click.Context) -> str:
    context.max_content_width = 100
    context.terminal_width = 100
    return f"## `{context.command_path}`\n\n```text\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
