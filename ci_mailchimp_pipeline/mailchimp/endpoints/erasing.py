"""The one call that nothing undoes."""

from http import HTTPStatus

from ci_mailchimp_pipeline.mailchimp.answers import EraseAnswer
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient, Reply
from ci_mailchimp_pipeline.mailchimp.endpoints.audiences import audience_path


def erase_member(client: MailchimpClient, audience_id: str, subscriber_hash: bytes) -> EraseAnswer:
    """Permanently deletes a member, archived ones too: only the person can ever bring the address back.

    May be repeated. Mailchimp answers the same for a member and for an audience that are not there.
    """
    reply: Reply[None] = client.call(
        "POST",
        f"{audience_path(audience_id)}/members/{subscriber_hash.hex()}/actions/delete-permanent",
        what="to erase a member",
        answer=None,
    )
    if reply.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
        raise reply.refused()
    return EraseAnswer(
        found=reply.status == HTTPStatus.NO_CONTENT, repeated=reply.repeated, request_id=reply.request_id
    )
