"""An export that had no success for too long: the check, the sensor that judges it, and who is told."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import yaml
from harness import address
from listener import Receiver, receiving

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.ledger import RunRow
from ci_mailchimp_pipeline.orchestration.freshness import (
    freshness_checks,
    freshness_sensors,
    judge,
    watched,
)
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions

HOUR = 3600.0
KEY = dg.AssetCheckKey(dg.AssetKey(["vip", "mailchimp_sync"]), "fresh")


class Watch:
    """The sensor of a project with one receiver of failures, ticking on a clock of its own."""

    def __init__(self, bench: Any, receiver: Receiver) -> None:
        bench.project.export("vip", fresh_within_hours=26)
        self.bench = bench
        self.receiver = receiver
        self.now = 1_000_000.0
        self.cursor: str | None = None
        self.config = self.written()

    def written(self) -> Config:
        """The project's file with the receiver in it."""
        path = self.bench.project.write().path
        (path.parent / "alert.url").write_text(self.receiver.url)
        alerts = [{"to": {"file": "alert.url"}, "on": ["failed"]}]
        path.write_text(
            yaml.safe_dump({**yaml.safe_load(path.read_text()), "alerts": alerts}, sort_keys=False)
        )
        return load_config(path, environ=self.bench.project.environ)

    def tick(self, hours: float = 0) -> str:
        """Let time pass and look; what the sensor says."""
        self.now += hours * HOUR
        (sensor,) = freshness_sensors(self.config, now=lambda: self.now)
        context = dg.build_sensor_context(instance=self.bench.instance, cursor=self.cursor)
        told = sensor.evaluate_tick(context)
        self.cursor = told.cursor
        return str(told.skip_message)

    def ran(self, status: Any, run_id: str) -> None:
        """Put a finished run into the ledger at this moment."""
        with self.bench.project.ledger() as ledger:
            ledger._clock = lambda: self.now
            ledger.start_run(
                RunRow(
                    run_id=run_id, export="vip", connection="main", trigger="cli", config_digest="",
                    started_at=self.now,
                )
            )  # fmt: skip
            ledger.finish_run(run_id, "vip", status, document="{}")

    @property
    def verdict(self) -> Any:
        """The last evaluation in Dagster."""
        record = self.bench.instance.get_latest_asset_check_evaluation_record(KEY)
        return record and record.event.asset_check_evaluation


@pytest.fixture
def watch(bench: Any) -> Iterator[Watch]:
    """A watched export."""
    with receiving() as receiver:
        yield Watch(bench, receiver)


def test_export_is_fresh_until_its_limit_and_not_after(watch: Watch) -> None:
    """The last success counts, to the hour."""
    watch.ran("success", "r1")

    assert watch.tick(hours=26) == "all fresh"
    assert watch.verdict.passed
    assert watch.tick(hours=0.1) == "not fresh: vip"
    assert not watch.verdict.passed
    assert watch.verdict.metadata["hours"].value == 26.1
    assert watch.verdict.metadata["limit"].value == 26
    assert "last success 26.1 hours ago, the limit is 26 hours" in watch.verdict.description


def test_staleness_is_told_once_until_the_next_success(watch: Watch) -> None:
    """Looking every few minutes is not telling every few minutes."""
    watch.ran("success", "r1")
    watch.tick(hours=27)
    watch.tick(hours=1)
    watch.tick(hours=30)

    assert watch.receiver.titles == ["not fresh: vip"]
    assert watch.verdict.metadata["told"].value == "alert.url"


def test_new_staleness_after_a_success_is_told_again(watch: Watch) -> None:
    """The next incident is another one."""
    watch.now = 4_000_000_000.0  # later than the real clock, by which Dagster stamps its records
    watch.ran("success", "r1")
    watch.tick(hours=27)
    watch.ran("success", "r2")
    watch.tick()
    watch.tick(hours=27)

    assert len(watch.receiver.heard) == 2


def test_receiver_that_was_down_is_told_by_the_next_look(watch: Watch) -> None:
    """A message that did not arrive is still owed."""
    watch.ran("success", "r1")
    watch.receiver.status = 503
    watch.tick(hours=27)
    watch.receiver.status = 200
    watch.tick()
    watch.tick()

    assert len(watch.receiver.heard) == 1


def test_failure_that_was_told_is_not_told_again_as_staleness(watch: Watch) -> None:
    """Who knows that the export fails knows why it is old."""
    watch.ran("success", "r1")
    job = build_definitions(watch.config).resolve_job_def("vip")
    run = watch.bench.instance.create_run_for_job(job, tags={"ci_mailchimp/alerted": "alert.url"})
    watch.now += HOUR
    watch.ran("failed", run.run_id)

    assert watch.tick(hours=27) == "not fresh: vip"
    assert watch.receiver.heard == []


def test_failure_that_nobody_was_told_of_does_not_hide_staleness(watch: Watch) -> None:
    """Failed runs are no successes, whatever became of their messages."""
    watch.ran("success", "r1")
    watch.now += 20 * HOUR
    watch.ran("failed", "r2")

    watch.tick(hours=7)

    assert watch.receiver.titles == ["not fresh: vip"]


def test_export_without_any_run_is_judged_from_when_it_was_first_seen(watch: Watch) -> None:
    """An export that nothing ever starts is noticed; one declared a minute ago is not."""
    first = watch.tick()
    later = watch.tick(hours=27)

    assert (first, later) == ("all fresh", "not fresh: vip")
    assert "no success yet" in watch.verdict.description


def test_export_that_only_failed_is_judged_from_its_first_run(watch: Watch) -> None:
    """Failing for the whole time is not fresh."""
    rows = [
        RunRow(
            run_id="r", export="vip", connection="main", trigger="cli", config_digest="", status="failed",
            started_at=100 * HOUR,
        )
    ]  # fmt: skip

    verdict = judge(watch.config.exports["vip"], rows, now=127 * HOUR, known_since=127 * HOUR)

    assert not verdict.fresh
    assert verdict.hours == 27


def test_cursor_that_cannot_be_read_starts_afresh(watch: Watch) -> None:
    """Somebody who edited the cursor on the page breaks nothing."""
    watch.cursor = "not json"

    assert watch.tick() == "all fresh"


def test_verdict_is_stored_when_it_changes_only(watch: Watch) -> None:
    """Dagster's log does not grow with every look."""
    watch.ran("success", "r1")
    for _ in range(3):
        watch.tick(hours=1)

    history = watch.bench.instance.event_log_storage.get_asset_check_execution_history(KEY, limit=10)

    assert len(history) == 1


def test_each_run_judges_the_check_at_its_end(bench: Any) -> None:
    """A success turns the check green at once, with its numbers; nobody waits for the sensor."""
    bench.project.export("vip", fresh_within_hours=1.5)

    run = bench.run()

    assert run.report.status == "success"
    assert run.checks()["fresh"] is True
    assert address(3) not in run.stored()


def test_dry_run_does_not_make_an_export_fresh(bench: Any) -> None:
    """What sent nothing is no success: the last one stays where it was."""
    bench.project.export("vip", fresh_within_hours=1.5)

    run = bench.run(dry_run=True)

    (check,) = (each for each in run.result.get_asset_check_evaluations() if each.check_name == "fresh")
    assert "no success yet" in str(check.description)


def test_only_exports_that_run_and_say_so_are_watched(bench: Any) -> None:
    """Disabled and detached exports and those without a limit have no check, and nothing to watch has no sensor."""
    bench.project.export("off", segments=["Off"], enabled=False, fresh_within_hours=1)
    bench.project.export("loose", segments=["Loose"], connection=None, fresh_within_hours=1)

    config = bench.project.write()

    assert watched(config) == []
    assert not any(freshness_checks(config, each) for each in config.exports.values())
    assert freshness_sensors(config) == []


def test_exports_that_became_old_together_are_one_message(watch: Watch) -> None:
    """A source that stands still is one thing to tell."""
    watch.bench.project.export("other", segments=["Other"], fresh_within_hours=26)
    watch.config = watch.written()
    watch.tick()

    watch.tick(hours=27)

    assert [each["title"] for each in watch.receiver.heard] == ["Mailchimp exports not fresh: vip, other"]
