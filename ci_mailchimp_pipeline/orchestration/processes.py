"""Runs whose process died with everything that watched it: Dagster would call them started for ever."""

import dagster as dg

from ci_mailchimp_pipeline.orchestration.tags import PROCESS
from ci_mailchimp_pipeline.process import is_gone

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """End the runs whose process was killed, and give back their places in the pools.

    Dagster notices a killed run only while the server that started it lives: not one of the command line,
    and none at all after the power went.
    """
    for run in instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED))):
        if is_gone(run.tags.get(PROCESS, "")):
            instance.report_run_failed(run, "the process of this run is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
