"""One person's rows, and the lists behind explain and rejected."""

import pytest

from ci_mailchimp_pipeline.ledger import (
    Archived,
    AudienceRow,
    HoldRow,
    MemberRow,
    Moved,
    Person,
    Refused,
)
from ci_mailchimp_pipeline.ledger import (
    people as lookups,
)


def refused(people, number, **changes):
    """A temporary refusal of a person's row."""
    values = {
        "subscriber_hash": people.hash(number), "customer_id": f"C{number}", "kind": "temporary", "code": "busy",
        "field": "CITY", "fingerprint": b"f" * 16, "retry_at": 1_800_000_600.0,
    }  # fmt: skip
    return Refused(**values | changes)


def test_every_audience_is_listed_in_the_order_of_its_number(ledger):
    """Whoever erases a person finds every audience that the ledger knows, of all accounts."""
    first = ledger.audience("account-1", "a1b2c3d4e5")
    second = ledger.audience("account-2", "a1b2c3d4e5")

    assert ledger.audiences() == (
        AudienceRow(id=first, account_id="account-1", audience_id="a1b2c3d4e5"),
        AudienceRow(id=second, account_id="account-2", audience_id="a1b2c3d4e5"),
    )


def test_nobody_known_is_an_empty_person(ledger, audience, people):
    """Somebody the ledger never saw has no member, and nothing else."""
    assert ledger.person(audience, people.hash(1)) == Person(
        member=None, holds=(), refusals=(), foreign_tags=()
    )


def test_a_person_is_what_the_records_said(ledger, audience, lease, people, clock):
    """Member, holds of all exports, refusals with attempts and next try, and tags from before us."""
    ledger.record(lease, [people.acknowledged(1, tags=("B", "A"), filled="CITY,FNAME")], export="vip")
    ledger.record(lease, [refused(people, 1), refused(people, 1)], export="other")
    ledger.record(lease, [people.acknowledged(2), refused(people, 2)], export="vip")
    ledger.adopt_tag(lease, "Partner", [[people.hash(1)]])

    person = ledger.person(audience, people.hash(1))

    assert person.member == MemberRow(
        address=people.address(1), customer_id="C1", state="active", reason=None, created_by_us=True,
        archived_at=None, changed_at=clock.now,
    )  # fmt: skip
    assert person.holds == (
        HoldRow(export="vip", tags=("A", "B"), filled="CITY,FNAME", fingerprint=b"f" * 16),
    )
    (refusal,) = person.refusals
    assert (refusal.export, refusal.customer_id, refusal.attempts) == ("other", "C1", 2)
    assert (refusal.kind, refusal.code, refusal.field) == ("temporary", "busy", "CITY")
    assert refusal.retry_at == 1_800_000_600.0
    assert person.foreign_tags == ("partner",)


def test_an_archived_person_says_when(ledger, audience, lease, people):
    """State and time of the archiving are in the member."""
    ledger.record(
        lease,
        [people.acknowledged(1), Archived(subscriber_hash=people.hash(1), archived_at=7.5)],
        export="vip",
    )

    member = ledger.person(audience, people.hash(1)).member

    assert member is not None
    assert (member.state, member.archived_at) == ("archived_by_us", 7.5)


def test_a_person_of_another_audience_is_not_shown(ledger, audience, lease, people):
    """Rows of one audience say nothing about another."""
    ledger.record(lease, [people.acknowledged(1), refused(people, 1)], export="vip")
    other = ledger.audience("account-1", "f6g7h8i9j0")

    assert ledger.person(other, people.hash(1)).member is None
    assert ledger.addresses_of(other, "C1") == ()
    assert list(ledger.refusals(other, "vip")) == []


def test_a_customer_is_found_at_every_address(ledger, audience, lease, people):
    """Members and refusals of one customer count, each address once, whatever its age."""
    moved = Moved(
        old_hash=people.hash(1), subscriber_hash=people.hash(2), address=people.address(2), customer_id="C1"
    )
    ledger.record(lease, [people.acknowledged(1), moved], export="vip")
    ledger.record(lease, [refused(people, number, customer_id="C1") for number in (2, 3)], export="vip")
    ledger.record(lease, [people.acknowledged(9)], export="vip")

    assert ledger.addresses_of(audience, "C1") == tuple(sorted(map(people.hash, (2, 3))))
    assert ledger.addresses_of(audience, "unknown") == ()


@pytest.fixture(params=[1, 3, 100])
def block(monkeypatch, request):
    """How many refusals are read at a time."""
    monkeypatch.setattr(lookups, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_refusals_come_in_order_whatever_the_block(ledger, audience, lease, people):
    """Every refusal of the export comes once, in the order of its hash, and none of another export."""
    ledger.record(lease, [refused(people, number) for number in range(6)], export="vip")
    ledger.record(lease, [refused(people, 7)], export="other")

    found = [row.subscriber_hash for row in ledger.refusals(audience, "vip")]

    assert found == sorted(map(people.hash, range(6)))


def test_refusals_may_be_left_in_the_middle(ledger, audience, lease, people):
    """Whoever shows the first few leaves no transaction behind: the run goes on recording."""
    ledger.record(lease, [refused(people, number) for number in range(3)], export="vip")

    assert next(ledger.refusals(audience, "vip")).attempts == 1
    ledger.record(lease, [refused(people, 1)], export="vip")

    assert sorted(row.attempts for row in ledger.refusals(audience, "vip")) == [1, 1, 2]


def test_what_is_looked_up_does_not_print_the_person(ledger, audience, lease, people):
    """Neither address nor customer id nor a hash is in the text of a row."""
    ledger.record(lease, [people.acknowledged(1), refused(people, 1)], export="vip")

    text = f"{ledger.person(audience, people.hash(1))} {list(ledger.refusals(audience, 'vip'))}"

    assert "contoso" not in text
    assert "C1" not in text
    assert repr(people.hash(1)) not in text
    assert "b'" not in text
