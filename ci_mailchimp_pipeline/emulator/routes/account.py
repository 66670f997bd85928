"""The account, its audiences, their merge fields and webhooks."""

from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator import shapes
from ci_mailchimp_pipeline.emulator.exchange import Request
from ci_mailchimp_pipeline.emulator.merge_values import new_merge_field
from ci_mailchimp_pipeline.emulator.problems import invalid
from ci_mailchimp_pipeline.emulator.state import ACTIVE


def ping(_request: Request) -> Any:
    """Anybody there."""
    return {"health_status": "Everything's Chimpy!"}


def root(request: Request) -> Any:
    """Whose key it is and what it may do."""
    switches = request.switches
    account = {
        "account_id": switches.account_id,
        "login_id": "1",
        "account_name": switches.account_name,
        "email": "owner@contoso-mail.internal",
        "first_name": "Ana",
        "last_name": "Owner",
        "username": "ana-owner",
        "avatar_url": "",
        "role": switches.role,
        "member_since": shapes.time_text(1),
        "pricing_plan_type": switches.pricing_plan_type,
        "first_payment": "",
        "account_timezone": "UTC",
        "account_industry": "",
        "contact": dict.fromkeys(("company", "addr1", "addr2", "city", "state", "zip", "country"), ""),
        "pro_enabled": False,
        "last_login": shapes.time_text(request.now),
        "total_subscribers": sum(audience.counts[ACTIVE] for audience in request.world.audiences.values()),
        "industry_stats": {"open_rate": 0, "bounce_rate": 0, "click_rate": 0},
    }
    return request.selection.of_value(account)


def audiences(request: Request) -> Any:
    """A page of the account's audiences."""
    found = list(request.world.audiences.values())
    with_total = request.flag("include_total_contacts")
    answer = {
        "lists": [shapes.audience(audience, with_total=with_total) for audience in found[request.page()]],
        "total_items": len(found),
        "constraints": {
            "may_create": True,
            "max_instances": 500,
            "current_total_instances": len(found),
        },
    }
    return request.selection.of_value(answer)


def audience(request: Request, audience_id: str) -> Any:
    """One audience with its counts."""
    with_total = request.flag("include_total_contacts")
    return request.selection.of_value(shapes.audience(request.audience(audience_id), with_total=with_total))


def merge_fields(request: Request, audience_id: str) -> Any:
    """A page of merge fields, and how many the audience may hold."""
    audience = request.audience(audience_id)
    type_, required = request.query.get("type", ""), request.query.get("required", "")
    found = [
        merge_field
        for merge_field in audience.fields
        if type_ in ("", merge_field.type) and required in ("", str(merge_field.required).lower())
    ]
    answer = {
        "merge_fields": [shapes.merge_field(audience, shown) for shown in found[request.page()]],
        "list_id": audience.id,
        "total_items": len(found),
        "merge_field_limit": audience.merge_field_limit,
    }
    return request.selection.of_value(answer)


class _MergeFieldBody(msgspec.Struct, kw_only=True):
    name: str
    type: str
    tag: str = ""
    required: bool = False
    default_value: str = ""
    public: bool = False
    display_order: int = 0
    options: dict[str, Any] = {}
    help_text: str = ""


def create_merge_field(request: Request, audience_id: str) -> Any:
    """Add a merge field to the audience."""
    audience = request.audience(audience_id)
    made = new_merge_field(audience, msgspec.to_builtins(request.read(_MergeFieldBody)))
    audience.add_field(made)
    return request.selection.of_value(shapes.merge_field(audience, made))


class _WebhookBody(msgspec.Struct, kw_only=True):
    url: str = ""
    events: dict[str, bool] = {}
    sources: dict[str, bool] = {}


def webhooks(request: Request, audience_id: str) -> Any:
    """All webhooks of the audience."""
    audience = request.audience(audience_id)
    return {"webhooks": audience.webhooks, "list_id": audience.id, "total_items": len(audience.webhooks)}


def create_webhook(request: Request, audience_id: str) -> Any:
    """Remember a webhook; nothing is ever delivered to it."""
    audience = request.audience(audience_id)
    body = request.read(_WebhookBody)
    if not body.url:
        raise invalid(errors=[("url", "Please enter a complete URL, beginning with http:// or https://")])
    made = {
        "id": request.world.next_id("webhook"),
        "url": body.url,
        "events": dict.fromkeys(
            ("subscribe", "unsubscribe", "profile", "cleaned", "upemail", "campaign"), False
        )
        | body.events,
        "sources": dict.fromkeys(("user", "admin", "api"), False) | body.sources,
        "list_id": audience.id,
    }
    audience.webhooks.append(made)
    return made
