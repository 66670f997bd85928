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
from ci_mailchimp_pipeline.emulator.state import ACTIVE, ARCHIVED, key_of

FORM = "Hosted Signup Form"


class Deed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Somebody does something: ``action`` is one of `ACTIONS`."""

    action: str
    audience_id: str
    email_address: str
    new_address: str = ""
    merge_fields: dict[str, Any] = {}
    tags: list[str] = []


def do(context: Context, deed: Deed) -> None:
    """Carry it out.

    Raises:
        Problem: Unknown action, or nobody of that address in the audience.
    """
    action = _ACTIONS.get(deed.action)
    if action is None:
        raise invalid(errors=[("action", f"One of {', '.join(ACTIONS)}")])
    if deed.action != "sign_up" and key_of(deed.email_address) not in context.audience.members:
        raise not_found()
    action(context, deed)


def _set(status: str, cause: str) -> Callable[[Context, Deed], None]:
    def act(context: Context, deed: Deed) -> None:
        key = key_of(deed.email_address)
        context.audience.set_status(key, context.audience.members[key], status, cause, context.now)

    return act


def _archive(context: Context, deed: Deed) -> None:
    key = key_of(deed.email_address)
    member = context.audience.members[key]
    context.audience.set_status(key, member, ARCHIVED, member.cause, context.now)


def _sign_up(context: Context, deed: Deed) -> None:
    audience = context.audience
    key = key_of(deed.email_address)
    audience.forgotten.discard(key)
    status = "pending" if audience.double_optin else ACTIVE
    body = Body(email_address=deed.email_address, merge_fields=deed.merge_fields, tags=deed.tags)
    if key not in audience.members:
        create(context, body, deed.email_address, status, source=FORM).cause = "contact"
        return
    member = update(context, key, body, status=None, tags=deed.tags)
    if member.status != ACTIVE:
        audience.set_status(key, member, status, "contact", context.now)
        member.source = FORM


def _change_address(context: Context, deed: Deed) -> None:
    key = key_of(deed.email_address)
    check_address_change(context, key, deed.new_address)
    change_address(context, key, deed.new_address)


def _change_field(context: Context, deed: Deed) -> None:
    update(context, key_of(deed.email_address), Body(merge_fields=deed.merge_fields), status=None)


def _tag(context: Context, deed: Deed) -> None:
    update(context, key_of(deed.email_address), Body(), status=None, tags=deed.tags)


def _untag(context: Context, deed: Deed) -> None:
    member = context.audience.members[key_of(deed.email_address)]
    gone = set(tag_ids(context, deed.tags))
    if context.audience.set_tags(member, (tag for tag in member.tags if tag not in gone)):
        context.audience.touch(member, context.now)


def _forget(context: Context, deed: Deed) -> None:
    forget(context, key_of(deed.email_address))


_ACTIONS: dict[str, Callable[[Context, Deed], None]] = {
    "unsubscribe": _set("unsubscribed", "contact"),
    "complain": _set("unsubscribed", "complaint"),
    "admin_unsubscribe": _set("unsubscribed", "admin"),
    "bounce": _set("cleaned", "bounce"),
    "sign_up": _sign_up,
    "confirm": _set(ACTIVE, "contact"),
    "resubscribe": _set(ACTIVE, "contact"),
    "archive": _archive,
    "change_address": _change_address,
    "change_field": _change_field,
    "tag": _tag,
    "untag": _untag,
    "delete_permanent": _forget,
}
ACTIONS = tuple(_ACTIONS)
"""Everything that people can do."""
