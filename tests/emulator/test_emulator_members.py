"""Reading members, and writing one at a time."""

import hashlib
from typing import Any

import pytest

ANN = "Ann@contoso-mail.internal"
BEN = "ben@contoso-mail.internal"


def url(api: Any, address: str) -> str:
    """The path of a member."""
    return f"/lists/{api.audience}/members/{hashlib.md5(address.lower().encode()).hexdigest()}"


def test_pages_are_ten_by_default_and_a_thousand_at_most(api: Any) -> None:
    """`total_items` tells the whole, whatever the page holds."""
    api.emulator.add_members(
        api.audience, [{"email_address": f"p{i}@contoso-mail.internal"} for i in range(1100)]
    )

    sizes = {count: len(api.members(count=count)["members"]) for count in ("", 5, 5000)}
    last = api.members(count=1000, offset=1000)

    assert sizes == {"": 10, 5: 5, 5000: 1000}
    assert (len(last["members"]), last["total_items"]) == (100, 1100)


def test_the_status_filter_and_the_archived(api: Any) -> None:
    """Archived members appear only when asked for by that status."""
    for status in ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"):
        api.emulator.add_member(api.audience, f"{status}@contoso-mail.internal", status=status)

    everybody = {member["status"] for member in api.members()["members"]}
    archived = api.members(status="archived")

    assert everybody == {"subscribed", "unsubscribed", "cleaned", "pending", "transactional"}
    assert [member["status"] for member in archived["members"]] == ["archived"]
    assert api.members(status="cleaned")["total_items"] == 1


def test_changes_are_read_by_time(api: Any) -> None:
    """`since_last_changed` is after, `before_last_changed` is before, in the order asked for."""
    for moment in (100, 300, 200):
        api.emulator.add_member(api.audience, f"p{moment}@contoso-mail.internal", changed=moment)

    def found(**query: Any) -> list[str]:
        fields = "members.email_address"
        return [m["email_address"][1:4] for m in api.members(fields=fields, **query)["members"]]

    assert found(sort_field="last_changed") == ["100", "200", "300"]
    assert found(sort_field="last_changed", sort_dir="DESC") == ["300", "200", "100"]
    since = {"since_last_changed": "1970-01-01T00:01:40+00:00"}
    assert found(**since, sort_field="last_changed") == ["200", "300"]
    assert found(**since) == found(**since, sort_field="timestamp_signup") == ["300", "200"]
    assert found(before_last_changed="1970-01-01 00:05:00") == ["100", "200"]


def test_opt_outs_are_read_by_time(api: Any) -> None:
    """`unsubscribed_since` works with status=unsubscribed only."""
    api.emulator.add_member(api.audience, ANN, status="unsubscribed", changed=100)
    api.emulator.add_member(api.audience, BEN, status="unsubscribed", changed=200)
    since = "1970-01-01T00:02:30Z"

    assert api.members(status="unsubscribed", unsubscribed_since=since)["total_items"] == 1
    assert api.members(unsubscribed_since=since)["total_items"] == 2


def test_an_order_follows_every_change(api: Any) -> None:
    """A page read after a write shows the write, however it was sorted before."""
    api.emulator.add_member(api.audience, ANN, changed=100)
    api.emulator.add_member(api.audience, BEN, changed=200)
    order = {"sort_field": "last_changed", "fields": "members.email_address", "status": "subscribed"}
    before = [m["email_address"] for m in api.members(**order)["members"]]

    api.emulator.people("change_field", api.audience, ANN, merge_fields={"FNAME": "Ann"})
    after = [m["email_address"] for m in api.members(**order)["members"]]

    assert (before, after) == ([ANN, BEN], [BEN, ANN])


def test_fields_need_the_prefix_of_the_collection(api: Any) -> None:
    """A bare field name selects nothing; `exclude_fields` takes away."""
    api.emulator.add_member(api.audience, ANN, merge_fields={"FNAME": "Ann"})

    assert api.members(fields="email_address") == {}
    assert api.members(fields="members.merge_fields.FNAME,total_items") == {
        "members": [{"merge_fields": {"FNAME": "Ann"}}],
        "total_items": 1,
    }
    assert "_links" not in api.members(exclude_fields="members._links")["members"][0]
    assert api.members(exclude_fields="members") == {"list_id": api.audience, "total_items": 1}


@pytest.mark.parametrize("query", [{"status": "gone"}, {"sort_field": "name"}, {"count": "many"}])
def test_a_query_that_breaks_the_schema_is_400(api: Any, query: dict[str, str]) -> None:
    """An unknown value is refused, not ignored."""
    assert api.problem("GET", f"/lists/{api.audience}/members", **query)["title"] == "Invalid Resource"


def test_a_member_is_found_by_hash_address_and_contact_id(api: Any) -> None:
    """All three name the same member; anybody else is 404."""
    api.emulator.add_member(api.audience, ANN)
    member = api.get(url(api, ANN))

    names = [member["id"], member["id"].upper(), ANN, ANN.replace("@", "%40"), member["contact_id"]]
    found = {api.get(f"/lists/{api.audience}/members/{name}")["web_id"] for name in names}

    assert found == {member["web_id"]}
    for nobody in ("f" * 32, "c0c0" + "0" * 28, BEN, "short"):
        problem = api.problem("GET", f"/lists/{api.audience}/members/{nobody}")
        assert problem["detail"] == "The requested resource could not be found."


def test_a_member_is_created_once(api: Any) -> None:
    """A second POST of the address, in any case, is Member Exists."""
    path = f"/lists/{api.audience}/members"

    made = api.call("POST", path, {"email_address": ANN, "status": "pending", "tags": ["T"]}).json()
    problem = api.problem("POST", path, {"email_address": ANN.upper(), "status": "subscribed"})

    assert (made["status"], made["tags"][0]["name"]) == ("pending", "T")
    assert problem["title"] == "Member Exists"
    assert "is already a list member. Use PUT to insert or update list members." in problem["detail"]
    assert "status" in str(api.problem("POST", path, {"email_address": BEN}))


def test_a_post_brings_the_archived_back(api: Any) -> None:
    """For a POST they count as absent, unless the switch says otherwise."""
    api.emulator.add_member(api.audience, ANN, status="archived")
    path = f"/lists/{api.audience}/members"
    body = {"email_address": ANN, "status": "subscribed"}
    api.emulator.switch(post_unarchives=False)
    assert api.problem("POST", path, body)["title"] == "Member Exists"

    api.emulator.switch(post_unarchives=True)
    api.call("POST", path, body)

    assert api.person(ANN)["status"] == "subscribed"


def test_put_creates_with_status_if_new(api: Any) -> None:
    """Without any status it cannot; tags arrive with a new member."""
    body = {"email_address": ANN, "tags": ["T"], "merge_fields": {"FNAME": "Ann"}}
    assert "status_if_new" in str(api.problem("PUT", url(api, ANN), body))

    made = api.call("PUT", url(api, ANN), body | {"status_if_new": "subscribed"}).json()

    assert (made["status"], [tag["name"] for tag in made["tags"]]) == ("subscribed", ["T"])


def test_put_leaves_status_and_tags_of_a_member(api: Any) -> None:
    """`status_if_new` means nothing to a member; whether tags do is a switch."""
    api.emulator.add_member(api.audience, ANN, status="unsubscribed", tags=["Old"])
    body = {"email_address": ANN, "status_if_new": "subscribed", "tags": ["T"], "vip": True}

    first = api.call("PUT", url(api, ANN), body).json()
    api.emulator.switch(put_applies_tags=True)
    second = api.call("PUT", url(api, ANN), body).json()

    assert (first["status"], first["tags_count"], first["vip"]) == ("unsubscribed", 1, True)
    assert [tag["name"] for tag in second["tags"]] == ["Old", "T"]


@pytest.mark.parametrize(("switch", "status"), [(False, "archived"), (True, "subscribed")])
def test_put_and_the_archived(api: Any, switch: bool, status: str) -> None:
    """Without `status` an archived member stays archived, unless the switch says otherwise."""
    api.emulator.add_member(api.audience, ANN, status="archived")
    api.emulator.switch(put_status_if_new_unarchives=switch)

    api.call("PUT", url(api, ANN), {"email_address": ANN, "status_if_new": "subscribed"})

    assert api.person(ANN)["status"] == status


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_changed_address_keeps_the_person(api: Any, method: str) -> None:
    """Tags, merge fields, status and consent stay; the id becomes that of the new address."""
    api.emulator.add_member(
        api.audience, ANN, tags=["T"], merge_fields={"FNAME": "Ann"}, opted=1000, changed=1000
    )
    before = api.get(url(api, ANN))

    after = api.call(method, url(api, ANN), {"email_address": BEN}).json()

    kept = ("status", "tags", "merge_fields", "timestamp_opt", "contact_id", "web_id", "source")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["email_address"] == BEN
    assert after["id"] == hashlib.md5(BEN.encode()).hexdigest()
    assert api.problem("GET", url(api, ANN))["status"] == 404
    assert api.members()["total_items"] == 1


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_a_taken_address_is_refused(api: Any, method: str) -> None:
    """Member Exists, archived owners included, and nothing of the call is written."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.add_member(api.audience, BEN, status="archived")

    problem = api.problem(method, url(api, ANN), {"email_address": BEN, "merge_fields": {"FNAME": "New"}})

    assert problem["title"] == "Member Exists"
    assert api.person(ANN)["merge_fields"]["FNAME"] == ""


def test_an_address_of_a_forgotten_person_is_refused(api: Any) -> None:
    """Nobody can be moved onto it."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.add_member(api.audience, BEN)
    api.emulator.people("delete_permanent", api.audience, BEN)

    problem = api.problem("PATCH", url(api, ANN), {"email_address": BEN})

    assert problem["title"] == "Forgotten Email Not Subscribed"


def test_only_the_case_of_an_address_changes(api: Any) -> None:
    """The person is the same one, written otherwise."""
    api.emulator.add_member(api.audience, ANN)

    after = api.call("PATCH", url(api, ANN), {"email_address": ANN.upper()}).json()

    assert after["email_address"] == ANN.upper()
    assert api.members()["total_items"] == 1


def test_put_of_an_unknown_hash_with_a_known_address_is_refused(api: Any) -> None:
    """It would make a second member of the address."""
    api.emulator.add_member(api.audience, ANN)

    problem = api.problem("PUT", url(api, BEN), {"email_address": ANN, "status_if_new": "subscribed"})

    assert problem["title"] == "Member Exists"


def test_patch_changes_only_who_is_there(api: Any) -> None:
    """404 for nobody; no address needed; the compliance state holds here too."""
    assert api.problem("PATCH", url(api, ANN), {"status": "subscribed"})["status"] == 404
    api.emulator.add_member(api.audience, ANN)
    api.emulator.people("unsubscribe", api.audience, ANN)

    problem = api.problem("PATCH", url(api, ANN), {"status": "subscribed"})

    assert problem["title"] == "Member In Compliance State"
    assert api.call("PATCH", url(api, ANN), {"status": "pending"}).json()["status"] == "pending"


def test_delete_archives_once(api: Any) -> None:
    """204, then 405; a PATCH without status leaves the member archived."""
    api.emulator.add_member(api.audience, ANN)

    first = api.call("DELETE", url(api, ANN))
    again = api.problem("DELETE", url(api, ANN))
    patched = api.call("PATCH", url(api, ANN), {"merge_fields": {"FNAME": "Ann"}}).json()

    assert (first.status_code, first.content) == (204, b"")
    assert again["status"] == 405
    assert "Can not archive a contact that is bounced, pending or archived" in again["detail"]
    assert patched["status"] == "archived"
    assert api.problem("DELETE", url(api, BEN))["status"] == 404


@pytest.mark.parametrize(
    ("status", "answer"), [("pending", 405), ("cleaned", 405), ("unsubscribed", 204), ("transactional", 204)]
)
def test_who_can_be_archived(api: Any, status: str, answer: int) -> None:
    """Pending and bounced people cannot."""
    api.emulator.add_member(api.audience, ANN, status=status)

    assert api.call("DELETE", url(api, ANN)).status_code == answer


def test_a_permanent_deletion_is_for_good(api: Any) -> None:
    """204, then the member is 404 and cannot be added again by anybody but the person."""
    api.emulator.add_member(api.audience, ANN)

    assert api.call("POST", url(api, ANN) + "/actions/delete-permanent").status_code == 204

    assert api.problem("GET", url(api, ANN))["status"] == 404
    body = {"email_address": ANN, "status": "pending"}
    refused = api.problem("POST", f"/lists/{api.audience}/members", body)
    assert refused["title"] == "Forgotten Email Not Subscribed"
    api.emulator.people("sign_up", api.audience, ANN)
    assert api.get(url(api, ANN))["source"] == "Hosted Signup Form"


def test_member_tags_are_switched_by_name(api: Any) -> None:
    """Active gives and makes, inactive takes; an unknown inactive one is nothing."""
    api.emulator.add_member(api.audience, ANN, tags=["Old"])
    changes = [
        {"name": "New", "status": "active"},
        {"name": "OLD", "status": "inactive"},
        {"name": "Never", "status": "inactive"},
    ]

    answer = api.call("POST", url(api, ANN) + "/tags", {"tags": changes, "is_syncing": True})
    tags = api.get(url(api, ANN) + "/tags")

    assert answer.status_code == 204
    assert ([tag["name"] for tag in tags["tags"]], tags["total_items"]) == (["New"], 1)


def test_member_objects_show_fifty_tags_at_most(api: Any) -> None:
    """`tags_count` tells the rest."""
    api.emulator.add_member(api.audience, ANN, tags=[f"T{i}" for i in range(60)])

    member = api.get(url(api, ANN))

    assert (len(member["tags"]), member["tags_count"]) == (50, 60)


def test_the_reason_of_an_opt_out_is_told(api: Any) -> None:
    """Only unsubscribed members have `unsubscribe_reason`."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.add_member(api.audience, BEN)
    api.emulator.people("complain", api.audience, ANN)

    assert api.get(url(api, ANN))["unsubscribe_reason"] == "Abuse complaint"
    assert "unsubscribe_reason" not in api.get(url(api, BEN))
