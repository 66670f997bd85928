"""Time, waiting and chance, in one place, so that tests need neither wait nor guess."""

import random
import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the client knows about time and chance."""

    def now(self) -> float:
        """Seconds since 1970, UTC."""

    def monotonic(self) -> float:
        """Seconds that never run backwards; only differences mean something."""

    def random(self) -> float:
        """A number in [0, 1)."""

    def wait(self, stopped: threading.Event, seconds: float) -> None:
        """Blocks for ``seconds``, or until ``stopped`` is set."""


class SystemClock:
    """The real thing."""

    def __init__(self) -> None:
        # Jitter that two processes started together must not share: the system's generator, not a seeded one.
        self._random = random.SystemRandom()

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._random.random()

    def wait(self, stopped: threading.Event, seconds: float) -> None:
        """Blocks for ``seconds``, or until ``stopped`` is set."""
        stopped.wait(seconds)


SYSTEM_CLOCK: Clock = SystemClock()
