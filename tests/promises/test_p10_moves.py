"""P10: converges on the person."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import meanwhile, member, quiet, run

ADA, BEN, CLEO = address(1), address(2), address(3)
NEW = "ada.new@contoso-mail.internal"


def requests(project: Project, method: str) -> int:
    return sum(request["method"] == method for request in project.emulator.writes())


def names_and_tags(project: Project) -> dict[str, tuple[str, list[str]]]:
    return {who: (there["merge_fields"]["FNAME"], there["tags"]) for who, there in project.members().items()}


def test_a_changed_address_moves_the_member_with_all_it_had(project):
    """One request; foreign tags and unmapped fields stay; nobody is added, nobody leaves."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("tag", AUDIENCE, ADA, tags=["Theirs"])
    project.emulator.people("change_field", AUDIENCE, ADA, merge_fields={"CITY": "Ghent"})
    project.customer("c00001", NEW)
    before = project.writes()

    report = run(project)

    assert (report.counts.moved, report.counts.exited, report.counts.added) == (1, 0, 0)
    assert project.writes() - before == report.writes == requests(project, "PUT") == 1
    assert set(project.members()) == {NEW, BEN}
    assert member(project, NEW) == {
        "status": "subscribed",
        "tags": ["Theirs", "Vip"],
        "merge_fields": {"FNAME": "Firstc00001", "LNAME": "Lastc00001", "CITY": "Ghent"},
    }
    quiet(project)


def test_a_move_with_other_fields_and_tags_brings_them(project):
    """Address, name and tags change at once: one member, the new name, tags gained and lost."""
    project.export("vip", segments=["Vip", "Gold", "Old"])
    project.customer("c00001", ADA, "Vip", "Old")
    project.customers([2], "Gold", "Old")
    run(project)
    project.customer("c00001", NEW, "Vip", "Gold", FirstName="Changed")

    report = run(project)

    assert (report.counts.moved, report.counts.tags_added, report.counts.tags_removed) == (1, 1, 1)
    assert names_and_tags(project)[NEW] == ("Changed", ["Gold", "Vip"])
    assert set(project.members()) == {NEW, BEN}
    quiet(project)


def test_only_the_capitals_of_an_address_change_nothing(project):
    """It is the same address: no move, no request."""
    project.customers([1, 2])
    run(project)
    project.customer("c00001", ADA.upper())

    assert quiet(project).counts.unchanged == 2


def test_a_move_there_and_back_ends_where_it_began(project):
    """The earlier address is free again, and the person returns to it."""
    project.customers([1, 2])
    run(project)
    before = project.members()
    for where in (NEW, ADA, NEW, ADA):
        project.customer("c00001", where)
        assert run(project).counts.moved == 1

    assert project.members() == before
    quiet(project)


def test_a_move_to_somebody_of_the_audience_lets_the_old_address_go(project):
    """The new address is a member already, foreign or ours: that one is updated, the old one loses the tag."""
    project.emulator.add_member(AUDIENCE, CLEO, tags=["Theirs"], merge_fields={"FNAME": "Foreign"})
    project.customers([1, 2, 4])
    run(project)
    project.customer("c00001", CLEO)
    project.customer("c00002", address(4))

    report = run(project)

    assert (report.counts.moved, report.counts.exited, report.counts.merged) == (0, 2, 1)
    assert names_and_tags(project) == {
        ADA: ("Firstc00001", []),
        BEN: ("Firstc00002", []),
        CLEO: ("Firstc00001", ["Theirs", "Vip"]),
        address(4): ("Firstc00002", ["Vip"]),
    }
    quiet(project)


@pytest.mark.parametrize("on_exit", ["remove_tag", "archive", "keep"])
def test_a_move_to_somebody_who_came_in_that_moment_is_not_lost(project, on_exit):
    """The new address signed up after we looked: the person is updated there, and the old member is let go."""
    project.export("vip", on_exit=on_exit)
    project.customers([1, 2])
    run(project)
    project.customer("c00001", NEW)

    report = run(
        project, client=meanwhile("PUT", "members", lambda: project.emulator.people("sign_up", AUDIENCE, NEW))
    )

    assert (report.counts.moved, report.counts.updated) == (0, 1)
    assert names_and_tags(project)[NEW] == ("Firstc00001", ["Vip"])
    assert member(project, ADA)["status"] == ("archived" if on_exit == "archive" else "subscribed")
    assert member(project, ADA)["tags"] == ([] if on_exit == "remove_tag" else ["Vip"])
    quiet(project)


def test_a_move_of_somebody_who_is_gone_adds_the_person_once(project):
    """The old member was deleted in Mailchimp: the person is added under the new address, and that is all."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("delete_permanent", AUDIENCE, ADA)
    project.customer("c00001", NEW)

    report = run(project)

    assert report.counts.added == 1
    assert set(project.members()) == {NEW, BEN}
    quiet(project)


def test_two_customers_who_swap_their_addresses_get_each_others_data(project):
    """Both addresses stay members; each gets the data of who has it now."""
    project.customers([1, 2])
    run(project)
    project.customer("c00001", BEN)
    project.customer("c00002", ADA)

    report = run(project)

    assert report.counts.exited == 0
    assert names_and_tags(project) == {ADA: ("Firstc00002", ["Vip"]), BEN: ("Firstc00001", ["Vip"])}
    quiet(project)


@pytest.mark.both_ledgers
def test_a_chain_of_addresses_ends_with_everybody_at_their_own(project):
    """One takes the address that another gave up in the same refresh: all are reached, the freed one is let go."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.customer("c00001", BEN)
    project.customer("c00002", CLEO)

    run(project)

    assert names_and_tags(project)[BEN] == ("Firstc00001", ["Vip"])
    assert names_and_tags(project)[CLEO] == ("Firstc00002", ["Vip"])
    assert [who for who, there in project.members().items() if there["status"] == "subscribed"] == [BEN, CLEO]
    quiet(project)


def test_two_customers_who_become_one_are_one_member(project):
    """Merged upstream: one profile, one member; the other address is let go."""
    project.customers([1, 2])
    run(project)
    del project.people["c00002"]
    project.leave("c00002")
    project.customer("c00001", ADA, FirstName="Both")

    report = run(project)

    assert (report.counts.updated, report.counts.exited) == (1, 1)
    assert names_and_tags(project) == {ADA: ("Both", ["Vip"]), BEN: ("Firstc00002", [])}
    quiet(project)


def test_a_move_that_mailchimp_refuses_leaves_the_member_where_it_is(project):
    """The new address is refused: the old member keeps its tag, on the run that tried and on the next."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    there = member(project, ADA)
    project.emulator.add_member(AUDIENCE, NEW)
    project.emulator.people("delete_permanent", AUDIENCE, NEW)
    project.customer("c00001", "ada@contoso-mail.internal")
    project.emulator.fail("other_json", match="^PUT", times=None)
    failed = project.run()
    project.emulator.heal()

    report = run(project)

    assert failed.status == "failed"
    assert report.counts.moved + report.counts.added == 1
    assert member(project, "ada@contoso-mail.internal")["tags"] == there["tags"]


def test_a_refused_move_is_stable(project):
    """Refused for a value that only Mailchimp knows to be wrong: nothing leaves, and nothing is sent again."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    there = member(project, ADA)
    project.customer("c00001", NEW)

    def demand_a_field() -> None:
        world = project.emulator.state()
        world["audiences"][0]["merge_fields"].append(
            {"tag": "NEEDED", "name": "Needed", "type": "text", "required": True}
        )
        project.emulator.reset(world["audiences"], switches={"record_bodies": True})

    def demand_it_no_longer() -> None:
        world = project.emulator.state()
        fields = world["audiences"][0]["merge_fields"]
        world["audiences"][0]["merge_fields"] = [each for each in fields if each["tag"] != "NEEDED"]
        project.emulator.reset(world["audiences"], switches={"record_bodies": True})

    refused = run(project, client=meanwhile("PUT", "members", demand_a_field))
    demand_it_no_longer()

    assert refused.refused_reasons == {"invalid_merge_value": 1}
    assert quiet(project).counts.exited == 0
    assert member(project, ADA) == there


@pytest.mark.parametrize("fault", ["reset_after", "500_after", "cut", "empty", "not_json", "timeout_after"])
def test_a_move_whose_answer_was_lost_is_a_move(project, fault):
    """Done, and nobody told us: the second try finds it done, and the person is not added beside themselves."""
    project.customers([1, 2])
    run(project)
    project.customer("c00001", NEW)
    project.emulator.fail(fault, match="^PUT", seconds=0.01)

    report = run(project)

    assert report.counts.moved == 1
    assert set(project.members()) == {NEW, BEN}
    quiet(project)


@pytest.mark.both_ledgers
def test_another_export_of_the_audience_follows_the_move(project):
    """One export moves the member; the other holds it under the new address and has nothing to do."""
    project.export("news", segments=["News"])
    project.customers([1, 2], "Vip", "News")
    for name in ("vip", "news"):
        run(project, name)
    project.customer("c00001", NEW, "Vip", "News")
    run(project, "vip")

    quiet(project, "news")

    assert names_and_tags(project) == {
        NEW: ("Firstc00001", ["News", "Vip"]),
        BEN: ("Firstc00002", ["News", "Vip"]),
    }


def test_somebody_else_may_take_the_address_that_was_given_up(project):
    """A new customer has the old address of one who moved: two members, each with their own data."""
    project.customers([1, 2])
    run(project)
    project.customer("c00001", NEW)
    run(project)
    project.customer("c00009", ADA)

    run(project)

    assert names_and_tags(project) == {
        NEW: ("Firstc00001", ["Vip"]),
        BEN: ("Firstc00002", ["Vip"]),
        ADA: ("Firstc00009", ["Vip"]),
    }
    quiet(project)


def test_a_member_archived_by_us_is_not_moved_but_the_person_is_found(project):
    """Left, archived, and back in the segment with another address: added there; the archived one rests."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.leave("c00001")
    run(project)
    project.customer("c00001", NEW)

    report = run(project)

    assert report.counts.added == 1
    assert member(project, NEW)["status"] == "subscribed"
    assert member(project, ADA)["status"] == "archived"
    quiet(project)
