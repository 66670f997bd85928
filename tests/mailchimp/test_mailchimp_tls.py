"""The server has to prove who it is; no switch turns that off."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")

Clients = Callable[..., MailchimpClient]


@dataclass
class TlsServer:
    """Where it is, whom to trust to reach it, and the requests it could read."""

    url: str
    certificate: Path
    received: list[bytes]
    answers: list[Callable[[Any], None]]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key in the same file."""
    return made(tmp_path_factory.mktemp("tls"), "IP:127.0.0.1", 2)


def made(folder: Path, name: str, days: int) -> Path:
    """A certificate that signs itself, good for so many days, with its key in the same file."""
    for command in (
        ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=test",
         "-addext", f"subjectAltName={name}", "-keyout", "key.pem", "-out", "request.pem"],
        ["x509", "-req", "-in", "request.pem", "-signkey", "key.pem", "-copy_extensions", "copyall",
         "-days", str(days), "-out", "cert.pem"],
    ):  # fmt: skip
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return both


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[TlsServer]:
    """Reads one request a connection and answers it as the test says."""
    with serving(certificate) as server:
        yield server


@contextlib.contextmanager
def serving(certificate: Path) -> Iterator[TlsServer]:
    """A server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listener = socket.create_server(("127.0.0.1", 0))
    server = TlsServer(f"https://127.0.0.1:{listener.getsockname()[1]}/3.0", certificate, [], [])

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secure:
                server.received.append(secure.recv(65536))
                for answer in server.answers:
                    answer(secure)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield server
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def test_a_certificate_nobody_vouches_for_gets_no_key(client_of: Clients, tls_server: TlsServer) -> None:
    """Who sits between us and Mailchimp learns nothing; the error says what to set, and nothing is tried again."""
    client = client_of(tls_server.url)
    with pytest.raises(FixConfigError) as caught:
        endpoints.account(client)
    assert caught.value.code == "bad_certificate"
    assert client.requests == 1
    assert tls_server.received == []


@pytest.mark.parametrize(
    ("name", "days"),
    [("DNS:elsewhere.internal", 2), ("IP:127.0.0.1", -1)],
    ids=["of another host", "expired"],
)
def test_a_certificate_that_does_not_fit_gets_no_key(
    name: str, days: int, tmp_path: Path, client_of: Clients, monkeypatch: Any
) -> None:
    """Vouched for, but of another host or out of date: exit 2 at the first try."""
    certificate = made(tmp_path, name, days)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with serving(certificate) as server, pytest.raises(FixConfigError) as caught:
        endpoints.account(client_of(server.url))
    assert caught.value.code == "bad_certificate"
    assert server.received == []


def test_the_bundle_of_a_company_is_honoured(
    client_of: Clients, tls_server: TlsServer, http_answer: Any, account_json: bytes, monkeypatch: Any
) -> None:
    """REQUESTS_CA_BUNDLE adds whom to trust."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server.certificate))
    tls_server.answers.append(lambda secure: secure.sendall(http_answer(account_json)))
    assert endpoints.account(client_of(tls_server.url)).account_id == "acc-1"


def test_a_trickling_secure_answer_ends_with_its_time(
    client_of: Clients, tls_server: TlsServer, monkeypatch: Any
) -> None:
    """The cut works below the encryption too."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls_server.certificate))
    hung_up = threading.Event()

    def trickle(secure: Any) -> None:
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n{")
        while not hung_up.wait(0.02):
            secure.sendall(b" ")

    tls_server.answers.append(trickle)
    limits = RetryLimits(tries=1, read_seconds=5, exchange_seconds=0.4)
    with pytest.raises(RunLaterError) as caught:
        endpoints.account(client_of(tls_server.url, limits=limits))
    hung_up.set()
    assert "it took too long" in str(caught.value)
