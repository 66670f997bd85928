"""Runs whose process died with everything that watched it: Dagster would call them started for ever.

Dagster notices a killed run only while the server that started it lives: not one of the command line, and none
at all after the power went.
"""

import logging
import threading
import time

import dagster as dg

from ci_mailchimp_pipeline.orchestration.tags import ALIVE, PROCESS
from ci_mailchimp_pipeline.process import is_gone, is_here, this_process

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
BEAT_SECONDS = 60.0
SILENT_BEATS = 10  # a machine that sleeps, or a database that is down, takes minutes at times
# One process does all of a run with these; with any other, a step's process ends long before the run.
_ONE_PROCESS = ("in_process", "execute_in_process_executor")

_OF = ":"

_log = logging.getLogger(__name__)
_claimed: set[str] = set()


def claim(context: dg.AssetExecutionContext) -> None:
    """Tag the run with this process, and once a minute with the time, until the run has ended."""
    run = context.run
    if context.job_def.executor_def.name not in _ONE_PROCESS or run.run_id in _claimed:
        return
    _claimed.add(run.run_id)
    context.instance.add_run_tags(run.run_id, {PROCESS: _named(this_process(), run.run_id), ALIVE: _now()})
    threading.Thread(target=_beat, args=(context.instance, run.run_id), name="alive", daemon=True).start()


def bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """End the runs whose process is gone, and give back their places in the pools."""
    for run in instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))):
        if is_dead(run, now=time.time()):
            instance.report_run_failed(run, "the process of this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def is_dead(run: dg.DagsterRun, *, now: float) -> bool:
    """Whether the process of *run* is gone: known at once on its own host, elsewhere by its silence.

    A run that was started again has the tags of the run before it, and no process yet.
    """
    process, alive = run.tags.get(PROCESS, ""), run.tags.get(ALIVE, "")
    owner = process.rpartition(_OF)[0]
    if process != _named(owner, run.run_id):
        return False
    if is_here(owner):
        return is_gone(owner)
    return alive.isdecimal() and now - int(alive) > SILENT_BEATS * BEAT_SECONDS


def _named(owner: str, run_id: str) -> str:
    return f"{owner}{_OF}{run_id[:8]}"


def _beat(instance: dg.DagsterInstance, run_id: str) -> None:
    failures, over = 0, threading.Event()
    while failures < SILENT_BEATS and not over.wait(BEAT_SECONDS):
        try:
            run = instance.get_run_by_id(run_id)
            if run is None or run.is_finished:
                return
            instance.add_run_tags(run_id, {ALIVE: _now()})
            failures = 0
        except Exception as error:  # noqa: BLE001  (whatever Dagster's storage raises: the run goes on without)
            failures += 1
            _log.debug("the run could not say that it is alive: %s", type(error).__name__)


def _now() -> str:
    return str(int(time.time()))
