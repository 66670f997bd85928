"""Read whom Mailchimp will not let us mail, and as much of the subscribed as is worth a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient

NOT_SUBSCRIBED = ("unsubscribed", "cleaned", "pending", "transactional", "archived")
SCHEMA = {"subscriber_hash": pl.Binary, "status": pl.String, "last_changed": pl.Float64}
READS = 3  # people keep clicking while pages are read; a count that will not settle is tried again


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was read: a folder of Parquet files, and how many members have each status.

    Attributes:
        knows_subscribed: Whether every subscribed member was read, so that who is absent does not exist.
    """

    folder: Path
    totals: Mapping[str, int]
    knows_subscribed: bool

    @property
    def billed(self) -> int:
        """Contacts of this audience that Mailchimp bills (archived and cleaned are free)."""
        return sum(
            self.totals.get(status, 0)
            for status in ("subscribed", "unsubscribed", "pending", "transactional")
        )


def read_seen(
    client: MailchimpClient, audience_id: str, into: Path, *, first_contact: bool, needs_subscribed: bool
) -> Seen:
    """Write one row per member that is not subscribed, and per subscribed one as far as they are read.

    Args:
        first_contact: Nothing of this audience is in the ledger yet: read everyone, so that who was there
            before us is known. Later one page of the subscribed is read: a small audience is known whole.
        needs_subscribed: Somebody is wanted who may have signed up by themselves.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    totals = {status: _read_status(client, audience_id, status, into) for status in NOT_SUBSCRIBED}
    knows = False
    if needs_subscribed:
        limit = None if first_contact else 1
        totals["subscribed"], knows = _read_subscribed(client, audience_id, into, limit)
    _write(into / "none.parquet", [], [], [])
    return Seen(folder=into, totals=totals, knows_subscribed=knows)


def _read_status(client: MailchimpClient, audience_id: str, status: str, into: Path) -> int:
    """Read everyone of *status*; more than once when the count moved meanwhile. The union is kept: safe."""
    for attempt in range(READS):
        read: set[bytes] = set()
        total = first = -1
        for number, page in enumerate(endpoints.members(client, audience_id, status)):
            first = page.total if first < 0 else first
            total = page.total
            read.update(member.subscriber_hash for member in page.members)
            _write(
                into / f"{status}-{attempt}-{number:05}.parquet",
                [member.subscriber_hash for member in page.members],
                [status] * len(page.members),
                [member.last_changed for member in page.members],
            )
        if total == first and len(read) >= total:
            return max(total, 0)
    raise audience_changing(audience_id, status)


def audience_changing(audience_id: str, status: str) -> RunLaterError:
    """The members of one status were never read as whole as Mailchimp counts them."""
    return RunLaterError(
        "audience_changing",
        f"audience {audience_id}: the members of status {status} changed during each of {READS} reads",
        fix="run again in a few minutes",
    )


def _read_subscribed(
    client: MailchimpClient, audience_id: str, into: Path, max_pages: int | None
) -> tuple[int, bool]:
    read: set[bytes] = set()  # pages overlap, so that a moving row is not missed
    total = 0
    for number, page in enumerate(endpoints.members(client, audience_id, "subscribed", max_pages=max_pages)):
        total = page.total
        read.update(member.subscriber_hash for member in page.members)
        _write(
            into / f"subscribed-0-{number:05}.parquet",
            [member.subscriber_hash for member in page.members],
            [member.status for member in page.members],  # should the filter let somebody else through
            [member.last_changed for member in page.members],
        )
    return total, len(read) >= total


def _write(path: Path, hashes: list[bytes], statuses: list[str], changed: list[float | None]) -> None:
    frame = pl.DataFrame(
        {"subscriber_hash": hashes, "status": statuses, "last_changed": changed}, schema=SCHEMA, strict=False
    )
    path.touch(mode=0o600)
    frame.write_parquet(path)
