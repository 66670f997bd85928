"""A client whose time does not pass, and a server that answers with whatever bytes a test wants."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from ci_mailchimp_pipeline.mailchimp.authorization import Authorization
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits
from ci_mailchimp_pipeline.testing import Emulator

Answer = bytes | Callable[[socket.socket], None] | None  # None: silence until the test is over


@dataclass
class StillClock:
    """Time that moves only when somebody waits; chance that is always the same."""

    time: float = 1_000.0
    epoch: float = 1_790_000_000.0
    chance: float = 0.5
    waits: list[float] = field(default_factory=list)
    on_wait: Callable[[], None] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        return self.epoch + self.time

    def monotonic(self) -> float:
        return self.time

    def random(self) -> float:
        return self.chance

    def wait(self, stopped: threading.Event, seconds: float) -> None:  # noqa: ARG002
        with self._lock:
            self.waits.append(seconds)
            self.time += seconds
        if self.on_wait:
            self.on_wait()


class RawServer:
    """Answers the first connections in turn, and all later ones like the last; closes each afterwards."""

    def __init__(self, answers: tuple[Answer, ...]) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._over = threading.Event()
        self.received: list[bytes] = []
        self.threads = [threading.Thread(target=self._accept, daemon=True)]
        self.threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/3.0"

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self.threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            request = self._request(connection)
            if not request:
                return
            self.received.append(request)
            answer = self._answers[min(len(self.received), len(self._answers)) - 1]
            if answer is None:
                self._over.wait(30)
            elif isinstance(answer, bytes):
                connection.sendall(answer)
            else:
                answer(connection)

    @staticmethod
    def _request(connection: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (part := connection.recv(65536)):
                return received
            received += part
        head, _, body = received.partition(b"\r\n\r\n")
        lengths = [
            int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
        ]
        while len(body) < sum(lengths):
            body += connection.recv(65536)
        return head + b"\r\n\r\n" + body


@pytest.fixture
def still_clock() -> StillClock:
    """A clock on which every wait is over at once."""
    return StillClock()


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    """Starts servers that answer with given bytes."""
    with contextlib.ExitStack() as stack:

        def start(*answers: Answer) -> RawServer:
            server = RawServer(answers)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def client_of(api_key: str, still_clock: StillClock) -> Iterator[Callable[..., MailchimpClient]]:
    """Makes clients of an address; waiting takes no time."""
    with contextlib.ExitStack() as stack:

        def make(url: str, **more: Any) -> MailchimpClient:
            settings = {"limits": RetryLimits(tries=4, read_seconds=5), "clock": still_clock, **more}
            authorization = Authorization.from_api_key(api_key)
            return stack.enter_context(MailchimpClient(api_root=url, authorization=authorization, **settings))

        yield make


@pytest.fixture
def http_answer() -> Callable[..., bytes]:
    """Writes an HTTP answer down."""

    def write(
        body: bytes = b"", *, status: int = 200, headers: tuple[str, ...] = (), length: int | None = None
    ) -> bytes:
        size = len(body) if length is None else length
        lines = [f"HTTP/1.1 {status} Words", f"Content-Length: {size}", "Connection: close", *headers, "", ""]
        return "\r\n".join(lines).encode() + body

    return write


@pytest.fixture
def account_json() -> bytes:
    """An account as Mailchimp answers it."""
    return b'{"account_id":"acc-1","account_name":"Contoso","role":"owner","pricing_plan_type":"monthly"}'


@pytest.fixture
def audience_id(mailchimp_emulator: Emulator) -> str:
    """An audience with two fields."""
    fields: list[Any] = ["FNAME", {"tag": "LTV", "name": "Value", "type": "number"}]
    return mailchimp_emulator.add_audience("a1", name="Contoso", merge_fields=fields)


@pytest.fixture
def client(client_of: Callable[..., MailchimpClient], mailchimp_emulator: Emulator) -> MailchimpClient:
    """A client of the local Mailchimp."""
    return client_of(mailchimp_emulator.url)
