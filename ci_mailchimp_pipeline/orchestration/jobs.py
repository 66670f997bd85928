"""One named job per export, and everything that Dagster is told."""

import os
from dataclasses import dataclass
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.config.fields import Times
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.orchestration import deaths, freshness
from ci_mailchimp_pipeline.orchestration.assets import (
    export_assets,
    runnable,
    upstream_assets,
)
from ci_mailchimp_pipeline.orchestration.attempts import Pace
from ci_mailchimp_pipeline.orchestration.deaths import deaths_sensor
from ci_mailchimp_pipeline.orchestration.drift import drift_asset, drift_key, drift_name
from ci_mailchimp_pipeline.orchestration.freshness import freshness_checks, freshness_sensors
from ci_mailchimp_pipeline.orchestration.opt_outs import opt_outs_asset, opt_outs_key, opt_outs_name
from ci_mailchimp_pipeline.orchestration.probe import Probe
from ci_mailchimp_pipeline.orchestration.schedules import Calendar, catch_up_sensor, export_schedule
from ci_mailchimp_pipeline.orchestration.sensors import (
    READ_UPSTREAM,
    Watch,
    export_keys,
    refresh_sensor,
    shared_glance,
    upstream_sensor,
)
from ci_mailchimp_pipeline.orchestration.tags import BY_SCHEDULE, SEVERAL, TRIGGER, given_tags
from ci_mailchimp_pipeline.orchestration.upstream import GROUP, UPSTREAM, Upstream

RUN_ALL = "run_all_exports"
RESERVED = (RUN_ALL, READ_UPSTREAM, GROUP)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """What one export is to Dagster. ``timed``: what else is done by itself, and when."""

    assets: list[dg.AssetsDefinition]
    checks: list[dg.AssetChecksDefinition]
    job: dg.JobDefinition
    timed: list[tuple[dg.JobDefinition, dg.ScheduleDefinition]]


def export_job(config: Config, export: Export, upstream: Upstream = UPSTREAM) -> dg.JobDefinition:
    """The job that does all of *export*: a fresh snapshot, its frame, its sync."""
    return _made(config, export, upstream, _reading(config, upstream)).job


def _reading(config: Config, upstream: Upstream) -> list[dg.AssetsDefinition]:
    return [upstream_assets(config, upstream)] if upstream.ours else []


def _made(config: Config, export: Export, upstream: Upstream, reading: list[dg.AssetsDefinition]) -> _Made:
    """An export with its job resolved among its own assets: among those of all, each job costs a look at all."""
    assets, checks = export_assets(config, export, upstream), freshness_checks(config, export)
    job = _job(
        config,
        export.id,
        [*upstream.made, *export_keys(export)],
        f"{export.display_name}: reads the source, validates, and brings the audience in line.",
        of=export.id,
    )
    alone = dg.Definitions(assets=[*reading, *assets], asset_checks=checks, jobs=[job])
    drift, opt_outs = drift_asset(config, export), opt_outs_asset(config, export)
    timed = []
    if export.drift:
        compares = _drift_job(config, export, drift)
        timed.append((compares, _at_times(compares, export.drift)))
    if export.opt_outs:
        lists = _opt_outs_job(config, export, opt_outs)
        timed.append((lists, _at_times(lists, export.opt_outs)))
    return _Made(
        assets=[*assets, drift, opt_outs],
        checks=checks,
        job=alone.resolve_job_def(export.id),
        timed=timed,
    )


def drift_job(config: Config, export: Export) -> dg.JobDefinition:
    """The job that compares *export* with its audience, and repairs it when asked to."""
    return _drift_job(config, export, drift_asset(config, export))


def _drift_job(config: Config, export: Export, asset: dg.AssetsDefinition) -> dg.JobDefinition:
    name = drift_name(export)
    told = f"{export.display_name}: does the audience still hold what was written to it?"
    job = _job(config, name, [drift_key(export)], told, of=export.id)
    return dg.Definitions(assets=[asset], jobs=[job]).resolve_job_def(name)


def _opt_outs_job(config: Config, export: Export, asset: dg.AssetsDefinition) -> dg.JobDefinition:
    name, told = opt_outs_name(export), f"{export.display_name}: who may no longer be mailed?"
    job = _job(config, name, [opt_outs_key(export)], told, of=export.id)
    return dg.Definitions(assets=[asset], jobs=[job]).resolve_job_def(name)


def _at_times(job: dg.JobDefinition, times: Times) -> dg.ScheduleDefinition:
    """Starts *job* by itself; as many times as the clock says, and never again for a run that failed."""
    return dg.ScheduleDefinition(
        job=job,
        name=job.name,
        cron_schedule=times.cron,
        execution_timezone=times.timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=job.description,
        tags={**job.tags, TRIGGER: BY_SCHEDULE},
    )


def upstream_job(config: Config, upstream: Upstream = UPSTREAM) -> Any:
    """The job that reads one refresh of the source."""
    return _job(
        config, upstream.named(READ_UPSTREAM), upstream.made, "Reads one complete refresh of the source."
    )


def run_all_job(config: Config, exports: list[Export], upstream: Upstream = UPSTREAM) -> Any:
    """The job that does all exports that run by themselves, one after the other."""
    keys = [key for export in exports for key in export_keys(export)]
    description = "Every export that is enabled, attached and not scheduled `off`, one after the other."
    return _job(config, upstream.named(RUN_ALL), [*upstream.made, *keys], description)


def build_definitions(
    config: Config, *, pace: Pace | None = None, upstream: Upstream = UPSTREAM
) -> dg.Definitions:
    """Assets, checks, jobs and triggers of every export that runs; a disabled or detached one has none.

    Args:
        config: What is declared.
        pace: How often sensors look and retry; None is as the environment says.
        upstream: Where profiles and membership are; somebody else's are neither made nor watched over here.

    Raises:
        FixConfigError: ``bad_seconds``, ``reserved_id``.
    """
    exports = runnable(config)
    besides = (name(export) for export in exports for name in (drift_name, opt_outs_name))
    reserved = {*RESERVED, *besides}
    if taken := [export.id for export in exports if export.id in reserved]:
        raise FixConfigError(
            "reserved_id",
            f"an export cannot be called '{taken[0]}': that is a name of Dagster's page",
            fix="choose another id for it",
            place=config.place("exports", taken[0]),
        )
    scheduled = [export for export in exports if export.schedule.kind != "off"]
    reading = _reading(config, upstream)
    made = {export.id: _made(config, export, upstream, reading) for export in exports}
    watch = Watch(
        config=config,
        pace=pace or Pace.of(os.environ),
        probe=Probe(config),
        sensors=1 + len(scheduled),
        upstream=upstream,
    )
    jobs: list[Any] = [each.job for each in made.values()]
    sensors = []
    if upstream.ours:
        jobs.append(upstream_job(config, upstream))
        sensors.append(upstream_sensor(watch, jobs[-1]))
    if scheduled:
        jobs.append(run_all_job(config, scheduled, upstream))
    glance = shared_glance(watch, [export for export in scheduled if export.schedule.kind == "refresh"])
    schedules: list[dg.ScheduleDefinition] = []
    for export in scheduled:
        if export.schedule.kind == "cron":
            calendar = Calendar.of(export)
            schedules.append(export_schedule(watch, export, calendar, made[export.id].job))
            sensors.append(catch_up_sensor(watch, export, calendar, made[export.id].job))
        else:
            sensors.append(refresh_sensor(watch, glance, export, made[export.id].job))
    for job, schedule in (timed for each in made.values() for timed in each.timed):
        jobs.append(job)
        schedules.append(schedule)
    return dg.Definitions(
        assets=[*reading, *(asset for each in made.values() for asset in each.assets)],
        jobs=jobs,
        asset_checks=[check for each in made.values() for check in each.checks],
        sensors=[
            *sensors,
            deaths_sensor(config, name=upstream.named(deaths.NAME)),
            *freshness_sensors(config, name=upstream.named(freshness.NAME)),
        ],
        schedules=schedules,
    )


def _job(config: Config, name: str, keys: list[dg.AssetKey], description: str, of: str = SEVERAL) -> Any:
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*keys),
        description=description,
        tags=given_tags(config, of),
        executor_def=dg.in_process_executor,
    )
