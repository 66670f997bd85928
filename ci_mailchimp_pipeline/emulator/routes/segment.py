"""Tags, which are static segments, and saved segments."""

from collections.abc import Sequence
from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator import problems, shapes
from ci_mailchimp_pipeline.emulator.exchange import Answer, Request
from ci_mailchimp_pipeline.emulator.state import ARCHIVED, STATUSES, Audience, Member, Segment

SEGMENT_CHANGE_MOST = 500
"""Addresses of one call, in each of its two lists (specification)."""
_SHOWN_ALWAYS = frozenset({"subscribed", "pending"})
_SHOWN_ON_REQUEST = ("unsubscribed", "cleaned", "transactional")


class _SegmentBody(msgspec.Struct, kw_only=True):
    name: str | None = None
    static_segment: list[str] | None = None
    options: dict[str, Any] | None = None


class _ChangeBody(msgspec.Struct, kw_only=True):
    members_to_add: list[str] = []
    members_to_remove: list[str] = []


def _segment(audience: Audience, segment_id: str) -> Segment:
    found = audience.segments.get(int(segment_id)) if segment_id.isdecimal() else None
    if found is None:
        raise problems.not_found()
    return found


def _static(audience: Audience, segment_id: str) -> Segment:
    found = audience.segments.get(int(segment_id)) if segment_id.isdecimal() else None
    if found is None or found.options is not None:
        detail = f"A Static Segment with an id of {segment_id} does not exist for this list."
        raise problems.Problem(404 if found is None else 400, "Resource Not Found", detail)
    return found


def read_segments(request: Request, audience_id: str) -> Any:
    """A page of tags and saved segments."""
    audience = request.audience(audience_id)
    kind = request.query.get("type", "")
    found = [
        segment
        for segment in audience.segments.values()
        if kind in ("", "saved" if segment.options is not None else "static")
    ]
    answer = {
        "segments": [shapes.segment(audience, segment) for segment in found[request.page()]],
        "list_id": audience.id,
        "total_items": len(found),
    }
    return request.selection.of_value(answer)


def create_segment(request: Request, audience_id: str) -> Any:
    """Make a tag, empty or with the members of some addresses, or a saved segment."""
    audience = request.audience(audience_id)
    body = request.read(_SegmentBody)
    name = (body.name or "").strip()
    if not name:
        raise problems.invalid(errors=[("", "Required fields were not provided: name")])
    if (body.static_segment is None) == (body.options is None):
        raise problems.invalid(errors=[("", "Please provide either options or static_segment")])
    if body.options is None and name.lower() in audience.tag_ids:
        raise problems.invalid("Sorry, that tag already exists.")
    made = Segment(request.world.next_number(), name, request.now, request.now, options=body.options)
    audience.add_segment(made)
    _fill(request, audience, made, body.static_segment or ())
    return request.selection.of_value(shapes.segment(audience, made))


def read_segment(request: Request, audience_id: str, segment_id: str) -> Any:
    """One tag or saved segment."""
    audience = request.audience(audience_id)
    return request.selection.of_value(shapes.segment(audience, _segment(audience, segment_id)))


def update_segment(request: Request, audience_id: str, segment_id: str) -> Any:
    """Rename; a ``static_segment`` replaces all members, so ``[]`` empties the tag."""
    audience = request.audience(audience_id)
    segment = _segment(audience, segment_id)
    body = request.read(_SegmentBody)
    if body.name and body.name.strip().lower() != segment.name.lower():
        if segment.options is None and body.name.strip().lower() in audience.tag_ids:
            raise problems.invalid("Sorry, that tag already exists.")
        audience.rename_segment(segment, body.name.strip())
    if body.static_segment is not None and segment.options is None:
        for member in list(audience.tagged(segment.id, frozenset(STATUSES))):
            _untag(request, audience, segment, member)
        _fill(request, audience, segment, body.static_segment)
    elif body.options is not None and segment.options is not None:
        segment.options = body.options
    segment.updated = request.now
    return request.selection.of_value(shapes.segment(audience, segment))


def delete_segment(request: Request, audience_id: str, segment_id: str) -> Answer:
    """Delete a tag, off everybody, or a saved segment."""
    audience = request.audience(audience_id)
    audience.remove_segment(_segment(audience, segment_id))
    return Answer(status=204)


def change_segment_members(request: Request, audience_id: str, segment_id: str) -> Any:
    """Give and take a tag, up to 500 addresses each; an address that cannot be served is an error row."""
    audience = request.audience(audience_id)
    segment = _static(audience, segment_id)
    body = request.read(_ChangeBody)
    if max(len(body.members_to_add), len(body.members_to_remove)) > SEGMENT_CHANGE_MOST:
        raise problems.invalid(
            f"Maximum allowed member items exceeded, please provide at most {SEGMENT_CHANGE_MOST} items "
            "in members_to_add field or members_to_remove field"
        )
    errors: dict[str, list[str]] = {}
    added = _tagged(request, audience, segment, _reachable(request, audience, body.members_to_add, errors))
    leaving = _reachable(request, audience, body.members_to_remove, errors)
    removed = [member for member in leaving if _untag(request, audience, segment, member)]
    segment.updated = request.now
    answer = {
        "members_added": lambda wanted: shapes.members(audience, added, wanted),
        "members_removed": lambda wanted: shapes.members(audience, removed, wanted),
        "errors": [{"email_addresses": who, "error": text} for text, who in errors.items()],
        "total_added": len(added),
        "total_removed": len(removed),
        "error_count": sum(len(who) for who in errors.values()),
    }
    return request.selection.of_value(answer)


def _reachable(
    request: Request, audience: Audience, addresses: Sequence[str], errors: dict[str, list[str]]
) -> list[Member]:
    """The members of some addresses; those that cannot be served are put into ``errors``."""
    switches = request.switches
    found: dict[Member, None] = {}
    for address in addresses:
        member = audience.find(address.strip())
        if member is None or member.status == ARCHIVED:
            if switches.static_segment_unknown == "error":
                errors.setdefault("Email addresses that are not members of this list", []).append(address)
        elif member.status not in ("unsubscribed", "cleaned") or (
            switches.static_segment_unsubscribed == "accept"
        ):
            found[member] = None
        elif switches.static_segment_unsubscribed == "error":
            errors.setdefault("Email addresses that are not subscribed", []).append(address)
    return list(found)


def _fill(request: Request, audience: Audience, segment: Segment, addresses: Sequence[str]) -> None:
    _tagged(request, audience, segment, _reachable(request, audience, addresses, {}))


def _tagged(
    request: Request, audience: Audience, segment: Segment, members: Sequence[Member]
) -> list[Member]:
    """Tag members; those that did not carry the tag."""
    fresh = [member for member in members if segment.id not in member.tags]
    for member in fresh:
        audience.set_tags(member, (*member.tags, segment.id))
        if request.switches.tags_touch_last_changed:
            audience.touch(member, request.now)
    return fresh


def _untag(request: Request, audience: Audience, segment: Segment, member: Member) -> bool:
    changed = audience.set_tags(member, (tag for tag in member.tags if tag != segment.id))
    if changed and request.switches.tags_touch_last_changed:
        audience.touch(member, request.now)
    return changed


def read_segment_members(request: Request, audience_id: str, segment_id: str) -> Any:
    """A page of a tag's members; who may not be mailed is left out unless asked for."""
    audience = request.audience(audience_id)
    segment = _segment(audience, segment_id)
    on_request = (status for status in _SHOWN_ON_REQUEST if request.flag(f"include_{status}"))
    found = audience.tagged(segment.id, _SHOWN_ALWAYS.union(on_request))
    answer = {
        "members": lambda wanted: shapes.members(audience, found[request.page()], wanted),
        "total_items": len(found),
    }
    return request.selection.of_value(answer)


def search_tags(request: Request, audience_id: str) -> Any:
    """Tags whose name begins as asked."""
    audience = request.audience(audience_id)
    prefix = request.query.get("name", "").lower()
    found = [
        {"id": tag, "name": audience.segments[tag].name}
        for name, tag in sorted(audience.tag_ids.items())
        if name.startswith(prefix)
    ]
    return {"tags": found[request.page()], "total_items": len(found)}
