"""Tags, which are static segments, and saved segments."""

from typing import Any

import pytest

ANN = "ann@contoso-mail.internal"
BEN = "ben@contoso-mail.internal"


def segments(api: Any) -> str:
    """The path of the audience's segments."""
    return f"/lists/{api.audience}/segments"


def tag(api: Any, name: str = "VIP", *addresses: str) -> str:
    """Make a tag; its path."""
    made = api.call("POST", segments(api), {"name": name, "static_segment": list(addresses)}).json()
    return f"{segments(api)}/{made['id']}"


def test_a_tag_is_a_static_segment_of_the_same_id(api: Any) -> None:
    """What the 500-member call creates by name is found among the segments."""
    member = api.upsert(
        {"email_address": ANN, "status": "subscribed", "tags": ["VIP"]},
    )["new_members"][0]

    (segment,) = api.get(segments(api), type="static")["segments"]

    assert (segment["id"], segment["name"]) == (member["tags"][0]["id"], "VIP")
    assert (segment["type"], segment["member_count"]) == ("static", 1)


def test_segments_come_ten_a_page(api: Any) -> None:
    """The default page is not the whole; the type filter tells tags from saved segments."""
    for number in range(12):
        tag(api, f"T{number}")
    api.call("POST", segments(api), {"name": "Saved", "options": {"match": "any", "conditions": []}})

    page = api.get(segments(api))
    saved = api.get(segments(api), type="saved", count=1000)

    assert (len(page["segments"]), page["total_items"]) == (10, 13)
    assert [segment["name"] for segment in saved["segments"]] == ["Saved"]
    assert api.get(segments(api), type="static", count=1000)["total_items"] == 12


def test_a_tag_can_begin_with_members(api: Any) -> None:
    """Addresses that are not members are ignored; a second tag of the name is refused."""
    api.emulator.add_member(api.audience, ANN)

    path = tag(api, "VIP", ANN, BEN)

    assert api.get(path)["member_count"] == 1
    problem = api.problem("POST", segments(api), {"name": "vip", "static_segment": []})
    assert problem["detail"] == "Sorry, that tag already exists."


@pytest.mark.parametrize(
    "body", [{"static_segment": []}, {"name": "VIP"}, {"name": " ", "static_segment": []}]
)
def test_a_segment_needs_a_name_and_a_kind(api: Any, body: dict[str, Any]) -> None:
    """Neither may be missing."""
    assert api.problem("POST", segments(api), body)["title"] == "Invalid Resource"


def test_adds_and_removes_share_a_call(api: Any) -> None:
    """The answer tells who was added and removed; who already was or was not is not counted."""
    for address in (ANN, BEN):
        api.emulator.add_member(api.audience, address)
    path = tag(api, "VIP", ANN)

    answer = api.call("POST", path, {"members_to_add": [BEN.upper(), ANN], "members_to_remove": [ANN]}).json()

    assert [member["email_address"] for member in answer["members_added"]] == [BEN]
    assert [member["email_address"] for member in answer["members_removed"]] == [ANN]
    assert (answer["total_added"], answer["total_removed"], answer["error_count"]) == (1, 1, 0)
    assert (api.person(ANN)["tags"], api.person(BEN)["tags"]) == ([], ["VIP"])


def test_unknown_and_opted_out_addresses_are_error_rows(api: Any) -> None:
    """They are listed in groups, the others are served."""
    api.emulator.add_member(api.audience, ANN)
    for status in ("unsubscribed", "cleaned", "archived", "pending"):
        api.emulator.add_member(api.audience, f"{status}@contoso-mail.internal", status=status)
    path = tag(api)
    held = api.emulator.members(api.audience)

    answer = api.call("POST", path, {"members_to_add": [*held, BEN]}).json()

    failed = {address.partition("@")[0] for row in answer["errors"] for address in row["email_addresses"]}
    assert failed == {"unsubscribed", "cleaned", "archived", "ben"}
    assert (answer["total_added"], answer["error_count"]) == (2, 4)


@pytest.mark.parametrize(
    ("switches", "added", "errors"),
    [
        ({"static_segment_unsubscribed": "ignore"}, 0, 1),
        ({"static_segment_unsubscribed": "accept"}, 1, 1),
        ({"static_segment_unknown": "ignore"}, 0, 1),
    ],
)
def test_how_they_are_treated_is_an_open_question(
    api: Any, switches: dict[str, str], added: int, errors: int
) -> None:
    """Unsubscribed people may be ignored or tagged, unknown ones ignored."""
    api.emulator.add_member(api.audience, ANN, status="unsubscribed")
    api.emulator.switch(**switches)

    answer = api.call("POST", tag(api), {"members_to_add": [ANN, BEN]}).json()

    assert (answer["total_added"], answer["error_count"]) == (added, errors)


@pytest.mark.parametrize("side", ["members_to_add", "members_to_remove"])
def test_more_than_500_addresses_are_refused(api: Any, side: str) -> None:
    """500 in each of the two lists is the most."""
    path = tag(api)
    people = [f"p{i}@contoso-mail.internal" for i in range(501)]

    problem = api.problem("POST", path, {side: people})
    both = api.call("POST", path, {"members_to_add": people[:500], "members_to_remove": people[:500]})

    assert "at most 500 items in members_to_add field or members_to_remove field" in problem["detail"]
    assert both.status_code == 200


def test_an_empty_list_empties_a_tag(api: Any) -> None:
    """PATCH with `static_segment` replaces all members: the reason a client must not use it."""
    api.emulator.add_members(
        api.audience, [{"email_address": ANN, "tags": ["VIP"]}, {"email_address": BEN, "tags": ["Other"]}]
    )
    path = f"{segments(api)}/{api.get(segments(api))['segments'][0]['id']}"

    replaced = api.call("PATCH", path, {"static_segment": [BEN]}).json()
    people = api.emulator.members(api.audience)
    emptied = api.call("PATCH", path, {"static_segment": []}).json()

    assert (replaced["member_count"], people[ANN]["tags"], people[BEN]["tags"]) == (1, [], ["Other", "VIP"])
    assert emptied["member_count"] == 0


def test_a_tag_is_renamed(api: Any) -> None:
    """Under the new name it is the same tag; the name of another is refused."""
    path = tag(api, "VIP", ANN)
    tag(api, "Other")

    assert api.problem("PATCH", path, {"name": "OTHER"})["detail"] == "Sorry, that tag already exists."
    renamed = api.call("PATCH", path, {"name": "Best"}).json()

    assert (renamed["name"], f"{segments(api)}/{renamed['id']}") == ("Best", path)


def test_a_deleted_tag_is_off_everybody(api: Any) -> None:
    """204, and the name is free again."""
    api.emulator.add_member(api.audience, ANN, tags=["VIP", "Other"])
    vip = next(s for s in api.get(segments(api))["segments"] if s["name"] == "VIP")

    assert api.call("DELETE", f"{segments(api)}/{vip['id']}").status_code == 204

    assert api.person(ANN)["tags"] == ["Other"]
    assert api.problem("GET", f"{segments(api)}/{vip['id']}")["status"] == 404
    tag(api, "VIP")


def test_a_saved_segment_takes_no_members(api: Any) -> None:
    """Mailchimp's misleading text for it; an id that is not there is 404."""
    saved = {"name": "Saved", "options": {"match": "any", "conditions": []}}
    made = api.call("POST", segments(api), saved).json()

    problem = api.problem("POST", f"{segments(api)}/{made['id']}", {"members_to_add": [ANN]})

    assert problem["detail"] == f"A Static Segment with an id of {made['id']} does not exist for this list."
    assert api.problem("POST", f"{segments(api)}/999", {})["status"] == 404
    assert api.problem("POST", f"{segments(api)}/abc", {})["status"] == 404


def test_the_members_of_a_tag(api: Any) -> None:
    """Who may not be mailed is left out unless included; archived members always are."""
    statuses = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived")
    for status in statuses:
        api.emulator.add_member(api.audience, f"{status}@contoso-mail.internal", status=status, tags=["VIP"])
    path = f"/segments/{api.get(segments(api))['segments'][0]['id']}"

    def found(**query: Any) -> set[str]:
        return {member["status"] for member in api.members(path, **query)["members"]}

    assert found() == {"subscribed", "pending"}
    assert found(include_unsubscribed="true") == {"subscribed", "pending", "unsubscribed"}
    assert found(include_cleaned="true", include_transactional="true") == {
        "subscribed",
        "pending",
        "cleaned",
        "transactional",
    }
    api.emulator.people("unsubscribe", api.audience, "subscribed@contoso-mail.internal")
    assert found() == {"pending"}
    assert api.members(path, count=1, include_unsubscribed="true")["total_items"] == 3


def test_only_active_members_are_counted(api: Any) -> None:
    """`member_count` follows every change of status and tag."""
    api.emulator.add_member(api.audience, ANN, tags=["VIP"])
    path = f"{segments(api)}/{api.get(segments(api))['segments'][0]['id']}"
    counts = [api.get(path)["member_count"]]

    for action in ("unsubscribe", "resubscribe", "archive"):
        api.emulator.people(action, api.audience, ANN)
        counts.append(api.get(path)["member_count"])

    assert counts == [1, 0, 1, 0]


def test_tags_are_searched_by_prefix(api: Any) -> None:
    """Ten by default, whatever their case."""
    for number in range(12):
        tag(api, f"News {number:02}")
    tag(api, "Other")

    found = api.get(f"/lists/{api.audience}/tag-search", name="nEWS")

    assert (len(found["tags"]), found["total_items"]) == (10, 12)
    assert api.get(f"/lists/{api.audience}/tag-search", name="oth")["tags"][0]["name"] == "Other"
