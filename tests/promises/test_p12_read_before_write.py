"""P12: read before write."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import member, quiet, run

from ci_mailchimp_pipeline.errors import FixConfigError

ADA = address(1)


def audience(project: Project, *fields: object, **more: object) -> None:
    """The one audience, with these merge fields."""
    project.emulator.reset(
        [{"id": AUDIENCE, "merge_fields": ["FNAME", "LNAME", *fields], **more}],
        switches={"record_bodies": True},
    )


def edit(project: Project, **changes: object) -> None:
    """Somebody changes the audience's field CITY in Mailchimp's pages."""
    world = project.emulator.state()
    for merge_field in world["audiences"][0]["merge_fields"]:
        if merge_field["tag"] == "CITY":
            merge_field.update(changes)
    project.emulator.reset(world["audiences"], switches={"record_bodies": True})


def refused(project: Project, code: str) -> FixConfigError:
    """The configuration error of a run and of a plan, which is one and the same, with nothing sent."""
    with pytest.raises(FixConfigError) as of_the_run:
        project.run()
    with pytest.raises(FixConfigError) as of_the_plan:
        project.plan()
    assert of_the_run.value.code == of_the_plan.value.code == code
    assert str(of_the_run.value) == str(of_the_plan.value)
    assert of_the_run.value.fix
    assert project.writes() == 0
    return of_the_run.value


def test_an_audience_that_does_not_exist_is_named_and_never_made(project):
    """Not the first audience of the account, not a new one: an error with the id."""
    project.customers([1])
    project.export("vip", audience_id="0000000000")

    assert "0000000000" in str(refused(project, "unknown_audience"))


def test_a_merge_field_that_the_audience_lacks_is_an_error_with_the_near_miss(project):
    """The message has the line of the file, the fields there are, and what was probably meant."""
    project.customers([1])
    project.export("vip", merge_fields={"CITTY": "City"})

    message = str(refused(project, "merge_fields"))

    assert "CITTY" in message
    assert "CITY" in message
    assert "exports.yaml:" in message


def test_merge_fields_beyond_the_first_page_are_found(project):
    """More fields than one page of ten: the last of them is there."""
    audience(project, *[f"F{number}" for number in range(25)], "CITY")
    project.customer("c1", ADA, City="Ghent")
    project.export("vip", merge_fields={"CITY": "City"})

    run(project)

    assert member(project, ADA)["merge_fields"]["CITY"] == "Ghent"


def test_a_text_for_an_address_is_an_error(project):
    """One column cannot fill an address, and an address cannot fill a text."""
    audience(project, {"tag": "HOME", "name": "Home", "type": "address"}, "CITY")
    project.customers([1])
    project.export("vip", merge_fields={"HOME": "City"})
    refused(project, "merge_fields")
    parts = {"addr1": "FirstName", "city": "City", "state": "LastName", "zip": "Income"}
    project.export("vip", merge_fields={"CITY": parts})

    refused(project, "merge_fields")


def test_values_that_do_not_fit_their_type_are_rejected_before_sending(project):
    """A word for a number: the row is rejected with its field, the others go, and Mailchimp is not asked."""
    audience(project, {"tag": "CITY", "name": "Number", "type": "number"})
    project.customer("c1", ADA, City="many")
    project.customer("c2", address(2), City="2")
    project.export("vip", merge_fields={"CITY": "City"})

    report = run(project)

    assert report.rejected_reasons == {"invalid_merge_value": 1}
    assert report.counts.added == 1
    assert set(project.members()) == {address(2)}


def test_a_field_that_became_required_rejects_who_has_no_value(project):
    """Somebody made the field required after the first run: who has a value goes on, the others are rejected."""
    audience(project, "CITY")
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", ADA, City="Ghent")
    project.customer("c2", address(2), City="")
    run(project)
    edit(project, required=True)
    project.customer("c1", ADA, City="Ghent", FirstName="Changed")
    project.customer("c2", address(2), City="", FirstName="Changed")

    report = run(project)

    assert report.rejected_reasons == {"missing_required_field": 1}
    assert report.counts.updated == 1
    assert report.counts.refused == 0
    assert member(project, address(2))["tags"] == ["Vip"]


def test_a_required_field_that_is_not_mapped_rejects_everybody_and_the_guard_says_so(project):
    """Nobody can be sent: stopped by the rejection guard, before Mailchimp refuses each."""
    audience(project, {"tag": "CITY", "name": "City", "type": "text", "required": True})
    project.customers([1, 2])
    project.export("vip", guards={"max_rejected_percent": 10})

    report = project.run()

    assert (report.status, report.error.code) == ("stopped", "max_rejected_percent")
    assert report.rejected_reasons == {"missing_required_field": 2}
    assert project.writes() == 0


def test_a_choice_that_was_taken_away_rejects_its_rows(project):
    """The dropdown's choices changed: values that are no longer allowed are rejected, not refused."""
    audience(
        project,
        {"tag": "CITY", "name": "City", "type": "dropdown", "options": {"choices": ["Ghent", "Bruges"]}},
    )
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", ADA, City="Ghent")
    project.customer("c2", address(2), City="")
    run(project)
    edit(project, options={"choices": ["Ghent"]})
    project.customer("c2", address(2), City="Bruges")

    report = quiet(project)

    assert report.rejected_reasons == {"invalid_merge_value": 1}
    assert report.counts.unchanged == 1


def test_a_missing_field_is_created_once_when_asked_for(project):
    """``create_merge_fields``: created by the first run with the type that was named, not by the plan."""
    project.export("vip", merge_fields={"TOWN": "City", "INCOME": {"column": "Income", "type": "number"}},
                   create_merge_fields=True)  # fmt: skip
    project.customer("c1", ADA, City="Ghent", Income="12")
    planned = project.plan()
    assert project.writes() == 0

    report = run(project)

    assert (report.requests, report.writes) == (planned.requests, planned.writes)
    assert project.writes() == report.writes == 3
    assert member(project, ADA)["merge_fields"]["TOWN"] == "Ghent"
    assert member(project, ADA)["merge_fields"]["INCOME"] == 12
    quiet(project)


def test_more_fields_than_the_audience_may_hold_are_not_begun(project):
    """The limit of the account's plan is read first: an error with both numbers, and no field is created."""
    audience(project, merge_field_limit=3)
    project.customers([1])
    project.export("vip", merge_fields={"TOWN": "City", "INCOME": "Income"}, create_merge_fields=True)

    assert "3" in str(refused(project, "merge_fields"))


def test_double_opt_in_and_marketing_permissions_are_warned_about(project):
    """What an audience asks of new members is said in plan and run, and stops nothing."""
    audience(project, double_optin=True, marketing_permissions=True)
    project.customers([1])

    planned, report = project.plan(), run(project)

    for warnings in (planned.warnings, report.warnings):
        assert any("double opt-in" in warning for warning in warnings)
        assert any("GDPR" in warning for warning in warnings)


@pytest.mark.both_ledgers
def test_new_members_that_come_back_pending_stop_the_run_before_the_second_batch(project):
    """The account is under review: 500 people, not 1,200, are sent, and what came back is recorded."""
    project.emulator.switch(force_status="pending")
    project.customers(range(1_200))

    report = project.run()

    assert (report.status, report.error.code, report.error.exit_code) == ("stopped", "unexpected_status", 5)
    assert project.writes() == 1
    assert len(project.members()) == 500
    project.emulator.switch(force_status=None)
    assert run(project).suppressed_reasons == {"pending": 500}


def test_a_few_that_come_back_pending_are_counted_and_warned_about(project):
    """Not more than half of the first batch: the run goes on and says how many."""
    project.customers(range(10))
    run(project)
    project.emulator.switch(force_status="pending")
    for number in range(10):
        project.customer(f"c{number:05}", address(number), FirstName="Changed")
    project.customers([20, 21])

    report = run(project)

    assert report.counts.added == 2
    assert "came_back_pending: 2" in report.warnings


def test_a_segment_that_was_never_there_is_an_error_with_the_near_miss(project):
    """A slip of the pen in a segment's name is no mass exit."""
    project.customers([1])
    project.export("vip", segments=["Vipp"])

    report = project.run()

    assert (report.status, report.error.code, report.error.exit_code) == ("failed", "unknown_segment", 2)
    assert "Vip" in report.error.message
    assert project.writes() == 0


def test_a_column_that_the_source_lacks_is_an_error_with_the_near_miss(project):
    """A slip of the pen in a column's name is found before anything is read from Mailchimp's members."""
    project.customers([1])
    project.export("vip", email="Email")

    assert "EMail" in str(refused(project, "unknown_column"))
