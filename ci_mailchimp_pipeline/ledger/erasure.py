"""People who are erased: their rows are deleted, and keyed digests of them remembered."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, delete, insert, select

from ci_mailchimp_pipeline.keys import NOT_IN_AN_ID
from ci_mailchimp_pipeline.ledger.records import ForgottenKind
from ci_mailchimp_pipeline.ledger.schema import audience as audiences
from ci_mailchimp_pipeline.ledger.schema import foreign_tag, forgotten, hold, member, refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgottenRow:
    """Somebody who must never be sent again.

    Attributes:
        digest: 32 bytes: keyed, of a subscriber hash or of a customer id.
        key_id: Which key it was made with; tells nothing about the key.
        forgotten_at: Seconds since 1970.
    """

    kind: ForgottenKind
    digest: bytes = dataclasses.field(repr=False)
    key_id: str
    forgotten_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many rows of a person were deleted, in all audiences together."""

    members: int
    holds: int
    refusals: int
    foreign_tags: int


def remember(connection: Connection, rows: Sequence[ForgottenRow]) -> None:
    """Insert *rows*; what is remembered already stays as it is."""
    for row in rows:
        same = (forgotten.c.kind == row.kind) & (forgotten.c.digest == row.digest)
        if connection.execute(select(forgotten.c.kind).where(same)).first() is None:
            connection.execute(insert(forgotten).values(**dataclasses.asdict(row)))


def keys(connection: Connection) -> frozenset[str]:
    """Return the key_ids of all that is remembered."""
    return frozenset(connection.execute(select(forgotten.c.key_id).distinct()).scalars())


def remembers(connection: Connection, digests: Collection[bytes]) -> bool:
    """Whether one of *digests* is remembered; asks no more than one person has."""
    found = select(forgotten.c.kind).where(forgotten.c.digest.in_(digests)).limit(1)
    return connection.execute(found).first() is not None


def erase(connection: Connection, subscriber_hash: bytes, customer_ids: Collection[str]) -> Erased:
    """Delete every row of the person in every audience: under the hash, or of one of *customer_ids*.

    A hash at which one of them was refused is erased as a whole, unless it is another customer's member.
    """
    customer_ids = [each for each in customer_ids if NOT_IN_AN_ID not in each]
    erased: Counter[str] = Counter()
    for audience in connection.execute(select(audiences.c.id)).scalars().all():
        hashes = {subscriber_hash} | _hashes(connection, audience, customer_ids)
        for table in (member, hold, refusal, foreign_tag):
            theirs: ColumnElement[bool] = table.c.subscriber_hash.in_(hashes)
            if table is refusal:
                theirs = theirs | refusal.c.customer_id.in_(customer_ids)
            done = connection.execute(delete(table).where((table.c.audience == audience) & theirs))
            erased[f"{table.name}s"] += done.rowcount
    return Erased(**erased)


def _hashes(connection: Connection, audience: int, customer_ids: Collection[str]) -> set[bytes]:
    def found(table: Table) -> set[bytes]:
        theirs = (table.c.audience == audience) & table.c.customer_id.in_(customer_ids)
        return set(connection.execute(select(table.c.subscriber_hash).where(theirs)).scalars())

    members, refused = found(member), found(refusal)
    somebody = (member.c.audience == audience) & member.c.subscriber_hash.in_(refused)
    others = set(connection.execute(select(member.c.subscriber_hash).where(somebody)).scalars()) - members
    return members | refused - others
