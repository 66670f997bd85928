"""Each look of a sensor: what it starts, and what it says when it starts nothing."""

import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from harness import API_KEY

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.orchestration.attempts import MAX_ATTEMPTS, Pace
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


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A project of two exports whose source holds its first refresh."""
    monkeypatch.setenv("MAILCHIMP_API_KEY", API_KEY)
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        page = Page(tmp_path, instance)
        page.refresh(1)
        yield page


@pytest.fixture
def pending(page):
    """The second refresh is read, and vip has not run for it."""
    page.look()
    page.version = page.refresh(2)
    page.read(page.version)
    return page


def told(tick: Any) -> str:
    """Why nothing was started."""
    assert isinstance(tick, str), "a run was requested"
    return tick


def test_first_sight_of_the_source_reads_nothing(page):
    """What is there when the upstream sensor looks first is the baseline."""
    assert "first sight" in told(page.look("upstream_refresh"))
    assert "is the baseline" in told(page.look("upstream_refresh"))


def test_each_refresh_is_read_once(page):
    """A new version of the source is requested until it is read, and no more after that."""
    page.look("upstream_refresh")
    version = page.refresh(2)

    request = page.look("upstream_refresh")
    assert isinstance(request, dg.RunRequest)
    assert request.tags[f"{TAG}refresh"] == version
    run = page.start(request, S.STARTED, "upstream_refresh")
    assert told(page.look("upstream_refresh")).endswith("a run is in progress")
    page.instance.delete_run(run.run_id)
    page.start(request, S.SUCCESS, "upstream_refresh")
    page.read(version)
    assert told(page.look("upstream_refresh")).endswith("is read")


def test_a_half_written_refresh_is_waited_for(page):
    """While the marker is older than a file the sensor says so, and reads it once the marker is new."""
    page.look("upstream_refresh")
    page.refresh(2, complete=False)

    assert told(page.look("upstream_refresh")).startswith("source: the marker")
    page.refresh(2)
    assert isinstance(page.look("upstream_refresh"), dg.RunRequest)


def test_a_first_sight_while_a_refresh_is_written_is_put_off(page):
    """What is being written when the export is loaded becomes the baseline when it is complete."""
    page.refresh(2, complete=False)

    for sensor in ("upstream_refresh", "vip_on_refresh"):
        assert told(page.look(sensor)).startswith("source: the marker")
        assert page.remembered(sensor) == "no cursor"
    page.refresh(2)
    for sensor in ("upstream_refresh", "vip_on_refresh"):
        assert "first sight" in told(page.look(sensor))


def test_where_nothing_is_the_first_refresh_is_new(page):
    """A source that has no files yet is remembered as such, so that its first refresh is read and sent."""
    for name in ("profiles.csv", "membership.csv", "done"):
        (page.folder / name).unlink()
    for sensor in ("upstream_refresh", "vip_on_refresh"):
        told(page.look(sensor))
        assert page.remembered(sensor) is None

    version = page.refresh(1)
    assert isinstance(page.look("upstream_refresh"), dg.RunRequest)
    page.read(version)
    assert isinstance(page.look(), dg.RunRequest)


def test_a_source_that_fails_is_asked_again(page):
    """The look says our message and its fix; the next one finds the source well again."""
    page.look("upstream_refresh")
    (page.folder / "profiles.csv").unlink()

    reason = told(page.look("upstream_refresh"))

    assert reason.startswith("source: profiles: ")
    assert "; fix: " in reason
    page.refresh(2)
    assert isinstance(page.look("upstream_refresh"), dg.RunRequest)


def test_another_source_is_seen_for_the_first_time(page):
    """Pointing exports.yaml to other files starts nothing."""
    for sensor in ("upstream_refresh", "vip_on_refresh"):
        page.look(sensor)
    (page.folder / "other.csv").write_text("other")
    os.utime(page.folder / "other.csv", (1_000_000, 1_000_000))
    page.declared["source"]["profiles"] = "other.csv"

    assert "first sight" in told(page.look("upstream_refresh"))
    assert "first sight" in told(page.look())


def test_an_export_runs_once_for_each_refresh(pending):
    """Requested with all its tags while it is not done, and no more when it is."""
    request = pending.look()

    assert isinstance(request, dg.RunRequest)
    assert {name: value for name, value in request.tags.items() if name.startswith(TAG)} == {
        f"{TAG}trigger": "refresh",
        f"{TAG}export": "vip",
        f"{TAG}refresh": pending.version,
        f"{TAG}attempt": "1",
    }
    assert {key.to_user_string() for key in request.asset_selection} == {
        "vip/export_frame",
        "vip/mailchimp_sync",
    }
    pending.start(request, S.SUCCESS)
    pending.sent(pending.version, trigger="refresh")
    assert told(pending.look()).endswith("done")


@pytest.mark.parametrize("edit", [{"segments": ["Vip", "Gold"]}, {"merge_fields": {"CITY": "City"}}])
def test_what_was_added_while_a_refresh_is_pending_is_read_with_it(pending, edit):
    """A segment or a column that the snapshot lacks: the run that is due anyway reads the source again."""
    pending.declared["exports"]["vip"] |= edit

    request = pending.look()

    assert isinstance(request, dg.RunRequest)
    assert set(UPSTREAM) <= set(request.asset_selection)


def test_adding_a_segment_alone_reads_and_runs_nothing(pending):
    """Saving the file is no refresh: what is done stays done, and the source is not read again for it."""
    pending.look("upstream_refresh")
    pending.cursors["upstream_refresh"] = json.dumps(
        json.loads(pending.cursors["upstream_refresh"]) | {"baseline": None}
    )
    pending.sent(pending.version)
    pending.declared["exports"]["vip"]["segments"] = ["Vip", "Gold"]

    assert told(pending.look()).endswith("done")
    assert told(pending.look("upstream_refresh")).endswith("is read")


@pytest.mark.parametrize("status", [S.NOT_STARTED, S.STARTING, S.STARTED, S.CANCELING])
def test_a_run_in_progress_is_waited_for(pending, status):
    """Whoever started it: by hand for any refresh, or by the sensor."""
    pending.run(status, {f"{TAG}trigger": "page", f"{TAG}export": "vip"})

    assert told(pending.look()).endswith("a run is in progress")


def test_a_run_of_all_exports_is_waited_for(pending):
    """What runs everything runs this one, too."""
    pending.run(S.STARTED, {f"{TAG}export": "*"}, "run_all_exports")

    assert told(pending.look()).endswith("a run is in progress")


def test_a_run_of_another_export_is_not_waited_for(pending):
    """Each export goes its own way; the pool keeps them apart."""
    pending.run(S.STARTED, {f"{TAG}export": "news"}, "news")

    assert isinstance(pending.look(), dg.RunRequest)


def test_a_failed_run_is_tried_again_later(pending):
    """First the wait, then the next attempt under a key of its own."""
    first = pending.look()
    pending.start(first, S.FAILURE, outcome="failed")

    assert "attempt 1 failed, the next one in" in told(pending.look())
    pending.pace = Pace(retry_seconds=0)
    second = pending.look()
    assert isinstance(second, dg.RunRequest)
    assert second.tags[f"{TAG}attempt"] == "2"
    assert second.run_key != first.run_key


def test_it_is_given_up_after_a_while(pending):
    """A bounded number of attempts for one refresh; the next refresh starts afresh."""
    pending.pace = Pace(retry_seconds=0)
    for _ in range(MAX_ATTEMPTS):
        pending.start(pending_request(pending), S.FAILURE, outcome="failed")

    assert "gave up after" in told(pending.look())
    last, *earlier = pending.instance.get_runs()
    assert last.tags[f"{TAG}outcome"] == "gave up"
    assert {run.tags[f"{TAG}outcome"] for run in earlier} == {"failed"}
    pending.read(pending.refresh(3))
    assert isinstance(pending.look(), dg.RunRequest)


def test_what_a_guard_stopped_waits_for_another_file_or_refresh(pending):
    """Not repeated for the same refresh, unless exports.yaml changed since."""
    pending.start(pending.look(), S.FAILURE, outcome="stopped")

    assert "stopped by a guard" in told(pending.look())
    pending.declared["exports"]["vip"]["guards"] = {"max_exit_percent": 50}
    assert isinstance(pending.look(), dg.RunRequest)


def test_what_somebody_canceled_is_not_started_again(pending):
    """The next refresh is."""
    pending.start(pending.look(), S.CANCELED)

    assert "canceled" in told(pending.look())
    pending.read(pending.refresh(3))
    assert isinstance(pending.look(), dg.RunRequest)


@pytest.mark.parametrize("trigger", ["cli", "page"])
def test_a_run_by_hand_counts(pending, trigger):
    """Who ran the export by hand has sent the refresh; nothing is left to do."""
    pending.sent(pending.version, trigger=trigger)

    assert told(pending.look()).endswith("done")


def test_a_failed_run_by_hand_is_no_attempt(pending):
    """What a person tried in vain does not keep the sensor from trying."""
    pending.run(S.FAILURE, {f"{TAG}trigger": "cli", f"{TAG}export": "vip", f"{TAG}refresh": pending.version})

    assert isinstance(pending.look(), dg.RunRequest)


def test_a_dry_run_by_hand_does_not_count(pending):
    """Looking is not sending."""
    pending.sent(pending.version, dry_run=True)

    assert isinstance(pending.look(), dg.RunRequest)


def test_in_a_sandbox_each_refresh_is_tried_once(pending):
    """A dry run that started by itself counts, also on the day that the sandbox ends."""
    pending.declared["sandbox"] = True
    assert isinstance(pending.look(), dg.RunRequest)
    pending.sent(pending.version, dry_run=True, trigger="refresh")

    assert told(pending.look()).endswith("done")
    pending.declared["sandbox"] = False
    assert told(pending.look()).endswith("done")


def test_half_an_upstream_is_no_refresh(page):
    """An export waits until profiles and membership are of one refresh."""
    page.look()
    version = page.refresh(2)
    page._made(UPSTREAM[0], version=version)

    assert "no refresh was read" in told(page.look())
    page._made(UPSTREAM[1], version="older")
    assert "no refresh was read" in told(page.look())
    page._made(UPSTREAM[1], version=version)
    assert isinstance(page.look(), dg.RunRequest)


def test_running_one_export_by_hand_starts_no_other(page):
    """Reading the baseline for one export is no refresh for the other."""
    version = page.refresh(1)
    page.look()
    page.look("news_on_refresh")

    page.read(version)

    assert "is the baseline" in told(page.look("news_on_refresh"))


def test_a_return_to_an_earlier_content_is_sent(pending):
    """The audience must follow the source back, although that version was sent, or was the baseline, before."""
    baseline, second = pending.refresh(1), pending.version
    for version in (second, baseline, second):
        pending.read(version)
        assert isinstance(pending.look(), dg.RunRequest), version
        pending.sent(version)
        assert told(pending.look()).endswith("done")


def test_editing_the_file_starts_nothing(page):
    """Whatever is changed in an export, the next look finds the baseline."""
    page.look()
    page.declared["exports"]["vip"]["segments"] = ["Vip", "Gold"]

    assert "nothing new" in told(page.look())


def test_an_export_that_is_switched_on_again_starts_nothing(pending):
    """After a long absence with another file the refresh that came meanwhile is the baseline."""
    cursor = json.loads(pending.cursors["vip_on_refresh"])
    absent = {**cursor, "file": "another", "seen": int(time.time()) - 3600}
    pending.cursors["vip_on_refresh"] = json.dumps(absent)

    assert "first sight" in told(pending.look())
    assert "is the baseline" in told(pending.look())


def test_what_came_while_dagster_was_down_is_sent(pending):
    """After a long absence with the same file nothing was switched on: the refresh is picked up."""
    cursor = json.loads(pending.cursors["vip_on_refresh"])
    pending.cursors["vip_on_refresh"] = json.dumps({**cursor, "seen": int(time.time()) - 1_000_000})

    assert isinstance(pending.look(), dg.RunRequest)


@pytest.mark.parametrize("cursor", ["", "{", "null", '{"baseline": 3}', '{"what": "else"}'])
def test_a_cursor_that_is_none_of_ours_is_a_first_sight(pending, cursor):
    """Somebody may write anything into a cursor on the page."""
    pending.cursors["vip_on_refresh"] = cursor

    assert "first sight" in told(pending.look())


def test_triggers_follow_the_file(page):
    """One sensor for `refresh`, a schedule and its sensor for cron, nothing for off, disabled and detached ones."""
    page.declared["exports"]["vip"]["schedule"] = {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}
    for name, keys in (
        ("never", {"schedule": "off"}),
        ("not_now", {"enabled": False}),
        ("loose", {"connection": None}),
    ):
        page.declared["exports"][name] = {**page.declared["exports"]["news"], "segments": [name], **keys}

    definitions = build_definitions(page.config)

    sensors = {each.name: each for each in definitions.sensors or ()}
    ours = {"upstream_refresh", "vip_catch_up", "news_on_refresh"}
    assert ours == {name for name in sensors if name.endswith(("_refresh", "_catch_up"))}
    assert {sensors[name].default_status for name in ours} == {dg.DefaultSensorStatus.RUNNING}
    (schedule,) = (each for each in definitions.schedules or () if each.name.endswith("_on_schedule"))
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 6 * * *", "Europe/Berlin")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_run_all_exports_leaves_out_what_runs_only_by_hand(page):
    """The job of all exports has those with a schedule that is not off."""
    page.declared["exports"]["never"] = {
        **page.declared["exports"]["news"], "segments": ["Never"], "schedule": "off",
    }  # fmt: skip

    job = build_definitions(page.config).resolve_job_def("run_all_exports")

    made = {key.path[0] for key in job.asset_layer.executable_asset_keys if len(key.path) > 1}
    assert made == {"vip", "news"}
    assert {node.name for node in job.nodes} >= {"customer_insights"}


def pending_request(page: Page) -> Any:
    """The next request."""
    request = page.look()
    assert isinstance(request, dg.RunRequest), request
    return request
