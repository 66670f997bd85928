"""Reading the members of an audience."""

from collections.abc import Iterator
from datetime import UTC, datetime
from http import HTTPStatus
from itertools import islice

import msgspec

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp.answers import MemberNow, MemberPage, SeenMember
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.endpoints.audiences import audience_path, unknown_audience
from ci_mailchimp_pipeline.mailchimp.endpoints.identity import MemberRow, hash_of, seconds
from ci_mailchimp_pipeline.mailchimp.endpoints.paging import pages, whole

_PARTS = ("id", "email_address", "status", "last_changed", "timestamp_opt")


class _Tag(msgspec.Struct):
    name: str | None = None


class _Row(MemberRow, kw_only=True):
    unsubscribe_reason: str | None = None


class _Members(msgspec.Struct):
    members: list[_Row]
    total_items: int | str | None = None


class _Total(msgspec.Struct):
    total_items: int | str  # demanded: without it any JSON at all would read as "nobody"


class _Member(_Row, kw_only=True):
    id: str  # demanded: without it any JSON at all would read as a member
    status: str
    tags: list[_Tag] | None = None


_MEMBERS = msgspec.json.Decoder(_Members, strict=False)
_TOTAL = msgspec.json.Decoder(_Total, strict=False)
_MEMBER = msgspec.json.Decoder(_Member, strict=False)


def member(client: MailchimpClient, audience_id: str, subscriber_hash: bytes) -> MemberNow | None:
    """One member as it is now, archived included; None when there is no such member. One request, read-only.

    Mailchimp answers the same for an audience that does not exist.
    """
    reply = client.call(
        "GET",
        f"{audience_path(audience_id)}/members/{subscriber_hash.hex()}",
        what="to read a member",
        answer=_MEMBER,
        query={"fields": ",".join([*_PARTS, "unsubscribe_reason", "tags"])},
    )
    if reply.status == HTTPStatus.NOT_FOUND:
        return None
    found = reply.value()
    return MemberNow(
        status=found.status,
        tags=tuple(tag.name for tag in found.tags or () if tag.name),
        last_changed=seconds(found.last_changed),
        reason=found.unsubscribe_reason or "",
    )


def member_status(client: MailchimpClient, audience_id: str, subscriber_hash: bytes) -> str | None:
    """The status of one member now, archived included; None when there is no such member. Read-only."""
    reply = client.call(
        "GET",
        f"{audience_path(audience_id)}/members/{subscriber_hash.hex()}",
        what="to read a member",
        answer=_MEMBER,
        query={"fields": "id,email_address,status"},
    )
    return None if reply.status == HTTPStatus.NOT_FOUND else reply.value().status


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
        RunLaterError: ``mailchimp_page_empty`` and the like: the list was not given whole.
    """
    parts = (*_PARTS, "unsubscribe_reason") if reasons else _PARTS
    query = {
        "status": status,
        "sort_field": "last_changed",
        "sort_dir": "ASC",
        "fields": ",".join([*(f"members.{part}" for part in parts), "total_items"]),
    }
    if since is not None:
        query["since_last_changed"] = datetime.fromtimestamp(since, UTC).isoformat(timespec="seconds")
    read = pages(
        client,
        f"{audience_path(audience_id)}/members",
        what="to read members",
        answer=_MEMBERS,
        keys=lambda page: [hash_of(row) for row in page.members],
        query=query,
        absent=unknown_audience(audience_id),
    )
    for number, page in enumerate(islice(read, max_pages)):
        total = whole(page.total_items)
        if number == 0 and total and not page.members:
            # Taken as "nobody", it would hide every opt-out.
            raise RunLaterError(
                "mailchimp_page_empty",
                f"Mailchimp counts {total} members of status {status!r} and gave none of them.",
                fix="Run it again later.",
            )
        yield MemberPage(
            total=total,
            members=[
                SeenMember(
                    subscriber_hash=key,
                    status=row.status or status,
                    last_changed=seconds(row.last_changed),
                    timestamp_opt=seconds(row.timestamp_opt),
                    reason=row.unsubscribe_reason or "",
                )
                for row in page.members
                if (key := hash_of(row)) is not None
            ],
        )
