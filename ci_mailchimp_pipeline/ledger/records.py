"""What the ledger is told, and what it tells: frozen values, their personal parts kept out of every repr."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Clock = Callable[[], float]
"""Seconds since 1970 (UTC), as ``time.time`` gives them."""

RefusalKind = Literal["permanent", "temporary", "suppress"]
RunStatus = Literal["running", "success", "failed", "stopped", "skipped"]
MemberState = Literal["active", "archived_by_us", "suppressed"]
ForgottenKind = Literal["address", "customer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Mailchimp took an upsert: the member is active, and this export holds these tags and fields on it.

    A refusal of this export is forgotten. ``created_by_us`` counts only when the ledger sees the member for
    the first time; afterwards what was recorded first stays.
    """

    subscriber_hash: bytes = dataclasses.field(repr=False)
    address: str = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)
    created_by_us: bool
    tags: tuple[str, ...]
    fingerprint: bytes = dataclasses.field(repr=False)
    filled: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Mailchimp said no to this export's row. Attempts count up while the fingerprint stays the same.

    ``retry_at`` (seconds since 1970) is when a temporary refusal is due again; None is never.
    """

    subscriber_hash: bytes = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)
    kind: RefusalKind
    code: str
    field: str | None
    fingerprint: bytes = dataclasses.field(repr=False)
    retry_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed:
    """The person may not be written to. No hold is made or removed: opting out is not leaving an export."""

    subscriber_hash: bytes = dataclasses.field(repr=False)
    address: str = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Mailchimp took a new address for a member: every row of the old hash now stands under the new one.

    Whatever the ledger knew about the new hash described somebody who is there no longer (Mailchimp would
    have refused the move) and is dropped. A member that is not under ``old_hash`` (the move was recorded
    before) changes nothing.
    """

    old_hash: bytes = dataclasses.field(repr=False)
    subscriber_hash: bytes = dataclasses.field(repr=False)
    address: str = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renamed:
    """The member is another customer now, for whom nothing has to be sent; who is no member stays none."""

    subscriber_hash: bytes = dataclasses.field(repr=False)
    customer_id: str = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retagged:
    """This export's hold on the member gains and loses tags; without a hold nothing changes.

    Attributes:
        added: Names, as they are written.
        removed: Names in any spelling.
    """

    subscriber_hash: bytes = dataclasses.field(repr=False)
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """This export holds nothing on the member any more; the member itself stays."""

    subscriber_hash: bytes = dataclasses.field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """We archived the member; holds stay, because an archived member keeps its tags in Mailchimp."""

    subscriber_hash: bytes = dataclasses.field(repr=False)
    archived_at: float


Record = Acknowledged | Refused | Suppressed | Moved | Renamed | Retagged | Released | Archived


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One export's part of one run. Times are seconds since 1970.

    Attributes:
        audience: The ledger's number of the audience; None while it is not known.
        mailchimp_time: Mailchimp's own clock when the run began to write; None when it never did.
        members: People the export held at the end.
        document: The export's JSON of ``run --json``, counts only; empty until the run finished.
    """

    run_id: str
    export: str
    audience: int | None = None
    connection: str
    status: RunStatus = "running"
    dry_run: bool = False
    plan_id: str | None = None
    trigger: str
    config_digest: str
    started_at: float
    finished_at: float | None = None
    mailchimp_time: float | None = None
    members: int | None = None
    document: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerFiles:
    """The Parquet files of one audience, all of one moment; hashes and fingerprints are BLOB.

    Attributes:
        members: subscriber_hash, address, customer_id, state, reason, created_by_us (0 or 1), archived_at,
            changed_at (DOUBLE); ordered by hash.
        holds: export, subscriber_hash, tags (VARCHAR[]), fingerprint, filled; every export of the audience,
            ordered by export and hash.
        refusals: export, subscriber_hash, customer_id, kind, code, field, fingerprint, attempts (BIGINT),
            retry_at (DOUBLE).
        tags: tag_key, name, adopted_at (DOUBLE).
        foreign_tags: tag_key, subscriber_hash.
        forgotten: kind, digest, key_id; of no audience, so the same in each.
    """

    members: Path
    holds: Path
    refusals: Path
    tags: Path
    foreign_tags: Path
    forgotten: Path
