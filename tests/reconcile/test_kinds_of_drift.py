"""Every kind of drift is found and counted; a repair mends what is ours, and leaves alone what is not."""

import pytest
from harness import AUDIENCE, address
from reconcile.desk import Desk, differs


def test_right_after_a_run_nothing_differs(desk: Desk) -> None:
    """Everybody is read, nobody differs, and the repair would write nothing."""
    report = desk.look()

    assert (report.read, differs(report), report.repairable, report.writes) == (10, {}, 0, 0)


def test_a_deleted_member_comes_back(desk: Desk) -> None:
    """Whom somebody deleted is missing, and is added again with their tag by the plan that was told before."""
    desk.vanish(3, 4)

    found, done = desk.look(), desk.repair()

    assert differs(found) == differs(done) == {"missing": 2}
    assert (done.repaired, done.plan_id) == (2, found.plan_id)
    assert desk.tags(3) == desk.tags(4) == ["Vip"]
    assert differs(desk.look()) == {}


def test_an_erased_member_stays_away(desk: Desk) -> None:
    """Who was permanently deleted is missing, is refused by Mailchimp, and is no drift from then on."""
    desk.people("delete_permanent", 3)

    done = desk.repair()

    assert (differs(done), done.repairable, done.repaired) == ({"missing": 1}, 1, 0)
    assert address(3) not in desk.project.members()
    assert differs(desk.look()) == {}
    assert desk.run().suppressed_reasons == {"forgotten": 1}


def test_a_missing_member_who_left_meanwhile_is_let_go(desk: Desk) -> None:
    """The newest frame does not want them: nobody is added, and the ledger forgets what it held."""
    desk.vanish(3)
    desk.project.leave("c00003")
    desk.run(dry_run=True)

    done = desk.repair()

    assert (differs(done), done.repaired) == ({"missing": 1}, 1)
    assert address(3) not in desk.project.members()
    assert differs(desk.look()) == {}


def test_a_lost_tag_is_given_back(desk: Desk) -> None:
    """Whom somebody untagged gets the tag again, in one request."""
    desk.people("untag", 3, tags=["Vip"])
    before = desk.project.writes()

    done = desk.repair()

    assert (differs(done), done.repaired, done.writes) == ({"tag_missing": 1}, 1, 1)
    assert desk.project.writes() - before == 1
    assert desk.tags(3) == ["Vip"]
    assert differs(desk.look()) == {}


def test_a_deleted_tag_is_made_anew(desk: Desk) -> None:
    """A tag that was deleted is missing from everybody, and on everybody afterwards."""
    desk.delete_tag("Vip")

    done = desk.repair()

    assert (differs(done), done.repaired) == ({"tag_missing": 10}, 10)
    assert {tuple(desk.tags(number)) for number in range(10)} == {("Vip",)}


def test_a_tag_of_ours_given_by_hand_comes_off(desk: Desk) -> None:
    """Only from members that the export holds: a stranger keeps it, and so does who had it before we used it."""
    emulator = desk.project.emulator
    emulator.people("tag", AUDIENCE, address(7), tags=["News", "Theirs"])  # before we use News
    desk.project.export("vip", segments=["Vip", "News"])
    desk.project.customers(range(20, 22), "News")
    desk.run()
    emulator.add_member(AUDIENCE, "stranger@contoso-mail.internal", tags=["Vip"])
    desk.people("tag", 3, tags=["News", "Theirs"])

    done = desk.repair()

    assert (differs(done), done.repaired) == ({"tag_extra": 1}, 1)
    assert desk.tags(3) == ["Theirs", "Vip"]
    assert desk.tags(7) == ["News", "Theirs", "Vip"]
    assert desk.project.members()["stranger@contoso-mail.internal"]["tags"] == ["Vip"]
    assert differs(desk.look()) == {}


@pytest.mark.parametrize(
    ("on_exit", "extra"), [("remove_tag", {"tag_extra": 1}), ("keep", {}), ("archive", {})]
)
def test_a_former_member_under_our_tag(desk: Desk, on_exit: str, extra: dict[str, int]) -> None:
    """Who left and is tagged by hand loses the tag where leaving takes it off, and only there; nobody is archived."""
    desk.project.leave("c00003")
    desk.run()
    desk.people("tag", 3, tags=["Vip"])
    desk.project.export("vip", on_exit=on_exit)
    desk.run()

    done = desk.repair()

    assert (differs(done), done.repaired) == (extra, len(extra))
    assert desk.tags(3) == ([] if extra else ["Vip"])
    assert desk.project.members()[address(3)]["status"] == "subscribed"
    assert differs(desk.look()) == {}


def test_a_tag_that_another_export_holds_stays(desk: Desk) -> None:
    """Two exports under one tag: what the other one gave is not extra."""
    desk.project.export("club", segments=[{"name": "Club", "tag": "Vip"}])
    desk.project.customers(range(20, 23), "Club")
    desk.project.export("vip", segments=["Vip", {"name": "More", "tag": "More"}])
    desk.project.customer("c00020", address(20), "Club", "More")
    desk.run("club")
    desk.run()

    done = desk.repair()

    assert (differs(done), desk.tags(20)) == ({}, ["More", "Vip"])


def test_a_changed_field_is_sent_again(desk: Desk) -> None:
    """Whose name somebody edited gets ours again; a field that we never filled is theirs."""
    desk.people("change_field", 3, merge_fields={"FNAME": "Edited", "CITY": "Rome"})
    desk.people("change_field", 4, merge_fields={"CITY": "Rome"})

    done = desk.repair()

    assert (differs(done), done.repaired) == ({"field_differs": 1}, 1)
    fields = desk.project.members()[address(3)]["merge_fields"]
    assert (fields["FNAME"], fields["CITY"]) == ("Firstc00003", "Rome")
    assert differs(desk.look()) == {}


def test_a_merge_field_that_nobody_maps_does_not_matter(desk: Desk) -> None:
    """The frame was not validated against it, so a field that somebody adds for other purposes is no obstacle."""
    desk.add_merge_field(tag="SHOE", name="Shoe size", type="text")
    desk.people("change_field", 3, merge_fields={"FNAME": "Edited"})

    assert desk.repair().repaired == 1


def test_data_that_changed_since_are_no_drift(desk: Desk) -> None:
    """The newest frame has other values than were sent: that is for the next run, and a repair leaves it."""
    desk.project.customer("c00003", address(3), FirstName="New", City="Rome")
    desk.run(dry_run=True)
    before = desk.project.writes()

    done = desk.repair()

    assert (differs(done), done.repairable) == ({}, 0)
    assert desk.project.writes() == before


def test_who_said_no_is_counted_and_left_alone(desk: Desk) -> None:
    """Nothing is sent to them, whatever else differs; the ledger knows from then on."""
    for number, deed in enumerate(("unsubscribe", "bounce", "archive")):
        desk.people("untag", number, tags=["Vip"])
        desk.people(deed, number)
    before = desk.project.writes()

    done = desk.repair()

    assert differs(done) == {"opted_out": 1, "cleaned": 1, "archived_elsewhere": 1}
    assert (done.repairable, desk.project.writes()) == (0, before)
    statuses = [desk.project.members()[address(number)]["status"] for number in range(3)]
    assert statuses == ["unsubscribed", "cleaned", "archived"]
    assert differs(desk.look()) == {}


def test_members_who_were_asked_to_confirm_are_no_drift(desk: Desk) -> None:
    """``new_members: pending`` made them so."""
    desk.project.export("vip", new_members="pending")
    desk.project.customers(range(20, 23))
    desk.run()

    assert differs(desk.look()) == {}


def test_a_changed_address_is_told_and_left_alone(desk: Desk) -> None:
    """Nobody is added a second time under the old address; least of all who opted out under the new one (P1)."""
    desk.people("change_address", 2, new_address="out@contoso-mail.internal")
    desk.project.emulator.people("unsubscribe", AUDIENCE, "out@contoso-mail.internal")
    desk.people("change_address", 3, new_address="new@contoso-mail.internal")
    desk.people("change_address", 4, new_address=address(4).upper())

    done = desk.repair()

    assert (differs(done), done.repairable) == ({"address_changed": 2}, 0)
    assert not {address(2), address(3)} & set(desk.project.members())


def test_somebody_alike_is_not_taken_for_somebody_gone(desk: Desk) -> None:
    """Values that two people of the frame share tell nobody: who is gone is missing."""
    for number in (3, 4):
        desk.project.customer(f"c{number:05}", address(number), FirstName="Al", LastName="Ike")
    desk.run()
    desk.people("change_address", 3, new_address="new@contoso-mail.internal")

    assert differs(desk.look()) == {"missing": 1}


def test_one_person_may_differ_in_several_ways(desk: Desk) -> None:
    """Kinds are counted apart, people once."""
    desk.people("untag", 3, tags=["Vip"])
    desk.people("change_field", 3, merge_fields={"LNAME": "Edited"})

    done = desk.repair()

    assert (differs(done), done.repairable, done.repaired) == ({"tag_missing": 1, "field_differs": 1}, 1, 1)
    assert differs(desk.look()) == {}
