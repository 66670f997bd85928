"""The only way to make a member object for Mailchimp.

Two builders, so that "an opt-out stays an opt-out" is a type: an ``Upsert`` has no ``status`` at all, and a
``Return`` cannot exist without proof that we archived this very member while it was subscribed.
"""

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import msgspec

from ci_mailchimp_pipeline.keys import subscriber_hash

MergeValue: TypeAlias = str | int | float | dict[str, str]

MAX_MEMBERS = 500
"""Members in one call; the API's own limit for upserts and for each list of a tag call."""

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")  # fits 64 bits; longer ones go as a float
_ENCODER = msgspec.json.Encoder()


class ReturnProof(Protocol):
    """What the ledger knows about a member that may be brought back with ``status``."""

    @property
    def subscriber_hash(self) -> bytes:
        """Whom we archived."""

    @property
    def archived_by_us_at(self) -> float:
        """When Mailchimp acknowledged it, seconds since 1970."""

    @property
    def status_before(self) -> Literal["subscribed"]:
        """What the member was until then."""


class Upsert(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A member as we want it: created with ``status_if_new``, or updated with its status untouched."""

    email_address: str
    status_if_new: Literal["subscribed", "pending"]
    merge_fields: Mapping[str, MergeValue]
    tags: Sequence[str]

    def __repr__(self) -> str:
        return "Upsert(...)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Return:
    """A member that we archived while it was subscribed, and that is wanted again. Needs its proof.

    Raises:
        ValueError: The proof is of another address, or not of an archiving of ours of a subscribed member.
    """

    proof: ReturnProof
    email_address: str
    merge_fields: Mapping[str, MergeValue]
    tags: Sequence[str]

    def __post_init__(self) -> None:
        proof = self.proof
        archived = math.isfinite(proof.archived_by_us_at) and proof.archived_by_us_at > 0
        if not archived or proof.status_before != "subscribed":
            raise ValueError("only a member that we archived while it was subscribed may be brought back")
        if proof.subscriber_hash != subscriber_hash(self.email_address):
            raise ValueError("the proof is of another address")

    def __repr__(self) -> str:
        return "Return(...)"


def upsert(
    *,
    email_address: str,
    status_if_new: Literal["subscribed", "pending"],
    merge_fields: Mapping[str, MergeValue],
    tags: Sequence[str],
) -> Upsert:
    """A member that is created with ``status_if_new`` or, when it exists, keeps its status."""
    return Upsert(
        email_address=email_address, status_if_new=status_if_new, merge_fields=merge_fields, tags=tags
    )


def returning(
    proof: ReturnProof, *, email_address: str, merge_fields: Mapping[str, MergeValue], tags: Sequence[str]
) -> Return:
    """A member that comes back as subscribed: the only body with a ``status``.

    Raises:
        ValueError: The proof is of another address, or not of an archiving of ours of a subscribed member.
    """
    return Return(proof=proof, email_address=email_address, merge_fields=merge_fields, tags=tags)


class Move(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A member's new address, and its merge fields; neither status nor tags."""

    email_address: str
    merge_fields: Mapping[str, MergeValue]

    def __repr__(self) -> str:
        return "Move(...)"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class _Returned:
    email_address: str
    merge_fields: Mapping[str, MergeValue]
    tags: Sequence[str]
    status: Literal["subscribed"] = field(default="subscribed", init=False)


def merge_value(type: str, text: str | None) -> MergeValue:  # noqa: A002 (Mailchimp's word)
    """The JSON value of a merge field from the frame's canonical text; ``""``, which clears it, for None.

    Raises:
        ValueError: The text is not what the frame makes for this type; it is not repeated.
    """
    if text is None or text == "":
        return ""
    if type == "number":
        return _number(text)
    if type == "address":
        return _address(text)
    return text


def encode_members(members: Sequence[Upsert | Return]) -> bytes:
    """The body of the 500-member call. ``sync_tags`` is never part of it: it would delete others' tags."""
    return _ENCODER.encode(
        {"members": [m if isinstance(m, Upsert) else _returned(m) for m in members], "update_existing": True}
    )


def encode_move(move: Move) -> bytes:
    """The body that gives a member another address."""
    return _ENCODER.encode(move)


def _returned(member: Return) -> _Returned:
    return _Returned(email_address=member.email_address, merge_fields=member.merge_fields, tags=member.tags)


def _number(text: str) -> int | float:
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    number = math.nan
    with contextlib.suppress(ValueError):
        number = float(text)
    if not math.isfinite(number):
        raise ValueError("the text of a number merge field is not a finite number")
    return number


def _address(text: str) -> dict[str, str]:
    parts: dict[str, str] | None = None
    with contextlib.suppress(msgspec.DecodeError):
        parts = msgspec.json.decode(text, type=dict[str, str])
    if parts is None:
        raise ValueError("the text of an address merge field is not a JSON object of texts")
    return parts
