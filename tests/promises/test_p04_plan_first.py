"""P4: plan first."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import kept, quiet, run

NEW = "new{}@contoso-mail.internal"


def busy(project: Project) -> None:
    """A refresh in which something of every kind happens."""
    project.export("vip", segments=["Vip", "Gold"], on_exit="archive", merge_fields={"CITY": "City"})
    project.emulator.add_member(AUDIENCE, address(40), status="unsubscribed", cause="contact")
    project.emulator.add_member(AUDIENCE, address(41), tags=["Gold", "Theirs"])
    project.customers(range(10), "Vip", "Gold")
    project.customers([40, 41], "Vip")
    run(project)
    project.leave("c00009")
    project.leave("c00009", "Gold")
    run(project)
    project.customer("c00000", address(0), "Vip", "Gold", FirstName="Changed")
    project.customer("c00001", NEW.format(1), "Vip", "Gold")
    project.customer("c00002", NEW.format(2), "Vip", City="Ghent")
    project.customer("c00003", address(3), "Vip")
    project.customer("c00004", address(4), "Elsewhere")
    project.customer("c00005", "broken", "Vip")
    project.customer("c00006", address(7), "Vip")
    project.emulator.people("unsubscribe", AUDIENCE, address(8))
    project.customers([9], "Gold")
    project.customers([41], "Vip", "Gold")
    project.customers(range(50, 55), "Gold")


def test_a_plan_says_exactly_what_the_run_then_does(project, brought_back):
    """Counts, requests, reasons and name of the plan are those of the run, with a move, a return, an exit and more."""
    brought_back.append(address(9))
    busy(project)
    before = project.writes()

    planned = project.plan()
    between = project.writes()
    report = kept(project.run(plan_id=planned.plan_id))

    assert between == before
    assert project.writes() - before == planned.writes == report.writes
    assert report.counts == planned.counts
    assert report.requests == planned.requests
    assert report.plan_id == planned.plan_id
    for reasons in ("rejected_reasons", "suppressed_reasons", "refused_reasons", "exit_reasons"):
        assert getattr(report, reasons) == getattr(planned, reasons)
    assert (
        min(planned.counts.moved, planned.counts.added, planned.counts.archived, planned.counts.tags_removed)
        > 0
    )
    quiet(project)


def ledger_files(project):
    return [path.read_bytes() for path in project.folder.rglob("ledger.sqlite")]


@pytest.mark.both_ledgers
def test_a_dry_run_and_a_plan_are_the_same_and_leave_no_trace(project, brought_back):
    """Neither sends, nor records: ledger and audience are byte for byte what they were."""
    busy(project)
    files, ledger = ledger_files(project), project.ledger_rows()
    audience, sent = project.members(), project.writes()

    planned, dry = project.plan(), project.run(dry_run=True)

    assert dry.dry_run
    assert dry.status == "success"
    assert (dry.plan_id, dry.counts) == (planned.plan_id, planned.counts)
    assert project.writes() == sent
    assert project.members() == audience
    assert ledger_files(project) == files
    assert project.ledger_rows() == ledger


@pytest.mark.both_ledgers
def test_a_plan_before_the_first_run_makes_no_ledger(project):
    """A fresh folder: whoever only plans gets no state that a run would."""
    project.customers([1, 2])

    project.plan()
    project.run(dry_run=True)

    assert not list(project.folder.rglob("ledger.sqlite*"))
    assert project.ledger_rows() == {}
    assert project.writes() == 0


def test_a_sandbox_makes_every_run_a_dry_run(project):
    """``CI_MAILCHIMP_SANDBOX=1`` on a laptop with the production file: nothing is sent or recorded."""
    project.environ["CI_MAILCHIMP_SANDBOX"] = "1"
    project.customers([1, 2])

    report = project.run()

    assert report.dry_run
    assert report.counts.added == 2
    assert project.writes() == 0
    assert not list(project.folder.rglob("ledger.sqlite*"))
    assert project.ledger_rows() == {}


@pytest.mark.parametrize("what", ["source", "mailchimp", "tag", "exit"])
def test_a_plan_that_is_no_longer_true_is_not_carried_out(project, what):
    """The source, Mailchimp or the declaration changed since somebody looked: stopped, nothing sent."""
    project.customers(range(3))
    run(project)
    project.customers(range(3, 6))
    project.leave("c00000")
    planned = project.plan()
    before = project.writes()
    if what == "source":
        project.customer("c00004", address(4), FirstName="Changed")
    elif what == "mailchimp":
        project.emulator.people("unsubscribe", AUDIENCE, address(0))
    elif what == "tag":
        project.export("vip", segments=[{"name": "Vip", "tag": "Other"}])
    else:
        project.export("vip", on_exit="archive")

    report = project.run(plan_id=planned.plan_id)

    assert (report.status, report.error.code, report.error.exit_code) == ("stopped", "plan_changed", 5)
    assert report.plan_id != planned.plan_id
    assert project.writes() == before


def test_equal_situations_have_equal_plans(project):
    """The name of a plan says what it does, not when or where it was made."""
    project.customers(range(20))
    first = project.plan()
    people = dict(reversed(project.people.items()))
    project.people.clear()
    project.people.update(people)
    project.segments["Vip"].reverse()

    assert project.plan().plan_id == first.plan_id


def test_a_failed_plan_id_leaves_the_run_in_the_history(project):
    """A stopped run is a run: with its status and nobody's data."""
    project.customers([1])

    project.run(plan_id="0000000000000000")

    with project.ledger() as ledger:
        assert [row.status for row in ledger.runs()] == ["stopped"]
