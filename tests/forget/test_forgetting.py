"""Forgotten: erased in every place, and never sent again."""

from typing import Any

import pytest
from forget.conftest import ANN, NEWS, PARTNERS, SPELLED, hurried, named_in
from harness import AUDIENCE, address, key
from house.pages import PACKAGE
from ledgers import ledger_files, lose_ledger

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.pipeline.forgettable import check_forgettable


@pytest.mark.both_ledgers
def test_a_person_is_erased_in_every_audience_and_every_file(world: Any) -> None:
    """Two accounts, one audience where somebody else put her, any spelling: afterwards no byte is left here."""
    before = world.traces()
    world.forget_requests()

    places = world.forget(SPELLED)

    assert len(before) > 10, "the search has to be able to find"
    assert world.traces() == []
    for emulator, audience in (
        (world.project.emulator, AUDIENCE),
        (world.project.emulator, NEWS),
        (world.partners, PARTNERS),
    ):
        assert ANN not in {each.lower() for each in emulator.members(audience)}
    erased = [place for place in world.done[-1].places if place.place.startswith("audience ")]
    assert [(place.found, place.done) for place in erased] == [(1, "erased")] * 3
    assert all(place.request_id for place in erased)
    assert places["ledger"].found == 6, places["ledger"]
    assert "3 members, 3 holds" in places["ledger"].done
    assert places["source"].found == 1
    assert places["forgotten"].found == 2, (
        "and the customer whose row was rejected, with her address twice in it"
    )
    assert places["snapshots"].found > 0
    assert places["frames"].found > 0


def test_everybody_else_stays_as_they_were(world: Any) -> None:
    """Neighbours in name, fellow members and their holds are untouched: the next runs send nothing."""
    world.forget()
    world.forget_requests()

    world.run_all()

    assert world.writes() == []
    assert set(world.project.members(AUDIENCE)) == {f"jo{ANN}", *(address(number) for number in range(9))}


def test_the_proof_names_nobody(world: Any) -> None:
    """Places, their repr and the erasure's own hold neither address nor hash nor name."""
    world.forget()

    told = repr(world.done[-1]) + str([place.as_json() for place in world.done[-1].places])

    for mark in (ANN, "ann.lee", "zzyzx", key(ANN).hex()):
        assert mark not in told.lower()
    assert world.done[-1].digest in told


@pytest.mark.parametrize("changed", [ANN.upper(), "ann.new@contoso-mail.internal"])
def test_later_runs_suppress_and_never_send(world: Any, changed: str) -> None:
    """The source still has her, as she was, in another case, or under a new address: nothing is sent or recorded."""
    world.forget()
    world.forget_requests()
    world.project.customer("ann", changed, "Vip", "News", LastName="Changed")
    world.project.customer("c00001", "moved@contoso-mail.internal", "Vip")

    report = world.project.run("vip")
    again = world.project.run("news")

    assert (report.suppressed_reasons, report.counts.moved) == ({"forgotten": 1}, 1)
    assert again.suppressed_reasons == {"forgotten": 1}
    assert changed.lower() not in str(world.writes()).lower()
    assert changed.lower() not in {each.lower() for each in world.project.members(AUDIENCE)}
    ledger = [*world.home.glob("ledger.sqlite*"), *ledger_files(world.project.environ)]
    assert not [path for path in ledger if named_in(path, changed)]


def test_a_run_of_the_same_refresh_accounts_for_her_still(world: Any) -> None:
    """The source has not changed since the copy that she was cut out of, and still has her: she is counted."""
    world.forget()
    world.forget_requests()

    report = world.project.run("vip")

    assert report.suppressed_reasons == {"forgotten": 1}
    assert not [each for each in world.writes() if ANN in str(each).lower()]


def test_who_signs_up_again_is_left_alone(world: Any) -> None:
    """A form is the person's own way back: they are a member then, and none of ours."""
    world.forget()
    world.project.emulator.people("sign_up", NEWS, ANN)
    world.forget_requests()
    world.project.customer("ann", ANN, "Vip", "News", LastName="Changed")

    world.project.run("news")

    assert world.writes() == []
    assert world.project.members(NEWS)[ANN]["tags"] == []


def test_mailchimp_refuses_whoever_imports_them_again(world: Any) -> None:
    """The emulator keeps what Mailchimp promises: an import of a permanently deleted address is refused."""
    world.forget()
    lose_ledger(world.project.folder, world.project.environ)
    world.project.customer("ann", ANN, "Vip", "News", LastName="Changed")

    report = world.project.run("vip")

    assert report.suppressed_reasons == {"forgotten": 1}
    assert ANN not in world.project.members(AUDIENCE)


def test_a_person_nobody_knows_is_remembered_all_the_same(world: Any) -> None:
    """Nothing is found anywhere, and it says so; whoever comes with that address later is suppressed."""
    late = "late@contoso-mail.internal"
    world.forget_requests()

    world.forget(late)
    world.project.customer("late", late)
    report = world.project.run("vip")

    places = [place for place in world.done[-1].places if place.place != "forgotten"]
    assert sum(place.found for place in places) == 0
    assert {place.done for place in places} == {
        "not there", "nothing found", "searched: nothing found", "asked",
    }  # fmt: skip
    assert report.suppressed_reasons == {"forgotten": 1}
    assert late not in world.project.members(AUDIENCE)


def test_the_proof_counts_this_person_alone(world: Any) -> None:
    """Who was forgotten before, and is still at the source, is somebody else."""
    world.forget()

    places = world.forget("late@contoso-mail.internal")

    assert places["forgotten"].found == 0
    assert places["forgotten"].done.endswith("1 address digest, 0 customer digests")


def test_the_second_time_finds_nothing(world: Any) -> None:
    """Again is harmless, and says what is true: there is nothing left but what the source still has."""
    world.forget()

    world.forget()

    found = {place.place: place.found for place in world.done[-1].places if place.found}
    assert found == {"source": 1, "forgotten": 1}


def test_lists_of_opt_outs_are_cleaned_too(world: Any) -> None:
    """She is on the list of those who may not be mailed; afterwards she is not, and the next reading is right."""
    from ci_mailchimp_pipeline.pipeline.opt_outs import list_opt_outs

    def listed() -> dict[str, int]:
        config = world.project.write()
        with (
            world.project.ledger() as ledger,
            hurried(config, config.connections["main"], world.project.environ) as client,
        ):
            return dict(
                list_opt_outs(config, config.exports["vip"], client=client, ledger=ledger, frame=None).counts
            )

    for who in (ANN, address(3)):
        world.project.emulator.people("unsubscribe", AUDIENCE, who)
    before = listed()

    places = world.forget()

    assert before["unsubscribed"] == 2
    assert places["opt_outs"].found == 2
    assert world.traces() == []
    assert listed()["unsubscribed"] == 1


def test_nothing_but_forget_deletes_for_good() -> None:
    """One module calls Mailchimp's permanent deletion, and one function calls that module."""
    calls = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        for word in ("erase_member(", "delete-permanent", "erase_in_audience(")
        if word in path.read_text(encoding="utf-8") and "emulator" not in path.parts
    }

    assert calls == {"mailchimp/endpoints/erasing.py", "sync/forget.py", "pipeline/forgetting.py"}


def test_an_archived_member_and_one_who_opted_out_are_erased_too(world: Any) -> None:
    """Erasure is of the person, whatever their status."""
    world.project.emulator.people("archive", AUDIENCE, ANN)
    world.project.emulator.people("unsubscribe", NEWS, ANN)

    world.forget()

    assert ANN not in world.project.members(AUDIENCE)
    assert ANN not in {each.lower() for each in world.project.members(NEWS)}
    assert world.traces() == []


@pytest.mark.both_ledgers
def test_a_customer_known_under_another_address_is_erased_there_too(world: Any) -> None:
    """The source has her new address, and the members are still under the old one."""
    new = "ann.new@contoso-mail.internal"
    world.project.customer("ann", new, "Vip", "News")

    world.forget(new)

    assert ANN not in world.project.members(AUDIENCE)
    assert [place.found for place in world.done[-1].places if "another address" in place.place] == [1, 1, 1]
    assert world.traces() == world.traces(new) == []


def test_an_address_at_which_somebody_else_is_a_member_is_not_theirs(world: Any) -> None:
    """A customer refused at another one's address is erased without that other one."""
    with world.project.ledger() as ledger:
        from ci_mailchimp_pipeline.ledger import Refused

        audience = ledger.audiences()[0].id
        with ledger.lease(audience, "test") as lease:
            refused = Refused(
                subscriber_hash=key(address(3)), customer_id="ann", kind="temporary", code="contact_exists",
                field=None, fingerprint=b"", retry_at=None,
            )  # fmt: skip
            ledger.record(lease, [refused], export="vip")

    world.forget()

    assert address(3) in world.project.members(AUDIENCE)
    with world.project.ledger() as ledger:
        person = ledger.person(audience, key(address(3)))
    assert person.member is not None
    assert person.refusals == ()


def test_a_run_in_progress_comes_first(world: Any) -> None:
    """While a run holds an audience nothing is erased, remembered or deleted: exit 4."""
    world.forget_requests()
    before = world.traces()
    with (
        world.project.ledger() as ledger,
        ledger.lease(2, "elsewhere:1:x:1"),
        pytest.raises(RunLaterError) as caught,
    ):
        world.forget()

    assert caught.value.code == "audience_busy"
    assert world.writes() == []
    assert world.traces() == before
    with world.project.ledger() as ledger:
        assert ledger.forgotten_keys() == frozenset()


def test_a_lost_key_stops_runs_and_erasures(world: Any) -> None:
    """Without the key nobody is recognized: nothing is sent (exit 2) until it is back."""
    world.forget()
    kept = world.project.environ.pop("CI_MAILCHIMP_FORGET_KEY", "") or (world.home / "forget.key").read_text()
    (world.home / "forget.key").unlink(missing_ok=True)
    world.forget_requests()
    world.project.customer("new", "new@contoso-mail.internal")

    report = world.project.run("vip")
    with pytest.raises(FixConfigError) as caught:
        world.forget("other@contoso-mail.internal")
    lost = world.writes()
    world.project.environ["CI_MAILCHIMP_FORGET_KEY"] = kept
    found = world.project.run("vip")

    assert report.error is not None
    assert report.error.code == caught.value.code == "forget_key_missing"
    assert report.error.exit_code == 2
    assert lost == []
    assert not (world.home / "forget.key").exists()
    assert (found.status, found.counts.added) == ("success", 1)


@pytest.mark.sqlite_only
def test_several_hosts_share_a_key(world: Any) -> None:
    """Where the ledger is elsewhere a key made here would stop all other hosts: the environment's is asked for."""
    world.project.environ["CI_MAILCHIMP_LEDGER"] = f"sqlite:///{world.home / 'ledger.sqlite'}"
    with pytest.raises(FixConfigError) as caught:
        world.forget()
    before = world.project.members()
    world.project.environ["CI_MAILCHIMP_FORGET_KEY"] = "0123456789abcdef" * 2

    world.forget()

    assert caught.value.code == "forget_key_needed"
    assert ANN in before
    assert ANN not in world.project.members()
    assert not (world.home / "forget.key").exists()


@pytest.mark.parametrize(
    "text", ["", "ann", "ann@@contoso-mail.internal", "ann lee@contoso-mail.internal", "%"]
)
def test_what_is_no_address_is_refused(world: Any, text: str) -> None:
    """A text that is no address would be cut out of everybody's rows: exit 2, nothing done, and not repeated."""
    with pytest.raises(FixConfigError) as caught:
        world.forget(text)

    assert caught.value.code == "not_an_address"
    assert not text or text not in caught.value.message


def test_nothing_is_erased_from_a_sandbox(world: Any) -> None:
    """A laptop with the production file deletes nobody: exit 2."""
    world.project.environ["CI_MAILCHIMP_SANDBOX"] = "1"

    with pytest.raises(FixConfigError) as caught:
        check_forgettable(world.project.write(), ANN)

    assert caught.value.code == "sandbox"
