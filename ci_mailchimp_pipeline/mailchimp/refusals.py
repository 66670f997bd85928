"""Why Mailchimp said no to one person: its texts become a code, and end here, since they hold addresses."""

import re
from dataclasses import dataclass, field
from typing import Literal

RefusalKind = Literal["permanent", "temporary", "suppress"]
"""permanent: not again until the data change; temporary: again later; suppress: not to be sent at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """One person whom Mailchimp said no to.

    Attributes:
        subscriber_hash: Whom; None when Mailchimp did not say.
        code: Stable, for example ``fake_address``.
        field: The merge tag that was wrong, when one was.
    """

    subscriber_hash: bytes | None = field(repr=False)
    kind: RefusalKind
    code: str
    field: str | None


# First match wins: fragments of the title and the text, lower case, as recorded traffic and users show them.
_RULES: tuple[tuple[str, RefusalKind, str], ...] = (
    ("compliance state", "suppress", "compliance"),
    ("forgotten email", "suppress", "forgotten"),
    ("permanently deleted", "suppress", "forgotten"),
    ("looks fake or invalid", "permanent", "fake_address"),
    ("provide a valid email", "permanent", "malformed_email"),
    ("signed up to a lot of lists", "temporary", "too_many_signups"),
    ("merge fields were invalid", "permanent", "invalid_merge_value"),
    ("please enter a number", "permanent", "invalid_merge_value"),
    ("please enter a complete address", "permanent", "invalid_merge_value"),
    ("value must be one of", "permanent", "invalid_merge_value"),
    ("could not be validated", "permanent", "invalid_merge_value"),
    ("already a list member", "temporary", "contact_exists"),
    ("member exists", "temporary", "contact_exists"),
)
# What is wrong with the request itself, whoever it is about: the same for everybody, so that a run had better end.
_OUR_FAULT = ("maximum allowed member items exceeded", "schema describes", "json parse error")
MEANINGS = {
    "compliance": "the person unsubscribed, bounced or is under review: only they can sign up again",
    "forgotten": "permanently deleted in Mailchimp: only the person can sign up again",
    "fake_address": "Mailchimp thinks that the address is not a real one",
    "malformed_email": "the address is none that Mailchimp takes",
    "too_many_signups": "the address joined many audiences lately",
    "invalid_merge_value": "a value does not fit its merge field",
    "contact_exists": "Mailchimp says that the member is there already",
    "address_unchanged": "Mailchimp answered a change of address with the old one",
    "no_answer": "Mailchimp's answer did not name the row",
    "tag_refused": "Mailchimp did not take a tag",
    "unknown_refusal": "a text that nobody has seen before",
}
"""What each code means, in words."""
_MERGE_TAG = re.compile(r"[A-Z][A-Z0-9_]{0,49}")
_ADDRESS_FIELDS = frozenset({"EMAIL", "EMAIL_ADDRESS", "EMAIL ADDRESS"})


def is_our_fault(*, title: str, text: str, named: str | None) -> bool:
    """Whether a refusal of one person's request would meet everybody's; one that names a field is theirs."""
    said = f"{title} {text}".lower()
    return not named and any(fragment in said for fragment in _OUR_FAULT)


def classify(
    *,
    subscriber_hash: bytes | None,
    text: str,
    title: str = "",
    error_code: str = "",
    named: str | None = None,
) -> Refusal:
    """Reads what Mailchimp said about one person.

    ``named`` is the field it named. A text nobody has seen before is temporary (``unknown_refusal``): it is
    tried again at growing intervals, and its count shows up in the run.
    """
    said = f"{title} {text}".lower()
    tag = (named or "").strip().upper()
    kind, code = next(
        ((kind, code) for fragment, kind, code in _RULES if fragment in said),
        ("temporary", "unknown_refusal"),
    )
    if code == "unknown_refusal" and error_code == "ERROR_CONTACT_EXISTS":
        code = "contact_exists"
    if code in {"unknown_refusal", "invalid_merge_value"} and tag in _ADDRESS_FIELDS:
        kind, code = "permanent", "malformed_email"
    elif code == "unknown_refusal" and _MERGE_TAG.fullmatch(tag):
        kind, code = "permanent", "invalid_merge_value"
    shown = tag if code == "invalid_merge_value" and _MERGE_TAG.fullmatch(tag) else None
    return Refusal(subscriber_hash=subscriber_hash, kind=kind, code=code, field=shown)
