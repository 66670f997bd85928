"""Mailchimp's refusals, with the titles and texts it uses."""

from collections.abc import Mapping, Sequence
from typing import Any

_TYPE = "https://mailchimp.com/developer/marketing/docs/errors/"
_INVALID = (
    "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
)


class Problem(Exception):  # noqa: N818  (named after `application/problem+json`, which it becomes)
    """A refusal: becomes a problem document, or one row of a batch answer's ``errors``.

    Attributes:
        status: HTTP status.
        errors: Pairs of field and message, as in Mailchimp's undocumented ``errors`` array.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})

    def document(self, *, instance: str, with_type: bool) -> dict[str, Any]:
        """The body of the answer; Mailchimp sometimes leaves ``type`` out."""
        document: dict[str, Any] = {"type": _TYPE} if with_type else {}
        document |= {"title": self.title, "status": self.status, "detail": self.detail, "instance": instance}
        if self.errors:
            document["errors"] = [{"field": field, "message": message} for field, message in self.errors]
        return document


def not_found() -> Problem:
    """An audience, member, tag or batch that is not there."""
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")


def invalid(detail: str = _INVALID, *, errors: Sequence[tuple[str, str]] = ()) -> Problem:
    """A request or a row that breaks a rule."""
    return Problem(400, "Invalid Resource", detail, errors=errors)


def invalid_merge_fields(errors: Sequence[tuple[str, str]]) -> Problem:
    """One or more merge field values that do not fit; ``errors`` holds (merge tag, text)."""
    return Problem(400, "Invalid Resource", "Your merge fields were invalid.", errors=errors)


def batch_row(problem: Problem, email_address: str) -> dict[str, str]:
    """The problem as a row of a 200 answer's ``errors``."""
    field, message = problem.errors[0] if problem.errors else ("", "")
    return {
        "email_address": email_address,
        "error": _INVALID if problem.errors else problem.detail,
        "error_code": "ERROR_CONTACT_EXISTS" if problem.title == "Member Exists" else "ERROR_GENERIC",
        "field": field,
        "field_message": message,
    }


def member_exists(email_address: str) -> Problem:
    """A single-member call that would make a second member of one address."""
    detail = f"{email_address} is already a list member. Use PUT to insert or update list members."
    return Problem(400, "Member Exists", detail)


def batch_member_exists(email_address: str) -> Problem:
    """A batch row of an existing member without ``update_existing``."""
    detail = (
        f"{email_address} is already a list member, do you want to update? "
        "please provide update_existing:true in the request body"
    )
    return Problem(400, "Member Exists", detail)


def compliance(email_address: str) -> Problem:
    """A person who opted out or bounced and must not be subscribed by anybody else."""
    detail = (
        f"{email_address} is in a compliance state due to unsubscribe, bounce, or compliance review "
        "and cannot be subscribed."
    )
    return Problem(400, "Member In Compliance State", detail)


def forgotten(email_address: str) -> Problem:
    """A person who was permanently deleted: only they can come back."""
    detail = (
        f"{email_address} was permanently deleted and cannot be re-imported. "
        "The contact must re-subscribe to get back on the list."
    )
    return Problem(400, "Forgotten Email Not Subscribed", detail)


def too_many_signups(email_address: str) -> Problem:
    """An address that signed up to many audiences lately: later it may be taken."""
    detail = (
        f"{email_address} has signed up to a lot of lists very recently; "
        "we're not allowing more signups for now"
    )
    return invalid(detail)


def cannot_archive() -> Problem:
    """A second archive, or the archive of somebody pending or bounced."""
    detail = (
        "This list member cannot be removed. Can not archive a contact that is bounced, pending or archived"
    )
    return Problem(405, "Method Not Allowed", detail)


def method_not_allowed(allowed: Sequence[str]) -> Problem:
    """A path that exists, with a method that does not."""
    detail = (
        "The requested method and resource are not compatible. "
        "See the Allow header for this resource's available methods."
    )
    return Problem(405, "Method Not Allowed", detail, headers={"Allow": ", ".join(allowed)})


def key_missing() -> Problem:
    """No credentials at all."""
    detail = "Your request did not include an API key. Please provide an API key for the request."
    return Problem(401, "API Key Missing", detail)


def key_invalid() -> Problem:
    """Credentials that are not accepted."""
    detail = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
    return Problem(401, "API Key Invalid", detail)


def wrong_data_center(own: str) -> Problem:
    """A key of another data centre; the text says of which one."""
    return Problem(403, "Forbidden", f"The API key provided is linked to datacenter '{own}'")


def not_permitted() -> Problem:
    """A key whose user's role does not allow the call."""
    detail = "User does not have access to the requested operation"
    return Problem(403, "User action not permitted", detail)


def too_many_requests(detail: str) -> Problem:
    """More at once than Mailchimp allows."""
    return Problem(429, "Too Many Requests", detail)


def json_parse_error() -> Problem:
    """A body that is not JSON."""
    return Problem(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.")
