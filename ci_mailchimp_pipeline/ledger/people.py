"""What the ledger knows about one person, for whoever explains or erases; and the lists behind it."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, Table, func, select, union

from ci_mailchimp_pipeline.keys import NOT_IN_AN_ID
from ci_mailchimp_pipeline.ledger.records import MemberState, RefusalKind
from ci_mailchimp_pipeline.ledger.schema import audience as audiences
from ci_mailchimp_pipeline.ledger.schema import foreign_tag, hold, member, refusal

BLOCK = 5_000  # refusals in Python at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceRow:
    """An audience of an account, and the number under which the ledger keeps it."""

    id: int
    account_id: str
    audience_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRow:
    """A member as the ledger knows it. Times are seconds since 1970.

    Attributes:
        reason: Why nobody may write to it; None unless it is suppressed.
        archived_at: When we archived it; None unless we did.
    """

    address: str = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)
    state: MemberState
    reason: str | None
    created_by_us: bool
    archived_at: float | None
    changed_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRow:
    """What one export holds on a member: tags, and the merge tags it filled (names, with commas)."""

    export: str
    tags: tuple[str, ...]
    filled: str
    fingerprint: bytes = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalRow:
    """A row that Mailchimp refused for one export.

    Attributes:
        attempts: How often this very row was refused.
        retry_at: When it is due again, seconds since 1970; None is never.
    """

    export: str
    subscriber_hash: bytes = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)
    kind: RefusalKind
    code: str
    field: str | None
    fingerprint: bytes = dataclasses.field(repr=False)
    attempts: int
    retry_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Everything the ledger holds under one subscriber hash in one audience.

    Attributes:
        foreign_tags: Keys (lower case) of the tags the person had before we used them.
    """

    member: MemberRow | None
    holds: tuple[HoldRow, ...]
    refusals: tuple[RefusalRow, ...]
    foreign_tags: tuple[str, ...]


def all_audiences(connection: Connection) -> tuple[AudienceRow, ...]:
    """Return every audience that was ever written to or asked for, in the order of their numbers."""
    found = connection.execute(select(audiences).order_by(audiences.c.id))
    return tuple(AudienceRow(**_values(row)) for row in found)


def person(connection: Connection, audience: int, subscriber_hash: bytes) -> Person:
    """Return what stands under *subscriber_hash* in *audience*; empty parts for what does not."""

    def of(table: Table, *order: str) -> Select[Any]:
        mine = (table.c.audience == audience) & (table.c.subscriber_hash == subscriber_hash)
        columns = [column for column in table.columns if column is not table.c.audience]
        return select(*columns).where(mine).order_by(*(table.c[name] for name in order))

    known = connection.execute(of(member)).one_or_none()
    return Person(
        member=_member(known) if known else None,
        holds=tuple(_hold(row) for row in connection.execute(of(hold, "export"))),
        refusals=tuple(RefusalRow(**_values(row)) for row in connection.execute(of(refusal, "export"))),
        foreign_tags=tuple(row.tag_key for row in connection.execute(of(foreign_tag, "tag_key"))),
    )


def addresses_of(connection: Connection, audience: int, customer_id: str) -> tuple[bytes, ...]:
    """Return the hashes under which *customer_id* is a member or was refused, in their order."""
    if NOT_IN_AN_ID in customer_id:
        return ()
    found = union(
        *(
            select(table.c.subscriber_hash).where(
                (table.c.audience == audience) & (table.c.customer_id == customer_id)
            )
            for table in (member, refusal)
        )
    )
    return tuple(sorted(connection.execute(found).scalars()))


def held(connection: Connection, audience: int, export: str) -> int:
    """Return how many members, other than those we archived, *export* holds something on."""
    both = (member.c.audience == hold.c.audience) & (member.c.subscriber_hash == hold.c.subscriber_hash)
    query = (
        select(func.count())
        .select_from(hold.join(member, both))
        .where(
            (hold.c.audience == audience) & (hold.c.export == export) & (member.c.state != "archived_by_us")
        )
    )
    return connection.execute(query).scalar_one()


def refusals_after(connection: Connection, audience: int, export: str, last: bytes) -> list[RefusalRow]:
    """Return the next refusals of *export*, up to a block, in the order of the hash after *last*."""
    columns = [column for column in refusal.columns if column is not refusal.c.audience]
    query = (
        select(*columns)
        .where(
            (refusal.c.audience == audience)
            & (refusal.c.export == export)
            & (refusal.c.subscriber_hash > last)
        )
        .order_by(refusal.c.subscriber_hash)
        .limit(BLOCK)
    )
    return [RefusalRow(**_values(row)) for row in connection.execute(query)]


def _member(row: Row[Any]) -> MemberRow:
    values = {name: value for name, value in _values(row).items() if name != "subscriber_hash"}
    return MemberRow(**values | {"created_by_us": bool(row.created_by_us)})


def _hold(row: Row[Any]) -> HoldRow:
    tags = msgspec.json.decode(row.tags, type=tuple[str, ...])
    return HoldRow(export=row.export, tags=tags, filled=row.filled, fingerprint=row.fingerprint)


def _values(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's documented way, named so that no column clashes
