"""``run``: an on-demand run through Dagster."""

import sys

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixConfigError


@click.command(short_help="Run exports now.")
@click.argument("export", nargs=-1)
@click.option(
    "--all", "every", is_flag=True, help="Every export that is enabled, attached and not scheduled off."
)
@click.option("--dry-run", is_flag=True, help="Decide, and send nothing.")
@click.option("--plan-id", metavar="ID", help="Carry out this plan only; stop (5) if it would be another.")
@click.option(
    "--allow-exit-percent",
    type=click.FloatRange(0, 100),
    metavar="N",
    help="For this run: how many percent of the members held may leave.",
)
@click.option(
    "--allow-empty",
    multiple=True,
    metavar="SEGMENT",
    help="For this run: this segment may be empty or gone. May be given more than once.",
)
@json_option(exports=[])
@config_option
def run(  # noqa: PLR0917  (click passes each by name)
    export: tuple[str, ...],
    every: bool,  # noqa: FBT001
    dry_run: bool,  # noqa: FBT001
    plan_id: str | None,
    allow_exit_percent: float | None,
    allow_empty: tuple[str, ...],
    as_json: bool,  # noqa: FBT001
    config_path: str | None,
) -> None:
    """Run exports now, one after the other, through Dagster.

    The one declared export, unless some are named. The run stands in Dagster's page like any other.
    """
    config = read_config(config_path)
    if export and every:
        raise FixConfigError("which_export", "both exports and --all are given", fix="give one of the two")
    if every:
        chosen = [
            each
            for each in config.exports.values()
            if each.enabled and each.connection is not None and each.schedule.kind != "off"
        ]
    else:
        chosen = chosen_exports(config, export)
    if not export and not every and len(chosen) != 1:
        names = ", ".join(config.exports)
        raise FixConfigError(
            "which_export",
            f"several exports are declared: {names}" if chosen else "no export is declared",
            fix="name those to run, or give --all" if chosen else f"declare one in {config.path.name}",
        )
    if plan_id is not None and len(chosen) != 1:
        raise FixConfigError(
            "which_export", "a plan belongs to one export", fix="name that export beside --plan-id"
        )

    from ci_mailchimp_pipeline.cli.output import print_json
    from ci_mailchimp_pipeline.cli.running import print_outcome, run_exports
    from ci_mailchimp_pipeline.orchestration.assets import SyncConfig

    options = SyncConfig(
        dry_run=dry_run,
        plan_id=plan_id,
        allow_exit_percent=allow_exit_percent,
        allow_empty=list(allow_empty),
    )
    outcome = run_exports(config, chosen, options)
    if as_json:
        print_json({"exports": [report.as_json() for report in outcome.reports]})
    else:
        print_outcome(config, outcome)
    sys.exit(outcome.exit_code)
