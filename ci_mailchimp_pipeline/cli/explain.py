"""``explain``: why one person is, or is not, under a tag."""

import sys
from typing import TYPE_CHECKING

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.config import Config, Export
    from ci_mailchimp_pipeline.pipeline.verdict import Explanation


@click.command(short_help="Why one person is, or is not, under a tag.")
@click.argument("export")
@click.argument("address")
@json_option(verdict=None)
@config_option
def explain(export: str, address: str, as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """Follow one person from the source to Mailchimp, and say where it stopped and what would change it.

    ADDRESS may be in any spelling, or - to read it from standard input. Reads the source as it is now, the
    newest frame, the ledger, and one member of the audience; writes nothing. Whatever the verdict, it ends
    with 0.
    """
    from ci_mailchimp_pipeline.cli.output import print_json

    config = read_config(config_path)
    (chosen,) = chosen_exports(config, [export])
    explanation = _explained(config, chosen, sys.stdin.readline() if address == "-" else address)
    if as_json:
        print_json(explanation.as_json())
    else:
        _show(explanation)


def _explained(config: "Config", export: "Export", address: str) -> "Explanation":
    import tempfile
    from contextlib import ExitStack
    from pathlib import Path

    from ci_mailchimp_pipeline.ledger import open_ledger
    from ci_mailchimp_pipeline.mailchimp.retry import SOMEBODY_WAITS
    from ci_mailchimp_pipeline.orchestration.folders import declaration_of, newest_frame
    from ci_mailchimp_pipeline.orchestration.home import private_files
    from ci_mailchimp_pipeline.pipeline import explaining
    from ci_mailchimp_pipeline.pipeline.planning import connect_to

    with private_files(), ExitStack() as stack:
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="ci-mailchimp-explain-"))
        ledger = stack.enter_context(open_ledger(config.home, config.ledger_url, read_only=True))
        connection = config.connection_of(export)
        client = (
            stack.enter_context(connect_to(config, connection, limits=SOMEBODY_WAITS)) if connection else None
        )
        found = newest_frame(config, export.id)
        frame = found and explaining.FrameAt(
            folder=found[0],
            refresh=found[1].snapshot.partition("-")[0],
            current=found[1].declaration == declaration_of(export),
        )
        return explaining.explain(
            config,
            export,
            address,
            frame=frame,
            client=client,
            ledger=ledger,
            work=Path(work),
        )


def _show(explanation: "Explanation") -> None:
    from rich.text import Text

    from ci_mailchimp_pipeline.cli.output import stderr, stdout, styled, table

    console = stdout()
    head = Text(explanation.export, style="bold") + Text(": ") + styled(explanation.verdict.replace("_", " "))
    console.print(head + Text(f" ({explanation.reason})" if explanation.reason else ""))
    yes, no = ("✓", "✗") if console.encoding.startswith("utf") else ("+", "-")
    rows = [(yes if step.found else no, step.step, step.says) for step in explanation.steps]
    console.print(table("", ("", "step", "says"), rows))
    stderr().print(Text(f"next: {explanation.next}"))
