"""Members: reading them, and writing one at a time."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

import msgspec

from ci_mailchimp_pipeline.emulator import members as rules
from ci_mailchimp_pipeline.emulator import problems, shapes
from ci_mailchimp_pipeline.emulator.exchange import Answer, Request
from ci_mailchimp_pipeline.emulator.members import Body
from ci_mailchimp_pipeline.emulator.state import ARCHIVED, STATUSES, Audience, Member

_SORT_FIELDS = {"timestamp_opt": "opted", "timestamp_signup": "number", "last_changed": "changed"}


def read_members(request: Request, audience_id: str) -> Any:
    """A page of members; archived ones only when asked for by that status."""
    audience = request.audience(audience_id)
    found = _found(request, audience)
    answer = {
        "members": lambda wanted: shapes.members(audience, found[request.page()], wanted),
        "list_id": audience.id,
        "total_items": len(found),
    }
    return request.selection.of_value(answer)


def _found(request: Request, audience: Audience) -> Any:
    query = request.query
    status = query.get("status", "")
    if status and status not in STATUSES:
        raise problems.invalid(
            errors=[("status", "Data did not match any of the schemas described in enum.")]
        )
    sort = query.get("sort_field", "")
    if sort and sort not in _SORT_FIELDS:
        raise problems.invalid(
            errors=[("sort_field", "Data did not match any of the schemas described in enum.")]
        )
    since, before = (_time(query.get(f"{side}_last_changed", "")) for side in ("since", "before"))
    left_since = _time(query.get("unsubscribed_since", "")) if status == "unsubscribed" else None
    if left_since is not None:
        since = max(since or 0, left_since)
    order = _SORT_FIELDS.get(sort, "number")
    if since is None and before is None:
        found = audience.ordered(status, order)
    else:
        found = audience.changed_between(status, since, before)
        if order != "changed":
            found = sorted(found, key=lambda member: (getattr(member, order), member.number))
    return found[::-1] if query.get("sort_dir", "").upper() == "DESC" else found


def _time(text: str) -> int | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
    except ValueError:
        raise problems.invalid(errors=[("", "Schema describes date-time, string found instead")]) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def create_member(request: Request, audience_id: str) -> Any:
    """Add one member who is not there yet."""
    audience = request.audience(audience_id)
    body = request.read(Body)
    if not body.status:
        raise problems.invalid(errors=[("", "Required fields were not provided: status")])
    address = rules.checked_address(body.email_address)
    context = request.context(audience)
    member = audience.find(address)
    if member is None:
        member = rules.create(context, body, address, body.status)
    elif member.status == ARCHIVED and request.switches.post_unarchives:
        rules.update(context, member, body, status=body.status, tags=body.tags)
    else:
        raise problems.member_exists(address)
    return request.selection.of_value(shapes.member(audience, member))


def find(audience: Audience, who: str) -> Member | None:
    """A member by hash, address or contact id, archived ones too."""
    text = unquote(who)
    if "@" in text:
        return audience.find(text.strip())
    if not re.fullmatch(r"[0-9A-Fa-f]{32}", text):
        return None
    member = audience.members.get(bytes.fromhex(text))
    if member is None and text.startswith(shapes.CONTACT_ID_PREFIX):
        everybody = audience.members.values()
        return next((m for m in everybody if shapes.contact_id(audience, m) == text), None)
    return member


def _member(audience: Audience, who: str) -> Member:
    member = find(audience, who)
    if member is None:
        raise problems.not_found()
    return member


def read_member(request: Request, audience_id: str, who: str) -> Any:
    """One member, archived ones too."""
    audience = request.audience(audience_id)
    return request.selection.of_value(shapes.member(audience, _member(audience, who)))


def put_member(request: Request, audience_id: str, who: str) -> Any:
    """Add or update one member, by hash; another address in the body moves the member to it."""
    audience = request.audience(audience_id)
    body = request.read(Body)
    address = rules.checked_address(body.email_address)
    context = request.context(audience)
    member = find(audience, who)
    explicit, if_new = body.status or None, body.status_if_new or None
    if member is None:
        if audience.find(address) is not None:
            raise problems.member_exists(address)
        status = explicit or if_new
        if status is None:
            raise problems.invalid(errors=[("", "Required fields were not provided: status_if_new")])
        member = rules.create(context, body, address, status)
        return request.selection.of_value(shapes.member(audience, member))
    switches = request.switches
    if member.status == ARCHIVED and switches.put_status_if_new_unarchives:
        explicit = explicit or if_new
    rules.check_address_change(context, member, address)
    tags = body.tags if switches.put_applies_tags else None
    rules.update(context, member, body, status=explicit, tags=tags)
    rules.change_address(context, member, address)
    return request.selection.of_value(shapes.member(audience, member))


def patch_member(request: Request, audience_id: str, who: str) -> Any:
    """Update one member who is there; tags and `status_if_new` mean nothing here."""
    audience = request.audience(audience_id)
    body = request.read(Body)
    member = _member(audience, who)
    address = rules.checked_address(body.email_address) if body.email_address else member.email_address
    context = request.context(audience)
    rules.check_address_change(context, member, address)
    rules.update(context, member, body, status=body.status or None)
    rules.change_address(context, member, address)
    return request.selection.of_value(shapes.member(audience, member))


def archive_member(request: Request, audience_id: str, who: str) -> Answer:
    """Archive one member."""
    audience = request.audience(audience_id)
    rules.archive(request.context(audience), _member(audience, who))
    return Answer(status=204)


def delete_permanently(request: Request, audience_id: str, who: str) -> Answer:
    """Delete one member for good."""
    audience = request.audience(audience_id)
    rules.forget(request.context(audience), _member(audience, who))
    return Answer(status=204)


def read_member_tags(request: Request, audience_id: str, who: str) -> Any:
    """A page of one member's tags."""
    audience = request.audience(audience_id)
    member = _member(audience, who)
    added = shapes.time_text(member.changed)
    tags = [
        {"id": tag, "name": audience.segments[tag].name, "date_added": added}
        for tag in member.tags[request.page()]
    ]
    return request.selection.of_value({"tags": tags, "total_items": len(member.tags)})


class _TagChange(msgspec.Struct, kw_only=True):
    name: str
    status: str


class _TagsBody(msgspec.Struct, kw_only=True):
    tags: list[_TagChange]
    is_syncing: bool = False


def change_member_tags(request: Request, audience_id: str, who: str) -> Answer:
    """Give a member tags and take tags away, by name."""
    audience = request.audience(audience_id)
    member = _member(audience, who)
    body = request.read(_TagsBody)
    context = request.context(audience)
    given = rules.tag_ids(context, [tag.name for tag in body.tags if tag.status == "active"])
    taken = {audience.tag_ids.get(tag.name.strip().lower()) for tag in body.tags if tag.status == "inactive"}
    wanted = {tag for tag in (*member.tags, *given) if tag not in taken}
    if audience.set_tags(member, wanted) and request.switches.tags_touch_last_changed:
        audience.touch(member, request.now)
    return Answer(status=204)
