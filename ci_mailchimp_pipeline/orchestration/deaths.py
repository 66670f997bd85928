"""Runs whose process died: nobody was left to say how they ended, so a sensor does."""

import time

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.orchestration.alerts import tell
from ci_mailchimp_pipeline.orchestration.failures import is_dry, is_final, remember
from ci_mailchimp_pipeline.orchestration.home import private_files
from ci_mailchimp_pipeline.orchestration.tags import PAGE, TRIGGER
from ci_mailchimp_pipeline.pipeline.report import Report

NAME = "died_runs"
_SECONDS = 30  # between looks; a look is one query


def deaths_sensor(config: Config, *, name: str = NAME) -> dg.SensorDefinition:
    """Watches for failed runs that left the ledger without an end."""

    @dg.run_failure_sensor(
        name=name,
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Notes in the ledger how a run ended whose process died, and sends the alert about it.",
    )
    def died_runs(context: dg.RunFailureSensorContext) -> None:
        with private_files():
            for export in exports_of(config, context.dagster_run):
                close(config, export, context.dagster_run, context.instance)

    return died_runs


def exports_of(config: Config, run: dg.DagsterRun) -> list[Export]:
    """The exports whose sync *run* was to do."""
    selected = {key.path[0] for key in run.asset_selection or () if key.path[-1] == "mailchimp_sync"}
    names = selected if run.asset_selection else {run.job_name}
    return [export for name, export in config.exports.items() if name in names]


def close(config: Config, export: Export, run: dg.DagsterRun, instance: dg.DagsterInstance) -> None:
    """Note that *run* died, unless it said itself how it ended; and tell the receivers."""
    if config.sandbox or is_dry(run, export) or _has_ended(config, export, run.run_id):
        return
    report = Report(
        export=export.id,
        status="failed",
        run_id=run.run_id,
        error=RunLaterError(
            "run_died",
            f"the process of the run of export '{export.id}' ended without a word: killed, out of memory, or the "
            "machine went down. What Mailchimp had acknowledged is recorded.",
            fix="run again, it goes on where it stopped; if it repeats, see how much memory the machine has",
        ),
    )
    remember(config, export, report, trigger=run.tags.get(TRIGGER, PAGE), now=time.time())
    tell(config, export, report, instance=instance, run_id=run.run_id, final=is_final(run.tags))


def _has_ended(config: Config, export: Export, run_id: str) -> bool:
    try:
        with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
            rows = [row for row in ledger.runs(export.id, limit=50) if row.run_id == run_id]
    except PipelineError:
        return True  # whoever cannot read it cannot note anything in it either
    return any(row.finished_at is not None for row in rows)
