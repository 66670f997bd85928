"""What a run tells whoever started it in this process: progress, its outcome, and that somebody pressed Ctrl-C.

A run that Dagster's page or daemon starts has no session; it reports through Dagster alone.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType

import dagster as dg

from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.report import Report


@dataclass(slots=True, kw_only=True)
class Session:
    """One run, as seen by the process that waits for it.

    Attributes:
        on_step: Called with the name of a step when it starts.
        on_progress: Called with (requests done, requests planned) while a sync writes.
        report: How it ended; None while it has not, or when it ended before a step of ours could say.
        received: The signal that asked it to stop, if any.
        done: Requests that wrote so far, of *planned*.
    """

    on_step: Callable[[str], None] = lambda _step: None
    on_progress: Callable[[int, int], None] = lambda _done, _planned: None
    report: Report | None = None
    received: signal.Signals | None = None
    done: int = 0
    planned: int = 0
    _client: MailchimpClient | None = field(default=None, repr=False)

    def progressed(self, done: int, planned: int) -> None:
        """Keep and pass on how far the sync is."""
        self.done, self.planned = done, planned
        self.on_progress(done, planned)

    @contextmanager
    def writing_through(self, client: MailchimpClient) -> Iterator[None]:
        """The first signal meanwhile lets requests in flight finish and be recorded; a second one interrupts."""
        self._client = client
        try:
            yield
        finally:
            self._client = None

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Note Ctrl-C and SIGTERM, and stop at the next safe place. Inside a step, where Dagster has its own."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self._received) for each in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        again = self.received is not None
        self.received = signal.Signals(number)
        if self._client is None or again:
            raise dg.DagsterExecutionInterruptedError
        self._client.stop()


_CURRENT: ContextVar[Session | None] = ContextVar("ci_mailchimp_session", default=None)


def current_session() -> Session:
    """The session that waits for this run; one that nobody looks at when nobody waits."""
    return _CURRENT.get() or Session()


def waits() -> bool:
    """Whether somebody in this process waits for the run."""
    return _CURRENT.get() is not None


@contextmanager
def attended(session: Session) -> Iterator[None]:
    """Runs started in this context report to *session*."""
    token = _CURRENT.set(session)
    try:
        yield
    finally:
        _CURRENT.reset(token)
