"""``forget``: erase a person everywhere, for good, and prove it."""

import sys
from typing import TYPE_CHECKING

import click

from ci_mailchimp_pipeline.cli.options import config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixConfigError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.config import Config
    from ci_mailchimp_pipeline.orchestration.forgetting import Forgotten


@click.command(short_help="Erase a person everywhere, for good.")
@click.argument("address")
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@json_option(forgotten=False, places=[])
@config_option
def forget(address: str, yes: bool, as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """Delete whoever has ADDRESS from Mailchimp permanently, and from everything here; print the proof.

    In every audience that the file or the ledger knows, also where somebody else put the person there. A keyed
    hash stays, so that no later run sends the person again. Nothing undoes it: Mailchimp refuses the address
    from then on, unless the person signs up again. The source is not touched: delete the person there, too.
    ADDRESS may be in any spelling, or - to read it from standard input. Again is harmless.
    """
    from ci_mailchimp_pipeline.cli.output import print_json, stderr
    from ci_mailchimp_pipeline.pipeline.forgettable import check_forgettable

    config = read_config(config_path)
    address = sys.stdin.readline() if address == "-" else address
    check_forgettable(config, address)
    if not yes:
        _ask(config, address)
    from ci_mailchimp_pipeline.orchestration import forgetting

    done = forgetting.forget(config, address, on_step=lambda step: stderr().print(f"forget: {step}"))
    if as_json:
        print_json(done.as_json())
    else:
        _show(done)
    if done.error is not None:
        from ci_mailchimp_pipeline.cli.output import print_error

        print_error(done.error)
        sys.exit(done.error.exit_code)


def _ask(config: "Config", address: str) -> None:
    """Say what will happen and wait for yes; anything else ends the program.

    Raises:
        FixConfigError: ``not_confirmed``: there is nobody to ask.
    """
    from ci_mailchimp_pipeline.cli.output import stderr
    from ci_mailchimp_pipeline.frame.address import masked

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise FixConfigError(
            "not_confirmed",
            "nothing undoes an erasure, and there is no terminal to ask at",
            fix="add --yes",
        )
    declared = sorted({export.audience_id for export in config.exports.values() if export.connection})
    console = stderr()
    for line in (
        f"This erases {masked(address)} for good:",
        f"- in Mailchimp, in {', '.join(declared)} and every other audience in the ledger, by whomever added;",
        "  they can never be imported again, only sign up themselves;",
        "- in the ledger, and in every snapshot, frame and list of ours.",
        "A keyed hash stays, so that no later run sends them again. Delete the person at the source, too.",
    ):
        console.print(line, soft_wrap=True)
    click.confirm("Erase?", abort=True, err=True)


def _show(done: "Forgotten") -> None:
    from ci_mailchimp_pipeline.cli.output import stdout, table

    console = stdout()
    rows = [(each.place, f"{each.found:,}", each.done, each.request_id or "") for each in done.places]
    console.print(table("", ("place", "#found", "done", "Mailchimp's request"), rows))
    told = "forgotten" if done.error is None else "not forgotten yet"
    console.print(f"{told}, {done.at}" + (f", remembered under {done.digest}…" if done.digest else ""))
