"""P1: an opt-out stays an opt-out."""

from collections import Counter

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import bodies, kept, meanwhile, member, quiet, run

ADA, BEN = address(1), address(2)
NEW = "ada.new@contoso-mail.internal"

OPTED_OUT = {
    "unsubscribe": "unsubscribed",
    "complain": "unsubscribed",
    "admin_unsubscribe": "unsubscribed",
    "bounce": "cleaned",
    "archive": "archived",
}
THERE_BEFORE = [
    ("unsubscribed", "contact"),
    ("unsubscribed", "complaint"),
    ("unsubscribed", "admin"),
    ("unsubscribed", "api"),
    ("cleaned", "bounce"),
    ("pending", "contact"),
    ("transactional", "api"),
    ("archived", "api"),
    ("archived", "contact"),
]


def named(project: Project) -> set[str]:
    """Everybody that any writing request named, in whatever role."""
    found = {body["email_address"] for body in bodies(project)}
    for request in project.emulator.writes():
        body = request.get("body") or {}
        found.update(body.get("members_to_add") or ())
        found.update(body.get("members_to_remove") or ())
    return found


def test_who_opted_out_before_the_first_run_is_never_written_to(project):
    """Each kind of not subscribed, there before us: counted with its reason, and no request names the person."""
    for number, (status, cause) in enumerate(THERE_BEFORE):
        project.emulator.add_member(AUDIENCE, address(number), status=status, cause=cause, tags=["Theirs"])
    project.customers(range(len(THERE_BEFORE) + 1))
    before = project.members()

    report = run(project)

    assert report.counts.added == 1
    assert report.suppressed_reasons == Counter(status for status, _ in THERE_BEFORE)
    assert named(project) == {address(len(THERE_BEFORE))}
    assert {who: there for who, there in project.members().items() if who in before} == before
    quiet(project)


def test_an_opt_out_is_found_however_the_address_is_written(project):
    """Capitals and blanks around the address do not hide who opted out, on either side."""
    project.emulator.add_member(AUDIENCE, "aDa@contoso-mail.internal", status="unsubscribed", cause="contact")
    project.emulator.add_member(
        AUDIENCE, "PERSON00001@contoso-mail.internal", status="unsubscribed", cause="admin"
    )
    project.customer("c1", "ADA@Contoso-Mail.Internal")
    project.customer("c2", " person00001@contoso-mail.internal\u00a0")

    report = run(project)

    assert report.suppressed_reasons == {"unsubscribed": 2}
    assert project.writes() == 0


def test_who_opts_out_between_runs_is_left_alone_whatever_changes(project):
    """After the opt-out nothing is sent for the person: not for new data, tags, leaving or coming again."""
    project.export("vip", segments=["Vip", "Gold", "New"], on_exit="archive")
    changes = ("nothing", "data", "tag gained", "tag lost", "left", "came again")
    people = [(f"{action} {change}", action, change) for action in OPTED_OUT for change in changes]
    addresses = {name: address(number) for number, (name, *_) in enumerate(people)}
    for name, written in addresses.items():
        project.customer(name, written, "Vip", "Gold")
    project.customers([99], "Gold", "New")
    run(project)
    sent = len(bodies(project))
    for name, action, change in people:
        project.emulator.people(action, AUDIENCE, addresses[name])
        if change == "data":
            project.customer(name, addresses[name], "Vip", "Gold", FirstName="Changed")
        elif change == "tag gained":
            project.customer(name, addresses[name], "Vip", "Gold", "New")
        elif change == "tag lost":
            project.customer(name, addresses[name], "Vip")
        elif change in ("left", "came again"):
            project.leave(name)
            project.leave(name, "Gold")
    there = project.members()

    changed = quiet(project)
    for name, _, change in people:
        if change == "came again":
            project.customer(name, addresses[name], "Vip", "Gold", "New")
    again = quiet(project)

    statuses = Counter(OPTED_OUT.values())
    assert changed.suppressed_reasons == {status: 4 * count for status, count in statuses.items()}
    assert again.suppressed_reasons == {status: 5 * count for status, count in statuses.items()}
    assert changed.counts.exited == again.counts.exited == 0
    assert len(bodies(project)) == sent
    assert project.members() == there


def test_a_segment_of_which_only_opt_outs_are_left_may_empty(project):
    """Members that we may not write to are nothing that an empty segment could take away: no guard stops it."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers([1], "Vip", "Gold")
    project.customers([2], "Vip")
    run(project)
    project.emulator.people("unsubscribe", AUDIENCE, ADA)
    project.customers([1], "Vip")

    report = quiet(project)

    assert report.suppressed_reasons == {"unsubscribed": 1}


@pytest.mark.parametrize("refusal", ["error", "silent"])
def test_who_opts_out_between_our_look_and_our_update_stays_out(project, refusal):
    """The status that was read is old when the update is sent; nothing in the update can undo the opt-out."""
    project.emulator.switch(resubscribe_refusal=refusal)
    people = dict(enumerate(OPTED_OUT))
    project.customers(people)
    run(project)
    for number in people:
        project.customer(f"c{number:05}", address(number), FirstName="Changed")

    def opt_out() -> None:
        for number, action in people.items():
            project.emulator.people(action, AUDIENCE, address(number))

    report = run(project, client=meanwhile("POST", "lists", opt_out))

    expected = Counter(OPTED_OUT.values())
    assert report.suppressed_reasons == expected
    assert report.counts.updated == 0
    assert Counter(found["status"] for found in project.members().values()) == expected
    assert quiet(project).suppressed_reasons == expected


def test_who_signs_up_and_out_between_our_look_and_our_request_is_not_subscribed(project):
    """A person whom we take for new and who has opted out meanwhile is not subscribed by our request."""
    project.customer("c1", ADA)

    def come_and_go() -> None:
        project.emulator.people("sign_up", AUDIENCE, ADA)
        project.emulator.people("unsubscribe", AUDIENCE, ADA)

    report = run(project, client=meanwhile("POST", "lists", come_and_go))

    assert report.suppressed_reasons == {"unsubscribed": 1}
    assert member(project, ADA)["status"] == "unsubscribed"
    quiet(project)


def test_who_opts_out_just_before_we_archive_is_not_archived_nor_brought_back(project):
    """Archiving hides an opt-out; so who is no longer subscribed when it is their turn is not archived."""
    actions = dict(enumerate(OPTED_OUT))
    project.export("vip", on_exit="archive")
    project.customers(range(len(actions) + 1))
    run(project)
    for number in actions:
        project.leave(f"c{number:05}")

    def opt_out() -> None:
        for number, action in actions.items():
            project.emulator.people(action, AUDIENCE, address(number))

    left = run_through(project, opt_out)
    project.customers(actions)
    report = run(project)

    assert left.counts.archived == 0
    assert report.suppressed_reasons == Counter(OPTED_OUT.values())
    for number, action in actions.items():
        assert member(project, address(number))["status"] == OPTED_OUT[action]


def run_through(project: Project, deed):
    """A run during which people opt out after everything was read, before anything is archived."""
    report = project.run(client=meanwhile("GET", f"{AUDIENCE}/members/", deed))
    assert report.status == "success"
    return report


@pytest.mark.parametrize("busy", [False, True])
def test_who_was_archived_by_somebody_else_in_that_moment_is_not_ours_to_bring_back(project, busy):
    """An answer that comes late or only at the second try does not make somebody else's archiving ours."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.leave("c00001")
    if busy:
        project.emulator.fail("429", match="^DELETE")
    run_through(project, lambda: project.emulator.people("archive", AUDIENCE, ADA))
    project.customers([1])

    assert quiet(project).suppressed_reasons == {"archived": 1}


@pytest.mark.both_ledgers
def test_who_was_archived_by_us_while_subscribed_comes_back(project, brought_back):
    """The one case in which a request carries a status: our own archiving, undone by a return to the segment."""
    brought_back.append(ADA)
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.leave("c00001")
    left = run(project)
    project.customers([1])

    report = run(project)

    assert (left.counts.exited, left.counts.archived) == (1, 1)
    assert report.counts.added == 1
    assert member(project, ADA)["status"] == "subscribed"
    assert member(project, ADA)["tags"] == ["Vip"]
    quiet(project)


def test_an_opt_out_after_our_archiving_is_not_forgotten_when_archived_again(project):
    """Archived by us, brought back by somebody, opted out, archived by somebody: not ours to bring back."""
    actions = dict(enumerate(["unsubscribe", "admin_unsubscribe", "complain", "bounce"]))
    project.export("vip", on_exit="archive")
    project.customers(range(len(actions) + 1))
    run(project)
    for number in actions:
        project.leave(f"c{number:05}")
    run(project)
    project.emulator.advance_clock(60)
    for number, action in actions.items():
        for deed in ("resubscribe", action, "archive"):
            project.emulator.people(deed, AUDIENCE, address(number))
    project.customers(actions)

    report = quiet(project)

    assert report.suppressed_reasons == {"archived": len(actions)}
    assert member(project, address(0))["status"] == "archived"


@pytest.mark.parametrize("refusal", ["error", "silent"])
def test_a_return_that_mailchimp_refuses_is_suppressed(project, brought_back, refusal):
    """Un-archived and opted out between our look and our request: the answer is believed, not our wish."""
    brought_back.append(ADA)
    project.emulator.switch(resubscribe_refusal=refusal)
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.leave("c00001")
    run(project)
    project.customers([1, 3])

    def come_and_go() -> None:
        project.emulator.people("resubscribe", AUDIENCE, ADA)
        project.emulator.people("unsubscribe", AUDIENCE, ADA)

    report = run(project, client=meanwhile("POST", "lists", come_and_go))

    assert report.counts.added == 1
    assert report.counts.suppressed == 1
    assert member(project, ADA)["status"] == "unsubscribed"
    assert quiet(project).suppressed_reasons == {"unsubscribed": 1}


@pytest.mark.parametrize("seen_before_the_move", [True, False])
def test_an_opt_out_follows_the_person_to_a_new_address(project, seen_before_the_move):
    """Opted out under one address, another one in the source: suppressed; only a bounce is the address's own."""
    people = dict(enumerate(OPTED_OUT))
    project.customers([*people, 99])
    run(project)
    for number, action in people.items():
        project.emulator.people(action, AUDIENCE, address(number))
    if seen_before_the_move:
        quiet(project)
    for number in people:
        project.customer(f"c{number:05}", f"new{number}@contoso-mail.internal")

    report = run(project)

    bounced = next(number for number, action in people.items() if action == "bounce")
    assert report.suppressed_reasons == {"opted_out_before_move": len(people) - 1}
    assert report.counts.added == 1
    assert [found for found in project.members() if found.startswith("new")] == [
        f"new{bounced}@contoso-mail.internal"
    ]
    quiet(project)


def test_an_opt_out_from_before_us_follows_the_person_too(project):
    """Somebody who opted out before our first run and then changes the address is not added under the new one."""
    project.emulator.add_member(AUDIENCE, ADA, status="unsubscribed", cause="contact")
    project.customers([1, 2])
    run(project)
    project.customer("c00001", NEW)

    report = run(project)

    assert report.suppressed_reasons == {"opted_out_before_move": 1}
    assert set(project.members()) == {ADA, BEN}


def test_a_new_address_that_opted_out_itself_is_suppressed(project):
    """The person moves to an address that is in the audience and may not be mailed; the old one is let go."""
    statuses = dict(enumerate(["unsubscribed", "pending", "archived", "cleaned", "transactional"]))
    for number, status in statuses.items():
        project.emulator.add_member(AUDIENCE, address(50 + number), status=status, cause="contact")
    project.customers([*statuses, 99])
    run(project)
    there = project.members()
    for number in statuses:
        project.customer(f"c{number:05}", address(50 + number))

    report = run(project)

    assert report.suppressed_reasons == dict.fromkeys(statuses.values(), 1)
    assert report.counts.exited == len(statuses)
    for number in statuses:
        assert member(project, address(50 + number)) == there[address(50 + number)]
        assert member(project, address(number))["tags"] == []
    quiet(project)


def test_who_subscribes_again_by_themselves_is_mailed_again(project):
    """An opt-out is the person's: when they take it back, they get their data and tags again."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("unsubscribe", AUDIENCE, ADA)
    quiet(project)
    project.emulator.people("resubscribe", AUDIENCE, ADA)
    project.customer("c00001", ADA, FirstName="Changed")

    report = run(project)

    assert report.counts.updated == 1
    assert member(project, ADA)["merge_fields"]["FNAME"] == "Changed"
    quiet(project)


def test_who_was_permanently_deleted_is_not_sent_again(project):
    """Erased in Mailchimp: one refusal, remembered, also under another spelling and under another address."""
    project.customers([1, 2, 3])
    run(project)
    for number in (1, 2):
        project.emulator.people("delete_permanent", AUDIENCE, address(number))
        project.customer(f"c{number:05}", address(number), FirstName="Changed")
    refused = run(project)
    project.customer("c00001", ADA.upper(), FirstName="Changed again")
    project.customer("c00002", NEW, FirstName="Changed again")

    report = quiet(project)

    assert refused.suppressed_reasons == {"forgotten": 2}
    assert report.suppressed_reasons == {"forgotten": 1, "opted_out_before_move": 1}
    assert set(project.members()) == {address(3)}


def test_a_pending_member_of_ours_is_left_to_confirm(project):
    """Double opt-in: until the person confirms, nothing more is sent; afterwards they are a member like others."""
    project.export("vip", new_members="pending")
    project.customers([1, 2])
    first = run(project)
    project.customer("c00001", ADA, FirstName="Changed")
    waiting = quiet(project)
    project.emulator.people("confirm", AUDIENCE, ADA)

    report = run(project)

    assert first.counts.added == 2
    assert waiting.suppressed_reasons == {"pending": 2}
    assert report.counts.updated == 1
    assert report.suppressed_reasons == {"pending": 1}
    assert member(project, ADA)["status"] == "subscribed"


def test_a_thousand_opt_outs_are_all_seen(project):
    """More opt-outs than fit one page of Mailchimp's answers, none of them written to."""
    project.emulator.add_members(
        AUDIENCE,
        [
            {"email_address": address(number), "status": "unsubscribed", "cause": "contact"}
            for number in range(1_250)
        ],
    )
    project.customers(range(1_260))

    report = run(project)

    assert report.suppressed_reasons == {"unsubscribed": 1_250}
    assert report.counts.added == 10
    assert named(project) == {address(number) for number in range(1_250, 1_260)}
    assert kept(report).counts.accepted == 1_260
