"""The tables of the ledger as they are now; ``migrations`` brings older files here."""

from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()

# In the order of its bytes everywhere: PostgreSQL would sort as the server's language does, and slower.
_KEY = Text().with_variant(Text(collation="C"), "postgresql")

schema_version = Table("schema_version", METADATA, Column("version", Integer, nullable=False))

audience = Table(
    "audience",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("account_id", Text, nullable=False),
    Column("audience_id", Text, nullable=False),
    UniqueConstraint("account_id", "audience_id"),
)


def _of_audience() -> Column[Any]:
    return Column("audience", Integer, ForeignKey("audience.id"), primary_key=True)


def _hash() -> Column[Any]:
    return Column(
        "subscriber_hash", LargeBinary, CheckConstraint("length(subscriber_hash) = 16"), primary_key=True
    )


def _key(name: str) -> Column[Any]:
    return Column(name, _KEY, primary_key=True)


# Rows live in the primary key's own tree (SQLite's WITHOUT ROWID): batches arrive in hash order, so its
# pages are written in sequence. No second index: the plan reads whole audiences.
member = Table(
    "member",
    METADATA,
    _of_audience(),
    _hash(),
    Column("address", Text, nullable=False),
    Column("customer_id", Text, nullable=False),
    Column(
        "state", Text, CheckConstraint("state IN ('active', 'archived_by_us', 'suppressed')"), nullable=False
    ),
    Column("reason", Text),
    Column("created_by_us", Integer, nullable=False),
    Column("archived_at", Float),
    Column("changed_at", Float, nullable=False),
    CheckConstraint("(state = 'archived_by_us') = (archived_at IS NOT NULL)"),
    CheckConstraint("(state = 'suppressed') = (reason IS NOT NULL)"),
    sqlite_with_rowid=False,
)

hold = Table(
    "hold",
    METADATA,
    _of_audience(),
    _key("export"),
    _hash(),
    Column("tags", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("filled", Text, nullable=False),
    sqlite_with_rowid=False,
)

refusal = Table(
    "refusal",
    METADATA,
    _of_audience(),
    _key("export"),
    _hash(),
    Column("customer_id", Text, nullable=False),
    Column("kind", Text, CheckConstraint("kind IN ('permanent', 'temporary', 'suppress')"), nullable=False),
    Column("code", Text, nullable=False),
    Column("field", Text),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_at", Float),
    sqlite_with_rowid=False,
)

tag = Table(
    "tag",
    METADATA,
    _of_audience(),
    _key("tag_key"),
    Column("name", Text, nullable=False),
    Column("adopted_at", Float, nullable=False),
    sqlite_with_rowid=False,
)

foreign_tag = Table(
    "foreign_tag", METADATA, _of_audience(), _key("tag_key"), _hash(), sqlite_with_rowid=False
)

# Who was erased and must never be sent again: keyed digests of a subscriber hash or a customer id, so of no
# audience, and nobody can be told from them without the key.
FORGOTTEN_SINCE = 2  # the version that brought the table
forgotten = Table(
    "forgotten",
    METADATA,
    Column("kind", _KEY, CheckConstraint("kind IN ('address', 'customer')"), primary_key=True),
    Column("digest", LargeBinary, CheckConstraint("length(digest) = 32"), primary_key=True),
    Column("key_id", Text, nullable=False),
    Column("forgotten_at", Float, nullable=False),
    sqlite_with_rowid=False,
)

lease = Table(
    "lease",
    METADATA,
    _of_audience(),
    Column("owner", Text, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("heartbeat", Float, nullable=False),
    Column("expires", Float, nullable=False),
)

# unsettled: began to write, and no run of the audience has finished with success since.
run = Table(
    "run",
    METADATA,
    _key("run_id"),
    _key("export"),
    Column("audience", Integer, ForeignKey("audience.id")),
    Column("connection", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("dry_run", Integer, nullable=False),
    Column("plan_id", Text),
    Column("trigger", Text, nullable=False),
    Column("config_digest", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("mailchimp_time", Float),
    Column("unsettled", Integer, nullable=False),
    Column("members", Integer),
    Column("document", Text, nullable=False),
    Index("run_by_export", "export", "started_at"),
)
