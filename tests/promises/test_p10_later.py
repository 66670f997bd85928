"""P10 and P1 some refreshes later: ids that changed upstream, and answers that nobody heard."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import member, quiet, run
from properties.crashes import Crash, CrashAt

ADA = address(1)
NEW = "ada.new@contoso-mail.internal"


def rename(project: Project, old: str, new: str) -> None:
    """Give a customer another id; everything else stays."""
    row = project.people.pop(old)
    project.leave(old)
    project.customer(new, row.pop("EMail"), **row)


@pytest.mark.parametrize("segments", [["Vip"], ["Vip", "Gold"]])
def test_a_customer_whose_id_changed_is_moved_when_the_address_changes(project, segments):
    """Nothing has to be sent for the new id, and the next address still finds the member."""
    project.customers([1], "Vip")
    project.customers([2], "Vip", "Gold")
    run(project)
    rename(project, "c00001", "k1")
    project.export("vip", segments=segments)
    renamed = run(project)
    project.customer("k1", NEW)

    report = run(project)

    assert renamed.counts.added == 0
    assert (report.counts.moved, report.counts.added, report.counts.exited) == (1, 0, 0)
    assert ADA not in project.members()


def test_an_opt_out_follows_a_customer_whose_id_changed(project):
    """Opted out, then renamed upstream, then moved: three refreshes later still not mailed."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("unsubscribe", AUDIENCE, ADA)
    quiet(project)
    rename(project, "c00001", "k1")
    quiet(project)
    project.customer("k1", NEW)

    report = quiet(project)

    assert report.suppressed_reasons == {"opted_out_before_move": 1}
    assert NEW not in project.members()


def test_who_confirmed_before_the_run_was_repeated_stops_nothing(project):
    """Asked to confirm by a run that died unheard; the person did; the next run takes them as they are."""
    project.export("vip", new_members="pending")
    project.customers([1])
    with pytest.raises(Crash):
        project.run(client=CrashAt(1, after_sending=True))
    project.emulator.people("confirm", AUDIENCE, ADA)

    report = run(project)

    assert report.warnings == ()
    assert member(project, ADA)["status"] == "subscribed"
    quiet(project)


@pytest.mark.parametrize("segments", [["Vip"], ["Vip", "Gold"]])
def test_a_move_that_nobody_heard_of_brings_what_changed_since(project, segments):
    """Moved by a run that died; then the name changes; the next run finds the move done and sends the name."""
    project.customers([1], *segments)
    project.customers([2], "Vip", "Gold")
    run(project)
    project.export("vip", segments=["Vip", "Gold"])
    project.customer("c00001", NEW, *segments)
    with pytest.raises(Crash):
        project.run(client=CrashAt(1, after_sending=True))
    project.customer("c00001", NEW, "Vip", "Gold", FirstName="Changed")

    report = run(project)

    assert report.counts.moved == 1
    assert member(project, NEW)["merge_fields"]["FNAME"] == "Changed"
    assert member(project, NEW)["tags"] == ["Gold", "Vip"]
    quiet(project)


@pytest.mark.parametrize("on_exit", ["remove_tag", "archive", "keep"])
def test_a_move_to_an_erased_address_lets_the_old_one_go_at_once(project, on_exit):
    """Mailchimp never takes the new address again: suppressed, and the old member goes in the same run."""
    project.export("vip", on_exit=on_exit)
    project.customers([1, 2])
    run(project)
    project.emulator.add_member(AUDIENCE, NEW)
    project.emulator.people("delete_permanent", AUDIENCE, NEW)
    project.customer("c00001", NEW)

    report = run(project)

    assert report.suppressed_reasons == {"forgotten": 1}
    assert report.counts.exited == 1
    assert member(project, ADA)["status"] == ("archived" if on_exit == "archive" else "subscribed")
    assert member(project, ADA)["tags"] == ([] if on_exit == "remove_tag" else ["Vip"])
    quiet(project)


def test_who_was_erased_and_signs_up_again_is_a_member_like_others(project):
    """Refused for good until the person comes by themselves; then they get their data, whoever else is wanted."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("delete_permanent", AUDIENCE, ADA)
    project.customer("c00001", ADA, FirstName="Changed")
    refused = run(project)
    project.emulator.people("sign_up", AUDIENCE, ADA)

    report = run(project)

    assert refused.suppressed_reasons == {"forgotten": 1}
    assert report.counts.updated == 1
    assert member(project, ADA)["tags"] == ["Vip"]
    quiet(project)


def test_who_took_the_new_address_meanwhile_does_not_become_ours(project):
    """A move that was never sent, the old member erased, somebody else at the new address: never archived by us."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.customer("c00001", NEW)
    with pytest.raises(Crash):
        project.run(client=CrashAt(1, after_sending=False))
    project.emulator.people("delete_permanent", AUDIENCE, ADA)
    project.emulator.add_member(AUDIENCE, NEW, tags=["Theirs"], opted=1_000)
    run(project)
    project.leave("c00001")

    report = run(project)

    assert report.counts.archived == 0
    assert member(project, NEW)["status"] == "subscribed"
    assert member(project, NEW)["tags"] == ["Theirs"]
    quiet(project)


def test_an_opt_out_follows_one_of_two_who_shared_the_address(project):
    """Two customers at one address that opted out; one gets another: not mailed there, on this run and the next."""
    project.customer("a", ADA)
    project.customer("b", ADA)
    project.customers([2])
    run(project)
    project.emulator.people("unsubscribe", AUDIENCE, ADA)
    project.customer("a", NEW)

    for _ in range(2):
        assert quiet(project).suppressed_reasons == {"opted_out_before_move": 1, "unsubscribed": 1}
    assert NEW not in project.members()


def test_an_opt_out_follows_a_customer_of_another_export_too(project):
    """The other export of the audience, which wants only who kept the address, does not cut the thread."""
    project.export("news", segments=["News"])
    project.customer("a", ADA)
    project.customer("b", ADA, "Vip", "News")
    project.customers([2])
    run(project)
    run(project, "news")
    project.customer("a", ADA, FirstName="Changed")
    run(project)
    project.emulator.people("unsubscribe", AUDIENCE, ADA)
    project.customer("a", NEW)

    for export in ("news", "vip", "news", "vip"):
        quiet(project, export)

    assert NEW not in project.members()
