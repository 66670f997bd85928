"""Erasing a person: every row in every audience, no byte left in the files, and only while nothing runs."""

import sqlite3
from contextlib import closing, suppress

import pytest

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.ledger import Erased, ForgottenRow, Refused, open_ledger, sqlite

OWNER = "host:9"


def refused(people, number, customer_id):
    """A refusal of a customer's row at a person's address."""
    return Refused(
        subscriber_hash=people.hash(number), customer_id=customer_id, kind="permanent", code="invalid",
        field=None, fingerprint=b"f" * 16, retry_at=None,
    )  # fmt: skip


@pytest.fixture
def known(ledger, audience, people):
    """Two audiences that know person 1, who is customer C1, among others."""
    second = ledger.audience("account-1", "f6g7h8i9j0")
    for number in (audience, second):
        with ledger.lease(number, "host:1") as lease:
            rows = [people.acknowledged(person) for person in (1, 2)]
            ledger.record(lease, [*rows, refused(people, 1, "C1"), refused(people, 2, "C2")], export="vip")
            ledger.record(lease, rows, export="other")
            ledger.adopt_tag(lease, "Partner", [[people.hash(1), people.hash(2)]])
    return audience, second


def test_every_row_of_the_hash_goes_in_every_audience(ledger, known, people):
    """Member, holds, refusals and foreign tags of the person are gone; those of others stay."""
    erased = ledger.erase(people.hash(1), [], owner=OWNER)

    assert erased == Erased(members=2, holds=4, refusals=2, foreign_tags=2)
    for audience in known:
        gone, stays = (ledger.person(audience, people.hash(number)) for number in (1, 2))
        assert (gone.member, gone.holds, gone.refusals, gone.foreign_tags) == (None, (), (), ())
        assert stays.member is not None
        assert (len(stays.holds), len(stays.refusals), stays.foreign_tags) == (2, 1, ("partner",))


def test_rows_of_the_customer_go_at_any_address(ledger, audience, lease, people):
    """An older address of the same customer goes with all that hangs on it."""
    ledger.record(lease, [people.acknowledged(3, customer_id="C1"), refused(people, 4, "C1")], export="vip")
    ledger.adopt_tag(lease, "Partner", [[people.hash(3), people.hash(4)]])

    erased = ledger.erase(people.hash(1), ["C1"], owner=OWNER, leases=[lease])

    assert erased == Erased(members=1, holds=1, refusals=1, foreign_tags=2)
    assert ledger.addresses_of(audience, "C1") == ()


def test_another_customers_member_stays(ledger, audience, lease, people):
    """Where somebody else is the member, only the refused row of the person goes."""
    ledger.record(lease, [people.acknowledged(5), refused(people, 5, "C1")], export="vip")

    erased = ledger.erase(people.hash(1), ["C1"], owner=OWNER, leases=[lease])

    assert erased == Erased(members=0, holds=0, refusals=1, foreign_tags=0)
    assert len(ledger.person(audience, people.hash(5)).holds) == 1


def test_erasing_again_finds_nothing(ledger, known, people):
    """An erasure that was interrupted is finished by doing it again."""
    ledger.erase(people.hash(1), ["C1"], owner=OWNER)

    again = ledger.erase(people.hash(1), ["C1"], owner=OWNER)

    assert again == Erased(members=0, holds=0, refusals=0, foreign_tags=0)


def test_nothing_is_erased_while_a_run_holds_an_audience(ledger, known, people):
    """A run in any audience keeps all of it, and no lease is left behind."""
    first, second = known
    with ledger.lease(second, "host:1"), pytest.raises(RunLaterError) as caught:
        ledger.erase(people.hash(1), ["C1"], owner=OWNER)

    assert caught.value.code == "audience_busy"
    assert ledger.person(first, people.hash(1)).member is not None
    with ledger.lease(first, "host:2"):
        pass


def test_a_lease_that_was_lost_erases_nothing(ledger, known, people, clock):
    """Whoever was replaced while asking for confirmation erases nothing beside the run that replaced it."""
    first, _ = known
    with ledger.lease(first, OWNER, ttl=10) as stale:
        clock.now += 10
        with ledger.lease(first, "host:1"), pytest.raises(RunLaterError) as caught:
            ledger.erase(people.hash(1), [], owner=OWNER, leases=[stale])

    assert caught.value.code == "lease_lost"
    assert ledger.person(first, people.hash(1)).member is not None


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_no_byte_of_the_person_is_left_in_any_file(home, ledger, audience, people):
    """Address, customer and hash are in no file of the database, though rows moved between its pages before."""
    crowd = range(100, 3000)
    needles = (people.address(1).encode(), b"Customer-77", people.hash(1))
    with ledger.lease(audience, "host:1") as lease:
        for some in (crowd[::2], crowd[1::2]):  # the second half splits the pages of the first
            ledger.record(lease, [people.acknowledged(number) for number in some], export="vip")
            ledger.record(
                lease,
                [people.acknowledged(1, customer_id="Customer-77"), refused(people, 1, "Customer-77")],
                export="vip",
            )
        ledger.adopt_tag(lease, "Partner", [[people.hash(1)]])
    files = [home / f"ledger.sqlite{suffix}" for suffix in ("", "-wal", "-shm")]
    assert all(any(needle in file.read_bytes() for file in files[:2]) for needle in needles)

    ledger.erase(people.hash(1), ["Customer-77"], owner=OWNER)

    for file in files:
        content = file.read_bytes()
        assert [needle for needle in needles if needle in content] == [], file.name
    assert ledger.held(audience, "vip") == len(crowd)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_reader_that_keeps_the_log_is_named(home, ledger, known, people, monkeypatch):
    """When another program reads for too long the rows are gone, and once it ends, again empties the files."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with (
        open_ledger(home) as eraser,
        closing(sqlite3.connect(home / "ledger.sqlite", isolation_level=None)) as reader,
    ):
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM member").fetchone()
        with pytest.raises(RunLaterError) as caught:
            eraser.erase(people.hash(1), ["C1"], owner=OWNER)
        reader.execute("COMMIT")
        assert caught.value.code == "ledger_busy"
        assert eraser.person(known[0], people.hash(1)).member is None

        eraser.erase(people.hash(1), ["C1"], owner=OWNER)

    for suffix in ("", "-wal"):
        with suppress(FileNotFoundError):
            assert people.hash(1) not in (home / f"ledger.sqlite{suffix}").read_bytes()


def forgotten(kind, digest, key_id="k1"):
    """Somebody to remember."""
    return ForgottenRow(kind=kind, digest=digest, key_id=key_id, forgotten_at=5.0)


def test_the_forgotten_are_remembered_once_in_every_audience(ledger, known, read):
    """Digests are the same in the files of each audience, and noting them again changes nothing."""
    rows = [
        forgotten("address", b"a" * 32),
        forgotten("customer", b"a" * 32),
        forgotten("customer", b"c" * 32),
    ]
    ledger.remember_forgotten(rows)
    ledger.remember_forgotten([*rows, forgotten("customer", b"c" * 32, "k2")])

    for audience in known:
        assert read(ledger, audience, "forgotten") == [
            {"kind": row.kind, "digest": row.digest, "key_id": "k1"} for row in rows
        ]
    assert ledger.forgotten_keys() == {"k1"}


def test_erasing_keeps_who_was_forgotten(ledger, known, people, read):
    """What keeps a person from being sent again outlives all their rows."""
    ledger.remember_forgotten([forgotten("address", b"a" * 32)])

    ledger.erase(people.hash(1), ["C1"], owner=OWNER)

    assert len(read(ledger, known[0], "forgotten")) == 1


def test_a_digest_does_not_print(people):
    """Not even a keyed digest is in the text of a row."""
    assert "aaaa" not in repr(forgotten("address", b"a" * 32))


def test_one_of_a_persons_digests_is_enough(ledger):
    """Whoever was forgotten under an address or as a customer is known by either, and nobody else is."""
    ledger.remember_forgotten(
        [ForgottenRow(kind="customer", digest=b"c" * 32, key_id="k1", forgotten_at=1.0)]
    )

    assert ledger.is_forgotten([b"a" * 32, b"c" * 32])
    assert not ledger.is_forgotten([b"a" * 32])
    assert not ledger.is_forgotten([])
