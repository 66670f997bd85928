"""P5: guards before writes."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import member, quiet, run


def stopped(project: Project, code: str, *said: str, **more: object) -> None:
    """Run and plan: nothing is sent, and both say which number of which key is in the way."""
    before, there = len(project.emulator.writes()), project.members()
    guards = [guard.guard for guard in project.plan(**more).guards if guard.stopped]
    report = project.run(**more)
    dry = project.run(dry_run=True, **more)

    assert report.status == dry.status == "stopped"
    assert report.error.code == dry.error.code == code
    assert report.error.exit_code == 5
    assert code in guards
    for words in said:
        assert words in f"{report.error.message} {report.error.fix}"
    assert len(project.emulator.writes()) == before
    assert project.members() == there


def test_more_profiles_than_allowed_are_stopped_and_never_cut(project):
    """One over the limit: nobody is sent, not the first of them either."""
    project.export("vip", max_profiles=3)
    project.customers(range(4))

    stopped(project, "max_profiles", "4 profiles", "the limit is 3", "max_profiles")

    project.export("vip", max_profiles=4)
    assert run(project).counts.added == 4


def test_a_million_is_the_most_that_can_be_allowed(project):
    """The limit itself has a limit."""
    project.export("vip", max_profiles=1_000_001)

    with pytest.raises(Exception, match="max_profiles"):
        project.run()


def test_too_many_rejected_rows_stop_the_run(project):
    """Over the percentage that is allowed; exactly that percentage goes through."""
    project.export("vip", guards={"max_rejected_percent": 10})
    project.customers(range(9))
    project.customer("bad", "nobody")
    assert run(project).counts.rejected == 1
    project.customer("worse", "nobody either")

    stopped(project, "max_rejected_percent", "2 of 11", "10 %", "guards.max_rejected_percent")


def test_a_mass_exit_stops_the_run_and_can_be_allowed_once(project):
    """A quarter would leave: stopped, until a person allows it for one run."""
    project.export("vip", guards={"max_exit_percent": 20})
    project.customers(range(8))
    run(project)
    for number in (0, 1):
        project.leave(f"c{number:05}")

    stopped(project, "max_exit_percent", "2 of the 8", "20 %", "--allow-exit-percent 25")
    stopped(project, "max_exit_percent", exit_percent=24.9)
    report = run(project, exit_percent=25.0)

    assert report.counts.exited == 2
    assert member(project, address(0))["tags"] == []


def test_a_first_run_has_no_exits_and_no_growth(project):
    """Nobody is held yet: the strictest limits let a first run through."""
    project.export("vip", guards={"max_exit_percent": 0, "max_growth_percent": 0})
    project.customers(range(5))

    assert run(project).counts.added == 5
    quiet(project)


@pytest.mark.both_ledgers
def test_too_much_growth_stops_the_run(project):
    """More joined than the declaration allows."""
    project.export("vip", guards={"max_growth_percent": 50})
    project.customers(range(4))
    run(project)
    project.customers(range(4, 7))

    stopped(project, "max_growth_percent", "3 members", "the 4", "50 %", "guards.max_growth_percent")


def test_an_empty_source_stops_the_run(project):
    """No profiles at all, after a run that had some: something broke, people did not leave."""
    project.customers(range(3))
    run(project)
    project.people.clear()

    stopped(project, "empty_source", "no profiles", exit_percent=100.0)
    assert set(project.members()) == {address(number) for number in range(3)}


def test_a_segment_that_vanished_stops_the_run_until_it_is_allowed(project):
    """One of two segments is gone from the source: its members keep the tag until a person says so."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(3), "Vip", "Gold")
    run(project)
    del project.segments["Gold"]

    stopped(project, "missing_segment", "'Gold'", "3 members", "--allow-empty Gold")
    stopped(project, "missing_segment", empty_segments=frozenset({"Vip"}))
    report = run(project, empty_segments=frozenset({"Gold"}))

    assert report.counts.tags_removed == 3
    assert member(project, address(0))["tags"] == ["Vip"]
    quiet(project)


def test_a_segment_without_profiles_stops_the_run(project):
    """The segment is there, and none of its customers has a profile any more."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(3), "Vip", "Gold")
    run(project)
    project.segments["Gold"] = ["nobody"]

    stopped(project, "empty_segment", "'Gold'", "no profiles", "--allow-empty Gold")


def test_the_contact_limit_counts_what_mailchimp_bills(project):
    """Subscribed, unsubscribed and pending of all audiences, not the archived; one over is stopped."""
    people = [("subscribed", 2), ("unsubscribed", 1), ("pending", 1), ("archived", 5), ("cleaned", 5)]
    for status, count in people:
        for number in range(count):
            project.emulator.add_member(AUDIENCE, f"{status}{number}@contoso-mail.internal", status=status)
    other = project.emulator.add_audience(name="Other")
    project.emulator.add_member(other, "there@contoso-mail.internal")
    project.connection["contact_limit"] = 7
    project.customers(range(3))

    stopped(project, "contact_limit", "5 contacts", "8", "7 (contact_limit)", "contact_limit")

    project.connection["contact_limit"] = 8
    assert run(project).counts.added == 3


def test_without_consent_nothing_is_sent(project):
    """Nobody agreed to send personal data over the connection."""
    del project.connection["consent"]
    project.customers([1])

    stopped(project, "consent", "connections.main", "consent")


def test_an_owner_whose_role_the_connection_does_not_allow_sends_nothing(project):
    """A contributor's export over an administrators' connection is stopped; sharing it lets it run."""
    project.export("vip", owner={"name": "cy@contoso-mail.internal", "role": "contributor"})
    project.customers([1])

    stopped(project, "allowed_roles", "contributor", "connections.main.allowed_roles")

    project.connection["allowed_roles"] = ["administrator", "contributor"]
    assert run(project).counts.added == 1


def test_all_guards_that_stop_are_named_at_once(project):
    """A person mends everything in one go: both numbers are in the message."""
    project.export("vip", max_profiles=2, guards={"max_rejected_percent": 10, "max_exit_percent": 20})
    project.customers(range(2))
    run(project)
    project.customers(range(5, 8))
    project.customer("c00000", "nobody")

    report = project.run()

    assert report.status == "stopped"
    assert "max_profiles" in report.error.message
    assert "max_rejected_percent" in report.error.message
