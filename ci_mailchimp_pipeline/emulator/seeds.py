"""The world as a document: what a test starts from, what a state file holds."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator import shapes
from ci_mailchimp_pipeline.emulator.members import Context, tag_ids
from ci_mailchimp_pipeline.emulator.merge_values import merged, new_merge_field
from ci_mailchimp_pipeline.emulator.problems import invalid, member_exists
from ci_mailchimp_pipeline.emulator.state import (
    ACTIVE,
    STATUSES,
    Audience,
    Member,
    MergeField,
    Segment,
    World,
    key_of,
)
from ci_mailchimp_pipeline.emulator.switches import Switches

DEFAULT_FIELDS: tuple[dict[str, Any], ...] = (
    {"tag": "FNAME", "name": "First Name", "type": "text", "public": True},
    {"tag": "LNAME", "name": "Last Name", "type": "text", "public": True},
    {"tag": "ADDRESS", "name": "Address", "type": "address"},
    {"tag": "PHONE", "name": "Phone Number", "type": "phone"},
)
"""What Mailchimp puts into a new audience."""


class MemberSeed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A member as it is, however it came about."""

    email_address: str
    status: str = ACTIVE
    cause: str = ""
    tags: list[str] = []
    merge_fields: dict[str, Any] = {}
    source: str = "Admin Add"
    number: int | None = None
    changed: int | None = None
    opted: int | None = None
    extra: dict[str, Any] | None = None


class SegmentSeed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A tag that keeps its id, or with ``options`` a saved segment."""

    name: str
    id: int | None = None
    options: dict[str, Any] | None = None


class AudienceSeed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An audience; a merge field may be just its merge tag (then it is a text), a tag just its name."""

    id: str = ""
    name: str = "Audience"
    double_optin: bool = False
    marketing_permissions: bool = False
    merge_field_limit: int = 30
    merge_fields: list[str | dict[str, Any]] | None = None
    tags: list[str | SegmentSeed] = []
    members: list[MemberSeed] = []
    forgotten: list[str] = []


class WorldSeed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything that a reset can start from."""

    audiences: list[AudienceSeed] = []
    switches: dict[str, Any] = {}


def plant_audience(world: World, switches: Switches, seed: AudienceSeed, now: int) -> Audience:
    """Make an audience with everything in it.

    Raises:
        Problem: Its id is taken, or a part breaks a rule of the API.
    """
    audience_id = seed.id or world.next_id("audience")
    if audience_id in world.audiences:
        raise invalid(errors=[("id", "An audience of this id is there already")])
    audience = Audience(
        audience_id,
        seed.name,
        world.next_number(),
        now,
        seed.double_optin,
        seed.marketing_permissions,
        seed.merge_field_limit,
    )
    for field in DEFAULT_FIELDS if seed.merge_fields is None else seed.merge_fields:
        spelled = {"tag": field} if isinstance(field, str) else field
        audience.add_field(
            new_merge_field(audience, {"name": spelled.get("tag", ""), "type": "text"} | spelled)
        )
    context = Context(world=world, audience=audience, switches=switches, now=now)
    for tag in seed.tags:
        known = SegmentSeed(name=tag) if isinstance(tag, str) else tag
        number = world.next_number(known.id)
        audience.add_segment(Segment(number, known.name, now, now, options=known.options))
    audience.forgotten.update(bytes.fromhex(known) for known in seed.forgotten)
    world.audiences[audience_id] = audience
    plant_members(context, seed.members)
    return audience


def plant_members(context: Context, seeds: Sequence[MemberSeed]) -> None:
    """Put members into an audience as they are, whatever the rules of writing say.

    Raises:
        Problem: An address is there already, a status is unknown, or a merge field does not fit.
    """
    audience = context.audience
    for seed in seeds:
        key = key_of(seed.email_address)
        if key in audience.members:
            raise member_exists(seed.email_address)
        if seed.status not in STATUSES:
            raise invalid(errors=[("status", f"One of {', '.join(STATUSES)}")])
        changed = context.now if seed.changed is None else seed.changed
        by_default = changed if seed.status == ACTIVE else 0
        member = Member(
            key=key,
            email_address=seed.email_address,
            status=seed.status,
            cause=seed.cause or ("bounce" if seed.status == "cleaned" else "api"),
            values=merged(audience, seed.merge_fields, (), check_required=False, switches=context.switches),
            tags=audience.intern_tags(tuple(sorted(set(tag_ids(context, seed.tags))))),
            number=context.world.next_number(seed.number),
            changed=changed,
            opted=by_default if seed.opted is None else seed.opted,
            source=seed.source,
            extra=seed.extra,
        )
        audience.add(member)


def harvest(world: World, switches: Switches) -> WorldSeed:
    """The world as it is now; `plant_audience` of its audiences makes an equal one."""
    defaults = msgspec.to_builtins(Switches())
    now = msgspec.to_builtins(switches)
    return WorldSeed(
        audiences=[harvest_audience(audience) for audience in world.audiences.values()],
        switches={name: value for name, value in now.items() if value != defaults[name]},
    )


def harvest_audience(audience: Audience) -> AudienceSeed:
    """One audience as it is now."""
    segments = audience.segments.values()
    return AudienceSeed(
        id=audience.id,
        name=audience.name,
        double_optin=audience.double_optin,
        marketing_permissions=audience.marketing_permissions,
        merge_field_limit=audience.merge_field_limit,
        merge_fields=[_field(field) for field in audience.fields],
        tags=[SegmentSeed(name=known.name, id=known.id, options=known.options) for known in segments],
        members=[_member(audience, member) for member in audience.members.values()],
        forgotten=[key.hex() for key in sorted(audience.forgotten)],
    )


def _field(field: MergeField) -> dict[str, Any]:
    shown: dict[str, Any] = {name: getattr(field, name) for name in MergeField.__slots__}
    del shown["merge_id"]
    return shown


def _member(audience: Audience, member: Member) -> MemberSeed:
    values = shapes.merge_values(audience, member)
    return MemberSeed(
        email_address=member.email_address,
        status=member.status,
        cause=member.cause,
        tags=[audience.segments[tag].name for tag in member.tags],
        merge_fields={tag: value for tag, value in values.items() if value != ""},
        source=member.source,
        number=member.number,
        changed=member.changed,
        opted=member.opted,
        extra=member.extra,
    )


def compact(audience: Audience) -> dict[str, dict[str, Any]]:
    """Members by address: status, names of tags, and all merge fields as Mailchimp reads them back."""
    return {
        member.email_address: {
            "status": member.status,
            "tags": sorted(audience.segments[tag].name for tag in member.tags),
            "merge_fields": shapes.merge_values(audience, member),
        }
        for member in audience.members.values()
    }
