"""Writing members: upsert 500, give one another address, archive one. None of it sets a status by itself."""

from collections.abc import Sequence
from http import HTTPStatus

import msgspec

from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.mailchimp.answers import ArchiveAnswer, MemberAnswer, MoveAnswer, UpsertAnswer
from ci_mailchimp_pipeline.mailchimp.bodies import (
    MAX_MEMBERS,
    Move,
    Return,
    Upsert,
    encode_members,
    encode_move,
)
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient, Reply
from ci_mailchimp_pipeline.mailchimp.endpoints.audiences import audience_path, unknown_audience
from ci_mailchimp_pipeline.mailchimp.endpoints.identity import (
    MemberRow,
    address_among,
    hash_among,
    known_status,
    seconds,
)
from ci_mailchimp_pipeline.mailchimp.endpoints.members import member_status
from ci_mailchimp_pipeline.mailchimp.endpoints.narrow import call_narrow
from ci_mailchimp_pipeline.mailchimp.refusals import Refusal, classify, is_our_fault


class _Error(msgspec.Struct):
    email_address: str | None = None
    error: str | None = None
    error_code: str | None = None
    field: str | None = None
    field_message: str | None = None

    def __repr__(self) -> str:
        return "_Error(...)"


class _Member(MemberRow, kw_only=True):
    id: str  # demanded: without it any JSON at all would read as "done"


class _Upserted(msgspec.Struct):
    # Counts are demanded: without them any JSON at all would read as "nobody created, nobody refused".
    total_created: int
    total_updated: int
    error_count: int
    new_members: list[MemberRow] | None = None
    updated_members: list[MemberRow] | None = None
    errors: list[_Error] | None = None


_UPSERTED = msgspec.json.Decoder(_Upserted, strict=False)
_MEMBER = msgspec.json.Decoder(_Member, strict=False)
_MEMBER_FIELDS = "id,email_address,status"
_UPSERTED_FIELDS = ",".join([
    "total_created", "total_updated", "error_count", "errors",
    *(
        f"{kind}_members.{part}"
        for kind in ("new", "updated")
        for part in ("id", "email_address", "status", "timestamp_opt", "source")
    ),
])  # fmt: skip


def upsert_members(
    client: MailchimpClient, audience_id: str, members: Sequence[Upsert | Return]
) -> UpsertAnswer:
    """Creates or updates up to 500 members of distinct addresses, adding their tags. May be repeated.

    Asks for the needed fields of the answer alone. Should Mailchimp answer that with counts and nobody, the
    batch is sent again for a whole answer, and this client asks for whole answers from then on.

    Raises:
        FixConfigError: ``unknown_audience``.
    """
    asked = {subscriber_hash(member.email_address) for member in members}
    if not 0 < len(members) <= MAX_MEMBERS or len(asked) != len(members):
        raise ValueError(f"a batch holds 1 to {MAX_MEMBERS} members of distinct addresses")
    body = encode_members(members)
    reply = _upsert(client, audience_id, body)
    again = client.narrow_answers and reply.found is not None and _says_only_counts(reply.found)
    if again:
        client.narrow_answers = False
        reply = _upsert(client, audience_id, body)
    answer = reply.value(absent=unknown_audience(audience_id))
    return _sorted_out(asked, answer, repeated=again or reply.repeated)


def move_member(
    client: MailchimpClient, audience_id: str, old_hash: bytes, body: Move, *, uncertain: bool = False
) -> MoveAnswer:
    """Gives an existing member another address; its status, tags and history stay. Never creates one.

    When the request had to be repeated, or an earlier run may have sent it (*uncertain*), a refusal may only
    mean that it was done; then the members themselves are looked at.
    """
    reply = call_narrow(
        client,
        "PUT",
        _member_path(audience_id, old_hash),
        what="to change a member's address",
        answer=_MEMBER,
        fields=_MEMBER_FIELDS,
        body=encode_move(body),
    )
    new_hash = subscriber_hash(body.email_address)
    if (reply.repeated or uncertain) and reply.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        gone = member_status(client, audience_id, old_hash) is None
        status = member_status(client, audience_id, new_hash) if gone else None
        if status is not None:
            return MoveAnswer(kind="moved", status=status, found_moved=True)
    return _moved(reply, new_hash)


def archive_member(client: MailchimpClient, audience_id: str, subscriber_hash: bytes) -> ArchiveAnswer:
    """Takes a member out of the audience; it keeps its data and may come back. May be repeated."""
    path = _member_path(audience_id, subscriber_hash)
    reply: Reply[None] = client.call("DELETE", path, what="to archive a member", answer=None)
    if reply.status == HTTPStatus.NO_CONTENT:
        return ArchiveAnswer(kind="archived", at=reply.at, repeated=reply.repeated)
    if reply.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED}:
        raise reply.refused()
    return ArchiveAnswer(kind="already", at=reply.at, repeated=reply.repeated)


def _upsert(client: MailchimpClient, audience_id: str, body: bytes) -> Reply[_Upserted]:
    return call_narrow(
        client,
        "POST",
        audience_path(audience_id),
        what="a batch of members",
        answer=_UPSERTED,
        fields=_UPSERTED_FIELDS,
        query={"skip_duplicate_check": "true"},
        body=body,
    )


def _says_only_counts(answer: _Upserted) -> bool:
    written = answer.total_created + answer.total_updated
    return written > 0 and not answer.new_members and not answer.updated_members


def _sorted_out(asked: set[bytes], answer: _Upserted, *, repeated: bool) -> UpsertAnswer:
    """Each person once; a refusal outweighs a mention among the written ones."""
    left = set(asked)
    refused: list[Refusal] = []
    for error in answer.errors or ():
        key = address_among(left, error.email_address)
        if key is None and error.email_address:
            continue  # nobody who was sent, or one who was refused already
        left.discard(key or b"")
        text = f"{error.error or ''} {error.field_message or ''}"
        refused.append(
            classify(subscriber_hash=key, text=text, error_code=error.error_code or "", named=error.field)
        )
    return UpsertAnswer(
        created=_taken(left, answer.new_members),
        updated=_taken(left, answer.updated_members),
        refused=refused,
        missing=sorted(left),
        repeated=repeated,
    )


def _taken(left: set[bytes], rows: list[MemberRow] | None) -> list[MemberAnswer]:
    taken: list[MemberAnswer] = []
    for row in rows or ():
        key = hash_among(left, row)
        if key is not None:
            left.remove(key)
            taken.append(
                MemberAnswer(
                    subscriber_hash=key,
                    status=known_status(row.status, ""),
                    timestamp_opt=seconds(row.timestamp_opt),
                    source=row.source or "",
                )
            )
    return taken


def _moved(reply: Reply[_Member], new_hash: bytes) -> MoveAnswer:
    if reply.found is not None and hash_among({new_hash}, reply.found):
        return MoveAnswer(kind="moved", status=known_status(reply.found.status, ""))
    if reply.found is not None:  # a 200 that shows another address: it was not changed
        refusal = Refusal(subscriber_hash=new_hash, kind="temporary", code="address_unchanged", field=None)
        return MoveAnswer(kind="refused", refusal=refusal)
    if reply.status == HTTPStatus.NOT_FOUND:
        return MoveAnswer(kind="gone")
    problem = reply.problem
    if reply.status != HTTPStatus.BAD_REQUEST or problem is None:
        raise reply.refused()
    named = next((entry.field for entry in problem.errors or () if entry.field), None)
    if is_our_fault(title=problem.title or "", text=problem.text, named=named):
        raise reply.refused()
    refusal = classify(subscriber_hash=new_hash, title=problem.title or "", text=problem.text, named=named)
    return MoveAnswer(
        kind="address_taken" if refusal.code == "contact_exists" else "refused", refusal=refusal
    )


def _member_path(audience_id: str, key: bytes) -> str:
    return f"{audience_path(audience_id)}/members/{key.hex()}"
