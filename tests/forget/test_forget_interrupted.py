"""An erasure that is interrupted anywhere is finished by doing it again, and no run in between sends the person."""

from typing import Any

import pytest
from forget.conftest import ANN, NEWS, PARTNERS, hurried
from harness import AUDIENCE

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.forgetting import STEPS

NEW = "ann.new@contoso-mail.internal"


class PowerCut(BaseException):
    """Nothing catches it."""


def gone(world: Any, *addresses: str) -> bool:
    """Whether nothing is left of the person, in either account and below the state folder."""
    audiences = (
        world.project.members(AUDIENCE),
        world.project.members(NEWS),
        world.partners.members(PARTNERS),
    )
    there = {each.lower() for members in audiences for each in members}
    return there.isdisjoint(addresses) and not any(world.traces(each) for each in addresses)


def stopping_at(wanted: str) -> dict[str, Any]:
    def on_step(step: str) -> None:
        if step == wanted:
            raise PowerCut

    return {"on_step": on_step}


def stopping_after(requests: int) -> dict[str, Any]:
    """Clients that are cut off once they have deleted *requests* members, all together."""
    left = [requests]

    def connect(*arguments: Any) -> MailchimpClient:
        client = hurried(*arguments)
        call = client.call

        def counted(method: str, path: str, **more: Any) -> Any:
            if path.endswith("/delete-permanent"):
                if not left[0]:
                    raise PowerCut
                left[0] -= 1
            return call(method, path, **more)

        client.call = counted  # type: ignore[method-assign]
        return client

    return {"connect": connect}


def test_cut_off_before_each_step_in_turn(world: Any) -> None:
    """Each attempt gets one step further than the one before; the one that is let through finishes."""
    for step in STEPS:
        with pytest.raises(PowerCut):
            world.forget(**stopping_at(step))

    world.forget()

    assert gone(world, ANN)


@pytest.mark.parametrize(
    "cut", [stopping_after(1), stopping_at("ledger")], ids=["one audience", "all but the ledger"]
)
def test_a_run_between_an_interruption_and_the_end_sends_nothing(world: Any, cut: dict[str, Any]) -> None:
    """She has moved at the source, and is still in the ledger: neither updated, moved, tagged nor let go."""
    with pytest.raises(PowerCut):
        world.forget(**cut)
    world.forget_requests()
    world.project.export("vip", on_exit="archive")
    world.project.customer("ann", NEW, "Vip", LastName="Changed")

    world.run_all()

    assert world.writes() == []
    world.forget()
    assert gone(world, ANN)


@pytest.mark.both_ledgers
def test_what_files_alone_knew_is_not_lost_with_them(world: Any) -> None:
    """The address is in snapshots alone; they are cleaned, the ledger is not: it is still found there, by digest."""
    world.project.customer("ann", NEW, "Vip", "News")
    world.project.export("vip", segments=["News"])
    world.project.run("vip", dry_run=True)
    with pytest.raises(PowerCut):
        world.forget(NEW, **stopping_at("ledger"))
    world.project.people.pop("ann")
    for members in world.project.segments.values():
        members[:] = [each for each in members if each != "ann"]

    world.forget(NEW)

    assert gone(world, ANN, NEW)
    with world.project.ledger() as ledger:
        assert [ledger.addresses_of(row.id, "ann") for row in ledger.audiences()] == [(), (), ()]


def test_a_file_that_cannot_be_written_stops_it_halfway(world: Any) -> None:
    """Some files are cleaned and some are not; once the file can be written, again cleans them all."""
    (plan,) = {path.parent for path in world.home.glob("frames/vip/*/plan/posts/*.parquet")}
    (plan / ".000.parquet.new").mkdir()

    with pytest.raises(PipelineError):
        world.forget()
    (plan / ".000.parquet.new").rmdir()
    world.forget()

    assert gone(world, ANN)


def test_an_account_that_is_down_does_not_save_the_others(world: Any) -> None:
    """The person is erased wherever Mailchimp answers; exit 4; again erases the rest, and files and ledger."""
    world.project.emulator.fail("503", match="lists|^GET", times=None)

    with pytest.raises(PipelineError) as caught:
        world.forget()

    assert (caught.value.code, caught.value.exit_code) == ("mailchimp_busy", 4)
    assert ANN not in world.partners.members(PARTNERS)
    assert world.traces(), "the ledger is what finds her again"
    world.project.emulator.heal()
    world.forget()
    assert gone(world, ANN)


def test_a_deletion_whose_answer_was_lost_is_told_as_what_it_is(world: Any) -> None:
    """The connection breaks after Mailchimp has deleted: the repeated request finds nobody, and the proof says so."""
    world.partners.fail("reset_after", match="delete-permanent", times=1)

    places = world.forget()

    told = places[f"audience {PARTNERS} (connection partners)"]
    assert told.found == 0
    assert "an earlier try may have erased it" in told.done
    assert gone(world, ANN)
