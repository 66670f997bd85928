"""P8: busy is not broken."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import kept, member, quiet, run

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.pipeline.planning import connect

KINDS = [
    "429", "429_no_body", "403_html", "500", "502_html", "503", "504_html", "reset_before", "reset_after",
    "timeout_after", "500_after", "cut", "empty", "not_json", "other_json",
]  # fmt: skip
REQUESTS = [
    "^GET .*/lists/[^/]*$",
    "^GET .*segments",
    "^GET .*status=unsub",
    "^GET .*status=archived",
    "^GET .*merge-fields",
    "^GET .*/members/",
    "^POST .*/lists/[^/]*$",
    "^POST .*segments",
    "^PUT",
    "^DELETE",
]
NEW = "moved@contoso-mail.internal"


def day(project: Project) -> None:
    """A refresh that needs every kind of request: a POST, a move, a tag call and an archiving."""
    project.export("vip", segments=["Vip", "Gold"], on_exit="archive")
    project.customers(range(6), "Vip", "Gold")
    run(project)
    project.customer("c00000", NEW, "Vip", "Gold")
    project.customers([1], "Vip")
    project.customer("c00002", address(2), "Elsewhere")
    project.customers(range(10, 13), "Vip")
    project.customer("c00003", address(3), "Vip", "Gold", FirstName="Changed")


def as_it_should_be(project: Project) -> None:
    there = project.members()
    assert {who: (found["status"], found["tags"]) for who, found in there.items()} == {
        NEW: ("subscribed", ["Gold", "Vip"]),
        address(1): ("subscribed", ["Vip"]),
        address(2): ("archived", ["Gold", "Vip"]),
        **{address(number): ("subscribed", ["Gold", "Vip"]) for number in (3, 4, 5)},
        **{address(number): ("subscribed", ["Vip"]) for number in (10, 11, 12)},
    }
    assert there[address(3)]["merge_fields"]["FNAME"] == "Changed"


@pytest.mark.parametrize("kind", KINDS)
def test_every_request_may_fail_once_and_the_end_is_the_same(project, kind):
    """Each read and each write of a day is hit once by this fault: finished, counted right, nothing left to do."""
    day(project)
    for match in REQUESTS:
        project.emulator.fail(kind, match=match, seconds=0.01)

    report = run(project)

    as_it_should_be(project)
    assert sum(bool(request["fault"]) for request in project.emulator.requests()) == len(REQUESTS)
    assert report.counts.as_json() | {"profiles": 8, "accepted": 8} == report.counts.as_json()
    assert (report.counts.added, report.counts.moved, report.counts.updated) == (3, 1, 2)
    assert (report.counts.exited, report.counts.archived) == (1, 1)
    quiet(project)


def test_a_day_of_random_faults_ends_well(project):
    """Every fourth request fails in one way or another, for the whole run."""
    day(project)
    for seed, kind in enumerate(KINDS):
        project.emulator.fail(kind, probability=0.02, seed=seed, seconds=0.01)

    run(project)
    project.emulator.heal()

    as_it_should_be(project)
    quiet(project)


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("429_no_body", "^POST .*/lists/[^/?]*[?]"),
        ("cut", "^POST .*/lists/[^/?]*[?]"),
        ("503", "^POST .*segments"),
        ("other_json", "^POST .*segments"),
        ("reset_before", "^PUT"),
        ("500_after", "^PUT"),
        ("403_html", "^DELETE"),
        ("timeout_after", "^DELETE"),
    ],
)
def test_an_outage_that_does_not_end_is_exit_4_and_the_next_run_goes_on(project, kind, match):
    """Given up only after many tries; what was acknowledged is recorded, and the next run does the rest."""
    day(project)
    project.emulator.fail(kind, match=match, times=None, seconds=0.01)

    report = project.run()
    project.emulator.heal()

    assert report.status == "failed"
    assert report.error.exit_code == 4
    assert report.counts.accepted == 8
    assert kept(project.run()).status == "success"
    as_it_should_be(project)
    quiet(project)


@pytest.mark.both_ledgers
def test_what_was_acknowledged_before_the_outage_is_not_sent_again(project):
    """The third batch of five fails for good: the next run sends the rest, not what is done."""
    project.connection["max_connections"] = 1
    project.customers(range(2_500))
    project.emulator.fail("503", match="^POST", nth=3, times=None)

    report = project.run()
    project.emulator.heal()
    done = len(project.members())
    before = project.writes()
    rest = run(project)

    assert report.error.exit_code == 4
    assert report.counts.added == done == 1_000
    assert (rest.counts.unchanged, rest.counts.added) == (1_000, 1_500)
    assert project.writes() - before == 3
    quiet(project)


def test_an_answer_that_asks_to_wait_is_obeyed(project):
    """``Retry-After`` is waited for, and the run finishes."""
    project.customers([1])
    project.emulator.fail("429", match="^POST", retry_after="30")

    assert run(project).counts.added == 1


@pytest.mark.parametrize(
    ("switch", "code"),
    [({"permission": "none"}, 2), ({"permission": "read"}, 2), ({"accepted_keys": ["other-us1"]}, 2)],
)
def test_a_key_that_may_not_is_a_configuration_error_and_not_retried(project, switch, code):
    """Refused with Mailchimp's own words: not busy; said at once, with what to change."""
    project.customers([1])
    project.emulator.switch(**switch)

    error = failure(project)

    assert error.exit_code == code
    assert error.fix
    assert len(project.emulator.requests()) < 40


def failure(project: Project):
    """The error of a run, wherever it appears."""
    from ci_mailchimp_pipeline.errors import PipelineError

    try:
        return project.run().error
    except PipelineError as error:
        return error


def test_more_connections_than_mailchimp_has_left_adapt(project):
    """Somebody else uses most of the ten connections: the run slows down and finishes."""
    project.connection["max_connections"] = 8
    project.emulator.switch(connection_limit=2, latency_ms=5)
    project.export("vip", on_exit="archive")
    project.customers(range(40))
    run(project)
    for number in range(1, 40):
        project.leave(f"c{number:05}")

    report = run(project)

    assert report.counts.archived == 39
    assert member(project, address(1))["status"] == "archived"
    assert len(project.members(AUDIENCE)) == 40


def test_a_run_waits_no_longer_than_the_environment_allows(project):
    """CI_MAILCHIMP_CALL_SECONDS ends the trying early: run again later, and the message says how often was tried."""
    project.connect = connect
    project.environ["CI_MAILCHIMP_CALL_SECONDS"] = "1"
    project.customers(range(3))
    project.emulator.fail("503", times=None, match="^GET")

    with pytest.raises(RunLaterError) as caught:
        project.run()

    assert caught.value.code == "mailchimp_busy"
    assert 1 <= len(project.emulator.requests()) < 8
