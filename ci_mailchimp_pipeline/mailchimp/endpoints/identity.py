"""Whose row of an answer it is, and when it happened; whatever of it Mailchimp sent."""

import re
from collections.abc import Container
from datetime import UTC, datetime

import msgspec

from ci_mailchimp_pipeline.keys import subscriber_hash

_HASH = re.compile(r"[0-9a-f]{32}")
_STATUSES = frozenset({"subscribed", "unsubscribed", "cleaned", "pending", "transactional", "archived"})


class MemberRow(msgspec.Struct):
    """A member in an answer; every part may be missing, null or ``""``."""

    id: str | None = None
    email_address: str | None = None
    status: str | None = None
    last_changed: str | None = None
    timestamp_opt: str | None = None
    source: str | None = None

    def __repr__(self) -> str:
        return "MemberRow(...)"


def hash_of(row: MemberRow) -> bytes | None:
    """The key of a member seen, or None when the row names nobody.

    The address decides, as it does everywhere else: old audiences hold ids that are the MD5 of an address
    in mixed case, and such an opt-out must still meet the profile it belongs to. An address that is not
    ASCII has no unambiguous lower case; there, and without an address, Mailchimp's id decides.
    """
    address = row.email_address
    if address and address.isascii():
        return subscriber_hash(address)
    named = (row.id or "").lower()
    if _HASH.fullmatch(named):
        return bytes.fromhex(named)
    return subscriber_hash(address) if address else None


def hash_among(asked: Container[bytes], row: MemberRow) -> bytes | None:
    """The key of a member that was written, or None when it is nobody who was asked for."""
    named = (row.id or "").lower()
    if _HASH.fullmatch(named) and (key := bytes.fromhex(named)) in asked:
        return key
    return address_among(asked, row.email_address)


def address_among(asked: Container[bytes], address: str | None) -> bytes | None:
    """The key of an address, or None when it is nobody who was asked for."""
    key = subscriber_hash(address) if address else None
    return key if key in asked else None


def known_status(text: str | None, otherwise: str) -> str:
    """A status that Mailchimp documents, else *otherwise*: it is shown and kept, so it must not be just any text."""
    return text if text in _STATUSES else otherwise


def seconds(timestamp: str | None) -> float | None:
    """Seconds since 1970 of an ISO 8601 time, UTC when it names no zone; None for anything else."""
    try:
        moment = datetime.fromisoformat(timestamp or "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
