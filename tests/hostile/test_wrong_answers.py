"""Mailchimp, or what stands before it, answers about somebody else: nothing is decided over the wrong people."""

import hashlib
from typing import Any

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import quiet, run

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import Archived
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient


def failure(project: Project, **more: Any) -> PipelineError:
    """The error of a run, wherever it comes out."""
    try:
        error = project.run(**more).error
    except PipelineError as raised:
        return raised
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("match", "times"),
    [("^GET .*/lists/[^/?]*[?]", 1), ("^POST .*/lists/[^/?]*[?]", 2)],
    ids=["audience", "batch"],
)
def test_an_answer_about_somebody_else_stops_and_the_next_run_is_exact(
    project: Project, match: str, times: int
) -> None:
    """What was asked is compared with what comes back; nobody is recorded who was not named."""
    project.customers(range(3))
    run(project)
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(5), "Vip", "Gold")
    project.emulator.fail("other_people", match=match, times=times)

    error = failure(project)
    project.emulator.heal()

    assert (error.code, error.exit_code) == ("foreign_answer", 4)
    assert "somebody" not in f"{error}{error!r}"
    assert run(project).counts.is_balanced()
    assert {tuple(found["tags"]) for found in project.members().values()} == {("Gold", "Vip")}
    quiet(project)


def test_opt_outs_that_come_back_as_somebody_elses_stay_opted_out(project: Project) -> None:
    """Whoever is hidden by a wrong page is sent without a status, and found out by the answer."""
    project.emulator.add_member(AUDIENCE, address(1), status="unsubscribed", cause="admin")
    project.customers(range(3))
    project.emulator.fail("other_people", match="status=unsubscribed", times=None)

    report = run(project)

    assert project.members()[address(1)]["status"] == "unsubscribed"
    assert report.counts.suppressed == 1


def test_a_key_of_another_account_sends_nothing(project: Project) -> None:
    """A secret that is exchanged between the frame and the sync would be recorded under the wrong account."""
    project.customers(range(3))

    def exchanged(client: MailchimpClient) -> MailchimpClient:
        project.emulator.switch(account_id="another-account")
        return client

    error = failure(project, client=exchanged)

    assert (error.code, error.exit_code) == ("stale_frame", 3)
    assert project.writes() == 0
    project.emulator.switch(account_id="8d3a3db4d97663a9074efcc16")
    assert run(project).counts.added == 3


def test_an_account_without_an_id_is_no_account(project: Project) -> None:
    """The ledger would put the members of every such account together."""
    project.customers([1])
    project.emulator.switch(account_id="")

    error = failure(project)

    assert (error.code, error.exit_code) == ("mailchimp_busy", 4)
    assert project.writes() == 0


def test_who_was_archived_without_a_stamp_is_not_brought_back(project: Project) -> None:
    """Mailchimp's last change tells whether somebody opted out since; where it is missing, nobody may return."""
    project.export("vip", on_exit="archive")
    project.customers(range(2))
    run(project)
    project.leave("c00001")
    run(project)
    with project.ledger() as ledger, ledger.lease(1, "test:1") as lease:
        hashed = hashlib.md5(address(1).encode()).digest()
        ledger.record(lease, [Archived(subscriber_hash=hashed, archived_at=1.0)], export="vip")
    project.customers([1])

    report = run(project)

    assert report.suppressed_reasons == {"archived": 1}
    assert project.members()[address(1)]["status"] == "archived"
