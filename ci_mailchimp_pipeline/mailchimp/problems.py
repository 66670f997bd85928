"""What an answer, or the lack of one, means: every status and every exception has one class.

Mailchimp's ``detail`` texts begin with the address they are about, and exceptions of ``requests`` carry the
request with its body and key. So nothing leaves here but a status, a title of a closed list, a field's merge
tag and the request id.
"""

import re
from collections.abc import Mapping
from enum import Enum
from http import HTTPStatus

import msgspec
import requests
import urllib3
from urllib3.exceptions import LocationValueError, NewConnectionError, ProxySchemeUnsupported

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError


class Verdict(Enum):
    """What happens next."""

    DONE = "done"
    BUSY = "busy"
    """Try again: Mailchimp or something on the way is in trouble, or the answer is not Mailchimp's."""
    AUTH = "auth"
    NOT_FOUND = "not_found"
    REFUSED = "refused"
    """Mailchimp said no. Of a call about one person it is about that person; else the request is a bug."""


class FieldProblem(msgspec.Struct):
    """One entry of the undeclared ``errors`` of a problem."""

    field: str | None = None
    message: str | None = None

    def __repr__(self) -> str:
        return "FieldProblem(...)"


class Problem(msgspec.Struct):
    """A problem document; every part may be missing. Its texts may hold an address: never show them."""

    title: str | None = None
    status: int | str | None = None
    detail: str | None = None
    instance: str | None = None
    errors: list[FieldProblem] | None = None

    def __repr__(self) -> str:
        return "Problem(...)"

    @property
    def text(self) -> str:
        """Everything it says, for classification alone."""
        return " ".join([self.detail or "", *(entry.message or "" for entry in self.errors or ())])


# From https://mailchimp.com/developer/marketing/docs/errors/ and recorded traffic. Only these are shown.
_TITLES = {
    title.lower().replace(" ", ""): title
    for title in (
        "API Key Invalid", "API Key Missing", "Bad Request", "Compliance Related", "Forbidden",
        "Forgotten Email Not Subscribed", "Internal Server Error", "Invalid Action",
        "Invalid Method Override", "Invalid Resource", "JSON Parse Error", "Member Exists",
        "Member In Compliance State", "Method Not Allowed", "Requested Fields Invalid",
        "Resource Nesting Too Deep", "Resource Not Found", "Too Many Requests", "Upgrade Required",
        "User Action Not Permitted", "User Disabled", "Wrong Datacenter",
    )
}  # fmt: skip
_REQUEST_ID = re.compile(r"[0-9A-Za-z-]{8,64}")
_LINKED_DATA_CENTER = re.compile(r"linked to datacenter '([a-z]{2}[0-9]{1,4})'")
_DECODER = msgspec.json.Decoder(Problem)

_ALWAYS: Mapping[int, Verdict] = {
    HTTPStatus.UNAUTHORIZED: Verdict.AUTH,
    HTTPStatus.REQUEST_TIMEOUT: Verdict.BUSY,
    HTTPStatus.TOO_MANY_REQUESTS: Verdict.BUSY,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: Verdict.REFUSED,
    HTTPStatus.REQUEST_URI_TOO_LONG: Verdict.REFUSED,  # Resource Nesting Too Deep
    HTTPStatus.UNPROCESSABLE_ENTITY: Verdict.REFUSED,  # Invalid Method Override, Requested Fields Invalid
    HTTPStatus.UPGRADE_REQUIRED: Verdict.REFUSED,  # a TLS older than 1.2
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: Verdict.REFUSED,
}
_OF_MAILCHIMP: Mapping[int, Verdict] = {
    HTTPStatus.FORBIDDEN: Verdict.AUTH,
    HTTPStatus.NOT_FOUND: Verdict.NOT_FOUND,
}
_FIXES: Mapping[str, str] = {
    "Compliance Related": "Log in to Mailchimp and look for a notice: it has disabled this call.",
    "User Disabled": "Log in to Mailchimp: the user of this key is disabled.",
    "User Action Not Permitted": "Use the key of a user who may manage the audience (Manager or Admin).",
}


def read_problem(content: bytes) -> Problem | None:
    """The problem document of an answer, or None when it is none (HTML, empty, somebody else's)."""
    try:
        problem = _DECODER.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return problem if problem.title or problem.detail else None


def known_title(problem: Problem | None) -> str | None:
    """The title as Mailchimp documents it, or None when it is not a documented one."""
    return _TITLES.get(((problem and problem.title) or "").lower().replace(" ", ""))


def known_request_id(text: str | None) -> str | None:
    """*text* when it looks like one of Mailchimp's request ids, and so cannot be anything else."""
    return text if text and _REQUEST_ID.fullmatch(text) else None


def judge_status(status: int, problem: Problem | None) -> Verdict:
    """The class of an answer by its status, and whether a problem document came with it."""
    if status // 100 == 2:  # noqa: PLR2004 (the class of success)
        return Verdict.DONE
    if status in _ALWAYS:
        return _ALWAYS[status]
    # A redirect is never Mailchimp's; 403 without a document is its overload shedding, not a lack of rights;
    # any other client error without a document comes from something on the way.
    client_error = status // 100 == 4  # noqa: PLR2004 (the class of client errors)
    if not client_error or problem is None or known_title(problem) == "Too Many Requests":
        return Verdict.BUSY
    return _OF_MAILCHIMP.get(status, Verdict.REFUSED)


def judge_exception(error: Exception) -> str | FixConfigError:
    """Words for a failure that may pass, else the error that only a change of the environment mends.

    Whatever is not known to be the environment's fault may pass: an unknown failure means "try later".
    """
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError):
        return _certificate() if "CERTIFICATE_VERIFY_FAILED" in str(error) else "the secure connection failed"
    if isinstance(error, _BAD_PROXIES):
        return FixConfigError(
            "bad_proxy",
            "A proxy of the environment has an address that cannot be used.",
            fix="Correct HTTPS_PROXY (or ALL_PROXY), or unset it.",
        )
    if isinstance(error, _PROXY_TROUBLES) and "Tunnel connection failed: 407" in str(error):
        return FixConfigError(
            "proxy_password",
            "The proxy of the environment asks for a user and a password, or does not take those it got (HTTP 407).",
            fix="Write them into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT, special characters as %XX.",
        )
    # `requests` raises a bare OSError without a number for one thing: a missing certificate bundle.
    if type(error) is OSError and error.errno is None:
        return _certificate()
    return next((words for kinds, words in _TROUBLES if isinstance(error, kinds)), "the connection failed")


def busy_error(*, last: str, problem: Problem | None, tries: int, seconds: float) -> RunLaterError:
    """Mailchimp stayed busy through every try."""
    title = known_title(problem)
    return RunLaterError(
        "mailchimp_busy",
        f"Mailchimp was busy or out of reach: {tries} tries in {seconds:.0f} s; last: {_said(last, title)}.",
        fix=_FIXES.get(title or "", "Run it again later; it goes on where it stopped."),
    )


def auth_error(status: int, problem: Problem | None) -> FixConfigError:
    """The key, or its user, may not do this."""
    title = known_title(problem)
    linked = _LINKED_DATA_CENTER.search((problem and problem.detail) or "")
    if linked:
        return FixConfigError(
            "mailchimp_wrong_data_center",
            f"The key belongs to Mailchimp's data centre {linked[1]}, not to the one it was used at.",
            fix=f"End the key with -{linked[1]}, or correct the connection's `api_root`.",
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return FixConfigError(
            "mailchimp_auth",
            f"Mailchimp does not accept the key or token: {_said('HTTP 401', title)}.",
            fix="Make a new key in Mailchimp (Profile, Extras, API keys), or sign in again.",
        )
    return FixConfigError(
        "mailchimp_not_permitted",
        f"Mailchimp does not let the user of this key do this: {_said(f'HTTP {status}', title)}.",
        fix=_FIXES.get(title or "", _FIXES["User Action Not Permitted"]),
    )


def request_error(what: str, status: int, problem: Problem | None) -> PipelineError:
    """Mailchimp said no to a request that should have been right: a bug of ours, or a change of theirs."""
    instance = known_request_id(problem.instance if problem else None)
    request_id = f", request {instance}" if instance else ""
    return PipelineError(
        "mailchimp_refused_request",
        f"Mailchimp refused {what}: {_said(f'HTTP {status}', known_title(problem))}{request_id}.",
        fix="Report it with this message; nothing of the request was written.",
    )


def _said(last: str, title: str | None) -> str:
    return f"{last} ({title})" if title else last


def _certificate() -> FixConfigError:
    return FixConfigError(
        "bad_certificate",
        "Mailchimp's certificate could not be verified.",
        fix="Behind a company proxy, set REQUESTS_CA_BUNDLE to the (existing) file of its certificates.",
    )


_BAD_PROXIES = (
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.URLRequired,
    LocationValueError,
    ProxySchemeUnsupported,
)  # our own address is checked before it is used, so only a proxy's can be wrong
_PROXY_TROUBLES = (requests.exceptions.ProxyError, urllib3.exceptions.ProxyError)
_TROUBLES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (_PROXY_TROUBLES, "the proxy refused"),
    ((requests.exceptions.ConnectTimeout, NewConnectionError), "no connection"),
    ((requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError), "it timed out"),
    ((requests.exceptions.ContentDecodingError, urllib3.exceptions.DecodeError), "the answer was damaged"),
    ((urllib3.exceptions.IncompleteRead, requests.exceptions.ChunkedEncodingError), "the answer was cut"),
)
