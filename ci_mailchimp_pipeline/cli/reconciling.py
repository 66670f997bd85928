"""Compare exports with their audiences in a private folder that is gone afterwards; repair them through Dagster."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from rich.text import Text

from ci_mailchimp_pipeline.cli.output import print_error, stderr, stdout, table
from ci_mailchimp_pipeline.cli.running import shown
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.orchestration.drift import DriftConfig
from ci_mailchimp_pipeline.orchestration.folders import good_frame
from ci_mailchimp_pipeline.orchestration.home import private_files
from ci_mailchimp_pipeline.orchestration.launch import open_instance, run_drift
from ci_mailchimp_pipeline.orchestration.session import Session
from ci_mailchimp_pipeline.pipeline.planning import connect
from ci_mailchimp_pipeline.pipeline.reconciling import DriftReport, Reconciliation
from ci_mailchimp_pipeline.pipeline.upstream import why_not

_SAYS = {
    "missing": ("was deleted in Mailchimp", "added again, unless they may not be"),
    "tag_missing": ("lost a tag of ours", "gets it back"),
    "tag_extra": ("was given a tag of ours by hand", "loses it, unless wanted under it now"),
    "field_differs": ("has another value than we sent", "gets ours again"),
    "opted_out": ("unsubscribed, or is pending", "left alone"),
    "cleaned": ("bounced", "left alone"),
    "archived_elsewhere": ("was archived, not by us", "left alone"),
    "address_changed": ("has another address in Mailchimp", "left alone: correct the source"),
}


def compare_exports(config: Config, exports: Iterable[Export], *, named: bool) -> list[DriftReport]:
    """What differs for each of *exports*; those that never run are left out unless they were *named*."""
    reports = []
    with private_files(), tempfile.TemporaryDirectory(prefix="ci-mailchimp-reconcile-") as folder:
        for export in exports:
            if reason := why_not(config, export):
                reports += [DriftReport(export=export.id, skipped_because=reason)] if named else []
                continue
            into = Path(folder) / export.id
            into.mkdir(mode=0o700)
            reports.append(_compared(config, export, into))
    return reports


def repair_exports(config: Config, exports: Iterable[Export], plan_id: str | None) -> list[DriftReport]:
    """Repair *exports* one after the other; a signal ends the one that runs and leaves out the others."""
    reports = []
    with open_instance(config.home) as instance:
        for export in exports:
            if reason := why_not(config, export):
                reports.append(DriftReport(export=export.id, skipped_because=reason))
                continue
            with shown(export.id) as (on_step, on_progress):
                session = Session(on_step=on_step, on_progress=on_progress)
                chosen = DriftConfig(repair=True, plan_id=plan_id)
                reports.append(run_drift(config, export, chosen, instance=instance, session=session))
            if session.received is not None:
                break
    return reports


def print_drift(reports: Iterable[DriftReport], *, repair: bool) -> None:
    """A table an export on stdout; what to do next on stderr."""
    console, hints = stdout(), stderr()
    for report in reports:
        _print(report, repair=repair)
        console.print()
        if report.repairable and not repair and report.error is None:
            hints.print(f"next: ci-mailchimp reconcile {report.export} --repair --plan-id {report.plan_id}")


def _print(report: DriftReport, *, repair: bool) -> None:
    console = stdout()
    head = Text(report.export, style="bold")
    if report.skipped_because:
        console.print(head + Text(f": skipped, {report.skipped_because}"))
        return
    if report.plan_id is not None:
        console.print(head + Text(f": {report.read:,} members read"))
        rows = [
            (kind.replace("_", " "), f"{people:,}", *_SAYS[kind])
            for kind, people in report.drift.as_json().items()
            if people
        ]
        if rows:
            console.print(table("", ("", "#people", "", "a repair"), rows))
        else:
            console.print("nothing differs")
        if repair:
            console.print(f"repaired: {report.repaired:,} of {report.repairable:,}")
        for guard in report.guards:
            console.print(Text(f"a repair is stopped: {guard.message}", style="yellow"))
    if report.error is not None:
        print_error(report.error)


def _compared(config: Config, export: Export, into: Path) -> DriftReport:
    try:
        judged = good_frame(config, export)
        with connect(config, export) as client:
            return Reconciliation(config=config, export=export, client=client, into=into).look(
                judged.snapshot, judged.frame
            )
    except PipelineError as error:
        return DriftReport(export=export.id, error=error)
