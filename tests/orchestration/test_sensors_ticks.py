"""Each look of a sensor: what it starts, and what it says when it starts nothing."""

import json
import os
import time

import dagster as dg
import pytest
from orchestration.looks import TAG, UPSTREAM, S, told

from ci_mailchimp_pipeline.orchestration.jobs import build_definitions


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
