"""P2: only what is ours."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import bodies, member, quiet, run

ADA, BEN, CLEO = address(1), address(2), address(3)


def tags_of(project: Project) -> dict[str, list[str]]:
    return {found: there["tags"] for found, there in project.members().items()}


def test_foreign_members_keep_their_status_tags_and_fields(project):
    """People of the audience who are in no segment are as they were after runs in which ours come and go."""
    statuses = ["subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"]
    project.emulator.add_members(
        AUDIENCE,
        [
            {"email_address": f"their.{status}@contoso-mail.internal", "status": status, "tags": tags,
             "merge_fields": {"FNAME": "Theirs", "CITY": "Ghent"}}
            for status, tags in zip(statuses, [["Vip"], ["Theirs"], ["Vip"], [], ["Vip"], ["Vip", "Theirs"]], strict=True)
        ],
    )  # fmt: skip
    project.export("vip", on_exit="archive")
    before = project.members()
    project.customers([1, 2])
    run(project)
    project.leave("c00001")
    run(project)

    there = project.members()

    assert {who: there[who] for who in before} == before
    assert there[ADA]["status"] == "archived"


@pytest.mark.parametrize("on_exit", ["keep", "remove_tag", "archive"])
def test_a_foreign_member_that_we_upserted_is_never_archived_and_keeps_its_tags(project, on_exit):
    """Who was there before us leaves a segment: loses at most the tags that we gave."""
    project.emulator.add_member(AUDIENCE, ADA, tags=["Vip", "Theirs"])
    project.emulator.add_member(AUDIENCE, BEN, tags=["Theirs"])
    project.export("vip", on_exit=on_exit)
    project.customers([1, 2, 3])
    first = run(project)
    project.leave("c00001")
    project.leave("c00002")

    report = run(project)

    assert (first.counts.added, first.counts.updated) == (1, 2)
    assert (report.counts.exited, report.counts.archived) == (2, 0)
    assert member(project, ADA) | {"merge_fields": {}} == {
        "status": "subscribed", "tags": ["Theirs", "Vip"], "merge_fields": {},
    }  # fmt: skip
    assert member(project, BEN)["tags"] == (["Theirs", "Vip"] if on_exit == "keep" else ["Theirs"])
    assert member(project, BEN)["status"] == "subscribed"
    quiet(project)


def test_a_foreign_tag_is_never_touched(project):
    """Tags that others give our members stay through changes, lost tags and exits."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers([1, 2, 3], "Vip", "Gold")
    run(project)
    for number in (1, 2):
        project.emulator.people("tag", AUDIENCE, address(number), tags=["Theirs", "vip-lounge"])
    project.customer("c00001", ADA, "Vip", FirstName="Changed")
    project.customer("c00002", BEN, "Elsewhere")

    run(project)

    assert tags_of(project) == {
        ADA: ["Theirs", "Vip", "vip-lounge"],
        BEN: ["Theirs", "vip-lounge"],
        CLEO: ["Gold", "Vip"],
    }
    quiet(project)


@pytest.mark.both_ledgers
def test_a_tag_that_a_member_had_before_us_is_not_taken_when_it_leaves_one_of_two_segments(project):
    """The tag was there before its first use by us: the member keeps it, nothing is sent, nobody is miscounted."""
    project.emulator.add_member(AUDIENCE, ADA, tags=["gold"])
    project.export("vip", segments=["Vip", "Gold"])
    project.customers([1, 2], "Vip", "Gold")
    run(project)
    project.customers([1], "Vip")

    report = quiet(project)

    assert report.counts.unchanged == 2
    assert member(project, ADA)["tags"] == ["Vip", "gold"]
    quiet(project)


@pytest.mark.parametrize(
    ("vip_exit", "news_exit", "order"),
    [
        ("archive", "archive", ("vip", "news")),
        ("archive", "remove_tag", ("news", "vip")),
        ("archive", "remove_tag", ("vip", "news")),
        ("keep", "archive", ("vip", "news")),
        ("keep", "archive", ("news", "vip")),
    ],
)
def test_of_two_exports_the_one_that_releases_last_decides(project, vip_exit, news_exit, order):
    """A member leaves both: the first only takes its tag, the last archives if that is its way."""
    exits = {"vip": vip_exit, "news": news_exit}
    project.export("vip", segments=["Vip"], on_exit=vip_exit)
    project.export("news", segments=["News"], on_exit=news_exit)
    project.customers([1, 2], "Vip", "News")
    project.customers([3], "Vip")
    project.customers([4], "News")
    for name in ("vip", "news"):
        run(project, name)
    for number in (1, 2):
        project.leave(f"c{number:05}")
    project.leave("c00001", "News")
    first, last = order

    run(project, first)
    run(project, last)

    kept_tags = [tag for name, tag in (("news", "News"), ("vip", "Vip")) if exits[name] == "keep"]
    there = member(project, ADA)
    assert there["status"] == ("archived" if exits[last] == "archive" else "subscribed")
    if there["status"] == "subscribed":
        assert there["tags"] == kept_tags
    assert member(project, BEN)["status"] == "subscribed"
    assert member(project, BEN)["tags"] == ["News", *(["Vip"] if exits["vip"] == "keep" else [])]
    quiet(project, "vip")
    quiet(project, "news")


@pytest.mark.both_ledgers
def test_a_tag_that_another_export_still_wants_stays(project):
    """Two exports give one tag for different segments: it goes with the last of them, and not before."""
    project.export("vip", segments=["Vip", {"name": "Gold", "tag": "Best"}])
    project.export("news", segments=[{"name": "Silver", "tag": "Best"}])
    project.customers([1, 2], "Vip", "Gold", "Silver")
    for name in ("vip", "news"):
        run(project, name)
    project.customers([1], "Vip", "Silver")
    half = quiet(project, "vip")
    project.customers([1], "Vip")

    last = run(project, "news")

    assert half.counts.unchanged == 2
    assert last.counts.exited == 1
    assert tags_of(project) == {ADA: ["Vip"], BEN: ["Best", "Vip"]}
    quiet(project, "vip")


def test_who_is_archived_by_one_export_and_wanted_by_another_comes_back_once(project, brought_back):
    """One export archives, another one of the audience wants the person later: brought back, under its tag only."""
    brought_back.append(ADA)
    project.export("vip", segments=["Vip"], on_exit="archive")
    project.export("news", segments=["News"])
    project.customers([1, 2], "Vip")
    project.customers([3], "News")
    for name in ("vip", "news"):
        run(project, name)
    project.customers([1], "News")
    run(project, "vip")
    back = run(project, "news")
    run(project, "vip")

    assert back.counts.added == 1
    assert member(project, ADA) | {"merge_fields": {}} == {
        "status": "subscribed",
        "tags": ["News"],
        "merge_fields": {},
    }
    quiet(project, "vip")
    quiet(project, "news")


@pytest.mark.parametrize("people", [2, 700])
def test_a_tag_deleted_in_mailchimp_is_given_again(project, people):
    """Somebody deleted our tag: it is off everybody, so the next run gives it to all who should have it."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(people), "Vip", "Gold")
    project.customers([9_999], "Vip")
    run(project)
    delete_tag(project, "Gold")

    report = run(project)

    assert report.counts.updated == people
    assert report.counts.tags_added == people
    assert sum("Gold" in tags for tags in tags_of(project).values()) == people
    quiet(project)


def test_a_tag_deleted_in_mailchimp_and_no_longer_wanted_is_forgotten(project):
    """Deleted there, dropped here: nothing to do; a tag of that name that others make later is theirs."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers([1, 2], "Vip", "Gold")
    run(project)
    delete_tag(project, "Gold")
    project.export("vip", segments=["Vip"])
    dropped = quiet(project)
    project.emulator.people("tag", AUDIENCE, ADA, tags=["Gold"])

    quiet(project)

    assert dropped.counts.unchanged == 2
    assert tags_of(project) == {ADA: ["Gold", "Vip"], BEN: ["Vip"]}


def test_a_tag_renamed_in_the_configuration_is_exchanged(project):
    """The new tag is given, the old one taken, off our members alone; nobody leaves."""
    project.emulator.add_member(AUDIENCE, CLEO, tags=["Vip"])
    project.customers([1, 2])
    run(project)
    project.export("vip", segments=[{"name": "Vip", "tag": "Best customers"}])

    report = run(project)

    assert (report.counts.updated, report.counts.exited) == (2, 0)
    assert (report.counts.tags_added, report.counts.tags_removed) == (2, 2)
    assert tags_of(project) == {ADA: ["Best customers"], BEN: ["Best customers"], CLEO: ["Vip"]}
    quiet(project)


def test_a_tag_written_with_other_capitals_is_the_same_tag(project):
    """Mailchimp ignores case in tags, and so do we: no request for a new spelling."""
    project.emulator.add_member(AUDIENCE, CLEO, tags=["vIP"])
    project.customers([1, 2])
    run(project)
    project.export("vip", segments=[{"name": "Vip", "tag": "VIP"}])

    quiet(project)

    assert tags_of(project) == {ADA: ["vIP"], BEN: ["vIP"], CLEO: ["vIP"]}


@pytest.mark.parametrize("on_exit", ["remove_tag", "archive"])
def test_who_is_gone_from_mailchimp_is_let_go_once(project, on_exit):
    """A member whom somebody deleted leaves the segment: at most one request, not one on every run."""
    project.export("vip", segments=["Vip", "Gold"], on_exit=on_exit)
    project.customers([1, 2], "Vip", "Gold")
    run(project)
    project.emulator.people("delete_permanent", AUDIENCE, ADA)
    project.leave("c00001")
    project.leave("c00001", "Gold")

    report = run(project)

    assert (report.counts.exited, report.counts.archived) == (1, 0)
    assert quiet(project).counts.exited == 0


def test_who_was_brought_back_by_somebody_else_only_loses_our_tag(project):
    """Archived by us, un-archived by hand, still in no segment: our tag is taken, and nobody is archived again."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    run(project)
    project.leave("c00001")
    run(project)
    project.emulator.people("resubscribe", AUDIENCE, ADA)

    report = run(project)

    assert (report.counts.exited, report.counts.archived) == (1, 0)
    assert member(project, ADA)["status"] == "subscribed"
    assert member(project, ADA)["tags"] == []
    quiet(project)


def test_a_profile_that_vanished_is_an_exit_reported_apart(project):
    """Gone from the source, not only from the segment: untagged, with a reason of its own."""
    project.customers([1, 2, 3])
    run(project)
    del project.people["c00001"]
    project.leave("c00001")
    project.leave("c00002")

    report = run(project)

    assert report.exit_reasons == {"left_segment": 1, "profile_gone": 1}
    assert tags_of(project) == {ADA: [], BEN: [], CLEO: ["Vip"]}
    quiet(project)


def test_who_is_rejected_has_not_left(project):
    """A row that cannot be sent is no exit: the member keeps what it has until the row is mended."""
    project.export("vip", on_exit="archive", merge_fields={"CITY": "City"})
    project.customers([1, 2])
    run(project)
    project.customer("c00001", "broken address")

    report = quiet(project)

    assert report.rejected_reasons == {"malformed_email": 1}
    assert member(project, ADA)["tags"] == ["Vip"]


def test_who_withdraws_consent_in_the_source_leaves(project):
    """A profile that no longer meets ``require`` is excluded, and its tag is taken."""
    project.export("vip", require={"EmailSubscriber": True})
    project.customers([1, 2])
    run(project)
    project.customer("c00001", ADA, EmailSubscriber="false")

    report = run(project)

    assert (report.counts.excluded, report.counts.exited) == (1, 1)
    assert member(project, ADA)["tags"] == []


def test_no_request_ever_carries_what_could_hurt_others(project):
    """The keys of all member objects, over adds, changes and exits: nothing but the five that are ours."""
    project.export("vip", on_exit="archive")
    project.customers(range(4))
    run(project)
    project.customer("c00000", address(0), FirstName="Changed")
    project.leave("c00001")

    run(project)

    assert {key for body in bodies(project) for key in body} == {
        "email_address",
        "merge_fields",
        "status_if_new",
        "tags",
    }


def delete_tag(project: Project, name: str) -> None:
    """Delete a tag as a person does in Mailchimp's pages."""
    world = project.emulator.state()
    for audience in world["audiences"]:
        audience["tags"] = [tag for tag in audience["tags"] if tag_name(tag) != name]
        for there in audience["members"]:
            there["tags"] = [tag for tag in there["tags"] if tag != name]
    project.emulator.reset(world["audiences"], switches={"record_bodies": True})


def tag_name(tag: str | dict[str, str]) -> str:
    return tag if isinstance(tag, str) else tag["name"]
