"""Ask a source for its version, and wait no longer than a sensor may."""

import hashlib
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooSlow

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.sources.base import open_source

PROBE_SECONDS = 20.0  # Dagster ends a tick after 60 s
NOTHING_THERE = frozenset({"path_not_found"})  # codes that say: no refresh was ever written


def source_of(config: Config) -> str:
    """A hash that changes with anything that is declared for the source."""
    declared = f"{config.source_type}\0{config.source_options.model_dump_json()}\0{config.folder}"
    return hashlib.sha256(declared.encode()).hexdigest()[:16]


class Probe:
    """Asks in a thread of its own; one that hangs is waited for again, never joined by a second."""

    def __init__(self, config: Config, *, seconds: float = PROBE_SECONDS) -> None:
        self._config = config
        self._seconds = seconds
        self._lock = threading.Lock()
        self._asked: Future[str] | None = None

    def version(self) -> str:
        """The version of the complete refresh that is there now. Reads no data.

        Raises:
            NotReady: A refresh is under way.
            RunLaterError: ``source_slow``.
            PipelineError: The source cannot be asked; a bug in it is one with its class as the message.
        """
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = Future()
                threading.Thread(target=self._ask, args=(self._asked,), daemon=True).start()
            asked = self._asked
        try:
            return asked.result(self._seconds)
        except TooSlow:
            slow = RunLaterError(
                "source_slow",
                f"source: no answer within {self._seconds:g} s",
                fix="look whether the storage or the warehouse is well",
            )
        raise slow

    def _ask(self, answer: "Future[str]") -> None:
        config = self._config
        try:
            source = open_source(config.source_type, config.source_options, folder=config.folder)
            answer.set_result(source.version(settle=True))
        except PipelineError as error:
            answer.set_exception(error)
        except Exception as error:  # noqa: BLE001  (a plugin may raise anything, and its text may quote rows)
            answer.set_exception(
                PipelineError(
                    "source_bug", f"source: asking for its version ended with {type(error).__name__}"
                )
            )
