"""P6: the fewest requests."""

from math import ceil

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import quiet, run


def sent(project: Project, do) -> tuple[int, list[str]]:
    """How many writing requests *do* caused, and their kinds."""
    before = len(project.emulator.writes())
    report = do()
    kinds = [f"{each['method']} {each['route']}" for each in project.emulator.writes()[before:]]
    assert report.writes == len(kinds), "the plan knew how many"
    return len(kinds), kinds


@pytest.mark.parametrize("people", [1, 499, 500, 501, 1_000, 1_001])
def test_new_members_with_their_tags_need_a_request_per_500(project, people):
    """Tags ride along, and are not created first."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(people), "Vip", "Gold")

    count, kinds = sent(project, lambda: run(project))

    assert count == ceil(people / 500)
    assert len(set(kinds)) == 1
    quiet(project)


def test_a_day_on_which_one_percent_changed(project):
    """10,000 held, 40 new, 30 changed, 30 left two tags, 20 changed their address: the floor, and nothing more."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(5_000), "Vip", "Gold")
    project.customers(range(5_000, 10_000), "Vip")
    first, _ = sent(project, lambda: run(project))
    for number in range(30):
        project.customer(f"c{number:05}", address(number), "Vip", "Gold", FirstName="Changed")
    project.customers(range(20_000, 20_040), "Vip", "Gold")
    for number in range(100, 130):
        project.customer(f"c{number:05}", address(number), "Elsewhere")
    for number in range(200, 220):
        project.customer(f"c{number:05}", f"moved{number}@contoso-mail.internal", "Vip", "Gold")

    count, _ = sent(project, lambda: run(project))

    posts, tag_calls, moves = ceil((40 + 30) / 500), ceil(30 / 500) * 2, 20
    assert first == 20
    assert count == posts + tag_calls + moves
    quiet(project)


def test_adds_share_the_calls_of_removes(project):
    """A tag that some gain and some lose: one call does both, and no upsert is sent."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(400), "Vip", "Gold")
    project.customers(range(400, 800), "Vip")
    run(project)
    project.customers(range(300), "Vip")
    project.customers(range(400, 700), "Vip", "Gold")

    count, _ = sent(project, lambda: run(project))

    assert count == 1
    quiet(project)


def test_adds_ride_upserts_that_are_sent_anyway(project):
    """Room is left in a POST: the members that only gain a tag take it, and the tag costs no call."""
    project.export("vip", segments=["Vip", "Gold", "Best"])
    project.customers(range(300), "Vip")
    project.customers([999], "Gold", "Best")
    run(project)
    project.customers(range(250), "Vip", "Gold", "Best")
    project.customers(range(1_000, 1_100), "Vip")

    count, _ = sent(project, lambda: run(project))

    assert count == 1
    quiet(project)


def test_several_tags_for_many_are_cheaper_in_an_upsert(project):
    """Three tags for the same 600 members: two POSTs instead of six calls."""
    project.export("vip", segments=["Vip", "A", "B", "C"])
    project.customers(range(600), "Vip")
    project.customers([999], "A", "B", "C")
    run(project)
    project.customers(range(600), "Vip", "A", "B", "C")

    count, _ = sent(project, lambda: run(project))

    assert count == 2
    quiet(project)


@pytest.mark.both_ledgers
def test_leaving_costs_a_call_per_500_and_tag(project):
    """600 leave two tags: two calls each; archiving has no cheaper way than one request a member."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(620), "Vip", "Gold")
    run(project)
    for number in range(600):
        project.customer(f"c{number:05}", address(number), "Elsewhere")

    count, _ = sent(project, lambda: run(project))

    assert count == 4
    quiet(project)


def test_keeping_who_leaves_costs_nothing(project):
    """``on_exit: keep``: people leave, and nothing is sent."""
    project.export("vip", on_exit="keep")
    project.customers(range(10))
    run(project)
    for number in range(5):
        project.leave(f"c{number:05}")

    assert quiet(project).counts.exited == 5
    assert quiet(project).counts.exited == 0


@pytest.mark.parametrize("people", [3, 600])
def test_the_wishes_of_a_second_export_cost_only_its_tag(project, people):
    """Members whom another export of the audience holds with the same fields: one POST per 500 makes them ours too."""
    project.export("news", segments=["News"])
    project.customers(range(people), "Vip", "News")
    run(project)

    count, _ = sent(project, lambda: run(project, "news"))

    assert count == ceil(people / 500)
    quiet(project, "vip")
    quiet(project, "news")


def test_reading_stays_small_when_nothing_changed(project):
    """A refresh that changed nothing reads who opted out and the audience, not its 2,000 members."""
    project.customers(range(2_000))
    run(project)

    report = quiet(project)

    assert report.requests <= 12


def test_a_foreign_audience_of_many_is_read_once(project):
    """Who was there before us is read page by page on first contact, and not again."""
    project.emulator.add_members(
        AUDIENCE, [{"email_address": f"their{number}@contoso-mail.internal"} for number in range(3_000)]
    )
    project.customers([1])
    first = run(project)
    project.customers([2])

    second = run(project)

    assert first.requests - second.requests >= 2
