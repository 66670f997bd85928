"""What each record does to members, holds, refusals and foreign tags."""

import pytest

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import Archived, Moved, Refused, Released, Retagged, Suppressed


def refused(people, number, **changes):
    """A temporary refusal, or another one."""
    values = {
        "subscriber_hash": people.hash(number),
        "customer_id": f"C{number}",
        "kind": "temporary",
        "code": "too_many_signups",
        "field": None,
        "fingerprint": b"f" * 16,
        "retry_at": 1_800_000_600.0,
    }
    return Refused(**values | changes)


def suppressed(people, number, **changes):
    """An opt-out."""
    values = {
        "subscriber_hash": people.hash(number),
        "address": people.address(number),
        "customer_id": f"C{number}",
        "reason": "unsubscribed",
    }
    return Suppressed(**values | changes)


def moved(people, old, new):
    """One customer whose address changed."""
    return Moved(
        old_hash=people.hash(old),
        subscriber_hash=people.hash(new),
        address=people.address(new),
        customer_id=f"C{old}",
    )


def test_an_acknowledged_member_is_active_and_held(ledger, audience, lease, read, people):
    """An upsert that Mailchimp took makes an active member, and a hold with sorted tags."""
    ledger.record(lease, [people.acknowledged(1, tags=("Zoo", "Ä", "Zoo"))], export="vip")

    assert read(ledger, audience, "members") == [
        {
            "subscriber_hash": people.hash(1),
            "address": people.address(1),
            "customer_id": "C1",
            "state": "active",
            "reason": None,
            "created_by_us": 1,
            "archived_at": None,
            "changed_at": 1_800_000_000.0,
        }
    ]
    assert read(ledger, audience, "holds") == [
        {
            "export": "vip",
            "subscriber_hash": people.hash(1),
            "tags": ["Zoo", "Ä"],
            "fingerprint": b"f" * 16,
            "filled": "FNAME",
        }
    ]
    assert ledger.held(audience, "vip") == 1


@pytest.mark.parametrize("first", [True, False])
def test_who_created_a_member_is_settled_once(ledger, lease, read, people, first):
    """Whether we brought a member in is what the first record said, whatever later ones say."""
    ledger.record(lease, [people.acknowledged(1, created_by_us=first)], export="vip")
    ledger.record(lease, [people.acknowledged(1, created_by_us=not first)], export="other")

    (member,) = read(ledger, lease.audience, "members")
    assert member["created_by_us"] == int(first)


def test_a_repeated_upsert_takes_the_newest_values(ledger, lease, read, people, clock):
    """Address, customer, tags and fields are those of the last acknowledged upsert."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    clock.now += 5
    again = people.acknowledged(
        1, address="Person1@contoso-mail.internal", customer_id="C9", tags=(), fingerprint=b"g", filled=""
    )
    ledger.record(lease, [again], export="vip")

    (member,) = read(ledger, lease.audience, "members")
    (hold,) = read(ledger, lease.audience, "holds")
    assert (member["address"], member["customer_id"]) == ("Person1@contoso-mail.internal", "C9")
    assert member["changed_at"] == clock.now
    assert (hold["tags"], hold["fingerprint"], hold["filled"]) == ([], b"g", "")


def test_an_upsert_ends_the_refusal_of_its_own_export_only(ledger, audience, lease, read, people):
    """What another export was refused stays refused: its row may hold other values."""
    for export in ("vip", "other"):
        ledger.record(lease, [refused(people, 1)], export=export)

    ledger.record(lease, [people.acknowledged(1)], export="vip")

    assert [row["export"] for row in read(ledger, audience, "refusals")] == ["other"]


def test_attempts_count_while_the_row_stays_the_same(ledger, audience, lease, read, people):
    """The same fingerprint refused again is one more attempt; a changed row starts at one."""
    seen = []
    for fingerprint in (b"a", b"a", b"a", b"b"):
        ledger.record(lease, [refused(people, 1, fingerprint=fingerprint)], export="vip")
        seen.append(read(ledger, audience, "refusals")[0]["attempts"])

    assert seen == [1, 2, 3, 1]


def test_a_refusal_keeps_its_latest_class_and_time(ledger, audience, lease, read, people):
    """Kind, code, field and next try are those of the last refusal; a refusal makes no member."""
    ledger.record(lease, [refused(people, 1)], export="vip")
    last = refused(people, 1, kind="permanent", code="invalid_merge_value", field="CITY", retry_at=None)
    ledger.record(lease, [last], export="vip")

    (row,) = read(ledger, audience, "refusals")
    assert (row["kind"], row["code"], row["field"], row["retry_at"]) == (
        "permanent",
        "invalid_merge_value",
        "CITY",
        None,
    )
    assert read(ledger, audience, "members") == []


def test_suppressing_keeps_holds_and_who_created_the_member(ledger, audience, lease, read, people):
    """An opt-out is no exit: the hold stays, and so does the fact that we brought the member in."""
    ledger.record(lease, [people.acknowledged(1), suppressed(people, 1)], export="vip")

    (member,) = read(ledger, audience, "members")
    assert (member["state"], member["reason"], member["created_by_us"]) == ("suppressed", "unsubscribed", 1)
    assert len(read(ledger, audience, "holds")) == 1


def test_a_suppressed_stranger_was_not_created_by_us(ledger, audience, lease, read, people):
    """Somebody first seen opted out was there before us, also after opting in again; no hold appears."""
    ledger.record(lease, [suppressed(people, 1)], export="vip")
    assert read(ledger, audience, "holds") == []

    ledger.record(lease, [people.acknowledged(1, created_by_us=True)], export="vip")

    (member,) = read(ledger, audience, "members")
    assert (member["state"], member["reason"], member["created_by_us"]) == ("active", None, 0)


def test_an_archived_member_keeps_its_holds_and_can_come_back(ledger, audience, lease, read, people):
    """Archiving leaves the tags where they are; a later upsert makes the member active again."""
    ledger.record(lease, [people.acknowledged(1), people.acknowledged(2)], export="vip")
    ledger.record(lease, [Archived(subscriber_hash=people.hash(1), archived_at=7.5)], export="vip")

    archived = {row["subscriber_hash"]: row for row in read(ledger, audience, "members")}[people.hash(1)]
    assert (archived["state"], archived["archived_at"]) == ("archived_by_us", 7.5)
    assert len(read(ledger, audience, "holds")) == 2
    assert ledger.held(audience, "vip") == 1

    ledger.record(lease, [people.acknowledged(1)], export="vip")
    assert {row["state"] for row in read(ledger, audience, "members")} == {"active"}
    assert {row["archived_at"] for row in read(ledger, audience, "members")} == {None}


def test_a_suppressed_member_is_no_longer_archived_by_us(ledger, audience, lease, read, people):
    """Somebody who opted out of the archive must not be brought back as one of ours."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    ledger.record(lease, [Archived(subscriber_hash=people.hash(1), archived_at=7.5)], export="vip")
    ledger.record(lease, [suppressed(people, 1)], export="vip")

    (member,) = read(ledger, audience, "members")
    assert (member["state"], member["archived_at"]) == ("suppressed", None)


def test_a_move_carries_everything_to_the_new_address(ledger, audience, lease, read, people):
    """Member, holds of all exports and foreign tags are found under the new hash; refusals are gone."""
    for export in ("vip", "other"):
        ledger.record(lease, [people.acknowledged(1, created_by_us=False), refused(people, 1)], export=export)
    ledger.adopt_tag(lease, "Partner", [[people.hash(1)]])

    ledger.record(lease, [moved(people, 1, 2)], export="vip")

    (member,) = read(ledger, audience, "members")
    assert (member["subscriber_hash"], member["address"]) == (people.hash(2), people.address(2))
    assert (member["customer_id"], member["created_by_us"], member["state"]) == ("C1", 0, "active")
    holds = read(ledger, audience, "holds")
    assert [(row["export"], row["subscriber_hash"]) for row in holds] == [
        ("other", people.hash(2)),
        ("vip", people.hash(2)),
    ]
    assert [row["subscriber_hash"] for row in read(ledger, audience, "foreign_tags")] == [people.hash(2)]
    assert read(ledger, audience, "refusals") == []


def test_a_repeated_move_changes_nothing(ledger, lease, read, people, clock):
    """A move that is recorded twice (a crash between commit and answer) leaves what the first one left."""
    ledger.record(lease, [people.acknowledged(1), moved(people, 1, 2)], export="vip")
    ledger.record(lease, [refused(people, 2)], export="vip")
    before = [read(ledger, lease.audience, name) for name in ("members", "holds", "refusals")]
    clock.now += 5

    ledger.record(lease, [moved(people, 1, 2)], export="vip")

    assert [read(ledger, lease.audience, name) for name in ("members", "holds", "refusals")] == before


def test_moves_in_a_chain_follow_each_other(ledger, audience, lease, read, people):
    """One batch may move a member on to an address that the move before has just left."""
    ledger.record(lease, [people.acknowledged(number) for number in (1, 2)], export="vip")

    ledger.record(lease, [moved(people, 2, 3), moved(people, 1, 2)], export="vip")

    members = {row["customer_id"]: row["address"] for row in read(ledger, audience, "members")}
    assert members == {"C1": people.address(2), "C2": people.address(3)}


def test_a_move_onto_a_known_address_replaces_what_was_known(ledger, audience, lease, read, people):
    """Mailchimp lets nobody move onto a present member: the row at the new address was out of date."""
    ledger.record(lease, [people.acknowledged(2, tags=("Stale",))], export="vip")
    ledger.record(lease, [people.acknowledged(2, tags=("Stale",))], export="other")
    ledger.record(lease, [people.acknowledged(1)], export="vip")

    ledger.record(lease, [moved(people, 1, 2)], export="vip")

    assert [row["customer_id"] for row in read(ledger, audience, "members")] == ["C1"]
    assert [(row["export"], row["tags"]) for row in read(ledger, audience, "holds")] == [
        ("vip", ["Newsletter"])
    ]


def test_a_move_to_the_same_hash_only_rewrites_the_address(ledger, audience, lease, read, people):
    """An address that changed nothing but its letters' case keeps its hash, its member and its hold."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    spelled = Moved(
        old_hash=people.hash(1),
        subscriber_hash=people.hash(1),
        address="PERSON1@contoso-mail.internal",
        customer_id="C1",
    )

    ledger.record(lease, [spelled], export="vip")

    assert [row["address"] for row in read(ledger, audience, "members")] == [spelled.address]
    assert len(read(ledger, audience, "holds")) == 1


def test_retagging_and_releasing_touch_one_exports_hold(ledger, audience, lease, read, people):
    """Tags are gained and lost, in any spelling; a release ends the hold; other exports and the member stay."""
    for export in ("vip", "other"):
        ledger.record(lease, [people.acknowledged(1), people.acknowledged(2)], export=export)

    ledger.record(
        lease,
        [
            Retagged(subscriber_hash=people.hash(1), added=("A", "B"), removed=("newsletter",)),
            Released(subscriber_hash=people.hash(2)),
        ],
        export="vip",
    )

    holds = {(row["export"], row["subscriber_hash"]): row["tags"] for row in read(ledger, audience, "holds")}
    assert holds == {
        ("other", people.hash(1)): ["Newsletter"],
        ("other", people.hash(2)): ["Newsletter"],
        ("vip", people.hash(1)): ["A", "B"],
    }
    assert len(read(ledger, audience, "members")) == 2


def test_records_about_nobody_change_nothing(ledger, audience, lease, read, people):
    """Retagging, releasing, archiving or moving somebody the ledger does not know makes no row."""
    unknown = people.hash(1)
    rows = [
        Retagged(subscriber_hash=unknown, added=("A",)),
        Released(subscriber_hash=unknown),
        Archived(subscriber_hash=unknown, archived_at=1.0),
        moved(people, 1, 2),
    ]

    ledger.record(lease, rows, export="vip")
    ledger.record(lease, [], export="vip")

    assert [read(ledger, audience, name) for name in ("members", "holds", "refusals")] == [[], [], []]


def test_a_batch_is_recorded_whole_or_not_at_all(ledger, audience, lease, read, people):
    """One impossible row (a bug) undoes its batch, and its error names nobody."""
    rows = [people.acknowledged(1), people.acknowledged(2, subscriber_hash=b"short")]

    with pytest.raises(PipelineError) as caught:
        ledger.record(lease, rows, export="vip")

    assert "contoso-mail" not in f"{caught.value!s} {caught.value!r}"
    assert read(ledger, audience, "members") == []


def test_audiences_do_not_mix(ledger, audience, lease, read, people):
    """The same person in two audiences has two rows, and each audience shows its own."""
    second = ledger.audience("account-1", "f6g7h8i9j0")
    assert second != audience
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    with ledger.lease(second, "host:1") as other:
        ledger.record(other, [people.acknowledged(1, tags=("Second",)), moved(people, 1, 2)], export="vip")

    assert [row["subscriber_hash"] for row in read(ledger, audience, "members")] == [people.hash(1)]
    assert [row["tags"] for row in read(ledger, second, "holds")] == [["Second"]]
    assert ledger.held(second, "vip") == 1
    assert ledger.audience("account-1", "a1b2c3d4e5") == audience
