"""The 500-member call."""

from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator import members as rules
from ci_mailchimp_pipeline.emulator import problems, shapes
from ci_mailchimp_pipeline.emulator.exchange import Request
from ci_mailchimp_pipeline.emulator.members import Body, Context
from ci_mailchimp_pipeline.emulator.problems import Problem
from ci_mailchimp_pipeline.emulator.state import ARCHIVED, Member

BATCH_MOST = 500
"""Members of one call (specification)."""


class _BatchBody(msgspec.Struct, kw_only=True):
    members: list[Body]
    update_existing: bool | None = None
    sync_tags: bool | None = None


def upsert_members(request: Request, audience_id: str) -> Any:
    """Add or update up to 500 members; a row that is refused does not stop the others."""
    audience = request.audience(audience_id)
    body = request.read(_BatchBody)
    if len(body.members) > BATCH_MOST:
        detail = f"Maximum allowed member items exceeded, please provide at most {BATCH_MOST} items"
        raise problems.invalid(f"{detail} in members field")
    for index, row in enumerate(body.members):
        if row.status is msgspec.UNSET and row.status_if_new is msgspec.UNSET:
            missing = "Required fields were not provided: status or status_if_new"
            raise problems.invalid(errors=[(f"members.item:{index}", missing)])
    silent = request.switches.resubscribe_refusal == "silent"
    context = request.context(audience, silent_refusals=silent)
    rows, errors = _distinct_rows(request, body.members)
    new: dict[Member, None] = {}
    updated: dict[Member, None] = {}
    for row in rows:
        try:
            member, is_new = _upsert(context, row, body)
            if member not in new:
                (new if is_new else updated)[member] = None
        except Problem as problem:
            errors.append(problems.batch_row(problem, row.email_address or ""))
    echo = request.switches.echo_members
    answer = {
        "new_members": lambda wanted: shapes.members(audience, new if echo else (), wanted),
        "updated_members": lambda wanted: shapes.members(audience, updated if echo else (), wanted),
        "errors": errors,
        "total_created": len(new),
        "total_updated": len(updated),
        "error_count": len(errors),
    }
    return request.selection.of_value(answer)


def _distinct_rows(request: Request, rows: list[Body]) -> tuple[list[Body], list[dict[str, str]]]:
    """Deal with an address that comes twice in one call, as asked for or as the switch says."""
    addresses = [(row.email_address or "").strip().lower() for row in rows]
    if len(set(addresses)) == len(rows):
        return rows, []
    habit = "first" if request.flag("skip_duplicate_check") else request.switches.duplicate_in_batch
    if habit == "last":
        return list(dict(zip(addresses, rows, strict=True)).values()), []
    kept: dict[str, Body] = {}
    errors = []
    for address, row in zip(addresses, rows, strict=True):
        if address not in kept:
            kept[address] = row
        elif habit == "error":
            twice = problems.invalid(f"{row.email_address} was provided more than once in this request.")
            errors.append(problems.batch_row(twice, row.email_address or ""))
    return list(kept.values()), errors


def _upsert(context: Context, row: Body, batch: _BatchBody) -> tuple[Member, bool]:
    """Write one row; the member, and whether it is new."""
    address = rules.checked_address(row.email_address)
    explicit = row.status or None
    if_new = row.status_if_new or None
    member = context.audience.find(address)
    if member is None:
        status = explicit or if_new
        if status is None:
            raise problems.invalid(errors=[("status", "Please provide a status")])
        return rules.create(context, row, address, status), True
    if not batch.update_existing:
        raise problems.batch_member_exists(address)
    switches = context.switches
    if member.status == ARCHIVED and explicit is None and switches.batch_status_if_new_unarchives:
        explicit = if_new
    tags = row.tags
    if not switches.batch_tags_opted_out and rules.in_compliance(member):
        tags = None
    rules.update(context, member, row, status=explicit, tags=tags, replace_tags=bool(batch.sync_tags))
    return member, False
