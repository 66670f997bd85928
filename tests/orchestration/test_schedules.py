"""Exports with times of their own: when they are due, what is waited for, and what is made up for."""

import json
import os
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from harness import API_KEY
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.orchestration import probe as probing
from ci_mailchimp_pipeline.orchestration.attempts import Pace
from ci_mailchimp_pipeline.orchestration.jobs import export_job
from ci_mailchimp_pipeline.orchestration.probe import Probe
from ci_mailchimp_pipeline.orchestration.schedules import Calendar, catch_up_sensor, export_schedule
from ci_mailchimp_pipeline.orchestration.sensors import Watch
from ci_mailchimp_pipeline.orchestration.tags import config_hash
from ci_mailchimp_pipeline.pipeline.upstream import PATIENCE_SECONDS, take_settled_upstream
from ci_mailchimp_pipeline.sources.base import NotReady

S = dg.DagsterRunStatus
TAG = "ci_mailchimp/"
SIX = datetime(2095, 11, 24, 6, tzinfo=UTC)  # when the export is due; after any run that a test records


def utc(text: str) -> datetime:
    """A moment as it is written in a log."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "zone", "now", "last"),
    [
        pytest.param("0 6 * * *", "UTC", "2026-11-24 06:00:00", "2026-11-24 06:00", id="on the second"),
        pytest.param("0 6 * * *", "UTC", "2026-11-24 05:59:59", "2026-11-23 06:00", id="a second before"),
        pytest.param("0 6 * * *", "Europe/Berlin", "2026-07-01 04:00", "2026-07-01 04:00", id="summer"),
        pytest.param("0 6 * * *", "Europe/Berlin", "2026-12-01 05:00", "2026-12-01 05:00", id="winter"),
        pytest.param(
            "30 2 * * *", "Europe/Berlin", "2026-03-29 03:00", "2026-03-29 01:00", id="no such hour"
        ),
        pytest.param("0 0 29 2 *", "UTC", "2026-11-24 00:00", "2024-02-29 00:00", id="29 February"),
        pytest.param("*/5 * * * *", "UTC", "2026-11-24 06:04", "2026-11-24 06:00", id="every five minutes"),
        pytest.param("0 0 * * mon", "UTC", "2026-11-24 06:00", "2026-11-23 00:00", id="Mondays"),
    ],
)
def test_the_last_time_that_an_export_was_due(cron, zone, now, last):
    """In the zone of the schedule, whatever the clock did there."""
    assert Calendar(cron=cron, zone=zone).last(utc(now).timestamp()) == utc(last)


@settings(max_examples=30, deadline=None)
@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)),
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kolkata"]),
)
def test_the_last_time_is_the_newest_not_after_now(moment, zone):
    """For a daily schedule: never in the future, and never more than a day and an hour ago."""
    now = moment.replace(tzinfo=UTC)

    last = Calendar(cron="0 6 * * *", zone=zone).last(now.timestamp())

    assert last is not None
    assert timedelta(0) <= now - last <= timedelta(hours=25)


@dataclass
class Clock:
    """One export that is due at six, and what the time is."""

    folder: Path
    instance: dg.DagsterInstance
    now: datetime = SIX
    cursor: str | None = None
    declared: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.declared = {
            "version": 1,
            "source": {"type": "files", "profiles": "p.csv", "membership": "m.csv", "ready": "done"},
            "connections": {
                "main": {
                    "type": "mailchimp", "display_name": "x", "api_key": {"env": "MAILCHIMP_API_KEY"},
                    "consent": {"agreed_by": "Ana", "agreed_on": "2026-11-23"},
                },
            },
            "exports": {
                "vip": {
                    "display_name": "x", "connection": "main", "audience_id": "a1b2c3d4e5", "email": "EMail",
                    "segments": ["Vip"], "owner": {"name": "Ben", "role": "administrator"},
                    "schedule": {"cron": "0 6 * * *"},
                },
            },
        }  # fmt: skip
        (self.folder / "p.csv").write_text("CustomerId,EMail\n")
        (self.folder / "m.csv").write_text("CustomerId,Segment\n")
        self.refreshing(False)

    def refreshing(self, under_way: bool) -> None:
        """Whether the source is being written."""
        (self.folder / "done").touch()
        moment = 1 if under_way else 4_000_000_000
        os.utime(self.folder / "done", (moment, moment))

    @property
    def config(self) -> Config:
        """The declaration as it is now."""
        path = self.folder / "exports.yaml"
        path.write_text(yaml.safe_dump(self.declared, sort_keys=False))
        return load_config(path, environ={"MAILCHIMP_API_KEY": API_KEY})

    def parts(self) -> tuple[Watch, Any, Calendar, Any]:
        """What the triggers of the export are made of."""
        config = self.config
        watch = Watch(config=config, pace=Pace(retry_seconds=0), probe=Probe(config), now=self.now.timestamp)
        export = config.exports["vip"]
        return watch, export, Calendar.of(export), export_job(config, export)

    def ring(self, at: datetime = SIX) -> dg.RunRequest | str:
        """Let Dagster ask the schedule for the time *at*."""
        with dg.build_schedule_context(instance=self.instance, scheduled_execution_time=at) as context:
            return _outcome(export_schedule(*self.parts()).evaluate_tick(context))

    def look(self) -> dg.RunRequest | str:
        """Let the sensor look that makes up for what the schedule could not start."""
        with dg.build_sensor_context(instance=self.instance, cursor=self.cursor) as context:
            tick = catch_up_sensor(*self.parts()).evaluate_tick(context)
        self.cursor = tick.cursor
        return _outcome(tick)

    def run(self, request: Any, status: S) -> None:
        """The run that was requested is, or ended, so."""
        empty = dg.GraphDefinition(name="vip").to_job()
        tags = {f"{TAG}config_hash": config_hash(self.config), **request.tags}
        self.instance.create_run_for_job(empty, status=status, tags=tags)


def _outcome(tick: Any) -> dg.RunRequest | str:
    if tick.run_requests:
        (request,) = tick.run_requests
        assert isinstance(request, dg.RunRequest)
        return request
    return str(tick.skip_message)


@pytest.fixture
def clock(tmp_path):
    """Loaded the evening before, and a minute past six now."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(
        str(tmp_path / "dagster")
    ) as instance:  # a schedule opens it once more
        clock = Clock(tmp_path, instance, now=SIX - timedelta(hours=12))
        clock.look()
        clock.now = SIX + timedelta(minutes=1)
        yield clock


def later(clock: Clock, **time: float) -> None:
    """Let time go by."""
    clock.now += timedelta(**time)


def test_an_export_runs_at_its_time(clock):
    """The schedule asks for one run of everything, and the sensor leaves it alone."""
    request = clock.ring()

    assert isinstance(request, dg.RunRequest)
    told = {name.removeprefix(TAG): value for name, value in request.tags.items() if name.startswith(TAG)}
    assert told == {"trigger": "schedule", "export": "vip", "scheduled": SIX.isoformat(), "attempt": "1"}
    assert not request.asset_selection
    assert "left to the schedule" in str(clock.look())
    clock.run(request, S.SUCCESS)
    later(clock, minutes=5)
    assert str(clock.look()).endswith("done")


def test_a_refresh_under_way_is_completed_first(clock):
    """At its time the export waits; when the refresh is complete it runs, once."""
    clock.refreshing(True)
    assert "waits for the refresh to be complete" in str(clock.ring())
    later(clock, minutes=30)
    assert "waits for the refresh to be complete" in str(clock.look())

    clock.refreshing(False)

    request = clock.look()
    assert isinstance(request, dg.RunRequest)
    clock.run(request, S.SUCCESS)
    assert str(clock.look()).endswith("done")


def test_a_time_that_was_missed_is_made_up_for(clock):
    """Dagster was down at six: the schedule leaves it to the sensor, which starts one run."""
    later(clock, hours=2)

    assert str(clock.ring()).startswith("late")
    assert isinstance(clock.look(), dg.RunRequest)


def test_several_missed_times_are_one_run(clock):
    """After three days off there is one run, not three."""
    later(clock, days=3, hours=2)
    request = clock.look()

    assert isinstance(request, dg.RunRequest)
    clock.run(request, S.SUCCESS)
    assert str(clock.look()).endswith("done")


def test_a_failed_run_is_tried_again(clock):
    """By the sensor, as attempt two of the same occasion."""
    clock.run(clock.ring(), S.FAILURE)
    later(clock, minutes=5)

    request = clock.look()

    assert isinstance(request, dg.RunRequest)
    assert request.tags[f"{TAG}attempt"] == "2"


def test_a_run_in_progress_is_not_doubled(clock):
    """Neither by the schedule nor by the sensor."""
    clock.run(clock.ring(), S.STARTED)
    later(clock, minutes=5)

    assert str(clock.look()).endswith("a run is in progress")


def test_saving_a_schedule_makes_up_for_nothing(clock):
    """Another time of day that is past already is a first sight."""
    clock.declared["exports"]["vip"]["schedule"] = {"cron": "0 5 * * *"}

    assert "first sight" in str(clock.look())
    later(clock, minutes=30)
    assert "nothing to make up for" in str(clock.look())


def test_an_export_that_is_switched_on_again_makes_up_for_nothing(clock):
    """Long absent, and the file changed since: what was due meanwhile is not run."""
    cursor = json.loads(clock.cursor or "")
    clock.cursor = json.dumps({**cursor, "file": "another"})

    assert "first sight" in str(clock.look())


def test_a_refresh_under_way_is_waited_for_inside_a_run(clock):
    """A run that nobody waits for looks again until the refresh is complete."""
    clock.refreshing(True)
    waits = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        clock.refreshing(len(waits) < 3)

    snapshot = take_settled_upstream(clock.config, clock.folder / "snapshots", sleep=wait)

    assert snapshot.profiles == 0
    assert len(waits) == 3


def test_a_run_does_not_wait_for_ever(clock):
    """After some minutes it ends, to be run again later."""
    clock.refreshing(True)
    times = iter([0.0, 1.0, PATIENCE_SECONDS + 1.0])

    with pytest.raises(NotReady):
        take_settled_upstream(
            clock.config, clock.folder / "snapshots", now=lambda: next(times), sleep=lambda _seconds: None
        )


def test_a_source_that_hangs_is_asked_once(clock, monkeypatch):
    """A look ends in time, and the next one waits for the same answer."""
    begun, answered, asked = threading.Event(), threading.Event(), []

    class Hanging:
        def version(self, *, settle):
            asked.append(settle)
            begun.set()
            answered.wait()
            return "v1"

    monkeypatch.setattr(probing, "open_source", lambda *_, **__: Hanging())
    probe = Probe(clock.config, seconds=0.0)

    for _ in range(2):
        with pytest.raises(RunLaterError) as caught:
            probe.version()
        assert caught.value.code == "source_slow"

    assert begun.wait(60)
    assert len(asked) == 1
    answered.set()
