"""What a run tells whoever started it in this process: progress, its outcome, and that somebody pressed Ctrl-C.

A run that Dagster's page or daemon starts has no session; it reports through Dagster alone.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

import dagster as dg

from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.reconciling import DriftReport
from ci_mailchimp_pipeline.pipeline.report import Report

_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 4}
_SAME_SECONDS = 0.3  # `timeout` and shells send one signal to a process and to its group: that is one
_SHOW_CURSOR = "\x1b[?25h"


@dataclass(slots=True, kw_only=True)
class Session:
    """One run, as seen by the process that waits for it.

    Attributes:
        on_step: Called with the name of a step when it starts.
        on_progress: Called with (requests done, requests planned) while a sync writes.
        report: How it ended; None while it has not, or when it ended before a step of ours could say.
        drift: The same of a run that reconciles.
        received: The signal that asked it to stop, if any.
        done: Requests that wrote so far, of *planned*.
    """

    on_step: Callable[[str], None] = lambda _step: None
    on_progress: Callable[[int, int], None] = lambda _done, _planned: None
    report: Report | None = None
    drift: DriftReport | None = None
    received: signal.Signals | None = None
    done: int = 0
    planned: int = 0
    _client: MailchimpClient | None = field(default=None, repr=False)
    _received_at: float = field(default=0, repr=False)

    def progressed(self, done: int, planned: int) -> None:
        """Keep and pass on how far the sync is."""
        self.done, self.planned = done, planned
        self.on_progress(done, planned)

    @contextmanager
    def writing_through(self, client: MailchimpClient) -> Iterator[None]:
        """The first signal meanwhile lets requests in flight finish and be recorded."""
        self._client = client
        try:
            yield
        finally:
            self._client = None

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Note Ctrl-C and SIGTERM, and stop at the next safe place; a second one ends the process at once.

        Inside a step, where Dagster has its own.
        """
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
        if self.received is not None:
            if time.monotonic() - self._received_at > _SAME_SECONDS:
                _end_now(signal.Signals(number))
            return
        self.received, self._received_at = signal.Signals(number), time.monotonic()
        if self._client is None:
            raise dg.DagsterExecutionInterruptedError
        self._client.stop()


def _end_now(received: signal.Signals) -> NoReturn:
    """End without waiting for a request in flight, which may take two minutes: the next run finds out about it."""
    show = _SHOW_CURSOR if sys.stderr.isatty() else ""  # a progress bar hides it
    os.write(2, f"{show}ended at once; run it again, it goes on where it stopped\n".encode())
    os._exit(_EXIT_CODES[received])


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
