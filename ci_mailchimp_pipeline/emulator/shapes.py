"""The objects of Mailchimp's answers, made only as far as they are wanted."""

import hashlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from ci_mailchimp_pipeline.emulator.selection import Selection
from ci_mailchimp_pipeline.emulator.state import ACTIVE, Audience, Member, MergeField, Segment

CONTACT_ID_PREFIX = "c0c0"
TAGS_SHOWN = 50
"""Most tags a member object carries (specification 3.0.85)."""

_SCHEMAS = "https://us1.api.mailchimp.com/schema/3.0/Definitions"
_API = "https://us1.api.mailchimp.com/3.0"
_REASONS = {
    "api": "N/A (Unsubscribed by admin)",
    "admin": "N/A (Unsubscribed by admin)",
    "contact": "None given",
    "complaint": "Abuse complaint",
}


@lru_cache(maxsize=4096)
def time_text(seconds: int) -> str:
    """Epoch seconds as Mailchimp writes them; 0 is never, written as ``""``."""
    return datetime.fromtimestamp(seconds, UTC).isoformat() if seconds else ""


def merge_values(audience: Audience, member: Member) -> dict[str, Any]:
    """All merge fields of the audience, ``""`` where the member has no value."""
    values = member.values
    known = len(values)
    return {f.tag: values[i] if i < known else "" for i, f in enumerate(audience.fields)}


def contact_id(audience: Audience, member: Member) -> str:
    """An id that stays when the address changes."""
    salt = hashlib.md5(audience.id.encode(), usedforsecurity=False).hexdigest()[:12]
    return f"{CONTACT_ID_PREFIX}{salt}{member.number:016x}"


def _extra(name: str, default: Any) -> Callable[[Audience, Member], Any]:
    return lambda _audience, member: (member.extra or {}).get(name, default)


def _location(_audience: Audience, member: Member) -> dict[str, Any]:
    nowhere = {"latitude": 0, "longitude": 0, "gmtoff": 0, "dstoff": 0, "country_code": "", "timezone": ""}
    known: dict[str, Any] = (member.extra or {}).get("location", {})
    return nowhere | {"region": ""} | known


def _full_name(audience: Audience, member: Member) -> str:
    return f"{audience.value(member, 'FNAME')} {audience.value(member, 'LNAME')}".strip()


def _links(audience: Audience, member: Member) -> list[dict[str, str]]:
    href = f"{_API}/lists/{audience.id}/members/{member.key.hex()}"
    target = f"{_SCHEMAS}/Lists/Members/Response.json"
    return [
        {"rel": rel, "href": href, "method": method, "targetSchema": target}
        for rel, method in (("self", "GET"), ("update", "PATCH"), ("upsert", "PUT"), ("delete", "DELETE"))
    ]


def _unique_email_id(_audience: Audience, member: Member) -> str:
    return hashlib.md5(b"address " + member.key, usedforsecurity=False).hexdigest()[:10]


def _tags(audience: Audience, member: Member) -> list[dict[str, Any]]:
    return [{"id": tag, "name": audience.segments[tag].name} for tag in member.tags[:TAGS_SHOWN]]


_MEMBER: dict[str, Callable[[Audience, Member], Any]] = {
    "id": lambda _audience, member: member.key.hex(),
    "email_address": lambda _audience, member: member.email_address,
    "unique_email_id": _unique_email_id,
    "contact_id": contact_id,
    "full_name": _full_name,
    "web_id": lambda _audience, member: member.number,
    "email_type": _extra("email_type", "html"),
    "status": lambda _audience, member: member.status,
    "unsubscribe_reason": lambda _audience, member: _REASONS.get(member.cause, ""),
    "consents_to_one_to_one_messaging": lambda _audience, _member: True,
    "merge_fields": merge_values,
    "interests": _extra("interests", {}),
    "stats": lambda _audience, _member: {"avg_open_rate": 0, "avg_click_rate": 0},
    "ip_signup": _extra("ip_signup", ""),
    "timestamp_signup": _extra("timestamp_signup", ""),
    "ip_opt": _extra("ip_opt", ""),
    "timestamp_opt": lambda _audience, member: time_text(member.opted),
    "member_rating": lambda _audience, _member: 2,
    "last_changed": lambda _audience, member: time_text(member.changed),
    "language": _extra("language", ""),
    "vip": _extra("vip", False),  # noqa: FBT003
    "email_client": lambda _audience, _member: "",
    "location": _location,
    "marketing_permissions": _extra("marketing_permissions", []),
    "source": lambda _audience, member: member.source,
    "tags_count": lambda _audience, member: len(member.tags),
    "tags": _tags,
    "list_id": lambda audience, _member: audience.id,
    "_links": _links,
}


def members(audience: Audience, people: Iterable[Member], wanted: Selection) -> list[dict[str, Any]]:
    """Member objects; parts that were not asked for are never made."""
    makers = [(name, make) for name, make in _MEMBER.items() if wanted.wants(name)]
    shown = []
    for person in people:
        parts = {name: make(audience, person) for name, make in makers}
        if person.status != "unsubscribed":
            parts.pop("unsubscribe_reason", None)
        shown.append(parts)
    return [wanted.of_value(parts) for parts in shown] if wanted.goes_below() else shown


def member(audience: Audience, person: Member) -> dict[str, Any]:
    """One whole member object."""
    return {
        name: make(audience, person)
        for name, make in _MEMBER.items()
        if name != "unsubscribe_reason" or person.status == "unsubscribed"
    }


def merge_field(audience: Audience, shown: MergeField) -> dict[str, Any]:
    """One merge field."""
    return {
        "merge_id": shown.merge_id,
        "tag": shown.tag,
        "name": shown.name,
        "type": shown.type,
        "required": shown.required,
        "default_value": shown.default_value,
        "public": shown.public,
        "display_order": shown.display_order,
        "options": shown.options,
        "help_text": shown.help_text,
        "list_id": audience.id,
    }


def segment(audience: Audience, shown: Segment) -> dict[str, Any]:
    """One tag or saved segment."""
    kind = {"type": "static"} if shown.options is None else {"type": "saved", "options": shown.options}
    return {
        "id": shown.id,
        "name": shown.name,
        "member_count": shown.active,
        **kind,
        "created_at": time_text(shown.created),
        "updated_at": time_text(shown.updated),
        "list_id": audience.id,
    }


def audience(shown: Audience, *, with_total: bool) -> dict[str, Any]:
    """One audience with its counts."""
    counts = shown.counts
    stats: dict[str, Any] = {
        "member_count": counts[ACTIVE],
        "unsubscribe_count": counts["unsubscribed"],
        "cleaned_count": counts["cleaned"],
        "member_count_since_send": counts[ACTIVE],
        "unsubscribe_count_since_send": counts["unsubscribed"],
        "cleaned_count_since_send": counts["cleaned"],
        "campaign_count": 0,
        "campaign_last_sent": "",
        "merge_field_count": len(shown.fields),
        "avg_sub_rate": 0,
        "avg_unsub_rate": 0,
        "target_sub_rate": 0,
        "open_rate": 0,
        "click_rate": 0,
        "last_sub_date": time_text(shown.last_subscribed),
        "last_unsub_date": time_text(shown.last_unsubscribed),
    }
    if with_total:
        stats["total_contacts"] = len(shown.members)
    return {
        "id": shown.id,
        "web_id": shown.web_id,
        "name": shown.name,
        "contact": dict.fromkeys(
            ("company", "address1", "address2", "city", "state", "zip", "country", "phone"), ""
        ),
        "permission_reminder": "You are receiving this email because you opted in via our website.",
        "use_archive_bar": True,
        "campaign_defaults": {"from_name": "", "from_email": "", "subject": "", "language": "en"},
        "notify_on_subscribe": "",
        "notify_on_unsubscribe": "",
        "date_created": time_text(shown.created),
        "list_rating": 0,
        "email_type_option": False,
        "subscribe_url_short": f"http://eepurl.invalid/{shown.id}",
        "subscribe_url_long": f"https://list-manage.invalid/subscribe?id={shown.id}",
        "beamer_address": "",
        "visibility": "prv",
        "double_optin": shown.double_optin,
        "has_welcome": False,
        "marketing_permissions": shown.marketing_permissions,
        "modules": [],
        "stats": stats,
    }
