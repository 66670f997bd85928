"""Tags: names in Mailchimp's pages, static segments in its API, the same thing with the same id."""

from collections.abc import Iterator, Sequence
from http import HTTPStatus
from urllib.parse import quote

import msgspec

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.keys import subscriber_hash, tag_key
from ci_mailchimp_pipeline.mailchimp.answers import Tag, TagAnswer
from ci_mailchimp_pipeline.mailchimp.bodies import MAX_MEMBERS
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.endpoints.asked import check_audience, check_tag
from ci_mailchimp_pipeline.mailchimp.endpoints.audiences import audience_path, unknown_audience
from ci_mailchimp_pipeline.mailchimp.endpoints.identity import MemberRow, address_among, hash_among, hash_of
from ci_mailchimp_pipeline.mailchimp.endpoints.narrow import call_narrow
from ci_mailchimp_pipeline.mailchimp.endpoints.paging import pages, whole


class _Segment(msgspec.Struct):
    id: int | str
    name: str
    type: str | None = None
    member_count: int | str | None = None


class _Segments(msgspec.Struct):
    segments: list[_Segment]
    list_id: str | None = None
    total_items: int | str | None = None


class _SegmentMembers(msgspec.Struct):
    members: list[MemberRow]
    total_items: int | str | None = None


class _Errors(msgspec.Struct):
    email_addresses: list[str] | None = None

    def __repr__(self) -> str:
        return "_Errors(...)"


class _Changed(msgspec.Struct):
    # Counts are demanded: without them any JSON at all would read as "nothing changed, nothing refused".
    total_added: int
    total_removed: int
    members_added: list[MemberRow] | None = None
    members_removed: list[MemberRow] | None = None
    errors: list[_Errors] | None = None


_SEGMENT = msgspec.json.Decoder(_Segment, strict=False)
_SEGMENTS = msgspec.json.Decoder(_Segments, strict=False)
_SEGMENT_MEMBERS = msgspec.json.Decoder(_SegmentMembers, strict=False)
_CHANGED = msgspec.json.Decoder(_Changed, strict=False)
_SEGMENT_FIELDS = tuple(f"segments.{part}" for part in _Segment.__struct_fields__)
_CHANGED_FIELDS = ",".join([
    "total_added", "total_removed", "errors",
    *(f"members_{change}.{part}" for change in ("added", "removed") for part in ("id", "email_address")),
])  # fmt: skip


def tags(client: MailchimpClient, audience_id: str) -> dict[str, Tag]:
    """All tags of the audience by the keys of their names, since Mailchimp ignores case. Read-only.

    Raises:
        FixConfigError: ``unknown_audience``.
        RunLaterError: ``foreign_answer``.
    """
    found: dict[str, Tag] = {}
    for page in pages(
        client,
        f"{audience_path(audience_id)}/segments",
        what="to list the tags",
        answer=_SEGMENTS,
        keys=lambda page: [entry.id for entry in page.segments],
        query={"type": "static", "fields": f"{','.join(_SEGMENT_FIELDS)},list_id,total_items"},
        absent=unknown_audience(audience_id),
    ):
        check_audience(audience_id, page.list_id)
        tags_of_page = (entry for entry in page.segments if entry.type in (None, "static"))
        found.update((tag_key(entry.name), _as_tag(entry)) for entry in tags_of_page)
    return found


def create_tag(client: MailchimpClient, audience_id: str, name: str) -> Tag:
    """Creates a tag that nobody carries; one of this name (a repeated request) is returned as it is.

    Raises:
        FixConfigError: ``unknown_audience``.
        RunLaterError: ``foreign_answer``.
        PipelineError: ``mailchimp_refused_request``.
    """
    reply = client.call(
        "POST",
        f"{audience_path(audience_id)}/segments",
        what="to create a tag",
        answer=_SEGMENT,
        body=msgspec.json.encode({"name": name, "static_segment": []}),
    )
    existing = (
        tags(client, audience_id).get(tag_key(name)) if reply.status == HTTPStatus.BAD_REQUEST else None
    )
    made = existing or _as_tag(reply.value(absent=unknown_audience(audience_id)))
    check_tag(name, made.name)
    return made


def tag_members(client: MailchimpClient, audience_id: str, tag_id: str) -> Iterator[list[bytes]]:
    """Pages of the subscriber hashes of who carries a tag, opted out or not; not of the archived. Read-only.

    A member may come twice.

    Raises:
        RunLaterError: ``tag_gone``: somebody deleted the tag.
    """
    for page in pages(
        client,
        f"{audience_path(audience_id)}/segments/{quote(tag_id, safe='')}/members",
        what="to read who carries a tag",
        answer=_SEGMENT_MEMBERS,
        keys=lambda page: [hash_of(row) for row in page.members],
        query={
            "include_unsubscribed": "true",
            "include_cleaned": "true",
            "include_transactional": "true",
            "fields": "members.id,members.email_address,total_items",
        },
        absent=_tag_gone(tag_id),
    ):
        yield [key for row in page.members if (key := hash_of(row)) is not None]


def update_tag(
    client: MailchimpClient, audience_id: str, tag_id: str, *, add: Sequence[str], remove: Sequence[str]
) -> TagAnswer:
    """Gives a tag to the addresses of ``add`` and takes it from those of ``remove``, at most 500 each.

    Addresses that are not in the audience are ignored by Mailchimp: nobody is created.

    Raises:
        RunLaterError: ``tag_gone``: somebody deleted the tag.
    """
    if max(len(add), len(remove)) > MAX_MEMBERS:
        raise ValueError(f"at most {MAX_MEMBERS} members can be tagged, and as many untagged, in one call")
    body = {"members_to_add": list(add), "members_to_remove": list(remove)}
    changed = call_narrow(
        client,
        "POST",
        f"{audience_path(audience_id)}/segments/{quote(tag_id, safe='')}",
        what="to change who carries a tag",
        answer=_CHANGED,
        fields=_CHANGED_FIELDS,
        body=msgspec.json.encode({key: addresses for key, addresses in body.items() if addresses}),
    ).value(absent=_tag_gone(tag_id))
    added = {subscriber_hash(address) for address in add}
    removed = {subscriber_hash(address) for address in remove}
    refused = (
        address_among(added | removed, address)
        for entry in changed.errors or ()
        for address in entry.email_addresses or ()
    )
    return TagAnswer(
        added={key for row in changed.members_added or () if (key := hash_among(added, row))},
        removed={key for row in changed.members_removed or () if (key := hash_among(removed, row))},
        refused=[key for key in refused if key],
    )


def _tag_gone(tag_id: str) -> RunLaterError:
    return RunLaterError(
        "tag_gone",
        f"The tag with the id {tag_id} was deleted in Mailchimp while the run used it.",
        fix="Run it again; the tag is created anew.",
    )


def _as_tag(found: _Segment) -> Tag:
    return Tag(id=str(found.id), name=found.name, member_count=whole(found.member_count))
