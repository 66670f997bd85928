"""Whatever bytes come back, the answer is bounded in size and time, and the key goes nowhere else."""

import contextlib
import gzip
import logging
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.bodies import Move, upsert
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits
from ci_mailchimp_pipeline.testing import Emulator

Clients = Callable[..., MailchimpClient]
ADDRESS = "alan.turing@contoso-mail.internal"
ONCE = RetryLimits(tries=1, read_seconds=5, answer_bytes=100_000)
HUGE = 2**40


def endless(head: bytes, part: bytes) -> Callable[[socket.socket], None]:
    """Sends ``part`` until the other side hangs up, at most 3,000 times."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            for _ in range(3000):
                connection.sendall(part)

    return answer


def trickling(head: bytes, part: bytes = b" ") -> Callable[[socket.socket], None]:
    """Sends a byte every 20 ms until the other side hangs up, at most 20 s."""

    def answer(connection: socket.socket) -> None:
        hung_up = threading.Event()
        with contextlib.suppress(OSError):
            connection.sendall(head)
            for _ in range(1000):
                connection.sendall(part)
                hung_up.wait(0.02)

    return answer


def busy(client: MailchimpClient) -> str:
    """The words of a call that fails as "run later"."""
    with pytest.raises(RunLaterError) as caught:
        endpoints.account(client)
    assert caught.value.code == "mailchimp_busy"
    return str(caught.value)


def test_a_whole_answer_is_read(
    client_of: Clients, raw_server: Any, http_answer: Any, account_json: bytes
) -> None:
    """Plain, compressed and in chunks, it is the same answer."""
    packed = gzip.compress(account_json)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (account_json[:9], account_json[9:]))
    server = raw_server(
        http_answer(account_json),
        http_answer(packed, headers=("Content-Encoding: gzip",)),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n" + account_json,
    )
    client = client_of(server.url, limits=ONCE)
    assert {endpoints.account(client).account_id for _ in range(4)} == {"acc-1"}


def test_a_connection_is_used_again(client_of: Clients, mailchimp_emulator: Emulator) -> None:
    """A thread keeps its connection: no new handshake for each request."""
    opened: list[Any] = []
    client = client_of(mailchimp_emulator.url)
    connect = socket.socket.connect

    def counted(self: socket.socket, to: Any) -> None:
        opened.append(to)
        connect(self, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", counted)
        for _ in range(5):
            endpoints.account(client)
    assert len(opened) == 1


@pytest.mark.parametrize("status", [200, 302, 400, 503])
def test_an_endless_answer_is_not_read_to_its_end(
    status: int, client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """Neither a good, a redirecting nor a failing answer can fill the memory."""
    head = http_answer(status=status, headers=("Location: /elsewhere",), length=HUGE)
    server = raw_server(endless(head, b"x" * 65536))
    assert "the answer was too large" in busy(client_of(server.url, limits=ONCE))


def test_a_compressed_answer_is_bounded_by_what_it_becomes(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """100 kB that unpack to 100 MB are too large."""
    packed = gzip.compress(b" " * 100_000_000)
    server = raw_server(http_answer(packed, headers=("Content-Encoding: gzip",)))
    assert "the answer was too large" in busy(client_of(server.url, limits=ONCE))


@pytest.mark.parametrize(
    ("head", "part"),
    [
        (b"HTTP/1.1 200 OK\r\nX: ", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\n\r\n{", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    ],
    ids=["headers", "body", "body without length", "chunks", "chunk size"],
)
def test_a_trickling_answer_ends_with_its_time(
    head: bytes, part: bytes, client_of: Clients, raw_server: Any
) -> None:
    """A byte now and then keeps the read timeout quiet; the whole exchange has a time of its own."""
    limits = RetryLimits(tries=1, read_seconds=5, exchange_seconds=0.2)
    server = raw_server(trickling(head, part))
    started = time.monotonic()
    assert "it took too long" in busy(client_of(server.url, limits=limits))
    assert time.monotonic() - started < 3


def test_a_complete_answer_just_before_the_cut_is_not_mistaken(
    client_of: Clients, raw_server: Any, account_json: bytes
) -> None:
    """Without a length, the end made by the cut looks like the answer's own end: it does not count."""
    limits = RetryLimits(tries=1, read_seconds=5, exchange_seconds=0.2)
    server = raw_server(trickling(b"HTTP/1.1 200 OK\r\n\r\n" + account_json))
    assert "it took too long" in busy(client_of(server.url, limits=limits))


def test_a_silent_server_ends_with_the_read_timeout(client_of: Clients, raw_server: Any) -> None:
    """No byte at all is a timeout."""
    server = raw_server(None)
    assert "it timed out" in busy(client_of(server.url, limits=RetryLimits(tries=1, read_seconds=0.2)))


def test_nobody_listening_is_busy(client_of: Clients, raw_server: Any) -> None:
    """A refused connection may be a restart: run later."""
    server = raw_server(b"")
    url = server.url
    server.close()
    assert "the connection failed" in busy(client_of(url, limits=ONCE))


@pytest.mark.parametrize(
    "answer",
    [
        b"", b"\x00\xff" * 50, b"HTTP/1.1", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"[" * 100_000,
        b'HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{"account_id":"\xff\xfe\xfd"}   ',
        b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"account_id":5}',
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ],
)  # fmt: skip
def test_bytes_that_make_no_sense_are_busy(answer: bytes, client_of: Clients, raw_server: Any) -> None:
    """Garbage is neither a success nor a crash."""
    busy(client_of(raw_server(answer).url, limits=ONCE))


def test_a_redirect_is_not_followed(client_of: Clients, raw_server: Any, http_answer: Any) -> None:
    """The key is never shown to where a redirect points."""
    elsewhere = raw_server(http_answer(b"{}"))
    server = raw_server(http_answer(status=307, headers=(f"Location: {elsewhere.url}",)))
    assert "HTTP 307" in busy(client_of(server.url, limits=ONCE))
    assert elsewhere.received == []


def test_no_credentials_are_taken_from_netrc(  # noqa: PLR0917
    client_of: Clients,
    raw_server: Any,
    http_answer: Any,
    account_json: bytes,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    """A password for the same host in .netrc does not replace the key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login eve password stolen\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server = raw_server(http_answer(account_json))
    assert requests.utils.get_netrc_auth(server.url) == ("eve", "stolen")
    client = client_of(server.url)
    endpoints.account(client)
    (request,) = server.received
    sent = requests.Request("GET", server.url, auth=client._authorization).prepare().headers["Authorization"]
    assert f"Authorization: {sent}\r\n".encode() in request


def test_the_key_for_this_machine_is_not_handed_to_a_proxy(
    client_of: Clients, raw_server: Any, http_answer: Any, account_json: bytes, monkeypatch: Any
) -> None:
    """Plain http to the emulator stays here, whatever the environment's proxy."""
    proxy, server = raw_server(http_answer(b"{}")), raw_server(http_answer(account_json))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    endpoints.account(client_of(server.url))
    assert proxy.received == []
    assert len(server.received) == 1


def test_a_proxy_of_the_environment_gets_a_tunnel_and_no_key(
    client_of: Clients, raw_server: Any, http_answer: Any, monkeypatch: Any
) -> None:
    """Towards Mailchimp the proxy sees where to, and nothing of what."""
    proxy = raw_server(http_answer(status=502))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    words = busy(client_of("https://us1.api.mailchimp.com/3.0", limits=ONCE))
    assert "the proxy refused" in words
    (request,) = proxy.received
    assert request.startswith(b"CONNECT us1.api.mailchimp.com:443 HTTP/1")
    assert b"uthorization" not in request


def test_an_unusable_proxy_is_a_configuration_error(client_of: Clients, monkeypatch: Any) -> None:
    """Trying again cannot mend an address of a proxy; the message does not repeat it."""
    monkeypatch.setenv("HTTPS_PROXY", "htp:/eve:stolen@nowhere")
    with pytest.raises(FixConfigError) as caught:
        endpoints.account(client_of("https://us1.api.mailchimp.com/3.0"))
    assert caught.value.code == "bad_proxy"
    assert "stolen" not in str(caught.value)


def test_a_missing_certificate_bundle_is_a_configuration_error(client_of: Clients, monkeypatch: Any) -> None:
    """REQUESTS_CA_BUNDLE is heeded, so a wrong one stops; verification is never switched off."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/bundle.pem")
    with pytest.raises(FixConfigError) as caught:
        endpoints.account(client_of("https://127.0.0.1:9/3.0"))
    assert caught.value.code == "bad_certificate"


def test_no_cookie_is_kept(
    client_of: Clients, raw_server: Any, http_answer: Any, account_json: bytes
) -> None:
    """Nothing of one answer goes into the next request."""
    server = raw_server(http_answer(account_json, headers=("Set-Cookie: track=1; Path=/",)))
    client = client_of(server.url)
    endpoints.account(client)
    endpoints.account(client)
    assert b"track" not in server.received[1]


def test_a_log_at_debug_holds_nobody(
    client_of: Clients, mailchimp_emulator: Emulator, api_key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line a request: method, path, status, time, size; no address, hash, name or key, ours or urllib3's."""
    mailchimp_emulator.add_audience("a1")
    mailchimp_emulator.add_member("a1", ADDRESS)
    client = client_of(mailchimp_emulator.url)
    member = upsert(
        email_address=ADDRESS, status_if_new="subscribed", merge_fields={"FNAME": "Alan"}, tags=[]
    )
    with caplog.at_level(logging.DEBUG):
        key = endpoints.upsert_members(client, "a1", [member]).updated[0].subscriber_hash
        endpoints.move_member(
            client, "a1", key, Move(email_address=f"x.{ADDRESS}", merge_fields={"FNAME": "Alan"})
        )
        endpoints.archive_member(client, "a1", key)
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith("ci_mailchimp_pipeline")
    ]
    theirs = [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")]
    assert [line.split(",")[0] for line in ours] == [
        "POST /lists/a1 200", "PUT /lists/a1/members/{member} 200", "DELETE /lists/a1/members/{member} 404",
    ]  # fmt: skip
    assert any("/members/{member}" in line for line in theirs)
    for secret in (ADDRESS, key.hex(), "Alan", api_key, client._authorization.header.split()[1]):
        assert secret not in "".join(ours + theirs)


def test_nothing_of_a_failed_request_is_in_the_exception(
    client_of: Clients, raw_server: Any, api_key: str
) -> None:
    """Neither text, nor cause, nor context of the error leads to the body or the key."""
    client = client_of(raw_server(b"").url, limits=ONCE)
    member = upsert(email_address=ADDRESS, status_if_new="subscribed", merge_fields={}, tags=[])
    with pytest.raises(RunLaterError) as caught:
        endpoints.upsert_members(client, "a1", [member])
    error: BaseException | None = caught.value
    assert error is not None
    assert error.__cause__ is None
    assert error.__context__ is None
    for shown in (str(error), repr(error), repr(client)):
        assert ADDRESS not in shown
        assert api_key not in shown
