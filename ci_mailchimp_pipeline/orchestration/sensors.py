"""What starts runs after a refresh: one sensor reads the source, one an export runs the export.

A cursor holds what was there at first sight. What was done since is read from the runs and the syncs, so
that a lost cursor, a lost daemon and a run by hand are all the same.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.orchestration.attempts import Pace, Wait, next_attempt
from ci_mailchimp_pipeline.orchestration.glance import Glance, Settled
from ci_mailchimp_pipeline.orchestration.history import Seen, last_sync, latest_refresh, past_of, was_read_for
from ci_mailchimp_pipeline.orchestration.probe import NOTHING_THERE, Probe, source_of
from ci_mailchimp_pipeline.orchestration.processes import UNFINISHED, bury_dead_runs
from ci_mailchimp_pipeline.orchestration.sight import Look
from ci_mailchimp_pipeline.orchestration.tags import (
    ATTEMPT,
    BY_REFRESH,
    EXPORT,
    GAVE_UP,
    OUTCOME,
    REFRESH,
    SEVERAL,
    TRIGGER,
    config_hash,
)
from ci_mailchimp_pipeline.orchestration.upstream import UPSTREAM, Upstream

READ_UPSTREAM = "upstream_refresh"  # the sensor and its job
RUNS_LOOKED_AT = 50
SENSORS_PER_ROUND = 100  # more sensors look less often: a look takes the daemon some 0.05 s

Tick = dg.RunRequest | dg.SkipReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What all triggers share.

    Attributes:
        sensors: How many there are.
    """

    config: Config
    pace: Pace
    probe: Probe = field(repr=False)
    sensors: int = 1
    upstream: Upstream = UPSTREAM
    now: Callable[[], float] = time.time

    @property
    def interval(self) -> int:
        """Seconds between two looks of one sensor, at least."""
        return self.pace.sensor_seconds * max(1, -(-self.sensors // SENSORS_PER_ROUND))

    def look(self, of: str) -> Look:
        """A look at *of*, now."""
        return Look(of=of, file=config_hash(self.config), now=int(self.now()))


def upstream_sensor(watch: Watch, job: Any) -> dg.SensorDefinition:
    """Materializes both upstream assets once per complete refresh of the source."""

    @dg.sensor(
        name=watch.upstream.named(READ_UPSTREAM),
        job=job,
        minimum_interval_seconds=watch.interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads the source once per complete refresh; waits while one is being written. "
        "What is there at first sight is not read.",
    )
    def upstream_refresh(context: dg.SensorEvaluationContext) -> Tick:
        bury_dead_runs(context.instance)
        look = watch.look(source_of(watch.config))
        sight = look.known(context.cursor)
        try:
            version = watch.probe.version()
        except PipelineError as error:
            if sight is None and error.code in NOTHING_THERE:
                context.update_cursor(look.at(None).encode())
            return skipped(error)
        if sight is None:
            context.update_cursor(look.at(version).encode())
            return dg.SkipReason(f"first sight: refresh {short(version)} is the baseline, and is not read")
        baseline = version if sight.baseline == version else None
        context.update_cursor(look.at(baseline).encode())
        if baseline is not None:
            return dg.SkipReason(f"nothing new: refresh {short(version)} is the baseline")
        read = latest_refresh(context.instance, watch.upstream)
        if read is not None and read.version == version:
            return dg.SkipReason(f"nothing new: refresh {short(version)} is read")
        since = read.at if read else 0.0
        occasion = Occasion(
            told=f"refresh {short(version)}",
            key=f"{version}:{since}",
            tags={TRIGGER: BY_REFRESH, EXPORT: SEVERAL, REFRESH: version},
            busy=dg.RunsFilter(job_name=watch.upstream.named(READ_UPSTREAM), statuses=list(UNFINISHED)),
            since=since,
        )
        return try_now(watch, context.instance, occasion)

    return upstream_refresh


def export_keys(export: Export) -> list[dg.AssetKey]:
    """The assets of *export* that a run makes, without the upstream's; the sync is the last."""
    return [dg.AssetKey([export.id, "export_frame"]), dg.AssetKey([export.id, "mailchimp_sync"])]


def shared_glance(watch: Watch, exports: Sequence[Export]) -> Glance:
    """What the sensors of *exports* share."""
    syncs = {export.id: export_keys(export)[-1] for export in exports}
    return Glance(syncs, partial(_latest, watch), watch.now)


def refresh_sensor(watch: Watch, glance: Glance, export: Export, job: Any) -> dg.SensorDefinition:
    """Runs *export* once per refresh that was read."""
    settled = Settled(watch.now)

    @dg.sensor(
        name=f"{export.id}_on_refresh",
        job=job,
        minimum_interval_seconds=watch.interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Runs {export.id} once per refresh of the source; tries again when it failed. "
        "What is there at first sight is not sent.",
    )
    def on_refresh(context: dg.SensorEvaluationContext) -> Tick:
        look = watch.look(source_of(watch.config))
        sight = look.known(context.cursor)
        if sight is None:
            return _first_sight(watch, context, look)
        try:
            seen = glance.overview(context)
        except PipelineError as error:
            return skipped(error)
        read = seen.refresh
        new = read is not None and read.version != sight.baseline
        context.update_cursor(look.at(None if new else sight.baseline).encode())
        if read is None:
            return dg.SkipReason("nothing new: no refresh was read yet")
        if not new:
            return dg.SkipReason(f"nothing new: refresh {short(read.version)} is the baseline")
        if why := seen.why_not(export.id) or settled.why(read):
            return dg.SkipReason(f"refresh {short(read.version)}: {why}")
        return _run_for(watch, settled, context.instance, export, read)

    return on_refresh


def _run_for(
    watch: Watch, settled: Settled, instance: dg.DagsterInstance, export: Export, read: Seen
) -> Tick:
    """The next run of *export* for the refresh *read*, which also reads it again if the file asks for more now."""
    told, keys = f"refresh {short(read.version)}", export_keys(export)
    try:
        now = _latest(watch, instance)
    except PipelineError as error:
        return skipped(error)
    if now != read:  # what all sensors share is some seconds old
        return dg.SkipReason(f"{told}: another one has begun since")
    last = last_sync(instance, keys[-1])
    if last is not None and last.version == read.version:
        return dg.SkipReason(f"{told}: done")
    occasion = Occasion(
        told=told,
        key=f"{read.version}:{read.at}",
        tags={TRIGGER: BY_REFRESH, EXPORT: export.id, REFRESH: read.version},
        busy=busy_with(export.id),
        since=last.at if last else 0.0,
        assets=keys if was_read_for(instance, watch.upstream, export) else [*watch.upstream.keys, *keys],
        settle=partial(settled.note, read),
    )
    return try_now(watch, instance, occasion)


def short(version: str) -> str:
    """A refresh as people are told of it."""
    return version[:12]


def _latest(watch: Watch, instance: dg.DagsterInstance) -> Seen | None:
    """The refresh that is there for the exports; None when there is none, or only half of one.

    Raises:
        PipelineError: Somebody else makes the upstream, and the source cannot be asked what it holds.
    """
    if watch.upstream.ours:
        return latest_refresh(instance, watch.upstream)
    at = watch.upstream.completed_at(instance)
    return None if at is None else Seen(version=watch.probe.version(), at=at)


def _first_sight(watch: Watch, context: dg.SensorEvaluationContext, look: Look) -> dg.SkipReason:
    """Take what is there as the baseline; while a refresh is being written, or nobody answers, the next look is it."""
    try:
        baseline = watch.probe.version()
    except PipelineError as error:
        if error.code not in NOTHING_THERE:
            return skipped(error)
        context.update_cursor(look.at(None).encode())
        return dg.SkipReason("first sight: there is no refresh yet; the first one will be sent")
    context.update_cursor(look.at(baseline).encode())
    return dg.SkipReason(f"first sight: refresh {short(baseline)} is the baseline, and is not sent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Something that one run is due for.

    Attributes:
        told: What it is, for people.
        key: What it is, for Dagster: with the number of tries it never starts twice.
        tags: Of every run that is a try at it, and of no other.
        busy: Runs that are waited for.
        since: Tries before this moment (seconds since 1970) were for another occasion like it.
        assets: What to make; None is all of the job's.
        settle: Told why no further try follows by itself.
    """

    told: str
    key: str
    tags: dict[str, str]
    busy: dg.RunsFilter
    since: float = 0.0
    assets: list[dg.AssetKey] | None = None
    settle: Callable[[str], None] = lambda _why: None


def busy_with(export: str) -> dg.RunsFilter:
    """Unfinished runs that may send for *export*, or read for it."""
    return dg.RunsFilter(tags={EXPORT: [export, SEVERAL]}, statuses=list(UNFINISHED))


def try_now(watch: Watch, instance: dg.DagsterInstance, occasion: Occasion) -> Tick:
    """The next run for an occasion that is not done yet, or why there is none now."""
    if instance.get_runs(occasion.busy, limit=1):
        bury_dead_runs(instance)
    if instance.get_runs(occasion.busy, limit=1):
        return dg.SkipReason(f"{occasion.told}: a run is in progress")
    records = instance.get_run_records(dg.RunsFilter(tags=occasion.tags), limit=RUNS_LOOKED_AT)
    past = [each for each in past_of(records) if each.at > occasion.since]
    verdict = next_attempt(past, now=watch.now(), config_hash=config_hash(watch.config), pace=watch.pace)
    if isinstance(verdict, Wait):
        if verdict.gave_up and records[0].dagster_run.tags.get(OUTCOME) != GAVE_UP:
            instance.add_run_tags(records[0].dagster_run.run_id, {OUTCOME: GAVE_UP})
        if verdict.final:
            occasion.settle(verdict.reason)
        return dg.SkipReason(f"{occasion.told}: {verdict.reason}")
    return dg.RunRequest(
        run_key=f"{occasion.key}:{len(past)}",
        tags={**occasion.tags, ATTEMPT: str(verdict.attempt)},
        asset_selection=occasion.assets,
    )


def skipped(error: PipelineError) -> dg.SkipReason:
    """Why nothing is started, in our own words."""
    return dg.SkipReason(f"{error.message}; fix: {error.fix}" if error.fix else error.message)
