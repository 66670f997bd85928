"""Whatever comes back from Mailchimp, each call gives a typed answer or an error of ours that names nobody."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from fuzz.often import often
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization
from ci_mailchimp_pipeline.mailchimp.bodies import Move, upsert
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits
from ci_mailchimp_pipeline.testing import API_KEY

ADDRESS = "zz-marked@contoso-mail.internal"
HASH = subscriber_hash(ADDRESS)
MOVE = Move(email_address=f"new.{ADDRESS}", merge_fields={"FNAME": "Zzfirst"})
ONE = upsert(
    email_address=ADDRESS, status_if_new="subscribed", merge_fields={"FNAME": "Zzfirst"}, tags=["Vip"]
)
Client = MailchimpClient
CALLS: dict[str, Callable[[Client], Any]] = {
    "account": endpoints.account,
    "audience": lambda client: endpoints.audience(client, "a1"),
    "audiences": endpoints.audiences,
    "merge_fields": lambda client: endpoints.merge_fields(client, "a1"),
    "create_merge_field": lambda client: endpoints.create_merge_field(client, "a1", tag="CITY", name="City", type="text"),
    "tags": lambda client: endpoints.tags(client, "a1"),
    "create_tag": lambda client: endpoints.create_tag(client, "a1", "Vip"),
    "tag_members": lambda client: list(endpoints.tag_members(client, "a1", "7")),
    "update_tag": lambda client: endpoints.update_tag(client, "a1", "7", add=[ADDRESS], remove=[]),
    "member": lambda client: endpoints.member(client, "a1", HASH),
    "member_status": lambda client: endpoints.member_status(client, "a1", HASH),
    "count_members": lambda client: endpoints.count_members(client, "a1", "cleaned"),
    "members": lambda client: list(endpoints.members(client, "a1", "unsubscribed", reasons=True)),
    "whole_members": lambda client: list(endpoints.whole_members(client, "a1", "subscribed")),
    "upsert_members": lambda client: endpoints.upsert_members(client, "a1", [ONE]),
    "move_member": lambda client: endpoints.move_member(client, "a1", HASH, MOVE, uncertain=True),
    "archive_member": lambda client: endpoints.archive_member(client, "a1", HASH),
    "erase_member": lambda client: endpoints.erase_member(client, "a1", HASH),
    "server_time": endpoints.server_time,
}  # fmt: skip
KEYS = st.sampled_from([
    "account_id", "account_name", "role", "total_subscribers", "id", "name", "web_id", "double_optin", "stats",
    "member_count", "unsubscribe_count", "lists", "list_id", "total_items", "merge_fields", "tag", "type", "required",
    "options", "choices", "date_format", "merge_field_limit", "segments", "members", "email_address", "status", "tags",
    "last_changed", "timestamp_opt", "source", "unsubscribe_reason", "tags_count", "total_created", "total_updated",
    "error_count", "new_members", "updated_members", "errors", "error", "error_code", "field", "field_message",
    "total_added", "total_removed", "members_added", "members_removed", "email_addresses", "title", "detail",
    "instance", "message",
])  # fmt: skip
TEXTS = st.sampled_from([
    "", "a1", ADDRESS, HASH.hex(), "subscribed", "archived", "Vip", "CITY", "text", "2026-11-24T07:35:23+00:00",
    "9999-99-99", "9" * 400, "٣", "²", "\u0000", "😀", f"{ADDRESS} looks fake or invalid", "Member Exists", "-1", "1e9",
])  # fmt: skip
NUMBERS = st.sampled_from([0, 1, -1, 5, 1000, 2**31, 2**53, 2**63, 2**64, -(2**70), 10**30, 0.5, 1e300, -0.0])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=8),
    max_leaves=25,
)
STATUSES = st.sampled_from([200, 200, 200, 200, 201, 204, 400, 400, 403, 404, 405, 409, 422, 500])
MALFORMED = st.one_of(
    st.binary(max_size=60),
    st.text(alphabet='{}[]":,0123456789eE+-.ntf\\u ', max_size=40).map(str.encode),
    st.sampled_from([
        b"", b"null", b"NaN", b"[", b"[" * 50_000, b'{"a":' * 50_000, b'{"account_id":NaN}', b"\xff\xfe{}", b"\xef\xbb\xbf{}",
        b'{"x":' + b"[" * 20_000 + b"]" * 20_000 + b',"id":"a1"}', b'{"id":"a1","id":5}', b'{"id":"\\ud800"}',
        b'{"total_items":' + b"9" * 5_000 + b"}", b'{"members":[],"total_items":"' + b"9" * 5_000 + b'"}',
        b'{"id":"a1"} {"id":"a2"}', b'{"members":[{"id":null,"email_address":"\x00"}]}', b"1e999999", b'"text"',
    ]),
)  # fmt: skip


class Answers(ThreadingHTTPServer):
    """Gives one answer to everything that is asked."""

    status = 200
    body = b""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._answer
        raise AttributeError(name)

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, Answers)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b"" if server.status == 204 else server.body
        self.send_response(server.status)
        if server.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def answers() -> Iterator[Answers]:
    """A server for all examples of this module."""
    with Answers(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(answers: Answers) -> Iterator[MailchimpClient]:
    """A client that tries once."""
    with MailchimpClient(
        api_root=f"http://127.0.0.1:{answers.server_port}/3.0",
        authorization=Authorization.from_api_key(API_KEY),
        limits=RetryLimits(tries=1, read_seconds=20),
    ) as client:
        yield client


def law(answers: Answers, client: MailchimpClient, status: int, body: bytes) -> None:
    """Every call gives an answer, or an error of ours that names nobody."""
    answers.status, answers.body = status, body
    for name, call in CALLS.items():
        error: PipelineError | None = None
        found: Any = None
        try:
            found = call(client)
        except PipelineError as caught:
            error = caught
        if error is not None:
            shown = f"{error}{error!r}{error.as_json()}"
            assert error.exit_code in {1, 2, 4}, name
            assert error.fix, name
            assert error.__context__ is None, name
            assert not any(secret in shown for secret in (ADDRESS, "zz-marked", "Zzfirst", API_KEY)), name
        if name in {"member_status", "move_member"}:
            assert ADDRESS not in repr(found), name  # a status is shown and kept, whatever it should be


FUZZ = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def test_every_call_is_tried_here() -> None:
    """A new endpoint needs a line above."""
    assert set(CALLS) == set(endpoints.__all__)


@settings(FUZZ, max_examples=often(30))
@given(status=STATUSES, value=VALUES)
@example(status=200, value={"members": [{"id": HASH.hex(), "email_address": ADDRESS}], "total_items": 10**30})
@example(status=200, value={"id": HASH.hex(), "email_address": ADDRESS, "status": ADDRESS, "account_id": "x"})
@example(
    status=400, value={"title": "Invalid Resource", "detail": f"{ADDRESS} looks fake", "instance": ADDRESS}
)
def test_well_formed_answers_are_typed_or_refused(
    answers: Answers, client: MailchimpClient, status: int, value: Any
) -> None:
    """JSON of the right words in any arrangement."""
    law(answers, client, status, json.dumps(value, allow_nan=False).encode())


@settings(FUZZ, max_examples=often(30))
@given(status=STATUSES, body=MALFORMED)
def test_malformed_answers_are_refused(
    answers: Answers, client: MailchimpClient, status: int, body: bytes
) -> None:
    """Bytes that are no JSON, or JSON that no reader should take."""
    law(answers, client, status, body)


@settings(FUZZ, max_examples=often(30))
@given(data=st.data())
def test_answers_of_the_right_shape_with_wrong_values_are_typed_or_refused(
    answers: Answers, client: MailchimpClient, data: st.DataObject
) -> None:
    """A right answer to every call at once, with some of its values replaced."""
    row: dict[str, Any] = {"id": HASH.hex(), "email_address": ADDRESS, "status": "subscribed"}
    right: dict[str, Any] = {
        **row, "account_id": "a", "lists": [{"id": "a1"}], "total_items": 1, "members": [row], "segments": [row],
        "merge_fields": [{"tag": "CITY", "type": "text"}], "total_created": 1, "total_updated": 0, "error_count": 0,
        "new_members": [row], "errors": [], "total_added": 1, "total_removed": 0, "members_added": [row],
    }  # fmt: skip
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(right)), VALUES, min_size=1, max_size=3))
    law(answers, client, 200, json.dumps(right | changes, allow_nan=False).encode())
