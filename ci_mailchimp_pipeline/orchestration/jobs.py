"""One named job per export, and everything that Dagster is told."""

import os
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.orchestration import deaths, freshness
from ci_mailchimp_pipeline.orchestration.assets import (
    export_assets,
    runnable,
    upstream_assets,
)
from ci_mailchimp_pipeline.orchestration.attempts import Pace
from ci_mailchimp_pipeline.orchestration.deaths import deaths_sensor
from ci_mailchimp_pipeline.orchestration.freshness import freshness_checks, freshness_sensors
from ci_mailchimp_pipeline.orchestration.probe import Probe
from ci_mailchimp_pipeline.orchestration.schedules import Calendar, catch_up_sensor, export_schedule
from ci_mailchimp_pipeline.orchestration.sensors import READ_UPSTREAM, Watch, refresh_sensor, upstream_sensor
from ci_mailchimp_pipeline.orchestration.tags import SEVERAL, given_tags
from ci_mailchimp_pipeline.orchestration.upstream import GROUP, UPSTREAM, Upstream

RUN_ALL = "run_all_exports"
RESERVED = (RUN_ALL, READ_UPSTREAM, GROUP)


def export_keys(export: Export) -> list[dg.AssetKey]:
    """The assets of *export*, without the upstream's."""
    return [dg.AssetKey([export.id, "export_frame"]), dg.AssetKey([export.id, "mailchimp_sync"])]


def export_job(config: Config, export: Export, upstream: Upstream = UPSTREAM) -> Any:
    """The job that does all of *export*: a fresh snapshot, its frame, its sync."""
    return _job(
        config,
        export.id,
        [*upstream.made, *export_keys(export)],
        f"{export.display_name}: reads the source, validates, and brings the audience in line.",
        of=export.id,
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
    if taken := [export.id for export in exports if export.id in RESERVED]:
        raise FixConfigError(
            "reserved_id",
            f"an export cannot be called '{taken[0]}': that is a name of Dagster's page",
            fix="choose another id for it",
            place=config.place("exports", taken[0]),
        )
    scheduled = [export for export in exports if export.schedule.kind != "off"]
    jobs = {export.id: export_job(config, export, upstream) for export in exports}
    reading = [upstream_job(config, upstream)] if upstream.ours else []
    watch = Watch(
        config=config,
        pace=pace or Pace.of(os.environ),
        probe=Probe(config),
        sensors=1 + len(scheduled),
        upstream=upstream,
    )
    sensors = [upstream_sensor(watch, job) for job in reading]
    schedules: list[dg.ScheduleDefinition] = []
    for export in scheduled:
        if export.schedule.kind == "cron":
            calendar = Calendar.of(export)
            schedules.append(export_schedule(watch, export, calendar, jobs[export.id]))
            sensors.append(catch_up_sensor(watch, export, calendar, jobs[export.id]))
        else:
            sensors.append(refresh_sensor(watch, export, export_keys(export), jobs[export.id]))
    return dg.Definitions(
        assets=[
            *([upstream_assets(config, upstream)] if upstream.ours else []),
            *(asset for export in exports for asset in export_assets(config, export, upstream)),
        ],
        jobs=[*jobs.values(), *reading, *([run_all_job(config, scheduled, upstream)] if scheduled else [])],
        asset_checks=freshness_checks(config),
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
