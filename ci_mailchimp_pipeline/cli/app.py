"""The program ``ci-mailchimp``: its commands, and what every one of them does when it is stopped or fails."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import click

from ci_mailchimp_pipeline.cli.check import check
from ci_mailchimp_pipeline.cli.demo import demo
from ci_mailchimp_pipeline.cli.emulator import emulator
from ci_mailchimp_pipeline.cli.explain import explain
from ci_mailchimp_pipeline.cli.forget import forget
from ci_mailchimp_pipeline.cli.lists import connections, exports
from ci_mailchimp_pipeline.cli.options import CONFIG
from ci_mailchimp_pipeline.cli.optouts import optouts
from ci_mailchimp_pipeline.cli.plan import plan
from ci_mailchimp_pipeline.cli.reconcile import reconcile
from ci_mailchimp_pipeline.cli.rejected import rejected
from ci_mailchimp_pipeline.cli.run import run
from ci_mailchimp_pipeline.cli.schema import schema
from ci_mailchimp_pipeline.cli.up import up

INTERRUPTED = 130  # what a shell calls a program that Ctrl-C ended: 128 + SIGINT
RUN_LATER = 4


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    commands=[
        up,
        demo,
        check,
        plan,
        run,
        rejected,
        explain,
        optouts,
        reconcile,
        forget,
        exports,
        connections,
        schema,
        emulator,
    ],
)
@click.option("--config", **CONFIG)
@click.version_option(package_name="ci-mailchimp-pipeline", message="%(prog)s %(version)s")
@click.pass_context
def app(context: click.Context, config: str | None) -> None:
    """Export segments of unified customer profiles to Mailchimp audiences.

    \b
    Exit codes:
      0  done
      1  a bug
      2  fix the configuration
      3  fix the data
      4  run again later
      5  stopped by a safety guard
    """  # noqa: D301  (the escape is click's: keep these lines as they are)
    context.obj = config


def main() -> NoReturn:
    """Run the command that the arguments name, and end the process with its exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    try:
        app.main(arguments, prog_name="ci-mailchimp", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        if "--json" in arguments:
            from ci_mailchimp_pipeline.cli.output import print_json

            print_json({"error": {"code": "usage", "message": error.format_message(), "fix": "see --help"}})
        return error.exit_code
    except click.Abort:  # Ctrl-C, as click calls it
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stdout = None  # nothing is left to flush
        return 0
    return 0


def _terminated(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(RUN_LATER)
