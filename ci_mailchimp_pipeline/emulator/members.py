"""Who may be written, and what a write does: the rules of one member, used by every endpoint."""

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final, Literal

import msgspec

from ci_mailchimp_pipeline.emulator import problems
from ci_mailchimp_pipeline.emulator.merge_values import merged
from ci_mailchimp_pipeline.emulator.state import ACTIVE, ARCHIVED, Audience, Member, Segment, World, key_of
from ci_mailchimp_pipeline.emulator.switches import Switches

Status = Literal["subscribed", "unsubscribed", "cleaned", "pending", "transactional"]

_BY_THEMSELVES = ("contact", "complaint")
_ADDRESS: Final = re.compile(
    r"(?=[^@]{1,64}@)(?=.{6,254}$)"  # RFC 5321: at most 64 octets before the @, 254 in all
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,63}"
)
_FAKE: Final = ("@example.com", "@example.net", "@example.org")
_EXTRAS: Final = (
    "email_type", "language", "vip", "interests", "location", "ip_signup", "ip_opt", "timestamp_signup",
    "marketing_permissions",
)  # fmt: skip
_NO_EXTRAS: Final = (None,) * len(_EXTRAS)
_extras_of = attrgetter(*_EXTRAS)


class Body(msgspec.Struct, kw_only=True):
    """A member as requests write it, in every endpoint; absent and null are told apart where it matters."""

    email_address: str | None = None
    status: Status | msgspec.UnsetType | None = msgspec.UNSET
    status_if_new: Status | msgspec.UnsetType | None = msgspec.UNSET
    merge_fields: dict[str, Any] | None = None
    tags: list[str] | None = None
    email_type: str | None = None
    language: str | None = None
    vip: bool | None = None
    interests: dict[str, bool | None] | None = None
    location: dict[str, Any] | None = None
    ip_signup: str | None = None
    ip_opt: str | None = None
    timestamp_signup: str | None = None
    timestamp_opt: str | None = None
    marketing_permissions: list[dict[str, Any]] | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a write happens in."""

    world: World
    audience: Audience
    switches: Switches
    now: int
    skip_merge_validation: bool = False
    silent_refusals: bool = False


def checked_address(address: str | None) -> str:
    """The address without surrounding blanks.

    Raises:
        Problem: It is none, or of a domain that Mailchimp takes for invented.
    """
    text = (address or "").strip()
    if not _ADDRESS.fullmatch(text):
        raise problems.invalid("Please provide a valid email address.")
    if text.lower().endswith(_FAKE):
        raise problems.invalid(f"{text} looks fake or invalid, please enter a real email address.")
    return text


def in_compliance(member: Member) -> bool:
    """The person opted out or bounced: nobody but the person may subscribe them again."""
    return member.status == "cleaned" or (member.status == "unsubscribed" and member.cause in _BY_THEMSELVES)


def opted_out(member: Member) -> bool:
    """An archived member who had opted out or bounced before; Mailchimp no longer shows it."""
    return member.status == ARCHIVED and member.cause in (*_BY_THEMSELVES, "bounce")


def tag_ids(context: Context, names: Sequence[str]) -> tuple[int, ...]:
    """Ids of tags by name, whatever their case; a tag that is not there is made."""
    audience = context.audience
    found = []
    for name in names:
        known = audience.tag_ids.get(name.lower())
        if known is not None:
            found.append(known)
            continue
        clean = name.strip()
        if not clean or len(clean) > context.switches.max_tag_characters:
            raise problems.invalid("Please provide a valid tag name.")
        known = audience.tag_ids.get(clean.lower())
        if known is None:
            known = context.world.next_number()
            audience.add_segment(Segment(known, clean, context.now, context.now))
        found.append(known)
    return tuple(found)


def create(
    context: Context, body: Body, address: str, status: str, *, source: str = "API - Generic"
) -> Member:
    """Add a person who is not in the audience.

    Raises:
        Problem: Permanently deleted before, or merge fields that do not fit.
    """
    audience, switches = context.audience, context.switches
    key = key_of(address)
    if key in audience.forgotten:
        raise problems.forgotten(address)
    if switches.too_many_signups and re.search(switches.too_many_signups, address):
        raise problems.too_many_signups(address)
    values = merged(
        audience, body.merge_fields, (), check_required=not context.skip_merge_validation, switches=switches
    )
    tags = tag_ids(context, body.tags or ())
    if switches.force_status and status == ACTIVE:
        status = switches.force_status
    member = Member(
        key=key,
        email_address=address,
        status=status,
        cause="api",
        values=values,
        tags=audience.intern_tags(tuple(sorted(set(tags)))),
        number=context.world.next_number(),
        changed=context.now,
        opted=context.now if status == ACTIVE else 0,
        source=source,
        extra=_extras(body, None),
    )
    audience.add(member)
    audience.note_status(status, context.now)
    return member


def update(
    context: Context,
    member: Member,
    body: Body,
    *,
    status: str | None,
    tags: Sequence[str] | None = None,
    replace_tags: bool = False,
) -> None:
    """Write over a member. ``status`` None leaves who may be mailed alone, archived included.

    Raises:
        Problem: A person in a compliance state would be subscribed, or merge fields do not fit.
            Then nothing was written.
    """
    audience, switches = context.audience, context.switches
    wanted = _allowed_status(context, member, status)
    values = member.values
    if body.merge_fields or not context.skip_merge_validation:
        values = merged(
            audience,
            body.merge_fields,
            member.values,
            check_required=not context.skip_merge_validation,
            switches=switches,
        )
    ids = tag_ids(context, tags) if tags is not None else None
    extra = _extras(body, member.extra)

    changed = switches.unchanged_touches_last_changed
    if values != member.values:
        missing = ("",) * (len(values) - len(member.values))
        changed = changed or values != member.values + missing
        member.values = values
    if extra != member.extra:
        member.extra, changed = extra, True
    if ids is not None:
        both = ids if replace_tags else (*member.tags, *ids)
        changed = (audience.set_tags(member, set(both)) and switches.tags_touch_last_changed) or changed
    if wanted is not None and wanted != member.status:
        audience.set_status(member, wanted, "api", context.now)
    elif changed:
        audience.touch(member, context.now)


def _allowed_status(context: Context, member: Member, status: str | None) -> str | None:
    """The status to write, None for leave alone."""
    switches = context.switches
    if status is None or status == member.status:
        return None
    if status == ACTIVE and switches.force_status:
        status = switches.force_status
    if member.status == ARCHIVED:
        refused = opted_out(member) and switches.archived_optout == "refused"
    else:
        refused = in_compliance(member) and (status == ACTIVE or member.status == "cleaned")
    if refused:
        if context.silent_refusals:
            return None
        raise problems.compliance(member.email_address)
    return status


def _extras(body: Body, current: dict[str, Any] | None) -> dict[str, Any] | None:
    given = _extras_of(body)
    if given == _NO_EXTRAS:
        return current
    return (current or {}) | {
        name: value for name, value in zip(_EXTRAS, given, strict=True) if value is not None
    }


def check_address_change(context: Context, member: Member, address: str) -> None:
    """See that a member may have another address, before anything is written.

    Raises:
        Problem: The address belongs to another member, or was permanently deleted.
    """
    new = key_of(address)
    if new != member.key and new in context.audience.members:
        raise problems.member_exists(address)
    if new != member.key and new in context.audience.forgotten:
        raise problems.forgotten(address)


def change_address(context: Context, member: Member, address: str) -> None:
    """Give a member another address (checked before); tags, merge fields, status and consent stay."""
    if member.email_address != address:
        context.audience.move(member, address)
        context.audience.touch(member, context.now)


def archive(context: Context, member: Member) -> None:
    """Take a member out; the cause of an opt-out is remembered but can no longer be read.

    Raises:
        Problem: Pending, bounced or archived already (405).
    """
    if member.status in ("pending", "cleaned", ARCHIVED):
        raise problems.cannot_archive()
    context.audience.set_status(member, ARCHIVED, member.cause, context.now)


def forget(context: Context, member: Member) -> None:
    """Delete for good: nobody but the person can bring the address back."""
    context.audience.remove(member)
    context.audience.forgotten.add(member.key)
