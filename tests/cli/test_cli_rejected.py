"""``rejected`` shows both: what we did not send, and what Mailchimp refused."""

import json
import re

import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project
from kept_frame import keep_frame

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.ledger import Refused

ANA, GONE = "ana@contoso-mail.internal", "gone@contoso-mail.internal"
MOMENT = 1_900_000_000.0  # 2030-03-17T17:46:40Z


@pytest.fixture
def project(tmp_path, mailchimp_emulator):
    """One address that is none, one that Mailchimp takes later, one that was deleted for good."""
    mailchimp_emulator.add_audience(AUDIENCE)
    mailchimp_emulator.switch(too_many_signups="^ana")
    mailchimp_emulator.add_member(AUDIENCE, GONE)
    mailchimp_emulator.people("delete_permanent", AUDIENCE, GONE)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(3))
    project.customer("a1", ANA)
    project.customer("g1", GONE)
    project.customer("x1", "not.an.address")
    project.run(now=lambda: MOMENT)
    keep_frame(project)
    return project


def say(project, *arguments):
    """What the command prints."""
    config = str(project.folder / "exports.yaml")
    done = CliRunner().invoke(app, ["--config", config, "rejected", "vip", *arguments], env=project.environ)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def refused(project, *arguments):
    """The refused rows of the document, by customer."""
    document = json.loads(say(project, "--json", *arguments).stdout)
    return {each["customer_id"]: each for each in document["refused"]}


@pytest.mark.both_ledgers
def test_both_kinds_are_in_the_document(project):
    """Reason, field, attempts and the next try; addresses masked, or shown on request."""
    document = json.loads(say(project, "--json").stdout)

    assert [(each["customer_id"], each["reason"]) for each in document["rejected"]] == [
        ("x1", "malformed_email")
    ]
    assert refused(project) == {
        "a1": {
            "customer_id": "a1", "reason": "too_many_signups", "field": None, "kind": "temporary", "attempts": 1,
            "next_try": "2030-03-17T17:51:40+00:00", "address": "a***@***",
        },
        "g1": {
            "customer_id": "g1", "reason": "forgotten", "field": None, "kind": "suppress", "attempts": 1,
            "next_try": None, "address": "g***@***",
        },
    }  # fmt: skip
    assert refused(project, "--show-addresses")["a1"]["address"] == ANA


def test_the_next_try_moves_away(project):
    """Five minutes, one day, two days, seven days and seven days again, counted from the last try."""
    moment, waits = MOMENT, []
    for _ in range(5):
        row = refused(project)["a1"]
        with project.ledger() as ledger:
            (known,) = (each for each in ledger.refusals(1, "vip") if each.customer_id == "a1")
        waits.append(known.retry_at - moment)
        assert row["attempts"] == len(waits)
        moment = known.retry_at + 1
        project.run(now=lambda moment=moment: moment)
        keep_frame(project)

    assert waits == [300, 86_400, 172_800, 604_800, 604_800]


def test_who_is_taken_is_not_listed_any_more(project):
    """When Mailchimp takes the row, its refusal is forgotten."""
    project.emulator.switch(too_many_signups="")
    project.run(now=lambda: MOMENT + 301)
    keep_frame(project)

    assert set(refused(project)) == {"g1"}


def test_tables_for_people(project):
    """Two tables, each reason explained, and the next try in words."""
    project.customer("a1", ANA, FirstName="Changed")
    project.run()
    keep_frame(project)
    with project.ledger() as ledger, ledger.lease(1, "here:1") as lease:
        row = Refused(
            subscriber_hash=b"h" * 16, customer_id="p1", kind="permanent", code="invalid_merge_value", field="CITY",
            fingerprint=b"f" * 16, retry_at=None,
        )  # fmt: skip
        ledger.record(lease, [row], export="vip")

    done = say(project)

    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.split()}
    assert "refused by Mailchimp" in done.stdout
    assert lines["p1"].split()[1:3] == ["invalid_merge_value", "CITY"]
    assert "when the data change" in lines["p1"]
    assert "never" in lines["g1"]
    assert re.search(r" 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", lines["a1"])
    assert "too_many_signups: the address joined many audiences lately" in done.stderr
    assert "malformed_email: " in done.stderr
    assert ANA not in done.output


def test_what_is_due_is_said(project):
    """A time that has come is no date but the next run."""
    project.customer("a2", "ana.lee@contoso-mail.internal")
    project.run(now=lambda: 1_000_000_000.0)
    keep_frame(project)

    (line,) = (each for each in say(project).stdout.splitlines() if each.startswith("a2 "))

    assert "with the next run" in line
