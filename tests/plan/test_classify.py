"""Everyone is in exactly one place, and it is the right one."""

import hashlib
from pathlib import Path
from typing import Any

import polars as pl
import pytest


def rows(path: Path) -> list[dict[str, Any]]:
    return pl.read_parquet(path / "*.parquet").to_dicts()


def by_address(path: Path) -> dict[str, dict[str, Any]]:
    return {row.get("email_address") or row["address"]: row for row in rows(path)}


def test_a_new_person_is_added_with_all_tags(world):
    """Somebody nobody knows is upserted, counted as added, and rides one POST."""
    world.want("ada@a.internal", "VIP", "News")

    plan = world.plan()

    assert plan.counts.added == 1
    assert plan.calls.posts == plan.calls.total == 1
    assert by_address(plan.posts)["ada@a.internal"]["tags"] == ["News", "VIP"]


def test_nothing_changed_means_no_request(world):
    """A member held with the same fields and tags is unchanged and in no file."""
    world.want("ada@a.internal")
    world.held("ada@a.internal")

    plan = world.plan()

    assert plan.counts.unchanged == 1
    assert plan.writes_nothing
    assert plan.counts.is_balanced()


@pytest.mark.parametrize("status", ["unsubscribed", "cleaned", "pending", "transactional", "archived"])
def test_who_may_not_be_mailed_is_suppressed_and_never_written_to(world, status):
    """Each status that Mailchimp shows suppresses the person, whether we hold them or not."""
    world.want("new@a.internal")
    world.want("held@a.internal", first_name="Changed")
    world.held("held@a.internal")
    world.see("new@a.internal", status)
    world.see("held@a.internal", status)

    plan = world.plan()

    assert plan.counts.suppressed == 2
    assert plan.suppressed_reasons == {status: 2}
    assert plan.writes_nothing
    assert {row["reason"] for row in rows(plan.suppressed)} == {status}


def test_a_suppression_already_recorded_is_not_recorded_again(world):
    """The ledger hears of each suppression once."""
    world.want("ada@a.internal")
    world.member("ada@a.internal", state="suppressed", reason="unsubscribed", ours=False)
    world.see("ada@a.internal", "unsubscribed")

    plan = world.plan()

    assert plan.counts.suppressed == 1
    assert rows(plan.suppressed) == []


def test_somebody_who_signed_up_again_is_written_to_again(world):
    """A recorded opt-out that Mailchimp no longer shows is upserted (without status) and heals the ledger."""
    world.want("ada@a.internal")
    world.held("ada@a.internal", state="suppressed", reason="unsubscribed")

    plan = world.plan()

    assert [row["op"] for row in rows(plan.posts)] == ["upsert"]
    assert plan.counts.updated == 1


def test_a_member_archived_by_us_is_brought_back(world):
    """What we archived while it was subscribed returns, with the proof of when."""
    world.want("ada@a.internal")
    world.held("ada@a.internal", state="archived_by_us", archived_at=500.0)
    world.see("ada@a.internal", "archived", 498.0)

    plan = world.plan()

    assert [(row["op"], row["archived_at"]) for row in rows(plan.posts)] == [("return", 500.0)]
    assert plan.counts.added == 1


def test_a_member_touched_after_we_archived_it_stays_archived(world):
    """Somebody else's change after our archive is an opt-out that we must not undo."""
    world.want("ada@a.internal")
    world.held("ada@a.internal", state="archived_by_us", archived_at=500.0)
    world.see("ada@a.internal", "archived", 900.0)

    plan = world.plan()

    assert plan.suppressed_reasons == {"archived": 1}
    assert plan.writes_nothing


def test_a_changed_field_is_an_update(world):
    """Another value is an upsert of a member that exists."""
    world.want("ada@a.internal", first_name="Grace")
    world.held("ada@a.internal")

    plan = world.plan()

    assert plan.counts.updated == 1
    assert rows(plan.posts)[0]["clear"] == []


def test_a_field_that_became_empty_is_cleared_and_one_never_sent_is_not(world):
    """P11: only what we had sent is blanked."""
    world.want("had@a.internal", first_name=None)
    world.held("had@a.internal")
    world.want("never@a.internal", first_name=None)

    plan = world.plan()

    assert by_address(plan.posts)["had@a.internal"]["clear"] == ["FNAME"]
    assert by_address(plan.posts)["never@a.internal"]["clear"] == []


def test_a_single_tag_to_add_goes_the_cheaper_way(world):
    """One member lacking one tag costs one request either way and rides a POST."""
    world.want("ada@a.internal", "VIP", "News")
    world.held("ada@a.internal", "VIP")

    plan = world.plan()

    assert plan.calls.total == 1
    assert plan.counts.updated == 1
    assert plan.counts.tags_added == 1


def test_adds_share_the_call_that_removes(world):
    """Adding and removing the same tag costs one call for both."""
    world.want("joins@a.internal", "VIP", "News")
    world.held("joins@a.internal", "VIP")
    world.want("leaves@a.internal", "VIP")
    world.held("leaves@a.internal", "VIP", "News")

    plan = world.plan()

    assert plan.calls.total == plan.calls.tag_calls == 1
    assert {(row["action"], row["tag_key"]) for row in rows(plan.tags)} == {
        ("add", "news"),
        ("remove", "news"),
    }
    assert (plan.counts.tags_added, plan.counts.tags_removed) == (1, 1)


def test_who_left_loses_the_tag(world):
    """remove_tag: the member stays, without our tag."""
    world.held("gone@a.internal", "VIP")

    plan = world.plan()

    assert by_address(plan.leaving)["gone@a.internal"]["op"] == "untag"
    assert [(row["tag_key"], row["leaving"], row["last_one"]) for row in rows(plan.tags)] == [
        ("vip", True, True)
    ]
    assert (plan.counts.exited, plan.counts.tags_removed) == (1, 1)


def test_keep_only_lets_go(world):
    """keep: no request, and the export no longer holds the member."""
    world.held("gone@a.internal", "VIP")

    plan = world.plan(on_exit="keep")

    assert by_address(plan.leaving)["gone@a.internal"]["op"] == "release"
    assert plan.writes_nothing
    assert plan.counts.exited == 1


def test_archive_takes_out_only_what_we_brought_in_and_nobody_else_holds(world):
    """A member from before us, or one that another export holds, is never archived."""
    world.held("ours@a.internal")
    world.held("before_us@a.internal", ours=False)
    world.held("shared@a.internal")
    world.hold("shared@a.internal", "Other", export="other")

    plan = world.plan(on_exit="archive")

    assert {address: row["op"] for address, row in by_address(plan.leaving).items()} == {
        "ours@a.internal": "archive",
        "before_us@a.internal": "untag",
        "shared@a.internal": "untag",
    }
    assert (plan.counts.exited, plan.counts.archived, plan.calls.archives) == (3, 1, 1)


def test_a_tag_another_export_holds_stays(world):
    """Two exports with one tag: the first to let go does not take it away."""
    world.held("shared@a.internal", "VIP")
    world.hold("shared@a.internal", "vip", export="other")

    plan = world.plan()

    assert by_address(plan.leaving)["shared@a.internal"]["op"] == "release"
    assert plan.writes_nothing


def test_a_tag_the_member_had_before_us_stays(world):
    """Present members of a tag stay foreign: leaving does not take the tag off them."""
    world.held("before@a.internal", "VIP")
    world.rows["foreign_tags"].append(
        {"tag_key": "vip", "subscriber_hash": hashlib.md5(b"before@a.internal").digest()}
    )

    plan = world.plan()

    assert plan.writes_nothing
    assert plan.counts.exited == 1


def test_a_wanted_member_keeps_a_dropped_tag_that_others_hold(world):
    """Leaving one of two segments does not remove a tag that another export or the past put there."""
    world.want("ada@a.internal", "VIP")
    world.held("ada@a.internal", "VIP", "News")
    world.hold("ada@a.internal", "news", export="other")

    plan = world.plan()

    assert [(row["tag_key"], row["action"]) for row in rows(plan.tags)] == [("news", "disown")]
    assert plan.writes_nothing
    assert plan.counts.unchanged == plan.counts.accepted
    assert plan.writes_nothing


def test_rejected_people_have_not_left(world):
    """A bad row in the source loses nothing: what we hold on the person stays."""
    world.held("ada@a.internal", customer="c1")
    world.rows["rejected"].append(
        {"row": 1, "customer_id": "c1", "reason": "no_email", "field": None, "email_address": None}
    )

    plan = world.plan()

    assert plan.counts.exited == 0
    assert plan.writes_nothing


def test_an_opt_out_that_left_is_not_written_to(world):
    """Leaving does not make an opted-out member writable."""
    world.held("gone@a.internal")
    world.see("gone@a.internal", "unsubscribed")

    plan = world.plan(on_exit="archive")

    assert plan.writes_nothing
    assert rows(plan.leaving) == []


def test_an_archive_whose_answer_was_lost_is_recognised(world):
    """A member found archived after our unfinished run began was archived by us."""
    world.held("gone@a.internal")
    world.see("gone@a.internal", "archived", 800.0)

    assert [row["op"] for row in rows(world.plan(on_exit="archive", unfinished_since=790.0).leaving)] == [
        "archived_already"
    ]
    assert rows(world.plan(on_exit="archive").leaving) == []


def test_a_changed_address_is_moved(world):
    """P10: the member keeps its history under the new address."""
    world.want("new@a.internal", customer="c1")
    world.held("old@a.internal", customer="c1")

    plan = world.plan()

    assert plan.counts.moved == 1
    assert plan.calls.total == plan.calls.moves == 1
    assert rows(plan.leaving) == []
    assert rows(plan.moves)[0]["old_address"] == "old@a.internal"


def test_a_move_takes_its_tags_along(world):
    """Tags wanted beyond those already on the member are added after the move."""
    world.want("new@a.internal", "VIP", "News", customer="c1")
    world.held("old@a.internal", "VIP", "Old", customer="c1")

    plan = world.plan()

    assert plan.counts.tags_added == 1
    assert plan.calls.moves == 1
    assert {(row["action"], row["tag_key"]) for row in rows(plan.tags)} >= {("remove", "old")}


@pytest.mark.parametrize("status", ["unsubscribed", "archived", "pending", "transactional"])
def test_an_opt_out_follows_the_person_to_a_new_address(world, status):
    """Changing the address in the source does not undo an opt-out, and is decided afresh every time."""
    world.want("new@a.internal", customer="c1")
    world.held("old@a.internal", customer="c1")
    world.see("old@a.internal", status)

    plan = world.plan()

    assert plan.suppressed_reasons == {"opted_out_before_move": 1}
    assert plan.writes_nothing
    assert rows(plan.suppressed) == []


def test_a_bounced_address_is_replaced_by_the_new_one(world):
    """A bounce belongs to the address, not to the person."""
    world.want("new@a.internal", customer="c1")
    world.held("old@a.internal", customer="c1")
    world.see("old@a.internal", "cleaned")

    plan = world.plan()

    assert plan.counts.added == 1


def test_an_address_somebody_else_still_has_is_not_moved(world):
    """Two customers shared an address; the one who leaves gets a member of their own."""
    world.want("new@a.internal", customer="c1")
    world.want("shared@a.internal", customer="c2")
    world.held("shared@a.internal", customer="c1")

    plan = world.plan()

    assert (plan.counts.added, plan.counts.moved, plan.counts.unchanged) == (1, 0, 1)


def test_a_permanent_refusal_waits_for_other_data(world):
    """Same data: not sent again. Other data: sent at once."""
    world.want("same@a.internal")
    world.want("other@a.internal", first_name="Grace")
    world.refuse("same@a.internal", "permanent", "fake_address")
    world.refuse("other@a.internal", "permanent", "fake_address")

    plan = world.plan()

    assert (plan.counts.refused, plan.counts.added) == (1, 1)
    assert plan.refused_reasons == {"fake_address": 1}


def test_a_temporary_refusal_is_tried_again_when_due(world):
    """Before its time it counts as refused, after it the person is sent."""
    world.want("ada@a.internal")
    world.refuse("ada@a.internal", "temporary", "too_many_signups", retry_at=2_000.0)

    assert world.plan(now=1_999.0).counts.refused == 1
    assert world.plan(now=2_001.0).counts.added == 1


def test_a_compliance_answer_suppresses_for_good(world):
    """What Mailchimp calls a compliance state is an opt-out, whatever the data say later."""
    world.want("ada@a.internal", first_name="Grace")
    world.refuse("ada@a.internal", "suppress", "compliance")

    plan = world.plan()

    assert plan.suppressed_reasons == {"compliance": 1}
    assert plan.writes_nothing


def test_a_profile_that_vanished_is_told_apart(world):
    """An exit like any other, reported as profile_gone."""
    world.held("gone@a.internal", customer="c-gone")
    world.held("left@a.internal", customer="c-left")
    world.rows["customers"].append({"customer_key": hashlib.md5(b"c-left").digest()})

    plan = world.plan()

    assert plan.exit_reasons == {"left_segment": 1, "profile_gone": 1}


def test_a_member_known_to_be_subscribed_already_is_updated_not_added(world):
    """Somebody who was in the audience before us exists; the plan says so when it knows."""
    world.want("before@a.internal")
    world.see("before@a.internal", "subscribed")

    plan = world.plan()

    assert (plan.counts.added, plan.counts.updated) == (0, 1)


def test_the_plan_id_names_the_operations_and_nothing_else(world):
    """Same operations, same id, whenever it is planned; one more person, another id."""
    world.want("ada@a.internal")
    first = world.plan()

    assert world.plan(now=9_999.0).plan_id == first.plan_id

    world.want("bob@a.internal")

    assert world.plan().plan_id != first.plan_id
