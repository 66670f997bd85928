"""Every status and every exception has one meaning, and none of their texts gets out."""

import inspect
import json
from typing import Any

import pytest
import requests
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.mailchimp.problems import (
    Problem,
    Verdict,
    auth_error,
    busy_error,
    judge_exception,
    judge_status,
    known_title,
    read_problem,
    request_error,
)

ADDRESS = "ada.lovelace@contoso-mail.internal"
# What only a change of the environment mends: an address of a proxy that cannot be used.
ENVIRONMENT = {
    "requests.exceptions.InvalidProxyURL", "requests.exceptions.InvalidSchema", "requests.exceptions.InvalidURL",
    "requests.exceptions.MissingSchema", "requests.exceptions.URLRequired",
    "urllib3.exceptions.LocationParseError", "urllib3.exceptions.LocationValueError",
    "urllib3.exceptions.ProxySchemeUnknown", "urllib3.exceptions.ProxySchemeUnsupported",
    "urllib3.exceptions.URLSchemeUnknown",
}  # fmt: skip


def library_exceptions() -> list[type[Exception]]:
    """All exceptions that the two libraries define, warnings left out."""
    found: list[type[Exception]] = []
    for module in (requests.exceptions, urllib3.exceptions):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            ours = kind.__module__ == module.__name__ and not issubclass(kind, Warning)
            if ours and issubclass(kind, Exception):
                found.append(kind)
    return found


def made(kind: type[Exception]) -> Exception:
    """An exception of any signature, its text an address."""
    error = kind.__new__(kind)
    error.args = (f"failed for {ADDRESS}",)
    return error


@pytest.mark.parametrize(
    "kind", library_exceptions(), ids=lambda kind: f"{kind.__module__}.{kind.__qualname__}"
)
def test_every_exception_of_the_libraries_has_a_class(kind: type[Exception]) -> None:
    """Each is worth another try, except an unusable proxy address; the words are ours."""
    judged = judge_exception(made(kind))
    assert isinstance(judged, FixConfigError) == (f"{kind.__module__}.{kind.__qualname__}" in ENVIRONMENT)
    assert ADDRESS not in str(judged)


def test_the_walk_over_the_libraries_is_not_empty() -> None:
    """Should the libraries rearrange their modules, the test above must not pass for lack of cases."""
    assert len(library_exceptions()) > 45


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectionError(ADDRESS), "the connection failed"),
        (requests.exceptions.ConnectTimeout(ADDRESS), "no connection"),
        (requests.ReadTimeout(ADDRESS), "it timed out"),
        (requests.exceptions.ProxyError(ADDRESS), "the proxy refused"),
        (requests.exceptions.ChunkedEncodingError(ADDRESS), "the answer was cut"),
        (requests.exceptions.SSLError("EOF in the handshake"), "the secure connection failed"),
        (ConnectionResetError(104, ADDRESS), "the connection failed"),
        (OSError(24, "too many open files"), "the connection failed"),
    ],
)
def test_a_failure_that_may_pass_is_put_into_words(error: Exception, words: str) -> None:
    """The message says what happened, without the library's text."""
    assert judge_exception(error) == words


@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: expired"),
        OSError("Could not find a suitable TLS CA certificate bundle, invalid path: /nowhere"),
    ],
)
def test_an_unverified_certificate_is_never_ignored(error: Exception) -> None:
    """It needs a person; trying again cannot help, and going on without would hand the key over."""
    judged = judge_exception(error)
    assert isinstance(judged, FixConfigError)
    assert judged.code == "bad_certificate"
    assert "REQUESTS_CA_BUNDLE" in judged.fix


DOCUMENT = Problem(title="Something", detail=f"{ADDRESS} is wrong")


@pytest.mark.parametrize(
    ("status", "problem", "verdict"),
    [
        (200, None, Verdict.DONE), (204, None, Verdict.DONE),
        (301, None, Verdict.BUSY), (302, DOCUMENT, Verdict.BUSY), (307, None, Verdict.BUSY), (100, None, Verdict.BUSY),
        (400, DOCUMENT, Verdict.REFUSED), (400, None, Verdict.BUSY),
        (401, DOCUMENT, Verdict.AUTH), (401, None, Verdict.AUTH),
        (403, DOCUMENT, Verdict.AUTH), (403, None, Verdict.BUSY),
        (403, Problem(title="TooManyRequests"), Verdict.BUSY),
        (404, DOCUMENT, Verdict.NOT_FOUND), (404, None, Verdict.BUSY),
        (405, DOCUMENT, Verdict.REFUSED), (405, None, Verdict.BUSY),
        (408, DOCUMENT, Verdict.BUSY), (413, None, Verdict.REFUSED), (414, None, Verdict.REFUSED),
        (418, DOCUMENT, Verdict.REFUSED), (418, None, Verdict.BUSY),
        (422, DOCUMENT, Verdict.REFUSED), (426, None, Verdict.REFUSED),
        (429, DOCUMENT, Verdict.BUSY), (429, None, Verdict.BUSY),
        (500, DOCUMENT, Verdict.BUSY), (502, None, Verdict.BUSY), (503, DOCUMENT, Verdict.BUSY), (504, None, Verdict.BUSY),
        (600, None, Verdict.BUSY),
    ],
)  # fmt: skip
def test_a_status_has_one_class(status: int, problem: Problem | None, verdict: Verdict) -> None:
    """The table of Mailchimp's errors, and what stands between it and us."""
    assert judge_status(status, problem) is verdict


@given(status=st.integers(100, 999))
def test_no_status_but_success_is_done(status: int) -> None:
    """Nothing unknown is ever taken for done."""
    for problem in (None, DOCUMENT):
        assert (judge_status(status, problem) is Verdict.DONE) == (200 <= status < 300)


@given(content=st.binary(max_size=200))
def test_any_content_is_a_problem_or_none(content: bytes) -> None:
    """Reading a hostile body raises nothing."""
    assert read_problem(content) is None or isinstance(read_problem(content), Problem)


@pytest.mark.parametrize("content", [b"", b"<html>Access Denied</html>", b"{}", b"[]", b"null", b'{"message":"x"}',
                                     b'{"title":5}', b"[" * 100_000, b"\xff\xfe"])  # fmt: skip
def test_what_is_not_a_problem_document_is_none(content: bytes) -> None:
    """HTML of a gateway and JSON of somebody else are not Mailchimp's word."""
    assert read_problem(content) is None


def test_a_problem_without_type_and_instance_is_one() -> None:
    """Mailchimp leaves out what its own description demands."""
    problem = read_problem(b'{"title":"Invalid Resource","status":400,"detail":"x","instance":""}')
    assert known_title(problem) == "Invalid Resource"


@pytest.mark.parametrize("title", ["Too Many Requests", "TooManyRequests", "too many requests"])
def test_a_title_is_recognised_however_it_is_written(title: str) -> None:
    """Both spellings were seen."""
    assert known_title(Problem(title=title)) == "Too Many Requests"


def errors_about(problem: Problem) -> list[Any]:
    """Every error that can be made of a problem."""
    return [
        busy_error(last="HTTP 503", problem=problem, tries=3, seconds=9),
        auth_error(401, problem),
        auth_error(403, problem),
        request_error("a batch of members", 400, problem),
    ]


@pytest.mark.parametrize("title", ["Invalid Resource", ADDRESS, None])
def test_no_error_repeats_what_mailchimp_wrote(title: str | None) -> None:
    """Titles of the closed list are shown; details, fields, unknown titles and odd request ids are not."""
    raw = {"title": title, "detail": f"{ADDRESS} looks fake", "instance": ADDRESS,
           "errors": [{"field": ADDRESS, "message": ADDRESS}]}  # fmt: skip
    problem = read_problem(json.dumps(raw).encode())
    assert problem is not None
    for error in errors_about(problem):
        assert ADDRESS not in f"{error} {error!r} {error.as_json()} {problem!r} {problem.errors!r}"
        assert ("Invalid Resource" in str(error)) == (title == "Invalid Resource")


def test_a_refused_request_names_its_id() -> None:
    """The request id is what Mailchimp's support asks for."""
    error = request_error(
        "to create a tag", 400, Problem(title="Bad Request", instance="8b1c6f2e-9d1a-4e59-b1a6")
    )
    assert error.code == "mailchimp_refused_request"
    assert "8b1c6f2e-9d1a-4e59-b1a6" in str(error)
    assert error.exit_code == 1


@pytest.mark.parametrize(
    ("status", "problem", "code", "hint"),
    [
        (401, Problem(title="API Key Invalid"), "mailchimp_auth", "new key"),
        (403, Problem(title="Forbidden", detail="The API key provided is linked to datacenter 'us6'"),
         "mailchimp_wrong_data_center", "-us6"),
        (403, Problem(title="User Disabled"), "mailchimp_not_permitted", "disabled"),
        (403, Problem(title="User action not permitted"), "mailchimp_not_permitted", "Manager or Admin"),
    ],
)  # fmt: skip
def test_a_key_that_does_not_work_says_why(status: int, problem: Problem, code: str, hint: str) -> None:
    """Each reason has its own way out."""
    error = auth_error(status, problem)
    assert error.code == code
    assert hint in error.fix


def test_a_disabled_method_says_where_to_look() -> None:
    """A compliance hold looks like an outage; the message sends a person to the account."""
    error = busy_error(last="HTTP 503", problem=Problem(title="Compliance Related"), tries=12, seconds=300)
    assert error.exit_code == 4
    assert "notice" in error.fix
    assert "12 tries in 300 s" in str(error)
    assert "HTTP 503 (Compliance Related)" in str(error)
