"""A finished run: what it did, what Dagster keeps of it, and who may read that."""

import os
import time
import uuid
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from harness import API_KEY, address

from ci_mailchimp_pipeline.orchestration.home import SETTINGS, dagster_home, prepare_home
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.orchestration.processes import bury_dead_runs
from ci_mailchimp_pipeline.orchestration.tags import ALIVE, CLI, PROCESS, TRIGGER
from ci_mailchimp_pipeline.process import this_process

SYNC = dg.AssetKey(["vip", "mailchimp_sync"])
FRAME = dg.AssetKey(["vip", "export_frame"])


def _metadata(finished: Any, key: dg.AssetKey) -> dict[str, Any]:
    event = finished.instance.get_latest_materialization_event(key)
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_run_brings_the_audience_in_line_and_says_so(finished: Any) -> None:
    """The report's members are the people that Mailchimp holds under the tag."""
    tagged = [each for each in finished.members.values() if "Vip" in each["tags"]]

    assert finished.first.status == "success"
    assert finished.first.error is None
    assert finished.first.counts.is_balanced()
    assert finished.first.counts.added == len(tagged) == finished.first.members == 24


def test_runs_of_one_connection_queue_where_they_cost_nothing(finished: Any) -> None:
    """The daemon starts one run of a connection at a time: the tag that its settings name is on every run."""
    limits = finished.instance.get_concurrency_config().run_queue_config.tag_concurrency_limits
    (limit,) = limits

    assert limit["limit"] == 1
    assert limit["value"] == {"applyLimitPerUniqueValue": True}
    assert {run.tags[limit["key"]] for run in finished.instance.get_runs()} == {"main"}


def test_second_run_of_the_same_refresh_writes_nothing(finished: Any) -> None:
    """A refresh that changed nothing sends nothing, through Dagster too."""
    assert finished.second.writes == 0
    assert finished.second.counts.unchanged == 24


def test_session_hears_each_step_and_each_request(finished: Any) -> None:
    """Whoever waits sees the steps in their order and the requests counted up to the plan's number."""
    assert finished.steps[:3] == ["upstream", "frame", "sync"]
    assert finished.progress == [(1, 1)]


def test_report_has_the_seconds_of_every_step(finished: Any) -> None:
    """The steps before the sync are part of the time the export took."""
    assert {"upstream", "frame", "plan", "apply"} <= set(finished.first.steps)
    assert finished.first.seconds == pytest.approx(sum(finished.first.steps.values()))


def test_everything_below_the_home_is_the_owners_alone(finished: Any) -> None:
    """No file or folder of a run may be read by group or others."""
    open_to_others = [
        path
        for path in [finished.config.home, *finished.config.home.rglob("*")]
        if path.stat().st_mode & 0o077
    ]

    assert [path for path in open_to_others if "plans" not in path.parts] == []


def test_dagster_keeps_nothing_personal_and_no_secret(finished: Any) -> None:
    """Addresses, names, customer ids and the key are in no file that Dagster wrote."""
    personal = [
        address(3),
        address(0),
        "not.an.address",
        "Firstc00003",
        "Lastc00003",
        "c00003",
        API_KEY,
        API_KEY[:20],
    ]

    found = [
        (path.name, word)
        for path in dagster_home(finished.config.home).rglob("*")
        if path.is_file()
        for word in personal
        if word.encode() in path.read_bytes()
    ]

    assert found == []


def test_sync_metadata_has_every_count_as_a_number(finished: Any) -> None:
    """Dagster plots what is a number: all counts, requests, writes and seconds."""
    kept = _metadata(finished, SYNC)

    counts = finished.second.counts.as_json()
    assert {name: kept[name] for name in counts} == counts
    assert kept["requests"] == finished.second.requests
    assert kept["writes"] == 0
    assert kept["dry_run"] is False
    assert kept["plan_id"] == finished.second.plan_id
    assert all(isinstance(kept[name], float) for name in ("seconds", "seconds_plan", "seconds_apply"))


def test_sync_metadata_lists_rejected_rows_without_addresses(finished: Any) -> None:
    """A rejected row is its number and its reason."""
    rows = _metadata(finished, SYNC)["rejected_rows"].records

    assert sorted(row.data["reason"] for row in rows) == ["malformed_email", "no_email", "no_profile"]
    assert {name for row in rows for name in row.data} == {"row", "reason", "field"}


def test_frame_shows_its_schema_with_constraints(finished: Any) -> None:
    """The page can show the columns of the frame and what holds for each."""
    schema = _metadata(finished, FRAME)["dagster/column_schema"]

    columns = {column.name: column for column in schema.columns}
    assert columns["subscriber_hash"].constraints.unique
    assert not columns["email_address"].constraints.nullable
    assert "FirstName" in columns["mf_FNAME"].description


def test_every_check_was_judged_and_passed(finished: Any) -> None:
    """A good run has a verdict on each of its checks."""
    keys = build_definitions(finished.config).resolve_all_asset_specs()
    names = {
        check: finished.instance.get_latest_asset_check_evaluation_record(dg.AssetCheckKey(spec.key, check))
        for spec in keys
        for check in (
            ("email_column", "consent", "max_profiles", "rejection_rate")
            if spec.key == FRAME
            else (
                "segments_present",
                "exit_rate",
                "growth_rate",
                "contact_limit",
                "opt_outs_honoured",
                "no_warnings",
            )
            if spec.key == SYNC
            else ()
        )
    }

    assert len(names) == 10
    assert [
        name
        for name, record in names.items()
        if record is None or not record.event.asset_check_evaluation.passed
    ] == []


def test_same_content_has_the_same_data_version(finished: Any) -> None:
    """An unchanged frame makes no sync look outdated."""
    events = finished.instance.fetch_materializations(FRAME, limit=2).records

    versions = {event.asset_materialization.tags["dagster/data_version"] for event in events}
    assert len(events) == 2
    assert len(versions) == 1


def test_runs_carry_the_name_of_the_export_and_who_started_them(finished: Any) -> None:
    """The list of runs says which export it was, and that a person asked for it."""
    runs = finished.instance.get_runs()

    assert {run.job_name for run in runs} == {"vip"}
    assert {run.tags[TRIGGER] for run in runs} == {CLI}
    assert {run.run_id for run in runs} == {finished.first.run_id, finished.second.run_id}


def test_settings_of_dagster_are_written_once(tmp_path: Path) -> None:
    """What somebody changed in dagster.yaml stays."""
    folder = prepare_home(tmp_path / "home")
    (folder / SETTINGS).write_text("telemetry: {enabled: false}\n")

    prepare_home(tmp_path / "home")

    assert (folder / SETTINGS).read_text() == "telemetry: {enabled: false}\n"


def test_run_whose_process_is_gone_is_buried(finished: Any) -> None:
    """A killed run does not stay 'started' for ever; a living one, and one that is only about to start, do."""
    job = build_definitions(finished.config).resolve_job_def("vip")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    host, number, namespace, _ = this_process().split(":")
    now = time.time()

    def started(process: str, of: str = "", alive: float = now - 3600) -> str:
        run_id = str(uuid.uuid4())
        tags = {PROCESS: f"{process}:{of or run_id[:8]}", ALIVE: str(int(alive))}
        finished.instance.create_run_for_job(
            job, run_id=run_id, status=dg.DagsterRunStatus.STARTED, tags=tags
        )
        return run_id

    dead = [
        started(f"{host}:{child}:{namespace}:1"),
        started(f"{host}:{number}:{namespace}:1"),
        started("other:1:1:1", alive=now - 3600),
    ]
    living = [
        started(this_process()),
        started("other:1:1:1", alive=now - 120),
        started(f"{host}:{child}:{namespace}:1", of="12345678"),  # started again: the tags are its parent's
    ]

    bury_dead_runs(finished.instance)

    status = {run.run_id: run.status for run in finished.instance.get_runs()}
    assert {status[run] for run in dead} == {dg.DagsterRunStatus.FAILURE}
    assert {status[run] for run in living} == {dg.DagsterRunStatus.STARTED}
    for run in (*dead, *living):
        finished.instance.delete_run(run)


def test_run_says_which_process_it_is_and_that_it_lives(finished: Any) -> None:
    """Every run carries its process and the last time it was alive, so that others may know when it is not."""
    (run,) = finished.instance.get_runs(limit=1)

    assert run.tags[PROCESS] == f"{this_process()}:{run.run_id[:8]}"
    assert abs(time.time() - int(run.tags[ALIVE])) < 3600
