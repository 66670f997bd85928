"""Many exports: what their sensors share, and what loading them costs."""

import cProfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from harness import API_KEY

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.orchestration.attempts import MAX_ATTEMPTS, Pace
from ci_mailchimp_pipeline.orchestration.glance import SETTLED_SECONDS, SHARED_SECONDS
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions, export_job
from ci_mailchimp_pipeline.orchestration.probe import Probe, source_of
from ci_mailchimp_pipeline.orchestration.sensors import Watch, refresh_sensor, shared_glance
from ci_mailchimp_pipeline.orchestration.tags import config_hash

S = dg.DagsterRunStatus
TAG = "ci_mailchimp/"
EXPORTS = 20
NOW = 4_000_000_000.0  # after whatever a test records


def declare(folder: Path, exports: int) -> Config:
    """So many exports, each with a segment of its own."""
    document = {
        "version": 1,
        "source": {"type": "files", "profiles": "profiles.csv", "membership": "membership.csv"},
        "connections": {
            "main": {
                "type": "mailchimp", "display_name": "x", "api_key": {"env": "MAILCHIMP_API_KEY"},
                "consent": {"agreed_by": "Ana", "agreed_on": "2026-11-23"},
            },
        },
        "exports": {
            f"e{number:04}": {
                "display_name": f"Export {number}", "connection": "main", "email": "EMail",
                "audience_id": "a1b2c3d4e5", "segments": [f"Segment{number}"],
                "owner": {"name": "Ben", "role": "administrator"},
            }
            for number in range(exports)
        },
    }  # fmt: skip
    (folder / "exports.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    return load_config(folder / "exports.yaml", environ={"MAILCHIMP_API_KEY": API_KEY})


@dataclass
class Crowd:
    """The sensors of one process past their first sight, on a clock of their own; none of them did anything yet."""

    config: Config
    instance: dg.DagsterInstance
    now: float = NOW
    sensors: dict[str, dg.SensorDefinition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        exports = list(self.config.exports.values())
        watch = Watch(
            config=self.config, pace=Pace(retry_seconds=0), probe=Probe(self.config), now=lambda: self.now
        )
        glance = shared_glance(watch, exports)
        self.sensors = {
            each.id: refresh_sensor(watch, glance, each, export_job(self.config, each)) for each in exports
        }
        self.cursor = watch.look(source_of(self.config)).at("first").encode()

    def look(self, export: str, *, records: bool = True) -> dg.RunRequest | str:
        """One look; one without *records* fails when it asks Dagster for anything."""
        instance = self.instance if records else None
        with dg.build_sensor_context(instance=instance, cursor=self.cursor) as context:
            tick = self.sensors[export].evaluate_tick(context)
        return tick.run_requests[0] if tick.run_requests else str(tick.skip_message)

    def made(self, key: list[str], **metadata: Any) -> None:
        """An asset is materialized."""
        self.instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=metadata))

    def read(self, version: str) -> None:
        """Both upstream assets are made of this refresh, for every export."""
        segments = [f"Segment{number}" for number in range(EXPORTS)]
        for key in (["unified_profiles"], ["segment_membership"]):
            self.made(key, version=version, segments_read=segments, columns=["EMail"])

    def sent(self, export: str, version: str) -> None:
        """The sync of this refresh succeeded."""
        self.made([export, "mailchimp_sync"], refresh=version, trigger="cli", dry_run=False)

    def failed(self, request: dg.RunRequest) -> None:
        """The run that was requested was made, and failed."""
        job = export_job(self.config, self.config.exports["e0000"])
        tags = {**request.tags, f"{TAG}config_hash": config_hash(self.config)}
        self.instance.create_run_for_job(job, status=S.FAILURE, tags=tags)


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    """All exports but the first have sent the newest refresh."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        crowd = Crowd(declare(tmp_path, EXPORTS), instance)
        crowd.read("second")
        for export in list(crowd.sensors)[1:]:
            crowd.sent(export, "second")
        yield crowd


def test_who_finds_nothing_to_do_opens_no_records(crowd: Crowd) -> None:
    """One look at Dagster's records serves the sensors of all exports."""
    crowd.look("e0001")

    said = {str(crowd.look(export, records=False)) for export in list(crowd.sensors)[1:]}

    assert said == {"refresh second: done"}


def test_the_shared_look_is_a_few_seconds_old_at_most(crowd: Crowd) -> None:
    """Another refresh is seen as soon as they are over, whichever sensor looks."""
    crowd.look("e0001")
    crowd.read("third")
    crowd.now += SHARED_SECONDS - 1
    early = crowd.look("e0002")
    crowd.now += 1

    assert early == "refresh second: done"
    assert isinstance(crowd.look("e0003"), dg.RunRequest)


def test_whoever_may_have_to_start_something_looks_for_itself(crowd: Crowd) -> None:
    """A run by hand that ended since the shared look is not repeated."""
    assert isinstance(crowd.look("e0000"), dg.RunRequest)
    crowd.sent("e0000", "second")

    assert crowd.look("e0000") == "refresh second: done"


def test_a_run_in_progress_is_shared_too(crowd: Crowd) -> None:
    """While a run is under way nobody who waits for it opens records."""
    job = export_job(crowd.config, crowd.config.exports["e0000"])
    crowd.instance.create_run_for_job(job, status=S.STARTED, tags={f"{TAG}export": "e0000"})
    crowd.look("e0001")

    assert crowd.look("e0000", records=False) == "refresh second: a run is in progress"


def test_what_was_given_up_is_looked_at_again_after_a_while(crowd: Crowd) -> None:
    """Until then without records; by then somebody may have deleted the runs to have it done again."""
    for _ in range(MAX_ATTEMPTS):
        request = crowd.look("e0000")
        assert isinstance(request, dg.RunRequest)
        crowd.failed(request)
    gave_up = crowd.look("e0000")

    assert "gave up after" in str(gave_up)
    assert crowd.look("e0000", records=False) == gave_up
    for run in crowd.instance.get_runs():
        crowd.instance.delete_run(run.run_id)
    crowd.now += SETTLED_SECONDS
    assert isinstance(crowd.look("e0000"), dg.RunRequest)


def _calls(config: Config) -> int:
    """Function calls to load all that Dagster is told of *config*: work, however busy the machine is."""
    profile = cProfile.Profile()
    repository = profile.runcall(_loaded, config)
    assert len(repository.get_all_jobs()) == len(config.exports) + 3  # all, upstream_refresh, Dagster's own
    return sum(entry.callcount for entry in profile.getstats())


def _loaded(config: Config) -> dg.RepositoryDefinition:
    repository = build_definitions(config).get_repository_def()
    repository.load_all_definitions()
    return repository


def test_work_to_load_grows_with_the_exports_and_no_faster(tmp_path: Path) -> None:
    """Eight times the exports are about eight times the calls: no job looks at the assets of the others."""
    few, many = declare(tmp_path, 25), declare(tmp_path, 200)
    _loaded(few)  # what is done once in a process

    assert _calls(many) / _calls(few) < 8 * 1.05
