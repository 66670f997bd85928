"""How many requests may be under way: more after successes, half after congestion, shared by all threads.

Mailchimp allows 10 simultaneous connections, tells nobody how many are in use, and may disable the access of
who exceeds them. So the number is found the way TCP finds it (additive increase, multiplicative decrease).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp.clock import Clock


class Window:
    """The arithmetic alone; no locks, no time.

    One congestion fails many requests that were under way together. They all carry the epoch they started in,
    and only the first failure of an epoch halves the window.
    """

    def __init__(self, most: int) -> None:
        if most < 1:
            raise ValueError("a window needs room for at least one request")
        self._most = most
        self._size = float(max(1, most // 2))
        self.epoch = 0

    @property
    def permits(self) -> int:
        """Requests that may be under way, from 1 to the most allowed."""
        return int(self._size)

    def succeeded(self, epoch: int) -> None:
        """One more permit for each full window of successes; stragglers of an older epoch do not count."""
        if epoch == self.epoch:
            self._size = min(float(self._most), self._size + 1 / self._size)

    def congested(self, epoch: int) -> None:
        """Half the permits, once for each epoch."""
        if epoch == self.epoch:
            self._size = max(1.0, self._size / 2)
            self.epoch += 1


class Throttle:
    """Blocks until a request may be sent. Thread-safe."""

    def __init__(self, *, most: int, clock: Clock) -> None:
        self._window = Window(most)
        self._clock = clock
        self._changed = threading.Condition()
        self._under_way = 0
        self._resume_at = clock.monotonic()
        self.stopped = threading.Event()

    @property
    def permits(self) -> int:
        """Requests that may be under way now."""
        with self._changed:
            return self._window.permits

    @contextmanager
    def permit(self) -> Iterator[int]:
        """Holds one permit; yields the epoch to hand to ``succeeded`` or ``congested``.

        Raises:
            RunLaterError: ``interrupted``, when ``stop`` was called before or while waiting.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.stopped.is_set() or self._under_way < self._window.permits)
            self._under_way += 1
            epoch = self._window.epoch
        try:
            self._wait_for_the_pause()
            yield epoch
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def succeeded(self, epoch: int) -> None:
        """Mailchimp answered; see ``Window.succeeded``."""
        with self._changed:
            self._window.succeeded(epoch)
            self._changed.notify_all()

    def congested(self, epoch: int, *, pause: float = 0) -> None:
        """Mailchimp was busy: fewer permits, and no new request for ``pause`` seconds."""
        with self._changed:
            self._window.congested(epoch)
            self._resume_at = max(self._resume_at, self._clock.monotonic() + pause)

    def stop(self) -> None:
        """Ends every wait; requests under way finish, no new one starts."""
        self.stopped.set()
        with self._changed:
            self._changed.notify_all()

    def check(self) -> None:
        """Raises RunLaterError ``interrupted`` after ``stop``."""
        if self.stopped.is_set():
            raise RunLaterError(
                "interrupted",
                "The run was asked to stop; what Mailchimp had acknowledged is recorded.",
                fix="Run it again; it goes on where it stopped.",
            )

    def _wait_for_the_pause(self) -> None:
        self.check()
        while (left := self._resume_at - self._clock.monotonic()) > 0:
            self._clock.wait(self.stopped, left)
            self.check()
