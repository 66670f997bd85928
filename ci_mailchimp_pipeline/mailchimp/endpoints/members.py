"""Reading the members of an audience."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar

import msgspec

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp.answers import MemberNow, MemberPage, SeenMember, WholeMember, WholePage
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.endpoints.asked import check_audience, foreign_answer
from ci_mailchimp_pipeline.mailchimp.endpoints.audiences import audience_path, unknown_audience
from ci_mailchimp_pipeline.mailchimp.endpoints.identity import (
    MemberRow,
    hash_among,
    hash_of,
    known_status,
    seconds,
)
from ci_mailchimp_pipeline.mailchimp.endpoints.paging import pages, whole

_PARTS = ("id", "email_address", "status", "last_changed", "timestamp_opt")
_WHOLE_PARTS = ("id", "email_address", "status", "last_changed", "merge_fields", "tags", "tags_count")
_TAGS_SHOWN = 50  # Mailchimp: the most tags that a member shows (specification 3.0.85)


class _Tag(msgspec.Struct):
    name: str | None = None


class _Row(MemberRow, kw_only=True):
    unsubscribe_reason: str | None = None


class _Members(msgspec.Struct):
    members: list[_Row]
    list_id: str | None = None
    total_items: int | str | None = None


class _WholeRow(MemberRow, kw_only=True):
    merge_fields: dict[str, Any] | str | None = None
    tags: list[_Tag] | None = None
    tags_count: int | str | None = None


class _WholeMembers(msgspec.Struct):
    members: list[_WholeRow]
    list_id: str | None = None
    total_items: int | str | None = None


class _Total(msgspec.Struct):
    total_items: int | str  # demanded: without it any JSON at all would read as "nobody"


class _Member(_Row, kw_only=True):
    id: str  # demanded: without it any JSON at all would read as a member
    status: str
    tags: list[_Tag] | None = None


_MEMBERS = msgspec.json.Decoder(_Members, strict=False)
_WHOLE_MEMBERS = msgspec.json.Decoder(_WholeMembers, strict=False)
_TOTAL = msgspec.json.Decoder(_Total, strict=False)
_MEMBER = msgspec.json.Decoder(_Member, strict=False)


def member(client: MailchimpClient, audience_id: str, subscriber_hash: bytes) -> MemberNow | None:
    """One member as it is now, archived included; None when there is no such member. One request, read-only.

    Mailchimp answers the same for an audience that does not exist.

    Raises:
        RunLaterError: ``foreign_answer``.
    """
    found = _read(
        client, audience_id, subscriber_hash, ",".join([*_PARTS, "unsubscribe_reason", "tags", "source"])
    )
    if found is None:
        return None
    return MemberNow(
        status=known_status(found.status, "unknown"),
        tags=tuple(tag.name for tag in found.tags or () if tag.name),
        last_changed=seconds(found.last_changed),
        reason=found.unsubscribe_reason or "",
        source=found.source or "",
    )


def member_status(client: MailchimpClient, audience_id: str, subscriber_hash: bytes) -> str | None:
    """The status of one member now, archived included; None when there is no such member. Read-only.

    Raises:
        RunLaterError: ``foreign_answer``.
    """
    found = _read(client, audience_id, subscriber_hash, "id,email_address,status")
    return None if found is None else known_status(found.status, "unknown")


def count_members(client: MailchimpClient, audience_id: str, status: str) -> int:
    """How many members have *status* now. One request, read-only.

    Raises:
        FixConfigError: ``unknown_audience``.
    """
    reply = client.call(
        "GET",
        f"{audience_path(audience_id)}/members",
        what="to count members",
        answer=_TOTAL,
        query={"status": status, "count": "1", "fields": "total_items"},
    )
    return whole(reply.value(absent=unknown_audience(audience_id)).total_items)


def members(
    client: MailchimpClient,
    audience_id: str,
    status: str,
    *,
    max_pages: int | None = None,
    since: float | None = None,
    reasons: bool = False,
) -> Iterator[MemberPage]:
    """The audience's members of one status, the longest unchanged first. Read-only.

    A member may come twice; none that keeps its status is missed, however many change meanwhile.

    Args:
        client: The account.
        audience_id: The audience.
        status: subscribed, unsubscribed, cleaned, pending, transactional or archived.
        max_pages: Stop after so many; 1 is enough to learn the total.
        since: Only who changed after this time, seconds since 1970; the total is theirs. Must be recent: a read
            from 1970 on hung.
        reasons: Ask why the unsubscribed left, too.

    Raises:
        FixConfigError: ``unknown_audience``.
        RunLaterError: ``mailchimp_page_empty`` and the like: the list was not given whole; ``foreign_answer``.
    """
    parts = (*_PARTS, "unsubscribe_reason") if reasons else _PARTS
    query = {}
    if since is not None:
        query["since_last_changed"] = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    for page in islice(_pages(client, audience_id, status, parts, answer=_MEMBERS, query=query), max_pages):
        yield MemberPage(
            total=whole(page.total_items),
            members=[
                SeenMember(
                    subscriber_hash=key,
                    status=known_status(row.status, status),
                    last_changed=seconds(row.last_changed),
                    timestamp_opt=seconds(row.timestamp_opt),
                    reason=row.unsubscribe_reason or "",
                )
                for row in page.members
                if (key := hash_of(row)) is not None
            ],
        )


def whole_members(client: MailchimpClient, audience_id: str, status: str) -> Iterator[WholePage]:
    """Like ``members``, with merge fields and tags."""
    for page in _pages(client, audience_id, status, _WHOLE_PARTS, answer=_WHOLE_MEMBERS):
        yield WholePage(
            total=whole(page.total_items),
            members=[
                WholeMember(
                    subscriber_hash=key,
                    status=known_status(row.status, status),
                    last_changed=seconds(row.last_changed),
                    values=row.merge_fields if isinstance(row.merge_fields, dict) else {},
                    tags=tuple(tag.name for tag in row.tags or () if tag.name),
                    all_tags=_shows_all_tags(row),
                )
                for row in page.members
                if (key := hash_of(row)) is not None
            ],
        )


def _shows_all_tags(row: _WholeRow) -> bool:
    if row.tags is None:
        return False
    if row.tags_count is None:
        return len(row.tags) < _TAGS_SHOWN
    return len(row.tags) >= whole(row.tags_count)


M = TypeVar("M", _Members, _WholeMembers)


def _pages(
    client: MailchimpClient,
    audience_id: str,
    status: str,
    parts: tuple[str, ...],
    *,
    answer: "msgspec.json.Decoder[M]",
    query: Mapping[str, str] | None = None,
) -> Iterator[M]:
    read = pages(
        client,
        f"{audience_path(audience_id)}/members",
        what="to read members",
        answer=answer,
        keys=lambda page: [hash_of(row) for row in page.members],
        query={
            "status": status,
            "sort_field": "last_changed",
            "sort_dir": "ASC",
            "fields": ",".join([*(f"members.{part}" for part in parts), "list_id", "total_items"]),
            **(query or {}),
        },
        absent=unknown_audience(audience_id),
    )
    for number, page in enumerate(read):
        check_audience(audience_id, page.list_id)
        total = whole(page.total_items)
        if number == 0 and total and not page.members:
            # Taken as "nobody", it would hide every opt-out.
            raise RunLaterError(
                "mailchimp_page_empty",
                f"Mailchimp counts {total} members of status {status!r} and gave none of them.",
                fix="Run it again later.",
            )
        yield page


def _read(client: MailchimpClient, audience_id: str, subscriber_hash: bytes, fields: str) -> _Member | None:
    reply = client.call(
        "GET",
        f"{audience_path(audience_id)}/members/{subscriber_hash.hex()}",
        what="to read a member",
        answer=_MEMBER,
        query={"fields": fields},
    )
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    found = reply.value()
    if hash_among({subscriber_hash}, found) is None:
        raise foreign_answer("asked about one member, and Mailchimp answered with another one")
    return found
