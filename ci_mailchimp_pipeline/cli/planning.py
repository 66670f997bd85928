"""Plan exports in a private folder that is gone afterwards; nothing is written anywhere else."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ci_mailchimp_pipeline.artifacts import room_in, temporary
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.orchestration.home import private_files
from ci_mailchimp_pipeline.pipeline.planning import (
    connect,
    connection_of,
    make_frame,
    plan_export,
    planned_report,
)
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.pipeline.upstream import take_upstream, why_not
from ci_mailchimp_pipeline.sources.snapshots import Snapshot


def plan_exports(config: Config, exports: Iterable[Export]) -> list[Report]:
    """What running each of *exports* now would do, or why it cannot be said; one report each, in their order."""
    with private_files(), temporary() as work:
        snapshot: Snapshot | PipelineError | None = None
        reports = []
        for export in exports:
            if reason := why_not(config, export):
                reports.append(
                    Report(export=export.id, status="skipped", dry_run=True, skipped_because=reason)
                )
                continue
            try:
                snapshot = snapshot or take_upstream(config, work / "snapshots")
            except PipelineError as error:
                snapshot = error
            reports.append(_planned(config, export, snapshot, work / export.id))
        return reports


def _planned(config: Config, export: Export, snapshot: Snapshot | PipelineError, work: Path) -> Report:
    failed = Report(export=export.id, status="failed", dry_run=True)
    if isinstance(snapshot, PipelineError):
        return replace(failed, error=snapshot)
    into = work / "plan"
    try:
        with (
            room_in(work),
            connect(config, export) as client,
            open_ledger(config.home, config.ledger_url, read_only=True) as ledger,
        ):
            frame = make_frame(config, export, snapshot, client, work / "frame")
            into.mkdir(mode=0o700)
            planned = plan_export(
                config, export, snapshot=snapshot, frame=frame, client=client, ledger=ledger, into=into
            )
    except PipelineError as error:
        return replace(failed, error=error)
    return planned_report(export, connection_of(config, export), planned)
