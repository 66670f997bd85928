"""The account, its audiences and their merge fields."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

import msgspec

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.mailchimp.answers import Account, Audience, AudienceField, MergeFields
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.endpoints.asked import check_audience
from ci_mailchimp_pipeline.mailchimp.endpoints.paging import pages, whole

_Id = Annotated[str, msgspec.Meta(min_length=1)]  # what is recorded hangs on it


class _Account(msgspec.Struct):
    account_id: _Id
    account_name: str | None = None
    role: str | None = None
    pricing_plan_type: str | None = None
    total_subscribers: int | str | None = None


class _Stats(msgspec.Struct):
    member_count: int | str | None = None
    unsubscribe_count: int | str | None = None


class _Audience(msgspec.Struct):
    id: _Id
    name: str | None = None
    web_id: int | str | None = None
    double_optin: bool | None = None
    marketing_permissions: bool | None = None
    stats: _Stats | None = None


class _Audiences(msgspec.Struct):
    lists: list[_Audience]
    total_items: int | str | None = None


class _Options(msgspec.Struct):
    choices: list[str] | None = None
    date_format: str | None = None


class _Field(msgspec.Struct):
    tag: str
    type: str
    name: str | None = None
    required: bool | None = None
    options: _Options | None = None


class _Fields(msgspec.Struct):
    merge_fields: list[_Field]
    list_id: str | None = None
    total_items: int | str | None = None
    merge_field_limit: int | str | None = None


_ACCOUNT = msgspec.json.Decoder(_Account, strict=False)
_AUDIENCE = msgspec.json.Decoder(_Audience, strict=False)
_AUDIENCES = msgspec.json.Decoder(_Audiences, strict=False)
_FIELD = msgspec.json.Decoder(_Field, strict=False)
_FIELDS = msgspec.json.Decoder(_Fields, strict=False)
_AUDIENCE_PARTS = (
    "id",
    "name",
    "web_id",
    "double_optin",
    "marketing_permissions",
    "stats.member_count",
    "stats.unsubscribe_count",
)


def audience_path(audience_id: str) -> str:
    """The path of an audience, its id quoted."""
    return f"/lists/{quote(audience_id, safe='')}"


def unknown_audience(audience_id: str) -> FixConfigError:
    """The account has no such audience."""
    return FixConfigError(
        "unknown_audience",
        f"This Mailchimp account has no audience {audience_id!r}.",
        fix="Copy the audience id from Mailchimp: Audience, Settings, Audience name and defaults.",
    )


def account(client: MailchimpClient) -> Account:
    """The account; proves the address, the key and the network at once. Read-only."""
    names = ",".join(_Account.__struct_fields__)
    found = client.call(
        "GET", "/", what="to read the account", answer=_ACCOUNT, query={"fields": names}
    ).value()
    return Account(
        account_id=found.account_id,
        account_name=found.account_name or "",
        role=found.role or "",
        pricing_plan_type=found.pricing_plan_type or "",
        total_subscribers=whole(found.total_subscribers),
    )


def audience(client: MailchimpClient, audience_id: str) -> Audience:
    """One audience. Read-only.

    Raises:
        FixConfigError: ``unknown_audience``.
        RunLaterError: ``foreign_answer``.
    """
    query = {"fields": ",".join(_AUDIENCE_PARTS)}
    reply = client.call(
        "GET", audience_path(audience_id), what="to read the audience", answer=_AUDIENCE, query=query
    )
    found = reply.value(absent=unknown_audience(audience_id))
    check_audience(audience_id, found.id)
    return _as_audience(found)


def audiences(client: MailchimpClient) -> list[Audience]:
    """All audiences of the account. Read-only."""
    query = {"fields": ",".join(["total_items", *(f"lists.{part}" for part in _AUDIENCE_PARTS)])}
    found = {
        entry.id: _as_audience(entry)
        for page in pages(
            client,
            "/lists",
            what="to list the audiences",
            answer=_AUDIENCES,
            keys=lambda page: [entry.id for entry in page.lists],
            query=query,
        )
        for entry in page.lists
    }
    return list(found.values())


def merge_fields(client: MailchimpClient, audience_id: str) -> MergeFields:
    """The audience's merge fields. Read-only; EMAIL is not one of them.

    Raises:
        FixConfigError: ``unknown_audience``.
        RunLaterError: ``foreign_answer``.
    """
    found: dict[str, AudienceField] = {}
    limit: int | None = None
    for page in pages(
        client,
        f"{audience_path(audience_id)}/merge-fields",
        what="to list the merge fields",
        answer=_FIELDS,
        keys=lambda page: [entry.tag for entry in page.merge_fields],
        absent=unknown_audience(audience_id),
    ):
        check_audience(audience_id, page.list_id)
        found.update((entry.tag, _as_field(entry)) for entry in page.merge_fields)
        limit = whole(page.merge_field_limit) or None
    return MergeFields(fields=tuple(found.values()), limit=limit)


def create_merge_field(
    client: MailchimpClient,
    audience_id: str,
    *,
    tag: str,
    name: str,
    type: str,  # noqa: A002 (Mailchimp's word)
) -> AudienceField:
    """Creates a merge field; one that has this tag already (a repeated request) is returned as it is.

    Raises:
        FixConfigError: ``merge_field_refused``: for example because the plan's limit is reached.
    """
    reply = client.call(
        "POST",
        f"{audience_path(audience_id)}/merge-fields",
        what="to create a merge field",
        answer=_FIELD,
        body=msgspec.json.encode({"tag": tag, "name": name, "type": type}),
    )
    if reply.status == HTTPStatus.BAD_REQUEST:
        present = (entry for entry in merge_fields(client, audience_id).fields if entry.tag == tag)
        made = next(present, None)
    else:
        made = _as_field(reply.value(absent=unknown_audience(audience_id)))
    if made is None or made.tag != tag:  # a tag that was cut would take no value, and nobody would be told
        raise FixConfigError(
            "merge_field_refused",
            f"Mailchimp did not create the merge field {tag!r} of type {type!r}.",
            fix="Check the tag (at most 10 of A-Z, 0-9, _), the type, and how many the plan allows.",
        )
    return made


def server_time(client: MailchimpClient) -> float | None:
    """Mailchimp's clock in its newest answer, seconds since 1970; None before the first. Sends nothing."""
    return client.server_time


def _as_audience(found: _Audience) -> Audience:
    stats = found.stats or _Stats()
    return Audience(
        id=found.id,
        name=found.name or "",
        web_id=whole(found.web_id),
        double_optin=bool(found.double_optin),
        marketing_permissions=bool(found.marketing_permissions),
        member_count=whole(stats.member_count),
        unsubscribe_count=whole(stats.unsubscribe_count),
    )


def _as_field(found: _Field) -> AudienceField:
    options = found.options or _Options()
    return AudienceField(
        tag=found.tag,
        type=found.type,
        name=found.name or "",
        required=bool(found.required),
        choices=tuple(options.choices or ()),
        date_format=options.date_format,
    )
