"""Of the opt-outs only the changes are read, and the list is as if all had been."""

from collections import Counter

import pytest
from harness import AUDIENCE, address
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optouts.listed import rows

from ci_mailchimp_pipeline.sync import opted_out

DAY = 86_400
DEEDS = ("unsubscribe", "complain", "bounce", "archive", "resubscribe", "delete_permanent", "change_address")
DEED = st.tuples(st.sampled_from(DEEDS), st.integers(0, 9), st.sampled_from((0, 1, 300, 900)))


def _statuses(requests):
    return Counter(each["query"].partition("status=")[2].partition("&")[0] for each in requests)


def test_nothing_changed_takes_two_requests_a_status(opt_outs):
    """Who changed, and how many there are: with nobody new and nobody gone that is all."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    first = opt_outs.read()
    before = rows(first)
    opt_outs.project.emulator.advance_clock(DAY)
    opt_outs.requests()

    again = opt_outs.read()

    asked = opt_outs.requests()
    assert (again.whole, again.requests, len(asked)) == ((), 6, 6)
    assert _statuses(asked) == {"unsubscribed": 2, "archived": 2, "cleaned": 2}
    assert sum(each["response_bytes"] for each in asked) < 6 * 200
    assert rows(again) == before
    assert first.whole == opted_out.OPTED_OUT


def test_the_first_reading_asks_for_no_time(opt_outs):
    """Everything is read whole then: a read of what changed since 1970 hung."""
    opt_outs.read()

    assert not any("since_last_changed" in each["query"] for each in opt_outs.requests())


def test_who_comes_is_read_alone(opt_outs, mailchimp_emulator):
    """A new opt-out among thousands takes no more requests than none."""
    many = [
        {"email_address": f"gone{number:04}@contoso-mail.internal", "status": "unsubscribed"}
        for number in range(2_500)
    ]
    mailchimp_emulator.add_members(AUDIENCE, many)
    mailchimp_emulator.advance_clock(DAY)
    opt_outs.read()
    mailchimp_emulator.advance_clock(DAY)
    mailchimp_emulator.people("unsubscribe", AUDIENCE, address(1))
    opt_outs.requests()

    found = opt_outs.read()

    assert (found.requests, found.whole) == (6, ())
    assert [row[0] for row in rows(found)] == ["c00001"]
    assert found.unknown == 2_500


def test_who_leaves_makes_that_status_be_read_whole(opt_outs):
    """Somebody who subscribed again is in no list of changes: their status is read again, the others are not."""
    for number in (1, 2):
        opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(number))
    opt_outs.read()
    opt_outs.project.emulator.advance_clock(DAY)
    opt_outs.project.emulator.people("resubscribe", AUDIENCE, address(1))

    found = opt_outs.read()

    assert (found.whole, [row[0] for row in rows(found)]) == (("unsubscribed",), ["c00002"])


def test_from_one_list_to_another_nothing_is_read_whole(opt_outs):
    """Who unsubscribed and is archived now is among the archived who changed, and so no longer the other."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    opt_outs.read()
    opt_outs.project.emulator.advance_clock(DAY)
    opt_outs.project.emulator.people("archive", AUDIENCE, address(1))

    found = opt_outs.read()

    assert (found.whole, [row[:2] for row in rows(found)]) == ((), [("c00001", "archived")])


@pytest.mark.parametrize("later", [DAY, 0, -300])
def test_one_comes_as_another_leaves(opt_outs, later):
    """As many as before is not the same people, also when the change shows up minutes after it was made."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    opt_outs.read()
    opt_outs.project.emulator.advance_clock(later)
    opt_outs.project.emulator.people("resubscribe", AUDIENCE, address(1))
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(2))

    assert [row[0] for row in rows(opt_outs.read())] == ["c00002"]


def test_full_reads_everything(opt_outs):
    """``--full`` uses nothing that was remembered."""
    opt_outs.read()
    opt_outs.requests()

    found = opt_outs.read(full=True)

    assert found.whole == opted_out.OPTED_OUT
    assert not any("since_last_changed" in each["query"] for each in opt_outs.requests())


@pytest.mark.parametrize("damage", ["cut", "no manifest", "another audience"])
def test_a_memory_that_is_not_good_is_none(opt_outs, damage):
    """What is damaged, or of another audience, is not built upon."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    folder = opt_outs.read().path.parent
    if damage == "cut":
        (folder / "opted_out.parquet").write_bytes(b"PAR1")
    elif damage == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        opt_outs.project.emulator.add_audience("ffffffffff")
        opt_outs.project.export("vip", audience_id="ffffffffff")

    found = opt_outs.read()

    assert found.whole == opted_out.OPTED_OUT
    assert len(rows(found)) == (0 if damage == "another audience" else 1)


def test_a_reading_that_fails_leaves_the_list(opt_outs):
    """When Mailchimp stays out of reach the list of before is still there, and nothing else."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    folder = opt_outs.read().path.parent
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    opt_outs.project.emulator.switch(permission="none")

    done = opt_outs.say("vip", "--json")

    assert done.exit_code == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["vip"]


def _happen(project, deeds):
    for number, (deed, person, seconds) in enumerate(deeds):
        project.emulator.advance_clock(seconds)
        here = project.members()
        now = next((each for each in here if each.partition("@")[0].startswith(f"person{person:05}")), None)
        if now is None:
            continue
        if deed == "change_address":
            project.emulator.people(
                deed, AUDIENCE, now, new_address=f"person{person:05}.{number}@contoso-mail.internal"
            )
        elif deed != "resubscribe" or here[now]["status"] != "subscribed":
            project.emulator.people(deed, AUDIENCE, now)


@settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rounds=st.lists(st.lists(DEED, max_size=8), min_size=1, max_size=4))
def test_changes_alone_come_to_the_same_as_everything(opt_outs, rounds):
    """Whatever people do between the readings, in whatever order and however soon, the list is that of a full one."""
    emulator = opt_outs.project.emulator
    world = emulator.state()
    opt_outs.read(full=True)
    for deeds in rounds:
        _happen(opt_outs.project, deeds)
        found = opt_outs.read()
        listed, unknown, counts = rows(found), found.unknown, found.counts
        everything = opt_outs.read(full=True)
        assert (listed, unknown, counts) == (rows(everything), everything.unknown, everything.counts)
        opt_outs.read()
    emulator.reset(world["audiences"])
