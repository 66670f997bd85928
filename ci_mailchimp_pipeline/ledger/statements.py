"""The statements of the hot path, and what each record does with them.

Standard SQL that SQLite and PostgreSQL share; each puts its own kind of parameters in the place of ``:name``:
tuples at driver level cost a third of what SQLAlchemy's dictionaries cost. The values of a tuple stand in the
order of the names in its statement.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger.database import Rows, Statements
from ci_mailchimp_pipeline.ledger.records import (
    Acknowledged,
    Archived,
    Moved,
    Record,
    Refused,
    Released,
    Renamed,
    Retagged,
    Suppressed,
)
from ci_mailchimp_pipeline.ledger.schema import hold

HASHES_A_QUERY = 500  # parameters of one query; a batch holds no more people

_AT = "audience = :audience AND subscriber_hash = :subscriber_hash"
_MINE = "audience = :audience AND export = :export AND subscriber_hash = :subscriber_hash"

SQL = {
    "member_active": """
        INSERT INTO member (audience, subscriber_hash, address, customer_id, state, created_by_us, changed_at)
        VALUES (:audience, :subscriber_hash, :address, :customer_id, 'active', :created_by_us, :changed_at)
        ON CONFLICT (audience, subscriber_hash) DO UPDATE SET
            address = excluded.address, customer_id = excluded.customer_id, state = 'active', reason = NULL,
            archived_at = NULL, changed_at = excluded.changed_at""",
    "member_suppressed": """
        INSERT INTO member (audience, subscriber_hash, address, customer_id, state, reason, created_by_us,
            changed_at)
        VALUES (:audience, :subscriber_hash, :address, :customer_id, 'suppressed', :reason, 0, :changed_at)
        ON CONFLICT (audience, subscriber_hash) DO UPDATE SET
            address = excluded.address, customer_id = excluded.customer_id, state = 'suppressed',
            reason = excluded.reason, archived_at = NULL, changed_at = excluded.changed_at""",
    "member_archived": f"""
        UPDATE member SET state = 'archived_by_us', reason = NULL, archived_at = :archived_at,
            changed_at = :changed_at
        WHERE {_AT}""",
    "member_renamed": f"UPDATE member SET customer_id = :customer_id WHERE {_AT}",
    "member_known": f"SELECT 1 FROM member WHERE {_AT}",
    "member_moved": f"""
        UPDATE member SET subscriber_hash = :new_hash, address = :address, customer_id = :customer_id,
            changed_at = :changed_at
        WHERE {_AT}""",
    "hold": """
        INSERT INTO hold (audience, export, subscriber_hash, tags, fingerprint, filled)
        VALUES (:audience, :export, :subscriber_hash, :tags, :fingerprint, :filled)
        ON CONFLICT (audience, export, subscriber_hash) DO UPDATE SET
            tags = excluded.tags, fingerprint = excluded.fingerprint, filled = excluded.filled""",
    "hold_tags": f"UPDATE hold SET tags = :tags WHERE {_MINE}",
    "hold_gone": f"DELETE FROM hold WHERE {_MINE}",
    "refusal": """
        INSERT INTO refusal (audience, export, subscriber_hash, customer_id, kind, code, field, fingerprint,
            attempts, retry_at)
        VALUES (:audience, :export, :subscriber_hash, :customer_id, :kind, :code, :field, :fingerprint,
            1, :retry_at)
        ON CONFLICT (audience, export, subscriber_hash) DO UPDATE SET
            customer_id = excluded.customer_id, kind = excluded.kind, code = excluded.code,
            field = excluded.field, attempts =
                CASE WHEN refusal.fingerprint = excluded.fingerprint THEN refusal.attempts + 1 ELSE 1 END,
            fingerprint = excluded.fingerprint, retry_at = excluded.retry_at""",
    "refusal_gone": f"DELETE FROM refusal WHERE {_MINE}",
    "foreign_tag": """
        INSERT INTO foreign_tag (audience, tag_key, subscriber_hash)
        VALUES (:audience, :tag_key, :subscriber_hash)
        ON CONFLICT (audience, tag_key, subscriber_hash) DO NOTHING""",
}
SQL |= {
    f"forget_{table}": f"DELETE FROM {table} WHERE {_AT}"
    for table in ("member", "hold", "refusal", "foreign_tag")
}
SQL |= {
    f"rekey_{table}": f"UPDATE {table} SET subscriber_hash = :new_hash WHERE {_AT}"
    for table in ("hold", "foreign_tag")
}

PARAMETER = re.compile(r":(\w+)")


class Recorder:
    """Writes records of one export into an open transaction.

    Args:
        statements: In the words of the connection's database.
        connection: Inside a transaction; commits nothing itself.
        audience: The ledger's number of the audience.
        export: Whose holds and refusals are meant.
        now: What ``changed_at`` becomes, seconds since 1970.
    """

    def __init__(
        self, statements: Statements, connection: Connection, *, audience: int, export: str, now: float
    ) -> None:
        self._statements = statements
        self._connection = connection
        self._audience = audience
        self._export = export
        self._now = now
        self._writers: dict[type[Record], Callable[[list[Any]], None]] = {
            Acknowledged: self._acknowledged,
            Refused: self._refused,
            Suppressed: self._suppressed,
            Moved: self._moved,
            Renamed: self._renamed,
            Retagged: self._retagged,
            Released: self._released,
            Archived: self._archived,
        }

    def write(self, records: Iterable[Record]) -> None:
        """Write *records* in their order; neighbours of one kind share their statements."""
        for kind, group in groupby(records, type):
            self._writers[kind](list(group))

    def _run(self, name: str, rows: Rows) -> None:
        self._statements.run(self._connection, name, rows)

    def _mine(self, records: Sequence[Record]) -> Rows:
        return [(self._audience, self._export, record.subscriber_hash) for record in records]

    def _acknowledged(self, records: list[Acknowledged]) -> None:
        at, now, export = self._audience, self._now, self._export
        self._run(
            "member_active",
            [(at, r.subscriber_hash, r.address, r.customer_id, int(r.created_by_us), now) for r in records],
        )
        self._run(
            "hold",
            [(at, export, r.subscriber_hash, tags_text(r.tags), r.fingerprint, r.filled) for r in records],
        )
        self._run("refusal_gone", self._mine(records))

    def _refused(self, records: list[Refused]) -> None:
        at, export = self._audience, self._export
        self._run(
            "refusal",
            [
                (
                    at,
                    export,
                    r.subscriber_hash,
                    r.customer_id,
                    r.kind,
                    r.code,
                    r.field,
                    r.fingerprint,
                    r.retry_at,
                )
                for r in records
            ],
        )

    def _suppressed(self, records: list[Suppressed]) -> None:
        self._run(
            "member_suppressed",
            [
                (self._audience, r.subscriber_hash, r.address, r.customer_id, r.reason, self._now)
                for r in records
            ],
        )

    def _moved(self, records: list[Moved]) -> None:
        # One by one: in a chain a -> b -> c each move must find what the one before it left.
        for record in records:
            old, new = (self._audience, record.old_hash), (self._audience, record.subscriber_hash)
            if not self._statements.finds(self._connection, "member_known", old):
                continue
            if old != new:
                for table in ("member", "hold", "refusal", "foreign_tag"):
                    self._run(f"forget_{table}", [new])
            self._run("forget_refusal", [old])
            row = (record.subscriber_hash, record.address, record.customer_id, self._now, *old)
            self._run("member_moved", [row])
            for table in ("hold", "foreign_tag"):
                self._run(f"rekey_{table}", [(record.subscriber_hash, *old)])

    def _renamed(self, records: list[Renamed]) -> None:
        self._run("member_renamed", [(r.customer_id, self._audience, r.subscriber_hash) for r in records])

    def _retagged(self, records: list[Retagged]) -> None:
        held = self._held_tags({record.subscriber_hash for record in records})
        for record in records:
            if (tags := held.get(record.subscriber_hash)) is not None:
                held[record.subscriber_hash] = _retag(tags, record.added, record.removed)
        at, export = self._audience, self._export
        self._run(
            "hold_tags", [(tags, at, export, subscriber_hash) for subscriber_hash, tags in held.items()]
        )

    def _held_tags(self, hashes: set[bytes]) -> dict[bytes, str]:
        held: dict[bytes, str] = {}
        ordered = sorted(hashes)
        for start in range(0, len(ordered), HASHES_A_QUERY):
            mine = (hold.c.audience == self._audience) & (hold.c.export == self._export)
            some = hold.c.subscriber_hash.in_(ordered[start : start + HASHES_A_QUERY])
            found = self._connection.execute(select(hold.c.subscriber_hash, hold.c.tags).where(mine & some))
            held |= {row.subscriber_hash: row.tags for row in found}
        return held

    def _released(self, records: list[Released]) -> None:
        self._run("hold_gone", self._mine(records))

    def _archived(self, records: list[Archived]) -> None:
        self._run(
            "member_archived",
            [(r.archived_at, self._now, self._audience, r.subscriber_hash) for r in records],
        )


@lru_cache(maxsize=4096)
def tags_text(tags: tuple[str, ...]) -> str:
    """Return *tags* as the ledger keeps them: a JSON array, sorted, each once."""
    return msgspec.json.encode(sorted(set(tags))).decode()


@lru_cache(maxsize=4096)
def _retag(tags: str, added: tuple[str, ...], removed: tuple[str, ...]) -> str:
    gone = {tag_key(name) for name in (*removed, *added)}
    kept = [name for name in msgspec.json.decode(tags, type=list[str]) if tag_key(name) not in gone]
    return tags_text((*kept, *added))
