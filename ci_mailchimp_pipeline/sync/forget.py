"""Erase one person out of an audience, for good."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What was found of a person in one place, and what was done about it; names nobody.

    Attributes:
        found: Members, rows or files.
        request_id: Mailchimp's own name for the request that erased.
        left: Something is still there that is not ours to erase: what to do about it.
    """

    place: str
    found: int
    done: str
    request_id: str | None = None
    left: str | None = field(default=None)

    def as_json(self) -> dict[str, str | int | None]:
        """The entry of the JSON document."""
        return {"place": self.place, "found": self.found, "done": self.done, "request_id": self.request_id}


def counted(number: int, what: str) -> str:
    """``1 member``, ``2 members``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def erase_in_audience(
    client: MailchimpClient, audience_id: str, hashes: Collection[bytes], *, named: str
) -> Iterator[Place]:
    """Permanently delete the members under *hashes*, the person's own first; one place each.

    Args:
        client: Of the audience's account.
        audience_id: Where.
        hashes: Subscriber hashes; who is not there is fine.
        named: The audience, as people are told of it.
    """
    absent = 0
    for number, subscriber_hash in enumerate(hashes):
        place = named if number == 0 else f"{named}, another address of the same customer"
        answer = endpoints.erase_member(client, audience_id, subscriber_hash)
        if answer.found:
            yield Place(place=place, found=1, done="erased", request_id=answer.request_id)
        elif answer.repeated:
            done = "not there; the request was repeated, so that an earlier try may have erased it"
            yield Place(place=place, found=0, done=done, request_id=answer.request_id)
        else:
            absent += 1
            if absent == 1 and not _exists(client, audience_id):
                yield Place(place=named, found=0, done="the account has no such audience")
                return
            yield Place(place=place, found=0, done="not there", request_id=answer.request_id)


def _exists(client: MailchimpClient, audience_id: str) -> bool:
    try:
        endpoints.audience(client, audience_id)
    except FixConfigError as error:
        if error.code != "unknown_audience":
            raise
        return False
    return True
