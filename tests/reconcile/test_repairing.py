"""A repair is a plan like any other: guarded, named, under the lease, recorded; and it can be run again."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from harness import AUDIENCE, address
from promises.promised import returned
from reconcile.desk import Desk, differs

from ci_mailchimp_pipeline.alerts.incident import before_run
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.report import REPAIR


def test_a_second_repair_has_nothing_to_do(desk: Desk) -> None:
    """No request that writes, and no run in the ledger."""
    desk.people("untag", 3, tags=["Vip"])
    desk.repair()
    before, runs = desk.project.writes(), desk.runs()

    again = desk.repair()

    assert (differs(again), again.repaired, again.error) == ({}, 0, None)
    assert (desk.project.writes(), desk.runs()) == (before, runs)


def test_a_repair_is_a_run_that_says_nothing_of_the_source(desk: Desk) -> None:
    """The ledger has its row and counts; what is judged by successes, freshness and alerts, leaves it out."""
    (first,) = desk.runs()
    desk.people("untag", 3, tags=["Vip"])

    desk.repair()

    repair = desk.runs()[0]
    assert (repair.trigger, repair.status, repair.members) == (REPAIR, "success", 10)
    assert '"updated":1' in repair.document
    assert before_run(desk.runs(), None).last_success == first


def test_another_plan_than_the_one_shown_stops(desk: Desk) -> None:
    """Exit 5, nothing written, nothing recorded; the fix names the command that shows it."""
    desk.people("untag", 3, tags=["Vip"])
    shown = desk.look()
    desk.people("untag", 4, tags=["Vip"])
    before, runs = desk.project.writes(), desk.runs()

    stopped = desk.repair(plan_id=shown.plan_id, fails=True)

    assert stopped.error is not None
    assert (stopped.error.code, stopped.error.exit_code, stopped.repaired) == ("plan_changed", 5, 0)
    assert "ci-mailchimp reconcile vip" in stopped.error.fix
    assert (desk.project.writes(), desk.runs()) == (before, runs)
    assert desk.repair(plan_id=desk.look().plan_id).repaired == 2


def test_a_guard_stops_a_repair_before_anything_is_written(desk: Desk) -> None:
    """Told by a look already; the ledger keeps what it held, so that nothing is forgotten."""
    desk.vanish(1, 2, 3, 4)
    desk.project.export("vip", guards={"max_growth_percent": 10})
    desk.run(dry_run=True)  # the frame of this declaration
    before = desk.project.writes()

    found, stopped = desk.look(), desk.repair(fails=True)

    assert [guard.guard for guard in found.guards] == ["max_growth_percent"]
    assert stopped.error is not None
    assert (stopped.error.code, stopped.error.exit_code, stopped.repaired) == ("max_growth_percent", 5, 0)
    assert desk.project.writes() == before
    assert desk.runs()[0].status == "stopped"
    assert differs(desk.look()) == {"missing": 4}


@pytest.mark.parametrize("door", ["look", "repair"])
def test_without_consent_nobody_is_read(desk: Desk, door: str) -> None:
    """As for a run: the connection may not be used."""
    desk.project.connection["consent"] = None
    desk.project.emulator.forget_requests()

    with pytest.raises(AssertionError, match="consent"):
        getattr(desk, door)()

    assert desk.project.emulator.requests() == []


def test_a_sandbox_only_looks(desk: Desk) -> None:
    """Whoever asks for a repair there gets the comparison."""
    desk.people("untag", 3, tags=["Vip"])
    desk.project.environ["CI_MAILCHIMP_SANDBOX"] = "1"
    before = desk.project.writes()

    done = desk.repair()

    assert (differs(done), done.repaired) == ({"tag_missing": 1}, 0)
    assert desk.project.writes() == before


def test_a_run_in_progress_is_not_disturbed(desk: Desk) -> None:
    """Whoever holds the audience is left alone: run again later."""
    audience = desk.runs()[0].audience
    assert audience is not None
    with desk.project.ledger() as ledger, ledger.lease(audience, "elsewhere:1"):
        busy = desk.repair(fails=True)

    assert busy.error is not None
    assert busy.error.code == "audience_busy"


def failing_after(writes: int) -> Callable[[MailchimpClient], MailchimpClient]:
    """Clients that give up before one more request that writes."""

    def wrap(client: MailchimpClient) -> MailchimpClient:
        call, lock, left = client.call, threading.Lock(), [writes]

        def counted(verb: str, where: str, **more: Any) -> Any:
            with lock:
                if verb != "GET":
                    left[0] -= 1
                    if left[0] < 0:
                        raise RunLaterError("mailchimp_busy", "not now", fix="later")
            return call(verb, where, **more)

        client.call = counted  # type: ignore[method-assign]
        return client

    return wrap


@pytest.mark.both_ledgers
def test_an_interrupted_repair_is_finished_by_the_next_run(desk: Desk) -> None:
    """The ledger learned first what Mailchimp holds: an ordinary run then does what is left, and nothing twice."""
    desk.project.export("vip", segments=["Vip", "News"])
    desk.project.customers(range(20, 22), "News")
    desk.run()
    desk.vanish(3)
    desk.people("change_field", 4, merge_fields={"LNAME": "Edited"})
    desk.people("tag", 5, tags=["News"])
    broken = replace(desk, clients=failing_after(1))

    stopped = broken.repair(fails=True)
    desk.run()

    assert stopped.error is not None
    assert stopped.error.code == "mailchimp_busy"
    assert stopped.repaired < 3
    assert (desk.tags(3), desk.tags(5)) == (["Vip"], ["Vip"])
    assert desk.project.members()[address(4)]["merge_fields"]["LNAME"] == "Lastc00004"
    assert differs(desk.look()) == {}


def test_no_request_of_a_repair_carries_a_status(desk: Desk) -> None:
    """P1: whoever is added is added with ``status_if_new``; nobody is brought back."""
    desk.project.emulator.switch(record_bodies=True)
    desk.vanish(3)
    desk.project.emulator.switch(record_bodies=True)
    desk.people("unsubscribe", 4)
    desk.people("archive", 5)

    done = desk.repair()

    assert (done.repaired, returned(desk.project)) == (1, [])


def test_members_with_many_tags_are_looked_up_by_tag(desk: Desk) -> None:
    """Mailchimp shows 50 tags of a member: the rest is asked for, of our tags alone, and only then."""
    many = [f"Theirs {number:02}" for number in range(60)]
    before = len(desk.project.emulator.requests())
    desk.look()
    usual = len(desk.project.emulator.requests()) - before
    desk.project.emulator.add_member(AUDIENCE, "stranger@contoso-mail.internal", tags=many)
    desk.vanish(3)
    desk.project.emulator.add_member(
        AUDIENCE,
        address(3),
        tags=[*many, "Vip"],
        merge_fields={"FNAME": "Firstc00003", "LNAME": "Lastc00003"},
    )
    desk.project.emulator.add_member(AUDIENCE, "other@contoso-mail.internal", tags=[*many, "Vip"])
    desk.project.emulator.forget_requests()

    found = desk.look()

    assert differs(found) == {}
    asked = [each["route"] for each in desk.project.emulator.requests()]
    assert len(asked) == usual + 1
    desk.people("untag", 3, tags=["Vip"])
    assert differs(desk.look()) == {"tag_missing": 1}


def test_an_audience_is_read_by_the_thousand(desk: Desk) -> None:
    """2,300 members are three requests; a whole look takes those, one a status, and a few to get to know it."""
    people = [{"email_address": f"q{number}@contoso-mail.internal"} for number in range(2_290)]
    desk.project.emulator.add_members(AUDIENCE, people)
    desk.project.emulator.forget_requests()

    found = desk.look()

    assert found.read == 2_300
    paths = [each["path"] for each in desk.project.emulator.requests()]
    assert len([path for path in paths if path.endswith("/members")]) == 3 + 5
    assert found.requests == len(paths) <= 3 + 5 + 5
