"""Exports with a schedule of their own: a Dagster schedule, and a sensor for what it could not start.

A schedule is asked once, at its time. When the source is being refreshed just then, Dagster was down, or
the run failed, ``<export>_catch_up`` starts it as soon as it can.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.orchestration.glance import Settled
from ci_mailchimp_pipeline.orchestration.sensors import Occasion, Tick, Watch, busy_with, skipped, try_now
from ci_mailchimp_pipeline.orchestration.tags import BY_SCHEDULE, EXPORT, SCHEDULED, TRIGGER
from ci_mailchimp_pipeline.sources.base import NotReady

ON_TIME_SECONDS = (
    120  # Dagster asks a schedule within seconds of its time; until then the sensor leaves it alone
)
# The rarest schedule is 29 February on a certain weekday: every 28 years, 40 across a year like 2100.
_RAREST = timedelta(days=2 * 41 * 366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """When an export is due."""

    cron: str
    zone: str

    @classmethod
    def of(cls, export: Export) -> "Calendar":
        """The calendar of an export whose schedule is a cron one."""
        return cls(cron=export.schedule.cron or "", zone=export.schedule.timezone or "UTC")

    @property
    def digest(self) -> str:
        """A hash of it."""
        return hashlib.sha256(f"{self.cron}\0{self.zone}".encode()).hexdigest()[:16]

    def last(self, now: float) -> datetime | None:
        """The last time it came true, not after *now*."""
        moment = datetime.fromtimestamp(now, UTC)
        windows = dg.TimeWindowPartitionsDefinition(
            start=moment - _RAREST, fmt="%Y-%m-%dT%H:%M%z", cron_schedule=self.cron, timezone=self.zone
        )
        with dg.partition_loading_context(effective_dt=moment):
            window = windows.get_last_partition_window()
        return window.end.astimezone(UTC) if window else None


def export_schedule(watch: Watch, export: Export, calendar: Calendar, job: Any) -> dg.ScheduleDefinition:
    """Runs *export* at its times."""

    @dg.schedule(
        name=f"{export.id}_on_schedule",
        job=job,
        cron_schedule=calendar.cron,
        execution_timezone=calendar.zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Runs {export.id} at its times, after a refresh of the source that is under way then.",
    )
    def on_schedule(context: dg.ScheduleEvaluationContext) -> Tick:
        due = context.scheduled_execution_time.astimezone(UTC)
        if watch.now() - due.timestamp() > ON_TIME_SECONDS:
            return dg.SkipReason(f"late: {export.id}_catch_up decides whether it is made up for")
        return _attempt(watch, context.instance, export, due, Settled(watch.now))

    return on_schedule


def catch_up_sensor(watch: Watch, export: Export, calendar: Calendar, job: Any) -> dg.SensorDefinition:
    """Starts what the schedule of *export* could not, and tries again what failed."""
    settled = Settled(watch.now)

    @dg.sensor(
        name=f"{export.id}_catch_up",
        job=job,
        minimum_interval_seconds=watch.interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Makes up for a run of {export.id} that had to wait for a refresh, was missed, or failed. "
        f"Does nothing while the schedule {export.id}_on_schedule is switched off.",
    )
    def catch_up(context: dg.SensorEvaluationContext) -> Tick:
        look = watch.look(calendar.digest)
        sight = look.known(context.cursor)
        due = calendar.last(look.now)
        told = due.isoformat() if due else None
        baseline = told if sight is None else sight.baseline
        context.update_cursor(look.at(baseline).encode())
        if sight is None:
            return dg.SkipReason("first sight: nothing is made up for that was due before")
        if due is None or told == baseline:
            return dg.SkipReason("nothing to make up for since the first sight")
        if look.now - due.timestamp() < ON_TIME_SECONDS:
            return dg.SkipReason(f"due {told}: left to the schedule itself")
        if why := settled.why(due):
            return dg.SkipReason(f"due {told}: {why}")
        if _is_switched_off(context.instance, f"{export.id}_on_schedule"):
            return dg.SkipReason("the schedule is switched off")
        return _attempt(watch, context.instance, export, due, settled)

    return catch_up


def _attempt(
    watch: Watch, instance: dg.DagsterInstance, export: Export, due: datetime, settled: Settled
) -> Tick:
    told = due.isoformat()
    settle = partial(settled.note, due)
    tags = {TRIGGER: BY_SCHEDULE, EXPORT: export.id, SCHEDULED: told}
    if instance.get_runs(dg.RunsFilter(tags=tags, statuses=[dg.DagsterRunStatus.SUCCESS]), limit=1):
        settle("done")
        return dg.SkipReason(f"due {told}: done")
    occasion = Occasion(
        told=f"due {told}",
        key=f"{export.id}:{told}",
        tags=tags,
        busy=busy_with(export.id),
        settle=settle,
    )
    tick = try_now(watch, instance, occasion)
    if isinstance(tick, dg.RunRequest):
        try:
            watch.probe.version()
        except NotReady as error:
            return dg.SkipReason(f"due {told}, waits for the refresh to be complete: {error.message}")
        except PipelineError as error:
            return skipped(error)
    return tick


def _is_switched_off(instance: dg.DagsterInstance, schedule: str) -> bool:
    """Whether somebody switched *schedule* off on the page."""
    return any(state.name == schedule and not state.is_running for state in instance.all_instigator_state())
