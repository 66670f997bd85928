"""Runs in this process, on the same Dagster instance that the page shows."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.orchestration.failures import TRIGGER
from ci_mailchimp_pipeline.orchestration.home import prepare_home, private_files
from ci_mailchimp_pipeline.orchestration.jobs import CONFIG_HASH, EXPORT, build_definitions
from ci_mailchimp_pipeline.orchestration.session import Session, attended
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.pipeline.upstream import why_not

CLI = "cli"
PROCESS = "ci_mailchimp/pid"
DRY_RUN = "ci_mailchimp/dry_run"
_UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_SILENT = {"console": {"config": {"log_level": "CRITICAL"}}}


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's own records below *home*, made if need be; runs that died with their process are closed first.

    Raises:
        FixConfigError: ``home_not_writable``.
    """
    folder = prepare_home(home)
    with private_files(), dg.DagsterInstance.from_config(str(folder)) as instance:
        bury_dead_runs(instance)
        yield instance


def run_export(
    config: Config, export: Export, chosen: SyncConfig, *, instance: dg.DagsterInstance, session: Session
) -> Report:
    """Run the job of *export* and return how it ended; failures come back in the report, interruptions too."""
    if reason := why_not(config, export):
        return Report(export=export.id, status="skipped", dry_run=chosen.dry_run, skipped_because=reason)
    dry_run = chosen.dry_run or config.sandbox
    job = build_definitions(config).resolve_job_def(export.id)
    with attended(session):
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={
                TRIGGER: CLI,
                EXPORT: export.id,
                DRY_RUN: str(dry_run).lower(),
                CONFIG_HASH: config.digest,
                PROCESS: _this_process(),
            },
            run_config=dg.RunConfig(ops={f"{export.id}__mailchimp_sync": chosen}, loggers=_SILENT),
        )
    if session.report is not None:
        return session.report
    return Report(
        export=export.id,
        status="failed",
        run_id=result.run_id,
        dry_run=dry_run,
        error=_unexplained(result.run_id, session),
    )


def bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """End the runs whose process was killed, and give back their places in the pools.

    Nothing else notices them: Dagster watches only the runs that its daemon started.
    """
    dead = dg.RunsFilter(statuses=_UNFINISHED, tags={TRIGGER: CLI})
    for run in instance.get_runs(dead):
        if _is_gone(run.tags.get(PROCESS, "")):
            instance.report_run_failed(run, "the process of this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


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


def _this_process() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


def _is_gone(process: str) -> bool:
    """Whether the process of a tag is certainly not running: on this host, and its number is free or taken anew."""
    host, _, rest = process.partition(":")
    number, _, started = rest.partition(":")
    if host != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return _started(int(number)) != started


def _started(process: int) -> str:
    """When a process started, in the kernel's ticks; empty where the system does not say (no /proc)."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # proc(5): field 22 is starttime; the name in parentheses may hold blanks, so count from behind it
    return text.rpartition(")")[2].split()[19]
