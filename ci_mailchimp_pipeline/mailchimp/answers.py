"""What Mailchimp answered, as the steps that ask need it. No ``repr`` shows whom it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ci_mailchimp_pipeline.mailchimp.refusals import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whose key it is. ``account_id`` is what stays when names change."""

    account_id: str
    account_name: str = field(repr=False)
    role: str
    pricing_plan_type: str
    total_subscribers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """An audience; its counts are at least five minutes old."""

    id: str
    name: str
    web_id: int
    double_optin: bool
    marketing_permissions: bool
    member_count: int
    unsubscribe_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceField:
    """A merge field: its tag (``FNAME``), type, and what it allows."""

    tag: str
    type: str
    name: str
    required: bool
    choices: tuple[str, ...]
    date_format: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeFields:
    """All merge fields of an audience, and how many its plan allows (None when Mailchimp does not say)."""

    fields: tuple[AudienceField, ...]
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """A tag of an audience; ``member_count`` counts active members only."""

    id: str
    name: str
    member_count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TagAnswer:
    """What changed. Who is in none of the three had the tag (or lacked it) already, or is no member."""

    added: set[bytes] = field(repr=False)
    removed: set[bytes] = field(repr=False)
    refused: list[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMember:
    """A member as it was read; times are seconds since 1970. ``reason`` is why they left, in their words."""

    subscriber_hash: bytes = field(repr=False)
    status: str
    last_changed: float | None
    timestamp_opt: float | None
    reason: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberNow:
    """One member as Mailchimp shows it: at most 50 of its tags. ``reason`` is why they left, in their words.

    ``source`` is how they came: ``API - ...`` for members made by requests; ``""`` when it does not say.
    """

    status: str
    tags: tuple[str, ...]
    last_changed: float | None
    reason: str = field(repr=False)
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPage:
    """Up to 1,000 members, of ``total`` in all."""

    total: int
    members: list[SeenMember] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeMember:
    """A member with what it holds.

    Attributes:
        values: Merge tag to value, as Mailchimp writes it: text, number, object, or ``""`` for none.
        tags: Names.
        all_tags: Whether these are all; Mailchimp shows no more than 50.
    """

    subscriber_hash: bytes = field(repr=False)
    status: str
    last_changed: float | None
    values: Mapping[str, Any] = field(repr=False)
    tags: tuple[str, ...]
    all_tags: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class WholePage:
    """Up to 1,000 members, of ``total`` in all."""

    total: int
    members: list[WholeMember] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAnswer:
    """A member as Mailchimp says it is now; ``timestamp_opt`` in seconds since 1970."""

    subscriber_hash: bytes = field(repr=False)
    status: str
    timestamp_opt: float | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsertAnswer:
    """What became of a batch: everyone who was sent is in exactly one of the first four.

    Attributes:
        missing: Sent, and not mentioned in the answer at all.
        repeated: The batch was sent more than once, so an earlier try may have created who is ``updated``.
    """

    created: list[MemberAnswer] = field(repr=False)
    updated: list[MemberAnswer] = field(repr=False)
    refused: list[Refusal] = field(repr=False)
    missing: list[bytes] = field(repr=False)
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveAnswer:
    """What became of a member's new address.

    ``address_taken``: another member has it. ``gone``: there is no member at the old one. ``status`` is the
    member's when it moved; ``refusal`` says why when it was refused. ``found_moved``: this request was refused, and
    the member was found at the new address: an earlier request moved it, perhaps with other merge fields.
    """

    kind: Literal["moved", "address_taken", "gone", "refused"]
    status: str | None = None
    found_moved: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAnswer:
    """``already``: there is no such member, or it cannot be archived (archived, pending, bounced).

    ``at`` is Mailchimp's own time of the answer. ``repeated``: an earlier try may be what archived it.
    """

    kind: Literal["archived", "already"]
    at: float | None
    repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseAnswer:
    """Whether there was a member to delete for good. ``repeated``: an earlier try may be what deleted it."""

    found: bool
    repeated: bool
    request_id: str | None
