"""Runs in processes that nobody watches: which process it was, and whether it is still there."""

import os
import socket
from pathlib import Path

import dagster as dg

from ci_mailchimp_pipeline.orchestration.tags import CLI, TRIGGER

PROCESS = "ci_mailchimp/pid"
UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """End the runs whose process was killed, and give back their places in the pools.

    Nothing else notices them: Dagster watches only the runs that its daemon started.
    """
    dead = dg.RunsFilter(statuses=list(UNFINISHED), tags={TRIGGER: CLI})
    for run in instance.get_runs(dead):
        if _is_gone(run.tags.get(PROCESS, "")):
            instance.report_run_failed(run, "the process of this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def this_process() -> str:
    """``host:pid:started`` of this process, for its runs."""
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
