"""Writing, and asking for no more of the answer than is read: 60 kB instead of 700 kB for 500 members."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import TypeVar

import msgspec

from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient, Reply

T = TypeVar("T")


def call_narrow(
    client: MailchimpClient,
    method: str,
    path: str,
    *,
    what: str,
    answer: "msgspec.json.Decoder[T]",
    fields: str,
    body: bytes,
    query: Mapping[str, str] | None = None,
) -> Reply[T]:
    """Writes, asking for ``fields`` alone.

    That Mailchimp takes ``fields`` when it writes is not documented. Should it refuse them (422, nothing
    written), the call is made without, and this client asks for whole answers from then on.
    """
    whole = dict(query or {})
    if client.narrow_answers:
        narrow = {**whole, "fields": fields}
        reply = client.call(method, path, what=what, answer=answer, query=narrow, body=body)
        if reply.status != HTTPStatus.UNPROCESSABLE_ENTITY:
            return reply
        client.narrow_answers = False
    return client.call(method, path, what=what, answer=answer, query=whole, body=body)
