"""A project as Dagster keeps it, for tests in which its sensors look at it."""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from harness import API_KEY

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.orchestration.attempts import Pace
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.orchestration.probe import Probe
from ci_mailchimp_pipeline.orchestration.tags import config_hash

S = dg.DagsterRunStatus
TAG = "ci_mailchimp/"
UPSTREAM = (dg.AssetKey("unified_profiles"), dg.AssetKey("segment_membership"))


@dataclass
class Page:
    """What Dagster keeps of a project, without its daemon: looks are made, and runs end, when a test says so."""

    folder: Path
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    declared: dict[str, Any] = field(default_factory=dict)
    pace: Pace = field(default_factory=lambda: Pace(retry_seconds=1000))
    version: str = ""

    def __post_init__(self) -> None:
        export = {
            "display_name": "x", "connection": "main", "audience_id": "a1b2c3d4e5", "email": "EMail",
            "segments": ["Vip"], "owner": {"name": "Ben", "role": "administrator"},
        }  # fmt: skip
        self.declared = {
            "version": 1,
            "source": {
                "type": "files", "profiles": "profiles.csv", "membership": "membership.csv",
                "ready": "done", "settle_seconds": 0,
            },
            "connections": {
                "main": {
                    "type": "mailchimp", "display_name": "x", "api_key": {"env": "MAILCHIMP_API_KEY"},
                    "consent": {"agreed_by": "Ana", "agreed_on": "2026-11-23"},
                },
            },
            "exports": {"vip": export, "news": {**export, "segments": ["News"]}},
        }  # fmt: skip

    @property
    def config(self) -> Config:
        """The declaration as it is now."""
        path = self.folder / "exports.yaml"
        path.write_text(yaml.safe_dump(self.declared, sort_keys=False))
        return load_config(path, environ={"MAILCHIMP_API_KEY": API_KEY})

    def refresh(self, number: int, *, complete: bool = True) -> str:
        """Write another refresh; return its version once it is complete."""
        for name in ("profiles.csv", "membership.csv"):
            (self.folder / name).write_text("x" * number)
            os.utime(self.folder / name, (1_000_000 + number, 1_000_000 + number))
        marker = self.folder / "done"
        marker.touch()
        moment = 1_000_000 + number + (1 if complete else -1)
        os.utime(marker, (moment, moment))
        return Probe(self.config).version() if complete else ""

    def look(self, sensor: str = "vip_on_refresh") -> dg.RunRequest | str:
        """Let a sensor look once: the run that it wants, or why it wants none."""
        definitions = build_definitions(self.config, pace=self.pace)
        (found,) = (each for each in definitions.sensors or () if each.name == sensor)
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor), definitions=definitions
        ) as context:
            tick = found.evaluate_tick(context)
        self.cursors[sensor] = tick.cursor
        if tick.run_requests:
            (request,) = tick.run_requests
            return request
        assert tick.skip_message
        return tick.skip_message

    def run(self, status: S, tags: dict[str, str], job: str = "vip") -> dg.DagsterRun:
        """A run with these tags that is, or ended, so."""
        return self.instance.create_run_for_job(
            build_definitions(self.config).resolve_job_def(job),
            status=status,
            tags={f"{TAG}config_hash": config_hash(self.config), **tags},
        )

    def start(self, request: Any, status: S, job: str = "vip", **tags: str) -> dg.DagsterRun:
        """The run that was requested; *tags* are what its steps added."""
        added = {f"{TAG}{name}": value for name, value in tags.items()}
        return self.run(status, {**request.tags, **added}, job)

    def read(self, version: str) -> None:
        """Both upstream assets are made of this refresh, with all that the file names now."""
        exports = self.config.exports.values()
        held = {
            "segments_read": sorted({segment.name for export in exports for segment in export.segments}),
            "columns": sorted({column for export in exports for column in export.columns}),
        }
        for key in UPSTREAM:
            self._made(key, version=version, **held)

    def sent(
        self, version: str, *, dry_run: bool = False, trigger: str = "page", export: str = "vip"
    ) -> None:
        """The sync of this refresh succeeded."""
        key = dg.AssetKey([export, "mailchimp_sync"])
        self._made(key, refresh=version, dry_run=dry_run, trigger=trigger)

    def _made(self, key: dg.AssetKey, **metadata: Any) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))

    def remembered(self, sensor: str) -> Any:
        """The baseline in a sensor's cursor."""
        cursor = self.cursors[sensor]
        return json.loads(cursor)["baseline"] if cursor else "no cursor"


def told(tick: Any) -> str:
    """Why nothing was started."""
    assert isinstance(tick, str), "a run was requested"
    return tick


def pending_request(page: Page) -> Any:
    """The next request."""
    request = page.look()
    assert isinstance(request, dg.RunRequest), request
    return request
