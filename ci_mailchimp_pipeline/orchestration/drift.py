"""The asset ``<export>/mailchimp_drift``: does the audience still hold what we put there?

It is made when somebody asks, or at the times that ``drift`` declares; with ``repair``, it also brings the audience
back in line. Never part of an export's own job.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.orchestration import folders
from ci_mailchimp_pipeline.orchestration.describe import owners
from ci_mailchimp_pipeline.orchestration.failures import Step, as_failure, guarded
from ci_mailchimp_pipeline.orchestration.pools import pool_of
from ci_mailchimp_pipeline.orchestration.processes import claim
from ci_mailchimp_pipeline.orchestration.session import current_session
from ci_mailchimp_pipeline.orchestration.tags import (
    PAGE,
    TRIGGER,
    complete_tags,
    outcome_told,
)
from ci_mailchimp_pipeline.pipeline.planning import connect, connection_of
from ci_mailchimp_pipeline.pipeline.reconciling import DriftReport, Reconciliation
from ci_mailchimp_pipeline.pipeline.report import Report

ASSET = "mailchimp_drift"
CHECK = "no_drift"


class DriftConfig(dg.Config):
    """What a person may choose for one run."""

    repair: bool = False
    plan_id: str | None = None


def drift_name(export: Export) -> str:
    """What the job and the schedule of the asset are called."""
    return f"{export.id}_drift"


def drift_key(export: Export) -> dg.AssetKey:
    """The asset's key."""
    return dg.AssetKey([export.id, ASSET])


def drift_asset(config: Config, export: Export) -> dg.AssetsDefinition:
    """Compares the ledger with what the audience of *export* really holds."""
    connection = connection_of(config, export)
    key = drift_key(export)

    @dg.asset(
        key=key,
        group_name=export.id,
        deps=[[export.id, "mailchimp_sync"]],
        kinds={"mailchimp"},
        owners=owners(export),
        description=f"Whether audience `{export.audience_id}` still holds what was written to it: people by what "
        "differs. `repair: true` in the launchpad brings it back in line, through a plan and its guards.",
        check_specs=[
            dg.AssetCheckSpec(
                CHECK, asset=key, description="Mailchimp holds what the ledger says that it holds."
            )
        ],
        pool=pool_of(connection.id),
    )
    def mailchimp_drift(
        context: dg.AssetExecutionContext, config: DriftConfig
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        claim(context)
        run, session = context.run, current_session()

        def tell(ended: Report) -> None:
            session.drift = DriftReport(export=export.id, error=ended.error)

        step = Step(
            config=declared,
            export=None,  # it is no run of the export: neither the ledger nor the receivers of alerts hear of it
            name="drift",
            run_id=run.run_id,
            trigger=run.tags.get(TRIGGER, PAGE),
            dry_run=declared.sandbox or not config.repair,
            tell=tell,
        )
        with outcome_told(context), guarded(step):
            complete_tags(context, declared, dry_run=step.dry_run)
            session.drift = report = _reconciled(step, export, config)
        if report.plan_id is not None:
            yield _verdict(key, report)
        with outcome_told(context):
            if report.error is not None:
                raise as_failure(report.error)
        yield dg.MaterializeResult(metadata=_metadata(report, repair=not step.dry_run))

    declared = config  # a Dagster function's own `config` is what the person chose for the run
    return mailchimp_drift


def _reconciled(step: Step, export: Export, chosen: DriftConfig) -> DriftReport:
    judged = folders.good_frame(step.config, export)
    session = current_session()
    with (
        _working_folder(step, export) as into,
        connect(step.config, export) as client,
        session.writing_through(client),
    ):
        it = Reconciliation(
            config=step.config, export=export, client=client, into=into, progress=session.progressed
        )
        if not chosen.repair:
            return it.look(judged.snapshot, judged.frame)
        return it.repair(judged.snapshot, judged.frame, run_id=step.run_id, plan_id=chosen.plan_id)


@contextmanager
def _working_folder(step: Step, export: Export) -> Iterator[Path]:
    """A private folder below the run's own, where erasures look, too; gone afterwards."""
    run = folders.run_folder(step.config, export.id, step.run_id)
    into = run / "drift"
    into.mkdir(mode=0o700, parents=True)
    try:
        yield into
    finally:
        shutil.rmtree(into, ignore_errors=True)
        if not any(run.iterdir()):
            run.rmdir()


def _verdict(key: dg.AssetKey, report: DriftReport) -> dg.AssetCheckResult:
    found = {kind: people for kind, people in report.drift.as_json().items() if people}
    told = ", ".join(f"{kind} {people:,}" for kind, people in found.items())
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CHECK,
        passed=report.drift.none,
        severity=dg.AssetCheckSeverity.WARN,
        description=told or None,
        metadata={"repairable": report.repairable, "repaired": report.repaired},
    )


def _metadata(report: DriftReport, *, repair: bool) -> dict[str, Any]:
    return {
        "read": report.read,
        **report.drift.as_json(),
        "repairable": report.repairable,
        "repaired": report.repaired,
        "repair": repair,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
        "plan_id": report.plan_id or "",
    }
