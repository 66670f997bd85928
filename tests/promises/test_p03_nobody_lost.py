"""P3: nobody is lost silently."""

import pytest
from harness import AUDIENCE, Project, address
from promises.promised import DAY, member, quiet, run

ADA = address(1)
MINUTES_5 = 300.0


@pytest.mark.both_ledgers
def test_everybody_ends_in_exactly_one_bucket(project):
    """One refresh with somebody of each kind, a neighbour of every other: all are counted, once."""
    project.emulator.switch(too_many_signups="many")
    project.emulator.add_member(AUDIENCE, address(50), status="unsubscribed", cause="contact")
    project.emulator.add_member(AUDIENCE, address(51), tags=["Theirs"])
    project.export(
        "vip", merge_fields={"CITY": "City"}, require={"EmailSubscriber": True}, prefer=["Income desc"]
    )
    project.customers([1, 2, 50, 51])
    for name, written in {
        "malformed": "nobody at all",
        "blank": " \u00a0 ",
        "reserved": "ada@example.com",
        "lots": "many@contoso-mail.internal",
    }.items():
        project.customer(name, written)
    project.customer("excluded", address(60), EmailSubscriber="no")
    project.customer("twin a", address(61), Income="5")
    project.customer("twin b", address(61).upper(), Income="70", FirstName="Kept")
    project.segments["Vip"].append("no profile")
    project.segments["Vip"].append("c00001")

    report = run(project)

    assert report.counts.as_json() == {
        "profiles": 11, "excluded": 1, "rejected": 3, "merged": 1, "accepted": 6, "added": 3, "updated": 1, "moved": 0,
        "unchanged": 0, "suppressed": 1, "refused": 1, "exited": 0, "archived": 0, "tags_added": 1, "tags_removed": 0,
        "no_profile": 1,
    }  # fmt: skip
    assert report.rejected_reasons == {"malformed_email": 1, "no_email": 1, "reserved_domain": 1}
    assert report.suppressed_reasons == {"unsubscribed": 1}
    assert report.refused_reasons == {"too_many_signups": 1}
    assert member(project, address(61).upper())["merge_fields"]["FNAME"] == "Kept"
    assert quiet(project).counts.unchanged == 4


def test_a_batch_that_is_half_refused_is_read_row_by_row(project):
    """Refusals of several kinds among 600 people: only they are refused, everybody else is in."""
    project.emulator.switch(too_many_signups="person000(01|02)")
    project.emulator.add_members(AUDIENCE, [{"email_address": address(number)} for number in range(10, 20)])
    for number in range(10, 20):
        project.emulator.people("delete_permanent", AUDIENCE, address(number))
    project.customers(range(600))

    report = run(project)

    assert report.counts.added == 588
    assert report.refused_reasons == {"too_many_signups": 2}
    assert report.suppressed_reasons == {"forgotten": 10}
    assert len(project.members()) == 588


def test_a_row_the_answer_does_not_mention_is_tried_again_later(project):
    """An answer that leaves people out is not taken for done."""
    project.emulator.switch(echo_members=False)
    project.customers([1, 2])

    report = project.run()
    project.emulator.switch(echo_members=True)

    assert report.counts.added == 0
    assert run(project, now=lambda: 4e9).counts.accepted == 2
    quiet(project)


def test_a_temporary_refusal_is_tried_again_at_growing_intervals(project):
    """Five minutes, then one, two, seven and again seven days; never before, always when due."""
    project.emulator.switch(too_many_signups="person00001")
    project.customers([1, 2])
    now = [1_800_000_000.0]

    def later(seconds: float) -> int:
        now[0] += seconds
        before = len(project.emulator.writes())
        report = run(project, now=lambda: now[0])
        assert report.counts.refused == 1
        return len(project.emulator.writes()) - before

    assert later(0) == 1
    for wait in (MINUTES_5, DAY, 2 * DAY, 7 * DAY, 7 * DAY):
        assert later(wait - 60) == 0, f"tried before {wait} s"
        assert later(61) == 1, f"not tried after {wait} s"
    project.emulator.switch(too_many_signups="")
    now[0] += 8 * DAY

    assert run(project, now=lambda: now[0]).counts.added == 1
    quiet(project)


@pytest.mark.both_ledgers
def test_a_temporary_refusal_starts_anew_when_the_data_change(project):
    """Other data is another try: at once, and the waiting begins with five minutes again."""
    project.emulator.switch(too_many_signups="person00001")
    project.customers([1, 2])
    now = 1_800_000_000.0
    run(project, now=lambda: now)
    run(project, now=lambda: now + 400)
    project.customer("c00001", ADA, FirstName="Changed")
    before = len(project.emulator.writes())
    run(project, now=lambda: now + 500)
    assert len(project.emulator.writes()) == before + 1

    run(project, now=lambda: now + 500 + MINUTES_5 + 1)

    assert len(project.emulator.writes()) == before + 2


def test_a_permanent_refusal_is_repeated_only_when_the_data_change(project):
    """Refused for a value: not sent again for years, at once when the value changes, and forgotten when taken."""
    choices(project, ["Ghent", "Bruges"])
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", ADA, City="Bruges")
    project.customers([2])
    as_before = project.connect
    choices_of_mailchimp_alone(project, ["Ghent"])

    refused = run(project)
    project.connect = as_before
    set_choices(project, ["Ghent", "Bruges"])
    waiting = [quiet(project), run(project, now=lambda: 4e9)]
    project.customer("c1", ADA, City="Ghent")
    taken = run(project)

    assert refused.refused_reasons == {"invalid_merge_value": 1}
    assert [report.counts.refused for report in waiting] == [1, 1]
    assert taken.counts.added == 1
    assert member(project, ADA)["merge_fields"]["CITY"] == "Ghent"


def choices(project: Project, values: list[str]) -> None:
    """An audience whose CITY is a dropdown."""
    city = {"tag": "CITY", "name": "City", "type": "dropdown", "options": {"choices": values}}
    project.emulator.reset(
        [{"id": AUDIENCE, "merge_fields": ["FNAME", "LNAME", city]}], switches={"record_bodies": True}
    )


def choices_of_mailchimp_alone(project: Project, values: list[str]) -> None:
    """Mailchimp refuses what was still allowed when it was asked: a person changed the field meanwhile."""
    plain = project.connect

    def connect(*arguments):
        client = plain(*arguments)
        call = client.call

        def changing(method, path, **more):
            if method == "POST" and path.endswith(AUDIENCE):
                set_choices(project, values)
            return call(method, path, **more)

        client.call = changing
        return client

    project.connect = connect


def set_choices(project: Project, values: list[str]) -> None:
    world = project.emulator.state()
    for merge_field in world["audiences"][0]["merge_fields"]:
        if merge_field["tag"] == "CITY":
            merge_field["options"]["choices"] = values
    project.emulator.reset(world["audiences"], switches={"record_bodies": True})


def test_a_refused_member_keeps_what_it_has(project):
    """A refused update takes nothing away: the member stays, with the data and tags it had."""
    project.customers([1, 2])
    run(project)
    project.emulator.people("delete_permanent", AUDIENCE, address(2))
    there = member(project, ADA)
    project.customer("c00002", address(2), FirstName="Changed")

    report = run(project)

    assert report.suppressed_reasons == {"forgotten": 1}
    assert member(project, ADA) == there
    quiet(project)


def test_a_tag_that_mailchimp_refuses_is_tried_again_later(project):
    """A member whom the tag call does not take is refused, waits, and does not cost a request on every run."""
    project.export("vip", segments=["Vip", "Gold"])
    project.customers(range(600), "Vip")
    project.customers([1_000], "Gold")
    run(project)
    project.emulator.people("delete_permanent", AUDIENCE, ADA)
    project.customers(range(600), "Vip", "Gold")
    report = run(project, now=lambda: 1_800_000_000.0)
    again = run(project, now=lambda: 1_800_000_060.0)

    assert report.counts.updated == 599
    assert report.counts.refused + report.counts.suppressed == 1
    assert again.writes == 0
    assert again.counts.unchanged == 600


def test_a_customer_who_is_in_a_segment_twice_counts_once(project):
    """Membership rows may repeat."""
    project.customers([1, 2])
    project.segments["Vip"] *= 2

    report = run(project)

    assert report.counts.profiles == report.counts.added == 2


def test_customers_who_share_an_address_are_one_member_with_the_tags_of_all(project):
    """The preferred profile gives the data, every profile its tags; when one leaves, only its tag goes."""
    project.export("vip", segments=["Vip", "Gold", "Silver"], prefer=["Income desc"])
    project.customer("c1", ADA, "Vip", Income="9")
    project.customer("c2", ADA.title(), "Gold", Income="100")
    project.customer("c3", f" {ADA}", "Silver", Income="")
    project.customer("c4", address(4), "Silver")

    first = run(project)
    tags = [there["tags"] for there in project.members().values()]
    project.leave("c2", "Gold")
    project.customer("c5", address(5), "Gold")
    second = run(project)

    assert (first.counts.added, first.counts.merged) == (2, 2)
    assert sorted(tags) == [["Gold", "Silver", "Vip"], ["Silver"]]
    assert (second.counts.merged, second.counts.exited, second.counts.tags_removed) == (1, 0, 1)
    found = next(there for who, there in project.members().items() if who.lower() == ADA)
    assert found["tags"] == ["Silver", "Vip"]
    assert found["merge_fields"]["FNAME"] == "Firstc1"
    quiet(project)


def test_names_arrive_as_they_are_written(project):
    """Apostrophes, quotes, umlauts and other scripts are not changed on the way."""
    names = ["O'Brien", 'Ann "Annie"', "Zoë", "Łukasz", "李", "d'Arc, Jeanne; \\ %s {x}", "👩‍🚀"]
    for number, name in enumerate(names):
        project.customer(f"c{number}", address(number), LastName=name)

    run(project)

    assert [
        member(project, address(number))["merge_fields"]["LNAME"] for number in range(len(names))
    ] == names


@pytest.mark.parametrize("length", [255, 256, 400])
def test_a_text_over_255_bytes_is_cut_at_a_character_and_said(project, length):
    """What Mailchimp would refuse is shortened, never in the middle of a character, and counted as a warning."""
    project.customer("c1", ADA, LastName="a" + "é" * ((length - 1) // 2))

    report = run(project)

    sent = member(project, ADA)["merge_fields"]["LNAME"]
    assert len(sent.encode()) == 255
    assert any("255 bytes" in warning for warning in report.warnings) == (length > 256)
