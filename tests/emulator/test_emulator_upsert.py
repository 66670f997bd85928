"""The 500-member call."""

from typing import Any

import pytest

ANN = "Ann@contoso-mail.internal"
BEN = "ben@contoso-mail.internal"


def row(address: str, **more: Any) -> dict[str, Any]:
    """A row as our client sends it."""
    return {"email_address": address, "status_if_new": "subscribed", **more}


def test_a_new_member_gets_status_tags_and_merge_fields(api: Any) -> None:
    """All of one row arrives in one call, and the answer echoes the member."""
    answer = api.upsert(row(ANN, tags=["VIP", "News"], merge_fields={"FNAME": "Ann", "AGE": "41"}))

    assert (answer["total_created"], answer["total_updated"], answer["error_count"]) == (1, 0, 0)
    (member,) = answer["new_members"]
    assert member["id"] == "7968951ca109ace1f7c82b4a2540a100"
    assert member["email_address"] == ANN
    assert member["status"] == "subscribed"
    assert member["merge_fields"] == {"FNAME": "Ann", "LNAME": "", "AGE": 41}
    assert [tag["name"] for tag in member["tags"]] == ["VIP", "News"]
    assert member["tags_count"] == 2
    assert member["full_name"] == "Ann"
    assert member["source"] == "API - Generic"
    assert member["timestamp_signup"] == member["ip_signup"] == ""
    assert member["timestamp_opt"] == member["last_changed"]
    assert 1000 <= len(str(member)) <= 2500


def test_status_if_new_leaves_the_status_of_members_alone(api: Any) -> None:
    """Merge fields and tags are written, whoever may or may not be mailed stays so."""
    statuses = ["subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"]
    for status in statuses:
        api.emulator.add_member(api.audience, f"{status}@contoso-mail.internal", status=status)

    answer = api.upsert(
        *(row(f"{s}@contoso-mail.internal", merge_fields={"FNAME": "New"}, tags=["T"]) for s in statuses)
    )

    assert answer["total_updated"] == len(statuses)
    for status in statuses:
        held = api.person(f"{status}@contoso-mail.internal")
        assert (held["status"], held["tags"], held["merge_fields"]["FNAME"]) == (status, ["T"], "New")


def test_a_switch_lets_status_if_new_bring_back_the_archived(api: Any) -> None:
    """The other reading of an undocumented case can be tried."""
    api.emulator.add_member(api.audience, ANN, status="archived")
    api.emulator.switch(batch_status_if_new_unarchives=True)

    api.upsert(row(ANN))

    assert api.person(ANN)["status"] == "subscribed"


@pytest.mark.parametrize(
    ("status", "cause"),
    [("unsubscribed", "contact"), ("unsubscribed", "complaint"), ("cleaned", "bounce")],
)
def test_a_compliance_state_refuses_subscribed(api: Any, status: str, cause: str) -> None:
    """Who opted out or bounced is an error row, and nothing of the row is written."""
    api.emulator.add_member(api.audience, ANN, status=status, cause=cause)

    answer = api.upsert({"email_address": ANN, "status": "subscribed", "merge_fields": {"FNAME": "New"}})

    (error,) = answer["errors"]
    assert error["error_code"] == "ERROR_GENERIC"
    assert "is in a compliance state due to unsubscribe, bounce, or compliance review" in error["error"]
    assert answer["total_updated"] == 0
    assert api.person(ANN)["status"] == status
    assert api.person(ANN)["merge_fields"]["FNAME"] == ""


def test_a_refused_resubscription_may_be_silent(api: Any) -> None:
    """The reported variant: no error row, the member just stays unsubscribed."""
    api.emulator.add_member(api.audience, ANN, status="unsubscribed", cause="contact")
    api.emulator.switch(resubscribe_refusal="silent")

    answer = api.upsert({"email_address": ANN, "status": "subscribed"})

    assert (answer["total_updated"], answer["error_count"]) == (1, 0)
    assert answer["updated_members"][0]["status"] == "unsubscribed"


def test_an_explicit_status_resubscribes_who_was_unsubscribed_by_the_api(api: Any) -> None:
    """This is what makes an explicit status dangerous."""
    api.emulator.add_member(api.audience, ANN, status="unsubscribed", cause="api")

    api.upsert({"email_address": ANN, "status": "subscribed"})

    assert api.person(ANN)["status"] == "subscribed"


def test_an_explicit_status_brings_an_archived_opt_out_back(api: Any) -> None:
    """The status before the archive no longer protects anybody, unless the switch says so."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.people("unsubscribe", api.audience, ANN)
    api.emulator.people("archive", api.audience, ANN)
    api.emulator.switch(archived_optout="refused")
    assert api.upsert({"email_address": ANN, "status": "subscribed"})["error_count"] == 1

    api.emulator.switch(archived_optout="resubscribes")
    api.upsert({"email_address": ANN, "status": "subscribed"})

    assert api.person(ANN)["status"] == "subscribed"


def test_without_update_existing_members_are_errors(api: Any) -> None:
    """Nothing is updated, new rows are created all the same."""
    api.emulator.add_member(api.audience, ANN)

    answer = api.upsert(row(ANN, merge_fields={"FNAME": "New"}), row(BEN), update_existing=False)

    assert answer["total_created"] == 1
    assert answer["errors"][0]["error_code"] == "ERROR_CONTACT_EXISTS"
    assert api.person(ANN)["merge_fields"]["FNAME"] == ""


def test_tags_are_added_and_names_ignore_case(api: Any) -> None:
    """A second call adds to the tags of the first; another case is the same tag."""
    api.upsert(row(ANN, tags=["VIP"]))

    api.upsert(row(ANN, tags=["vip", "News"]))

    assert api.person(ANN)["tags"] == ["News", "VIP"]
    assert api.get(f"/lists/{api.audience}/segments", count=100)["total_items"] == 2


def test_sync_tags_replaces_all_tags(api: Any) -> None:
    """Other people's tags are lost: a client must never send it."""
    api.emulator.add_member(api.audience, ANN, tags=["Theirs"])

    api.upsert(row(ANN, tags=["Ours"]), sync_tags=True)

    assert api.person(ANN)["tags"] == ["Ours"]


def test_unknown_merge_tags_are_dropped_silently(api: Any) -> None:
    """A typo is no error: the value is just not there."""
    answer = api.upsert(row(ANN, merge_fields={"FNAMME": "Ann"}))

    assert answer["error_count"] == 0
    assert "FNAMME" not in answer["new_members"][0]["merge_fields"]


def test_a_bad_merge_value_names_its_field(api: Any) -> None:
    """The error row carries tag and text, the other rows go through."""
    answer = api.upsert(row(ANN, merge_fields={"AGE": "many"}), row(BEN))

    (error,) = answer["errors"]
    assert (error["email_address"], error["field"], error["field_message"]) == (
        ANN,
        "AGE",
        "Please enter a number",
    )
    assert error["error"].startswith("The resource submitted could not be validated.")
    assert answer["total_created"] == 1


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("ann@example.com", "ann@example.com looks fake or invalid, please enter a real email address."),
        ("ann@EXAMPLE.org", "ann@EXAMPLE.org looks fake or invalid, please enter a real email address."),
        ("ann", "Please provide a valid email address."),
        ("ann@contoso", "Please provide a valid email address."),
        ("", "Please provide a valid email address."),
        (None, "Please provide a valid email address."),
        ("ann@@contoso-mail.internal", "Please provide a valid email address."),
        ("a" * 65 + "@contoso-mail.internal", "Please provide a valid email address."),
    ],
)
def test_bad_addresses_are_error_rows(api: Any, address: str | None, text: str) -> None:
    """Mailchimp's texts for addresses it does not take."""
    (error,) = api.upsert(row(address or "", email_address=address))["errors"]

    assert error["error"] == text
    assert api.emulator.members(api.audience) == {}


def test_a_forgotten_address_is_refused(api: Any) -> None:
    """Permanently deleted people cannot be imported again."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.people("delete_permanent", api.audience, ANN)

    (error,) = api.upsert(row(ANN))["errors"]

    assert "was permanently deleted and cannot be re-imported" in error["error"]


def test_too_many_signups_refuse_for_now(api: Any) -> None:
    """A refusal that later may not be one."""
    api.emulator.switch(too_many_signups="^ann")

    (error,) = api.upsert(row(ANN.lower()))["errors"]

    assert "has signed up to a lot of lists very recently" in error["error"]


def test_required_fields_refuse_members_without_a_value(api: Any) -> None:
    """Only a value, a stored one too, or skip_merge_validation helps."""
    audience = api.emulator.add_audience(merge_fields=[{"tag": "CITY", "type": "text", "required": True}])
    api.audience = audience
    assert api.upsert(row(ANN))["errors"][0]["field_message"] == "Please enter a value"

    api.upsert(row(ANN), query={"skip_merge_validation": "true"})
    assert api.upsert(row(ANN, tags=["T"]))["error_count"] == 1
    api.upsert(row(ANN, merge_fields={"CITY": "Bonn"}))

    assert api.upsert(row(ANN, tags=["T"]))["error_count"] == 0


def test_more_than_500_members_are_refused(api: Any) -> None:
    """500 go, 501 do not, and then nothing is written."""
    rows = [row(f"p{i}@contoso-mail.internal") for i in range(501)]

    problem = api.problem("POST", f"/lists/{api.audience}", {"members": rows})

    assert "at most 500 items" in problem["detail"]
    assert api.emulator.members(api.audience) == {}
    assert api.upsert(*rows[:500])["total_created"] == 500


def test_a_row_needs_a_status(api: Any) -> None:
    """Neither `status` nor `status_if_new` breaks the schema of the whole call."""
    problem = api.problem("POST", f"/lists/{api.audience}", {"members": [{"email_address": ANN}]})

    assert problem["title"] == "Invalid Resource"
    assert problem["errors"][0]["field"] == "members.item:0"


@pytest.mark.parametrize("body", [{}, {"members": {}}, {"members": [{"email_address": 3, "status": None}]}])
def test_a_body_that_breaks_the_schema_is_400(api: Any, body: Any) -> None:
    """The document says where."""
    problem = api.problem("POST", f"/lists/{api.audience}", body)

    assert problem["title"] == "Invalid Resource"
    assert problem["errors"]


@pytest.mark.parametrize(
    ("habit", "query", "kept", "errors"),
    [
        ("first", {}, "One", 0),
        ("last", {}, "Two", 0),
        ("error", {}, "One", 1),
        ("error", {"skip_duplicate_check": "true"}, "One", 0),
    ],
)
def test_an_address_twice_in_one_call(api: Any, habit: str, query: Any, kept: str, errors: int) -> None:
    """With skip_duplicate_check the first one counts; without it, it is an open question."""
    api.emulator.switch(duplicate_in_batch=habit)

    answer = api.upsert(
        row(ANN, merge_fields={"FNAME": "One"}),
        row(ANN.upper(), merge_fields={"FNAME": "Two"}),
        query=query,
    )

    assert answer["error_count"] == errors
    assert next(iter(api.emulator.members(api.audience).values()))["merge_fields"]["FNAME"] == kept


def test_fields_select_parts_of_the_answer(api: Any) -> None:
    """Only what was asked for comes back, unless the switch says POST does not honour it."""
    query = {"fields": "new_members.id,total_created"}

    answer = api.upsert(row(ANN, tags=["T"]), query=query)
    api.emulator.switch(honour_fields_on_post=False)
    whole = api.upsert(row(BEN), query=query)

    assert answer == {"new_members": [{"id": "7968951ca109ace1f7c82b4a2540a100"}], "total_created": 1}
    assert "errors" in whole


def test_the_echo_can_be_switched_off(api: Any) -> None:
    """A client must not depend on member objects in the answer more than it says."""
    api.emulator.switch(echo_members=False)

    answer = api.upsert(row(ANN))

    assert (answer["new_members"], answer["total_created"]) == ([], 1)


def test_an_account_under_review_makes_everybody_pending(api: Any) -> None:
    """The answer is 200, the status another than asked for."""
    api.emulator.switch(force_status="pending")

    answer = api.upsert(row(ANN))

    assert answer["new_members"][0]["status"] == "pending"
    assert answer["new_members"][0]["timestamp_opt"] == ""


def test_writing_the_same_again_changes_nothing(api: Any) -> None:
    """`last_changed` stays, unless the switch says otherwise."""
    same = row(ANN, tags=["T"], merge_fields={"FNAME": "Ann", "AGE": 3})
    first = api.upsert(same)["new_members"][0]
    api.emulator.advance_clock(60)

    again = api.upsert(same)["updated_members"][0]
    api.emulator.switch(unchanged_touches_last_changed=True)
    touched = api.upsert(same)["updated_members"][0]

    assert again == first
    assert touched["last_changed"] > first["last_changed"]


def test_tags_of_opted_out_people_can_be_left_alone(api: Any) -> None:
    """Whether a tag reaches an opted-out member is an open question."""
    api.emulator.add_member(api.audience, ANN, status="unsubscribed", cause="contact")
    api.emulator.switch(batch_tags_opted_out=False)

    api.upsert(row(ANN, tags=["T"]))

    assert api.person(ANN)["tags"] == []
