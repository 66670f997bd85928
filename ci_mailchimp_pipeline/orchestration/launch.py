"""Runs in this process, on the same Dagster instance that the page shows."""

import signal
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.orchestration.drift import ASSET, DriftConfig
from ci_mailchimp_pipeline.orchestration.home import dagster_home, prepare_home, private_files
from ci_mailchimp_pipeline.orchestration.jobs import drift_job, export_job
from ci_mailchimp_pipeline.orchestration.pools import waiting_told
from ci_mailchimp_pipeline.orchestration.processes import bury_dead_runs
from ci_mailchimp_pipeline.orchestration.records import Records
from ci_mailchimp_pipeline.orchestration.session import Session, attended
from ci_mailchimp_pipeline.orchestration.tags import CLI, DRY_RUN, TRIGGER, given_tags
from ci_mailchimp_pipeline.pipeline.planning import connection_of
from ci_mailchimp_pipeline.pipeline.reconciling import DriftReport
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.pipeline.upstream import why_not

_SILENT = {"console": {"config": {"log_level": "CRITICAL"}}}


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's own records below *home*, made if need be; runs that died with their process are closed first.

    Raises:
        FixConfigError: ``home_not_writable``; ``dagster_damaged``.
        RunLaterError: ``disk_full``; ``dagster_busy``.
    """
    folder = prepare_home(home)
    with (
        Records(folder) as records,
        private_files(),
        dg.DagsterInstance.from_config(str(folder)) as instance,
    ):
        bury_dead_runs(instance)
        yield instance
    if records.failure is not None:
        raise records.failure


def run_export(
    config: Config, export: Export, chosen: SyncConfig, *, instance: dg.DagsterInstance, session: Session
) -> Report:
    """Run the job of *export* and return how it ended; failures come back in the report, interruptions too."""
    if reason := why_not(config, export):
        return Report(export=export.id, status="skipped", dry_run=chosen.dry_run, skipped_because=reason)
    dry_run = chosen.dry_run or config.sandbox
    job, run_id = export_job(config, export), str(uuid.uuid4())
    with (
        Records(dagster_home(config.home)) as records,
        attended(session),
        waiting_told(instance, connection_of(config, export).id, run_id, session.on_step),
    ):
        result = job.execute_in_process(
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
            tags={
                **given_tags(config, export.id),
                TRIGGER: CLI,
                DRY_RUN: str(dry_run).lower(),
            },
            run_config=dg.RunConfig(ops={f"{export.id}__mailchimp_sync": chosen}, loggers=_SILENT),
        )
    failure, done = records.failure, session.report
    if failure is not None and done is not None:  # the ledger has what Dagster could not write down
        return replace(done, warnings=(*done.warnings, failure.message))
    if done is not None:
        return done
    if failure is not None:
        return Report(export=export.id, status="failed", dry_run=dry_run, error=failure)
    return Report(
        export=export.id,
        status="failed",
        run_id=result.run_id,
        dry_run=dry_run,
        error=_unexplained(result.run_id, session),
    )


def run_drift(
    config: Config, export: Export, chosen: DriftConfig, *, instance: dg.DagsterInstance, session: Session
) -> DriftReport:
    """Compare *export* with its audience, or repair it, as a run of its own; failures come back in the report."""
    with Records(dagster_home(config.home)) as records, attended(session):
        result = drift_job(config, export).execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={**given_tags(config, export.id), TRIGGER: CLI},
            run_config=dg.RunConfig(ops={f"{export.id}__{ASSET}": chosen}, loggers=_SILENT),
        )
    if session.drift is not None:
        return session.drift
    failure = records.failure or _unexplained(result.run_id, session)
    return DriftReport(export=export.id, error=failure)


def _unexplained(run_id: str, session: Session) -> PipelineError:
    """Why a run ended before a step of ours could say: somebody stopped it, or Dagster itself failed."""
    if session.received is not None:
        name = "Ctrl-C" if session.received == signal.SIGINT else session.received.name
        return RunLaterError("interrupted", f"stopped by {name} before anything was written", fix="run again")
    return PipelineError(
        "bug",
        f"run {run_id} ended without saying why",
        fix="look at the run in Dagster's page, and report it",
    )
