"""What people do by themselves: things no API call of an exporter causes, but which it must respect."""

from collections.abc import Callable
from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator.members import (
    Body,
    Context,
    change_address,
    check_address_change,
    create,
    forget,
    tag_ids,
    update,
)
from ci_mailchimp_pipeline.emulator.problems import invalid, not_found
from ci_mailchimp_pipeline.emulator.state import ACTIVE, ARCHIVED, Member, key_of

FORM = "Hosted Signup Form"
"""The source of members who came by themselves."""


class Deed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Somebody does something: ``action`` is one of `ACTIONS`."""

    action: str
    audience_id: str
    email_address: str
    new_address: str = ""
    merge_fields: dict[str, Any] = {}
    tags: list[str] = []


_Action = Callable[[Context, Member, Deed], None]


def do(context: Context, deed: Deed) -> None:
    """Carry it out.

    Raises:
        Problem: Unknown action, or nobody of that address in the audience.
    """
    if deed.action not in ACTIONS:
        raise invalid(errors=[("action", f"One of {', '.join(ACTIONS)}")])
    if deed.action == "sign_up":
        _sign_up(context, deed)
        return
    member = context.audience.find(deed.email_address)
    if member is None:
        raise not_found()
    _ACTIONS[deed.action](context, member, deed)


def _sign_up(context: Context, deed: Deed) -> None:
    audience = context.audience
    audience.forgotten.discard(key_of(deed.email_address))
    status = "pending" if audience.double_optin else ACTIVE
    body = Body(email_address=deed.email_address, merge_fields=deed.merge_fields, tags=deed.tags)
    member = audience.find(deed.email_address)
    if member is None:
        create(context, body, deed.email_address, status, source=FORM).cause = "contact"
        return
    update(context, member, body, status=None, tags=deed.tags)
    if member.status != ACTIVE:
        audience.set_status(member, status, "contact", context.now)
        member.source = FORM


def _set(status: str, cause: str) -> _Action:
    def act(context: Context, member: Member, _deed: Deed) -> None:
        context.audience.set_status(member, status, cause, context.now)

    return act


def _archive(context: Context, member: Member, _deed: Deed) -> None:
    context.audience.set_status(member, ARCHIVED, member.cause, context.now)


def _change_address(context: Context, member: Member, deed: Deed) -> None:
    check_address_change(context, member, deed.new_address)
    change_address(context, member, deed.new_address)


def _change_field(context: Context, member: Member, deed: Deed) -> None:
    update(context, member, Body(merge_fields=deed.merge_fields), status=None)


def _tag(context: Context, member: Member, deed: Deed) -> None:
    update(context, member, Body(), status=None, tags=deed.tags)


def _untag(context: Context, member: Member, deed: Deed) -> None:
    gone = set(tag_ids(context, deed.tags))
    if context.audience.set_tags(member, (tag for tag in member.tags if tag not in gone)):
        context.audience.touch(member, context.now)


def _forget(context: Context, member: Member, _deed: Deed) -> None:
    forget(context, member)


_ACTIONS: dict[str, _Action] = {
    "unsubscribe": _set("unsubscribed", "contact"),
    "complain": _set("unsubscribed", "complaint"),
    "admin_unsubscribe": _set("unsubscribed", "admin"),
    "bounce": _set("cleaned", "bounce"),
    "confirm": _set(ACTIVE, "contact"),
    "resubscribe": _set(ACTIVE, "contact"),
    "archive": _archive,
    "change_address": _change_address,
    "change_field": _change_field,
    "tag": _tag,
    "untag": _untag,
    "delete_permanent": _forget,
}
ACTIONS = ("sign_up", *_ACTIONS)
"""Everything that people can do."""
