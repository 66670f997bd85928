"""``reconcile``: does the audience still hold what was written to it; and bring it back in line."""

import sys

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config
from ci_mailchimp_pipeline.errors import FixConfigError


@click.command(short_help="What differs in Mailchimp from what was written; repairs it.")
@click.argument("export", nargs=-1)
@click.option(
    "--repair", is_flag=True, help="Bring the audience back in line, through a plan and its guards."
)
@click.option(
    "--plan-id", metavar="ID", help="With --repair: this plan only; stop (5) if it would be another."
)
@json_option(exports=[])
@config_option
def reconcile(
    export: tuple[str, ...],
    repair: bool,  # noqa: FBT001
    plan_id: str | None,
    as_json: bool,  # noqa: FBT001
    config_path: str | None,
) -> None:
    """Read the whole audience and compare it with what the ledger says that an export holds.

    Every export that runs, unless some are named. Without --repair it writes nothing, and ends with 0 whatever
    differs. A repair goes by the newest frame that passed its checks; of several exports, it takes those that are
    named. It never brings an opt-out back, and touches neither members nor tags that are not ours.
    """
    config = read_config(config_path)
    chosen = chosen_exports(config, export)
    if repair and not export and len(chosen) != 1:
        raise FixConfigError(
            "which_export",
            f"several exports are declared: {', '.join(config.exports)}"
            if chosen
            else "no export is declared",
            fix="name those to repair" if chosen else f"declare one in {config.path.name}",
        )
    if plan_id is not None and (len(chosen) != 1 or not repair):
        raise FixConfigError(
            "which_export",
            "a plan belongs to one export, and to its repair",
            fix="give --repair and the name of that export beside --plan-id",
        )

    from ci_mailchimp_pipeline.cli.output import print_json
    from ci_mailchimp_pipeline.cli.reconciling import compare_exports, print_drift, repair_exports
    from ci_mailchimp_pipeline.pipeline.report import exit_code

    reports = (
        repair_exports(config, chosen, plan_id)
        if repair
        else compare_exports(config, chosen, named=bool(export))
    )
    if as_json:
        print_json({"exports": [report.as_json() for report in reports]})
    else:
        print_drift(reports, repair=repair and not config.sandbox)
    sys.exit(exit_code(reports))
