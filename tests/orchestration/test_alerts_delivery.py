"""Alerts as they leave a run: to a receiver on this machine, through Apprise, and what becomes of the run."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from harness import API_KEY, address
from listener import SECRET, Receiver, receiving

from ci_mailchimp_pipeline.alerts import receivers
from ci_mailchimp_pipeline.alerts.message import Message
from ci_mailchimp_pipeline.alerts.receivers import alert_problems, deliver_all
from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.orchestration.alerts import ALERTED
from ci_mailchimp_pipeline.orchestration.deaths import close, exports_of
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Who takes the messages."""
    with receiving() as found:
        yield found


def listening(bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, **keys: Any) -> None:
    """Declare the receiver in the project's exports.yaml."""
    monkeypatch.setenv("ALERT_URL", receiver.url)
    monkeypatch.delenv("CI_MAILCHIMP_PAGE", raising=False)
    write = bench.project.write

    def with_alerts() -> Config:
        path = write().path
        document = {**yaml.safe_load(path.read_text()), "alerts": [{"to": {"env": "ALERT_URL"}, **keys}]}
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return load_config(path, environ=bench.project.environ)

    monkeypatch.setattr(bench.project, "write", with_alerts)


def test_incident_is_one_message_and_its_end_another(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """Stopped, stopped again, and well: two messages, the first with number, fix and run."""
    listening(bench, monkeypatch, receiver)
    monkeypatch.setenv("CI_MAILCHIMP_PAGE", "http://127.0.0.1:3000")
    bench.project.export("vip", guards={"max_rejected_percent": 5})
    first = bench.run()
    second = bench.run()
    bench.project.export("vip", guards={"max_rejected_percent": 50})
    last = bench.run()
    bench.run()

    assert [first.report.status, second.report.status, last.report.status] == [
        "stopped",
        "stopped",
        "success",
    ]
    assert receiver.titles == ["vip was stopped by a guard", "vip works again"]
    body = receiver.heard[0]["message"]
    assert "2 of 27 profiles of export 'vip' are rejected (7.4 %), the limit is 5 %" in body
    assert "fix: see ci-mailchimp rejected vip" in body
    assert f"http://127.0.0.1:3000/runs/{first.report.run_id}" in body
    assert receiver.heard[0]["type"] == "failure"
    assert receiver.heard[1]["type"] == "success"
    assert bench.instance.get_run_by_id(first.report.run_id).tags[ALERTED] == "ALERT_URL"


def test_failure_of_any_step_is_told(bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """A source that cannot be read fails before there is a frame, and is told all the same."""
    listening(bench, monkeypatch, receiver)
    written = bench.project.write()
    (written.folder / "data" / "profiles.csv").unlink()
    monkeypatch.setattr(bench.project, "write", lambda: written)

    run = bench.run()

    assert run.report.status == "failed"
    assert receiver.titles == ["vip failed"]
    assert f"code: {run.report.error.code}" in receiver.heard[0]["message"]


def test_source_that_cannot_be_read_for_all_exports_is_one_incident(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """The run that reads the source for everybody fails twice and then works: one message, and its end."""
    listening(bench, monkeypatch, receiver)
    config = bench.project.write()
    profiles = config.folder / "data" / "profiles.csv"
    job = build_definitions(config).resolve_job_def("upstream_refresh")

    def read() -> bool:
        done: bool = job.execute_in_process(instance=bench.instance, raise_on_error=False).success
        return done

    hidden = profiles.rename(profiles.with_suffix(".away"))
    ends = [read(), read()]
    hidden.rename(profiles)
    ends += [read(), read()]

    assert ends == [False, False, True, True]
    assert [each["title"] for each in receiver.heard] == [
        "Mailchimp exports: reading the source failed",
        "Mailchimp exports: reading the source works again",
    ]
    assert "fix: " in receiver.heard[0]["message"]


def test_audience_that_is_gone_is_told(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """A failure in Mailchimp comes with its code."""
    listening(bench, monkeypatch, receiver, on=["failed"])
    bench.project.export("vip", audience_id="ffffffffff")

    run = bench.run()

    assert run.report.error is not None
    assert receiver.titles == ["vip failed"]


def test_new_warning_is_told_once(bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """A warning that stays is not repeated with each run."""
    listening(bench, monkeypatch, receiver)
    bench.project.customer("long", address(900), FirstName="x" * 300)
    bench.run()
    bench.project.customer("longer", address(901), FirstName="x" * 400)

    again = bench.run()

    assert again.report.warnings == ("2 values over 255 bytes are cut at a character",)
    assert receiver.titles == ["vip finished with warnings"]
    assert receiver.heard[0]["type"] == "warning"
    assert "1 values over 255 bytes" in receiver.heard[0]["message"]


def test_messages_hold_nobody_and_logs_hold_no_address(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """No person, no key in a message; the receiver's address in no log line, event or tag, even at the finest level."""
    caplog.set_level(logging.DEBUG)
    listening(bench, monkeypatch, receiver)
    bench.project.export("vip", guards={"max_rejected_percent": 5})
    first = bench.run()
    receiver.status = 500
    bench.project.export("vip", guards={"max_rejected_percent": 50})
    second = bench.run()

    said = json.dumps(receiver.heard)
    kept = first.stored() + second.stored() + caplog.text + repr(bench.instance.get_runs())
    kept += "".join(
        repr(each) for run in (first, second) for each in bench.instance.all_logs(run.result.run_id)
    )
    assert receiver.heard
    assert "alert not sent: the receiver in ALERT_URL did not take the message" in kept
    for personal in ("contoso-mail", "not.an.address", "Firstc", "c00003", API_KEY):
        assert personal not in said
    assert SECRET not in kept + said
    assert str(receiver.port) not in caplog.text


def test_receiver_that_is_down_hears_of_the_incident_with_the_next_run(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """The run ends as it would have, and what was not delivered is still owed."""
    listening(bench, monkeypatch, receiver)
    bench.project.export("vip", guards={"max_rejected_percent": 5})
    receiver.status = 503
    down = bench.run()
    receiver.status = 200
    bench.run()
    bench.run()

    assert down.report.status == "stopped"
    assert ALERTED not in bench.instance.get_run_by_id(down.report.run_id).tags
    assert receiver.titles == ["vip was stopped by a guard"]


def test_dry_runs_are_silent(bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    """Trying out is not an incident."""
    listening(bench, monkeypatch, receiver)
    bench.project.export("vip", guards={"max_rejected_percent": 5})

    bench.run(dry_run=True)

    assert receiver.heard == []


def test_missing_receiver_is_a_line_in_the_run_and_no_failure(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """A variable that nobody set costs the message and nothing else."""
    listening(bench, monkeypatch, receiver)
    monkeypatch.delenv("ALERT_URL")
    bench.project.customer("long", address(900), FirstName="x" * 300)

    run = bench.run()

    lines = [each.user_message for each in bench.instance.all_logs(run.result.run_id)]
    assert run.report.status == "success"
    assert any("environment variable ALERT_URL" in line and "is not set" in line for line in lines)


@pytest.fixture
def config(bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Config:
    """A project that has the receiver declared."""
    listening(bench, monkeypatch, receiver)
    loaded: Config = bench.project.write()
    return loaded


HELLO = Message(title="hello", body="there", tone="warning")


def test_receiver_that_never_answers_is_given_up_in_time(config: Config, receiver: Receiver) -> None:
    """A hanging receiver takes the seconds it is given, and others get their message meanwhile."""
    receiver.status = 0
    began = time.monotonic()

    (delivery,) = deliver_all(
        config, [(config.alerts[0], HELLO)], environ={"ALERT_URL": f"{receiver.url}?rto=60"}, seconds=3
    )

    assert time.monotonic() - began < 8
    assert delivery.problem is not None
    assert delivery.problem.code == "alert_not_delivered"


def test_address_that_apprise_does_not_know_is_said_without_it(config: Config) -> None:
    """The problem names the variable, never what is in it."""
    (problem,) = alert_problems(config, environ={"ALERT_URL": f"nosuch://{SECRET}"})

    assert problem is not None
    assert problem.code == "alert_address"
    assert "ALERT_URL" in str(problem)
    assert SECRET not in str(problem)


def test_check_of_an_address_sends_nothing(config: Config, receiver: Receiver) -> None:
    """Looking whether an address is right is not a message."""
    assert alert_problems(config, environ={"ALERT_URL": receiver.url}) == [None]
    assert receiver.heard == []


def test_missing_library_names_the_extra(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever declared alerts without installing them learns what to type."""
    monkeypatch.setitem(sys.modules, "apprise", None)

    (problem,) = alert_problems(config, environ={"ALERT_URL": "json://127.0.0.1"})

    assert problem is not None
    assert problem.code == "alerts_need_extra"
    assert "ci-mailchimp-pipeline[alerts]" in problem.fix
    assert problem.exit_code == 2


def test_text_arrives_as_it_was_written(config: Config, receiver: Receiver) -> None:
    """Neither markup nor line breaks nor letters of other scripts are lost on the way."""
    told = Message(title="Größe <b> *x*", body="first\nsecond: a < b & c\n中文", tone="failure")

    deliver_all(config, [(config.alerts[0], told)], environ={"ALERT_URL": receiver.url})

    assert receiver.heard[0]["title"] == told.title
    assert receiver.heard[0]["message"] == told.body


def _died(bench: Any, **tags: str) -> dg.DagsterRun:
    job = build_definitions(bench.project.write()).resolve_job_def("vip")
    run: dg.DagsterRun = bench.instance.create_run_for_job(
        job, status=dg.DagsterRunStatus.FAILURE, tags={"ci_mailchimp/trigger": "page", **tags}
    )
    return run


def test_run_that_died_is_closed_in_the_ledger_and_told_once(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """A killed process says nothing; the sensor says it, once, and a later success is told as the end."""
    listening(bench, monkeypatch, receiver)
    run, config = _died(bench), bench.project.write()

    for _ in range(2):
        close(config, config.exports["vip"], run, bench.instance)
    bench.run()

    assert receiver.titles == ["vip failed", "vip works again"]
    assert "code: run_died" in receiver.heard[0]["message"]
    with bench.project.ledger() as ledger:
        assert [row.status for row in ledger.runs("vip")] == ["success", "failed"]


def test_run_that_said_how_it_ended_did_not_die(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """What a step told is not told again by the sensor."""
    listening(bench, monkeypatch, receiver)
    bench.project.export("vip", guards={"max_rejected_percent": 5})
    run, config = bench.run(), bench.project.write()

    close(config, config.exports["vip"], bench.instance.get_run_by_id(run.report.run_id), bench.instance)

    assert receiver.titles == ["vip was stopped by a guard"]


@pytest.mark.parametrize(("attempt", "titles"), [("1", []), ("8", ["vip failed"])])
def test_death_is_told_when_no_try_follows(
    bench: Any, monkeypatch: pytest.MonkeyPatch, receiver: Receiver, attempt: str, titles: list[str]
) -> None:
    """A run of a refresh is tried again by itself; the last try is told."""
    listening(bench, monkeypatch, receiver)
    run = _died(bench, **{"ci_mailchimp/trigger": "refresh", "ci_mailchimp/attempt": attempt})
    config = bench.project.write()

    close(config, config.exports["vip"], run, bench.instance)

    assert receiver.titles == titles


def test_sync_that_a_run_was_to_do(bench: Any) -> None:
    """A job is about its export; assets chosen on the page are about those whose sync is among them."""
    bench.project.export("other", segments=["Other"])
    config = bench.project.write()
    job = build_definitions(config).resolve_job_def("vip")
    chosen = frozenset({dg.AssetKey(["other", "mailchimp_sync"]), dg.AssetKey(["vip", "export_frame"])})

    whole = bench.instance.create_run_for_job(job)
    some = whole._replace(asset_selection=chosen, job_name="__ASSET_JOB")

    assert [each.id for each in exports_of(config, whole)] == ["vip"]
    assert [each.id for each in exports_of(config, some)] == ["other"]


def test_messages_come_from_a_process_that_shows_nothing(
    config: Config, receiver: Receiver, capfd: Any
) -> None:
    """Neither stdout nor stderr of the run has a word of the sending."""
    deliver_all(config, [(config.alerts[0], HELLO)], environ={"ALERT_URL": receiver.url})

    assert receiver.heard
    assert capfd.readouterr() == ("", "")
    assert Path(receivers.__file__).with_name("deliver.py").is_file()
