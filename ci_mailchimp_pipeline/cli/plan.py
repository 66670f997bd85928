"""``plan``: what a run would do, writing nothing."""

import sys

import click

from ci_mailchimp_pipeline.cli.options import chosen_exports, config_option, json_option, read_config


@click.command(short_help="What a run would do; writes nothing.")
@click.argument("export", nargs=-1)
@json_option(exports=[])
@config_option
def plan(export: tuple[str, ...], as_json: bool, config_path: str | None) -> None:  # noqa: FBT001
    """Say who would be added, updated, tagged, untagged, archived, and why others would not. Read-only.

    Plans every export unless some are named. Ends with 5 when a safety guard would stop the run.
    """
    from ci_mailchimp_pipeline.cli.output import print_json, print_report, stderr, stdout
    from ci_mailchimp_pipeline.cli.planning import plan_exports
    from ci_mailchimp_pipeline.pipeline.report import exit_code

    config = read_config(config_path)
    reports = plan_exports(config, chosen_exports(config, export))
    if as_json:
        print_json({"exports": [report.as_json() for report in reports]})
    else:
        console = stdout()
        for report in reports:
            print_report(console, report, will=True)
            console.print()
        planned = [report for report in reports if report.status == "planned" and report.error is None]
        for report in planned if not config.sandbox else ():
            stderr().print(f"next: ci-mailchimp run {report.export} --plan-id {report.plan_id}")
    sys.exit(exit_code(reports))
