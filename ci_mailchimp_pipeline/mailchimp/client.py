"""Calls to one Mailchimp account: as many at once as it bears, and again while it is busy."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization, checked_api_root
from ci_mailchimp_pipeline.mailchimp.clock import SYSTEM_CLOCK, Clock
from ci_mailchimp_pipeline.mailchimp.problems import (
    Problem,
    Verdict,
    auth_error,
    busy_error,
    judge_status,
    known_request_id,
    read_problem,
    request_error,
)
from ci_mailchimp_pipeline.mailchimp.retry import (
    DEFAULT_LIMITS,
    RetryLimits,
    http_date,
    retry_after_seconds,
    wait_before_next,
)
from ci_mailchimp_pipeline.mailchimp.throttle import Throttle
from ci_mailchimp_pipeline.mailchimp.transport import RawAnswer, Transport, shown

_LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Generic[T]):
    """What Mailchimp answered: a value, or a problem that only the caller can judge.

    Attributes:
        repeated: The request was sent more than once, so an earlier try may have been written.
        at: Mailchimp's own time of the answer, seconds since 1970, when it said.
        request_id: Mailchimp's own name for the request, when it said.
    """

    what: str
    status: int
    found: T | None = field(repr=False)
    problem: Problem | None = field(repr=False)
    repeated: bool
    at: float | None
    request_id: str | None

    def value(self, *, absent: PipelineError | None = None) -> T:
        """The value.

        Raises:
            PipelineError: ``absent`` when there is no such thing (404), else ``mailchimp_refused_request``.
        """
        if self.found is not None:
            return self.found
        if self.status == HTTPStatus.NOT_FOUND and absent is not None:
            raise absent
        raise self.refused()

    def refused(self) -> PipelineError:
        """The error of a request that should have been right: ``mailchimp_refused_request``."""
        return request_error(self.what, self.status, self.problem)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Busy:
    """A try that may succeed later."""

    last: str
    problem: Problem | None = field(default=None, repr=False)
    retry_after: float = 0


class MailchimpClient:
    """One Mailchimp account. Thread-safe: threads share throttle and counter, each has its connection.

    Use as a context manager; leaving it closes the connections.

    Args:
        api_root: For example ``https://us21.api.mailchimp.com/3.0``; plain http only to this machine.
        authorization: Whose account.
        max_connections: The most requests under way at once; Mailchimp allows an account 10.
        limits: When to wait, and when to give up.
        clock: Time and chance.

    Raises:
        FixConfigError: ``bad_api_root``.
    """

    def __init__(
        self,
        *,
        api_root: str,
        authorization: Authorization,
        max_connections: int = 8,
        limits: RetryLimits = DEFAULT_LIMITS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._root = checked_api_root(api_root)
        self._authorization = authorization
        self._limits = limits
        self._clock = clock
        self._throttle = Throttle(most=max_connections, clock=clock)
        self._lock = threading.Lock()
        self._transports: list[Transport] = []
        self._own = _Own()
        self._requests = 0
        self.server_time: float | None = None
        """Mailchimp's clock in its newest answer, seconds since 1970; None before the first."""
        self.narrow_answers = True
        """Whether calls that write ask for the needed fields only; see ``endpoints.narrow``."""

    @property
    def requests(self) -> int:
        """HTTP requests sent so far, repeated ones included."""
        return self._requests

    @property
    def permits(self) -> int:
        """Requests that may be under way at once now; adapts to how busy Mailchimp is."""
        return self._throttle.permits

    def stop(self) -> None:
        """Ends all waiting, from any thread. Requests under way finish, others raise ``interrupted``."""
        self._throttle.stop()

    def call(
        self,
        method: str,
        path: str,
        *,
        what: str,
        answer: "msgspec.json.Decoder[T] | None",
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Reply[T]:
        """Sends until Mailchimp answers, within the limits.

        Args:
            method: GET, POST, PUT, DELETE.
            path: Below the API's root, quoted.
            what: The call in words for messages, such as "to create a tag"; nothing about a person.
            answer: Reads a successful answer; None demands an empty one (204).
            query: Parameters.
            body: JSON.

        Raises:
            FixConfigError: The key, its rights, the certificate or a proxy are wrong.
            RunLaterError: ``mailchimp_busy`` after every try, ``interrupted`` after ``stop``.
        """
        tries, spent = 0, 0.0
        while True:
            with self._throttle.permit() as epoch:
                tries += 1
                started = self._clock.monotonic()
                raw = self._send(method, path, query or {}, body)
                spent += self._clock.monotonic() - started
                outcome = self._judge(raw, what=what, answer=answer, repeated=tries > 1)
                if isinstance(outcome, Reply):
                    self._throttle.succeeded(epoch)
                    return outcome
                self._throttle.congested(epoch, pause=outcome.retry_after)
            wait = wait_before_next(
                tries, self._limits, chance=self._clock.random(), retry_after=outcome.retry_after
            )
            if tries >= self._limits.tries or spent + wait > self._limits.seconds:
                raise busy_error(last=outcome.last, problem=outcome.problem, tries=tries, seconds=spent)
            spent += wait
            self._clock.wait(self._throttle.stopped, wait)

    def close(self) -> None:
        """Closes every connection."""
        with self._lock:
            transports, self._transports = self._transports, []
            self._own = _Own()
        for transport in transports:
            transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"MailchimpClient(requests={self._requests})"

    def _send(self, method: str, path: str, query: Mapping[str, str], body: bytes | None) -> RawAnswer | str:
        transport = self._transport()
        with self._lock:
            self._requests += 1
        started = self._clock.monotonic()
        outcome = transport.exchange(method, path, query=query, body=body)
        milliseconds = (self._clock.monotonic() - started) * 1000
        if isinstance(outcome, FixConfigError):
            raise outcome
        if isinstance(outcome, str):
            _LOG.debug("%s %s: %s, %.0f ms", method, shown(path), outcome, milliseconds)
        else:
            size = len(outcome.content)
            _LOG.debug("%s %s %d, %.0f ms, %d bytes", method, shown(path), outcome.status, milliseconds, size)
        return outcome

    def _judge(
        self, raw: RawAnswer | str, *, what: str, answer: "msgspec.json.Decoder[T] | None", repeated: bool
    ) -> Reply[T] | _Busy:
        if isinstance(raw, str):
            return _Busy(last=raw)
        problem = read_problem(raw.content) if raw.status >= HTTPStatus.BAD_REQUEST else None
        verdict = judge_status(raw.status, problem)
        if verdict is Verdict.BUSY:
            pause = retry_after_seconds(
                raw.retry_after, now=self._clock.now(), longest=self._limits.longest_retry_after
            )
            return _Busy(last=f"HTTP {raw.status}", problem=problem, retry_after=pause)
        if verdict is Verdict.AUTH:
            raise auth_error(raw.status, problem)
        found: T | None = None
        if verdict is Verdict.DONE and answer is not None:
            found = _read(raw, answer)
        if verdict is Verdict.DONE and (
            found is None if answer is not None else raw.status != HTTPStatus.NO_CONTENT
        ):
            return _Busy(last=f"HTTP {raw.status} with an answer that is not Mailchimp's")
        at = http_date(raw.date)
        self.server_time = at if at is not None else self.server_time
        return Reply(
            what=what,
            status=raw.status,
            found=found,
            problem=problem,
            repeated=repeated,
            at=at,
            request_id=known_request_id(raw.request_id),
        )

    def _transport(self) -> Transport:
        own = self._own
        if own.transport is None:
            own.transport = Transport(
                api_root=self._root, authorization=self._authorization, limits=self._limits
            )
            with self._lock:
                self._transports.append(own.transport)
        return own.transport


class _Own(threading.local):
    """What each thread has for itself."""

    transport: Transport | None = None


def _read(raw: RawAnswer, answer: "msgspec.json.Decoder[T]") -> T | None:
    """The value, or None when the content is cut, empty, or somebody else's."""
    try:
        return answer.decode(raw.content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
