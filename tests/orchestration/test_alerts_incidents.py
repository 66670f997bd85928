"""Which messages a finished run owes to whom, as laws of the decision alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.alerts.incident import before_run, due, due_stale, name_of
from ci_mailchimp_pipeline.alerts.message import Subject, message, run_link, stale_message
from ci_mailchimp_pipeline.config import Alert
from ci_mailchimp_pipeline.config.fields import Segment
from ci_mailchimp_pipeline.config.models import AlertKind, Export
from ci_mailchimp_pipeline.errors import RunLaterError, SafetyStopError
from ci_mailchimp_pipeline.ledger import RunRow
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.model import Counts

ALL: tuple[AlertKind, ...] = ("failed", "stopped", "warning", "recovered")
BUSY = RunLaterError("mailchimp_busy", "Mailchimp was busy through 9 tries", fix="run again later")
EXITS = SafetyStopError("max_exit_percent", "25 of 100 members would leave (25.0 %)", fix="check the source")


def _alert(name: str = "ALERT_URL", *on: AlertKind) -> Alert:
    return Alert.model_validate({"to": {"env": name}, "on": on or ALL})


def _report(status: str, **more: Any) -> Report:
    error = {"failed": BUSY, "stopped": EXITS}.get(status)
    return Report(export="vip", status=status, run_id="now", **{"error": error, **more})  # type: ignore[arg-type]


def _row(number: int, status: str, **document: Any) -> RunRow:
    return RunRow(
        run_id=f"run{number}",
        export="vip",
        connection="main",
        status=status,  # type: ignore[arg-type]
        trigger="cli",
        config_digest="",
        started_at=float(number),
        document=json.dumps(document) if document else "",
    )


def _due(
    report: Report, *rows: RunRow, told: tuple[str, ...] = (), final: bool = True, **alert: Any
) -> list[str]:
    alerts = alert.get("alerts", [_alert()])
    found = due(alerts, report, before=before_run(rows, "now"), told=frozenset(told), final=final)
    return [f"{each.kind}:{name_of(to)}" for each in found for to in each.to]


@pytest.mark.parametrize("status", ["failed", "stopped"])
def test_first_bad_run_is_told_and_the_next_is_not(status: str) -> None:
    """One message for an incident, however often it is tried again."""
    assert _due(_report(status)) == [f"{status}:ALERT_URL"]
    assert _due(_report(status), _row(1, status), told=("ALERT_URL",)) == []


def test_failure_that_is_tried_again_by_itself_is_not_told() -> None:
    """Nobody is woken for what the next attempt may mend."""
    assert _due(_report("failed"), final=False) == []


def test_giving_up_is_told_although_earlier_attempts_failed() -> None:
    """Attempts that nobody heard of do not hide the one that was the last."""
    assert _due(_report("failed"), _row(2, "failed"), _row(1, "failed")) == ["failed:ALERT_URL"]


def test_message_that_did_not_arrive_is_sent_by_the_next_bad_run() -> None:
    """A receiver that was down still hears of an incident that goes on."""
    alerts = [_alert("A"), _alert("B")]

    assert _due(_report("failed"), _row(1, "failed"), told=("A",), alerts=alerts) == ["failed:B"]


def test_retry_that_succeeds_is_silent() -> None:
    """Who did not hear of a failure does not hear of its end."""
    assert _due(_report("success"), _row(1, "failed")) == []


def test_end_of_an_incident_is_told_once() -> None:
    """The success after it says so; the one after that does not."""
    assert _due(_report("success"), _row(2, "failed"), told=("ALERT_URL",)) == ["recovered:ALERT_URL"]
    assert _due(_report("success"), _row(3, "success"), _row(2, "failed")) == []


def test_receiver_of_ends_alone_hears_of_every_end() -> None:
    """Who hears of no beginnings cannot have been told of one."""
    assert _due(_report("success"), _row(1, "failed"), alerts=[_alert("A", "recovered")]) == ["recovered:A"]
    assert _due(_report("success"), _row(1, "success"), alerts=[_alert("A", "recovered")]) == []


@pytest.mark.parametrize("kind", ["failed", "stopped"])
def test_receiver_hears_only_of_what_it_asked_for(kind: AlertKind) -> None:
    """``on`` says which kinds."""
    other: AlertKind = "stopped" if kind == "failed" else "failed"

    assert _due(_report(kind), alerts=[_alert("A", other), _alert("B", kind)]) == [f"{kind}:B"]


def test_new_warning_is_told_and_the_same_with_another_number_is_not() -> None:
    """Yesterday's warning about three values is today's about four."""
    first = _report("success", warnings=("3 values over 255 bytes are cut at a character",))
    after = _row(1, "success", warnings=["1,204 values over 255 bytes are cut at a character"])

    assert _due(first) == ["warning:ALERT_URL"]
    assert _due(first, after) == []
    assert _due(first, _row(1, "success", warnings=["came_back_pending: 2"])) == ["warning:ALERT_URL"]


def test_recovery_with_a_new_warning_is_two_messages() -> None:
    """Who asked for one kind must not miss it because of the other."""
    report = _report("success", warnings=("came_back_pending: 2",))

    assert _due(report, _row(1, "failed"), told=("ALERT_URL",)) == [
        "recovered:ALERT_URL",
        "warning:ALERT_URL",
    ]


def test_dry_runs_and_interruptions_are_nobodys_incident() -> None:
    """Whoever pressed Ctrl-C knows, and a dry run sends nothing to anybody."""
    stopped_by_hand = _report("failed", error=RunLaterError("interrupted", "stopped by Ctrl-C"))

    assert _due(_report("failed", dry_run=True)) == []
    assert _due(stopped_by_hand) == []
    assert _due(_report("skipped")) == []


def test_staleness_is_told_to_who_hears_of_failures_and_knows_of_none() -> None:
    """An export that fails all day is not reported once more for being old."""
    alerts = [_alert("A"), _alert("B"), _alert("C", "warning")]

    assert [name_of(each) for each in due_stale(alerts, told=frozenset({"A"}))] == ["B"]


@given(
    ends=st.lists(st.sampled_from(["failed", "stopped", "success"]), max_size=12),
    final=st.lists(st.booleans(), min_size=12, max_size=12),
    up=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_between_two_successes_a_receiver_takes_at_most_one_message_and_each_has_its_end(
    ends: list[str], final: list[bool], up: list[bool]
) -> None:
    """Whatever happens in whatever order: beginnings and ends alternate, starting with a beginning."""
    rows: list[RunRow] = []
    told: set[str] = set()
    heard: list[str] = []
    for number, status in enumerate(ends):
        sent = _due(_report(status), *reversed(rows), told=tuple(told), final=final[number])
        arrived = sent if up[number] or status == "success" else []
        heard += [each.partition(":")[0] for each in arrived]
        told = {"ALERT_URL"} if arrived and status != "success" else set() if status == "success" else told
        rows.append(_row(number, status))

    assert [kind == "recovered" for kind in heard] == [bool(number % 2) for number in range(len(heard))]


def _export() -> Export:
    return Export.model_validate(
        {
            "id": "vip", "display_name": "VIP newsletter", "connection": "main", "audience_id": "a1b2c3d4e5",
            "owner": {"name": "Ben", "role": "administrator"}, "email": "EMail",
            "segments": (Segment(name="Vip", tag="Vip"),), "fresh_within_hours": 26,
        }
    )  # fmt: skip


def test_message_names_export_number_fix_and_run() -> None:
    """What a person needs at three in the morning, and that there will not be another."""
    told = message("stopped", Subject.of(_export()), _report("stopped"), page="http://127.0.0.1:3000/")

    assert told.title == "Mailchimp export vip was stopped by a guard"
    assert told.tone == "failure"
    for wanted in (
        "VIP newsletter (vip)",
        "25 of 100 members would leave (25.0 %)",
        "fix: check the source",
        "code: max_exit_percent",
        "run: http://127.0.0.1:3000/runs/now",
        "No further message",
    ):
        assert wanted in told.body


def test_message_of_a_recovery_has_the_counts() -> None:
    """That it works again is said with what it did."""
    report = _report("success", counts=Counts(added=1204, accepted=1204, profiles=1204), members=5000)

    told = message("recovered", Subject.of(_export()), report, page=None)

    assert told.tone == "success"
    assert "5,000 members now: 1,204 added" in told.body
    assert "run: now" in told.body
    assert "No further message" not in told.body


def test_message_of_warnings_lists_them() -> None:
    """Each warning is a line."""
    told = message(
        "warning", Subject.of(_export()), _report("success", warnings=("first", "second")), page=None
    )

    assert "- first\n- second" in told.body


def test_one_message_tells_of_all_exports_that_are_not_fresh() -> None:
    """A source that stands still makes them old together."""
    told = stale_message(
        [(_export(), "last success 27.0 hours ago"), (_export(), "b")], page="https://dagster/x"
    )

    assert told.title == "Mailchimp exports not fresh: vip, vip"
    assert "https://dagster/x/assets/vip/mailchimp_sync?view=checks" in told.body


@pytest.mark.parametrize(
    ("page", "link"),
    [
        pytest.param(None, None, id="unset"),
        pytest.param("", None, id="empty"),
        pytest.param("ftp://host", None, id="another scheme"),
        pytest.param("http://[broken", None, id="no address"),
        pytest.param("https://dagster.internal", "https://dagster.internal/runs/r1", id="host"),
        pytest.param("http://127.0.0.1:3000/", "http://127.0.0.1:3000/runs/r1", id="port and slash"),
        pytest.param("https://h/team/dagster", "https://h/team/dagster/runs/r1", id="path prefix"),
        pytest.param("https://me:secret@h:8443/?token=x", "https://h:8443/runs/r1", id="no credentials"),
        pytest.param("http://[::1]:3000", "http://[::1]:3000/runs/r1", id="version six"),
    ],
)
def test_link_to_the_run(page: str | None, link: str | None) -> None:
    """The link is made of the page's address, without what may be secret in it."""
    assert run_link(page, "r1") == link
