"""Each verdict of ``explain``, over real HTTP: why, where it stopped, and what would change it."""

import pytest
from harness import AUDIENCE, address

from ci_mailchimp_pipeline.pipeline.forgetting import Forgetting

ANA = "ana@contoso-mail.internal"


def test_a_member_as_the_export_wants_it(desk):
    """Every step found the person, under the tag, and nothing needs to change."""
    desk.project.customer("c1", ANA)
    desk.run()

    found = desk.ask(ANA)

    assert (found["verdict"], found["reason"], found["customer_id"]) == ("member", None, "c1")
    assert (found["segments"], found["tags"]) == (["Vip"], ["Vip"])
    assert all(step["found"] for step in found["steps"])
    assert found["next"].startswith("nothing")


def test_any_spelling_finds_the_person(desk):
    """Upper case and white space around the address do not matter, at the source or in the question."""
    desk.project.customer("c1", " Ana@contoso-mail.internal ")
    desk.project.write()
    spellings = ("ANA@Contoso-Mail.Internal", f"  {ANA}\t", f"\u00a0{ANA}\u200b")

    assert [desk.ask(spelling)["customer_id"] for spelling in spellings] == ["c1"] * 3


def test_somebody_nobody_knows(desk):
    """No profile has the address."""
    desk.project.customer("c1", ANA)
    desk.project.write()

    found = desk.ask("nobody@contoso-mail.internal")

    assert (found["verdict"], found["reason"], found["customer_id"]) == ("not_in_source", None, None)
    assert not any(step["found"] for step in found["steps"])


def test_a_profile_that_is_gone(desk):
    """The ledger remembers whose address it was, and that the next run takes the tags off."""
    desk.project.customer("c1", ANA)
    desk.project.customers([1])
    desk.run()
    del desk.project.people["c1"]
    desk.project.write()

    found = desk.ask(ANA)

    assert (found["verdict"], found["reason"], found["customer_id"]) == ("not_in_source", "no_profile", "c1")
    assert "c1, who had it, has no profile any more" in found["steps"][0]["says"]
    assert "takes its tags off (on_exit: remove_tag)" in found["next"]


def test_an_address_that_changed(desk):
    """Asked for the old address, it says that the customer has another one, and does not show it."""
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.customer("c1", "new.ana@contoso-mail.internal")
    desk.project.write()

    done = desk.say("vip", ANA, "--json")

    assert "has another address now" in done.stdout
    assert "new.ana" not in done.output
    assert desk.verdict(ANA) == ("not_in_source", None)
    assert desk.verdict("new.ana@contoso-mail.internal") == ("member", "not_sent")
    assert "under an earlier one" in desk.step("new.ana@contoso-mail.internal", "ledger")[1]


def test_a_customer_who_is_not_in_the_segment(desk):
    """A profile outside the segment is not the same as no profile, whether it is in another one or in none."""
    desk.project.customer("c1", ANA, "News")
    desk.project.customer("c2", address(2), "News")
    desk.project.leave("c2", "News")
    desk.project.write()

    found = desk.ask(ANA)

    assert (found["verdict"], found["customer_id"], found["segments"]) == ("not_in_segment", "c1", [])
    assert found["steps"][1]["says"] == "only in News; the export has Vip"
    assert found["next"] == "put the customer into Vip at the source"
    assert desk.verdict(address(2)) == ("not_in_segment", None)
    assert desk.step(address(2), "segment")[1] == "in no segment at all; the export has Vip"


def test_excluded_by_require(desk):
    """The columns and values that ``require`` asks for are named."""
    desk.project.export("vip", require={"EmailSubscriber": True})
    desk.project.customer("c1", ANA, EmailSubscriber="false")
    desk.run()

    assert desk.verdict(ANA) == ("excluded", "require")
    assert desk.step(ANA, "frame") == (False, "excluded: require asks for EmailSubscriber = true")


def test_an_unfit_address_is_found_where_it_was_rejected(desk):
    """Even what is no address can be asked about, before and after there is a frame."""
    unfit = {"Not.An.Address": "malformed_email", "ana@example.com": "reserved_domain"}
    for number, written in enumerate(unfit):
        desk.project.customer(f"c{number}", written)
    desk.project.write()
    before = {written: desk.ask(written) for written in unfit}
    desk.run()

    for written, reason in unfit.items():
        assert (before[written]["verdict"], before[written]["reason"]) == ("rejected", reason)
        assert "--dry-run makes one" in before[written]["steps"][2]["says"]
        assert desk.verdict(f" {written.upper()} ") == ("rejected", reason)
        assert f"rejected: {reason}" in desk.step(written, "frame")[1]


def test_a_rejected_value_names_field_and_column(desk):
    """What has to be corrected is a merge tag and the column behind it."""
    desk.project.emulator.reset(
        [{"id": AUDIENCE, "merge_fields": ["FNAME", "LNAME", {"tag": "POINTS", "type": "number"}]}]
    )
    desk.project.export("vip", merge_fields={"POINTS": "Income"})
    desk.project.customer("c1", ANA, Income="plenty")
    desk.run()

    assert desk.verdict(ANA) == ("rejected", "invalid_merge_value")
    assert "POINTS (Income)" in desk.ask(ANA)["next"]


def test_two_customers_of_one_address(desk):
    """The address is a member; the frame says whose profile counts and whose is merged into it."""
    desk.project.customer("c1", "ANA@contoso-mail.internal")
    desk.project.customer("c2", ANA)
    desk.run()

    found = desk.ask(ANA)

    assert (found["verdict"], found["customer_id"]) == ("member", "c1")
    assert found["steps"][2]["says"].endswith("merged into it: c2, who have the same address")
    assert "ANA@" not in str(found)


def test_another_row_of_the_same_customer(desk):
    """A customer is one member: the row that is not kept is merged, and the other's address is not shown."""
    desk.project.customer("c1", "kept@contoso-mail.internal")
    desk.project.write()
    profiles = desk.project.folder / "data" / "profiles.csv"
    row = profiles.read_text().splitlines()[1].replace("kept@", "ana@")

    def doubled():
        config = original()
        profiles.write_text(profiles.read_text() + row + "\n")
        return config

    original, desk.project.write = desk.project.write, doubled
    desk.run()
    kept = [each for each in (ANA, "kept@contoso-mail.internal") if desk.verdict(each)[0] == "member"]
    (merged,) = {ANA, "kept@contoso-mail.internal"} - set(kept)

    found = desk.ask(merged)

    assert (found["verdict"], found["reason"], found["customer_id"]) == ("merged", None, "c1")
    assert kept[0] not in str(found)


def test_whom_nobody_may_write_to(desk):
    """The status that Mailchimp shows is the reason."""
    statuses = ("unsubscribed", "cleaned", "pending", "transactional", "archived")
    for status in statuses:
        desk.project.emulator.add_member(AUDIENCE, f"{status}@contoso-mail.internal", status=status)
        desk.project.customer(status, f"{status}@contoso-mail.internal")
    desk.run()

    for status in statuses:
        found = desk.ask(f"{status}@contoso-mail.internal")
        assert (found["verdict"], found["reason"]) == ("suppressed", status)
        assert found["steps"][4]["says"].startswith(f"{status}; ")


def test_an_opt_out_after_the_last_run(desk):
    """Mailchimp is asked now: what happened since the run counts."""
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.emulator.people("unsubscribe", AUDIENCE, ANA)

    assert desk.verdict(ANA) == ("suppressed", "unsubscribed")


@pytest.mark.parametrize("recorded", [True, False])
def test_an_opt_out_follows_to_a_new_address(desk, recorded):
    """Who opted out under an earlier address is not sent under the next, whether a run has seen it or not."""
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.emulator.people("unsubscribe", AUDIENCE, ANA)
    if recorded:
        desk.run()
    desk.project.customer("c1", "new.ana@contoso-mail.internal")
    desk.project.write()

    assert desk.verdict("new.ana@contoso-mail.internal") == ("suppressed", "opted_out_before_move")


def test_a_bounced_address_does_not_follow(desk):
    """A new address after a bounce is wanted."""
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.emulator.people("bounce", AUDIENCE, ANA)
    desk.run()
    desk.project.customer("c1", "new.ana@contoso-mail.internal")
    desk.project.write()

    assert desk.verdict("new.ana@contoso-mail.internal") == ("member", "not_sent")


@pytest.mark.both_ledgers
def test_a_temporary_refusal_says_when(desk):
    """Attempts and the time of the next try are told."""
    desk.project.emulator.switch(too_many_signups="^ana")
    desk.project.customer("c1", ANA)
    desk.run()

    found = desk.ask(ANA)

    assert (found["verdict"], found["reason"]) == ("refused", "too_many_signups")
    assert "refused it for vip once: too_many_signups, due again 20" in found["steps"][3]["says"]
    assert "tries again" in found["next"]


def test_changed_data_are_tried_again(desk):
    """A refused person whose data changed is sent with the next run."""
    desk.project.emulator.switch(too_many_signups="^ana")
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.customer("c1", ANA, FirstName="Anna")
    desk.run(dry_run=True)

    assert desk.verdict(ANA) == ("member", "not_sent")


def test_permanently_deleted_by_somebody(desk):
    """Who was deleted for good in Mailchimp can never come back by a run."""
    desk.project.emulator.add_member(AUDIENCE, ANA)
    desk.project.emulator.people("delete_permanent", AUDIENCE, ANA)
    desk.project.customer("c1", ANA)
    desk.run()

    assert desk.verdict(ANA) == ("suppressed", "forgotten")


def test_archived_by_us_may_come_back(desk):
    """A member that we archived, and nobody touched since, is brought back with the next run."""
    desk.project.export("vip", on_exit="archive")
    desk.project.customer("c1", ANA)
    desk.project.customers([1])
    desk.run()
    desk.project.leave("c1")
    desk.run()
    desk.project.segments["Vip"].append("c1")
    desk.project.write()

    assert desk.verdict(ANA) == ("member", "not_sent")
    assert "archived by us" in desk.step(ANA, "ledger")[1]


def test_what_somebody_did_in_mailchimp(desk):
    """A tag taken off, or a member deleted, is drift that a repair mends and a run does not."""
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.emulator.people("untag", AUDIENCE, ANA, tags=["Vip"])
    untagged = desk.ask(ANA)
    desk.project.emulator.people("delete_permanent", AUDIENCE, ANA)
    deleted = desk.ask(ANA)

    assert (untagged["reason"], deleted["reason"]) == ("tag_missing", "missing_in_mailchimp")
    assert all("reconcile vip --repair" in each["next"] for each in (untagged, deleted))


def test_a_source_that_moved_since_the_frame(desk):
    """The source is told as it is now, the frame as it was, and which of the two is older."""
    desk.project.customers([1])
    desk.run()
    desk.project.customer("c2", ANA)
    desk.project.write()

    found = desk.ask(ANA)

    assert (found["verdict"], found["reason"], found["segments"]) == ("member", "not_sent", ["Vip"])
    assert "of an earlier refresh" in found["steps"][2]["says"]
    assert found["next"].endswith("ci-mailchimp run vip")
    assert "earlier" not in desk.step(ANA, "source")[1]


def test_a_member_of_whom_a_newer_refresh_says_the_same(desk):
    """That the source moved does not mean that something is sent; another segment of the export does."""
    desk.project.export("vip", segments=["Vip", "News"])
    desk.project.customer("c1", ANA)
    desk.project.customer("c2", address(2))
    desk.project.customer("c3", address(3), "News")
    desk.run()
    desk.project.customer("c4", address(4))
    desk.project.segments["News"].append("c2")
    desk.project.write()

    same = desk.ask(ANA)

    assert (same["verdict"], same["reason"]) == ("member", None)
    assert "the next run decides" in same["next"]
    assert desk.verdict(address(2)) == ("member", "not_sent")


def test_a_declaration_that_changed_since_the_frame(desk):
    """A segment that was added to the export after its last run is looked up at the source."""
    desk.project.customer("c1", ANA, "News")
    desk.project.customers([1])
    desk.run()
    desk.project.export("vip", segments=["Vip", {"name": "News", "tag": "Newsletter"}])
    desk.project.write()

    found = desk.ask(ANA)

    assert (found["verdict"], found["segments"]) == ("member", ["News"])
    assert found["steps"][1]["says"] == "in News (tag Newsletter)"


def test_foreign_tags_are_counted_not_named(desk):
    """Whatever else the member carries is not this export's business."""
    desk.project.emulator.add_member(AUDIENCE, ANA, tags=["Private club", "vip"])
    desk.project.customer("c1", ANA)
    desk.run()

    found = desk.ask(ANA)

    assert found["tags"] == ["vip"]
    assert "and 1 of others" in found["steps"][4]["says"]
    assert "Private club" not in str(found)
    assert "that was there before us" in found["steps"][3]["says"]


def test_a_detached_export(desk):
    """Without a connection Mailchimp is not asked, and the next step is to give it one."""
    desk.project.customers([1])
    desk.project.export("vip", connection=None)
    desk.project.write()

    found = desk.ask(address(1))

    assert found["steps"][4]["says"] == "not asked: the export is detached"
    assert found["verdict"] == "member"


@pytest.mark.both_ledgers
def test_another_exports_hold_is_not_this_ones(desk):
    """Two exports of one audience are explained each by its own."""
    desk.project.customer("c1", ANA, "Vip", "News")
    desk.project.export("news", segments=["News"])
    desk.run("vip")

    assert desk.verdict(ANA, "vip") == ("member", None)
    assert desk.verdict(ANA, "news") == ("member", "not_sent")


@pytest.mark.parametrize("asked", [ANA, "new.ana@contoso-mail.internal"])
def test_somebody_who_was_erased(desk, asked):
    """The keyed hash is enough to say so: of the address, and of the customer whatever address they have now."""
    desk.project.customer("c1", ANA)
    desk.run()
    Forgetting(config=desk.project.write(), address=ANA, environ=desk.project.environ).carry_out()
    desk.project.customer("c1", asked)
    desk.project.write()

    found = desk.ask(asked)

    assert (found["verdict"], found["reason"]) == ("forgotten", "forgotten")
    assert found["steps"][3]["says"] == "erased on request: only a keyed hash is kept"
