"""People who were erased are not sent again, whatever the source says."""

import hashlib
from typing import Any

import polars as pl
import pytest

from ci_mailchimp_pipeline.forgotten import ForgetKey

KEY = ForgetKey(b"0123456789abcdef" * 4)
ANN, NEW = "ann@a.internal", "new@a.internal"


def key(address: str) -> bytes:
    return hashlib.md5(address.encode()).digest()


def forget(world: Any, *addresses: str, customers: tuple[str, ...] = ()) -> None:
    digests = [("address", KEY.address(key(address))) for address in addresses]
    digests += [("customer", KEY.customer(customer)) for customer in customers]
    world.rows["forgotten"] += [
        {"kind": kind, "digest": digest, "key_id": KEY.key_id} for kind, digest in digests
    ]


@pytest.mark.parametrize("seen", [None, "subscribed", "unsubscribed", "archived"])
def test_a_forgotten_address_is_suppressed_and_not_recorded(world, seen):
    """Whatever Mailchimp shows, nothing is sent and nothing of the person is written to the ledger."""
    world.want(ANN)
    world.want("ben@a.internal")
    if seen:
        world.see(ANN, seen)
    forget(world, ANN)

    plan = world.plan(forget_key=KEY)

    assert plan.suppressed_reasons == {"forgotten": 1}
    assert (plan.counts.added, plan.counts.suppressed) == (1, 1)
    assert plan.counts.is_balanced()
    files = [pl.read_parquet(part) for part in plan.folder.rglob("*.parquet")]
    assert not any(ANN in str(frame.to_dicts()) for frame in files)


def test_a_forgotten_customer_does_not_come_back_under_another_address(world):
    """The source changed the address: the customer is known by another digest."""
    world.want(NEW, customer="c1")
    forget(world, ANN, customers=("c1",))

    plan = world.plan(forget_key=KEY)

    assert plan.suppressed_reasons == {"forgotten": 1}
    assert plan.writes_nothing


@pytest.mark.parametrize("on_exit", ["keep", "remove_tag", "archive"])
@pytest.mark.parametrize("wanted", [ANN, NEW, None])
def test_a_member_whose_erasure_is_not_finished_is_left_alone(world, wanted, on_exit):
    """Held, held under the old address, or no longer wanted: neither written to, moved, tagged nor archived."""
    world.held(ANN, "VIP", "Old", customer="c1")
    if wanted:
        world.want(wanted, customer="c1", first_name="Changed")
    forget(world, ANN, customers=("c1",))

    plan = world.plan(forget_key=KEY, on_exit=on_exit)

    assert plan.writes_nothing
    assert plan.counts.exited == 0
    assert pl.read_parquet(plan.leaving / "*.parquet").is_empty()
    assert plan.suppressed_reasons == ({"forgotten": 1} if wanted else {})


def test_nobody_forgotten_means_no_digest(world):
    """Without a key no digest is made, and nobody is taken for somebody who was forgotten."""
    world.want(ANN)

    assert world.plan().counts.added == 1
    assert world.plan(forget_key=KEY).counts.added == 1
