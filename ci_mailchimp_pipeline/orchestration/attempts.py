"""When something is tried, tried again, and given up: a function of what was tried so far and of nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ci_mailchimp_pipeline.config.seconds import RETRY_SECONDS, SENSOR_SECONDS, seconds_of

# 2, 4, 8 … 128 minutes after each failure: four hours in all. Longer than an outage usually is, shorter than
# the day until the next refresh; and what has failed for so long needs a person.
MAX_ATTEMPTS = 8

Ended = Literal["failed", "stopped", "canceled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How often sensors look, and how long the first wait after a failure is, in seconds."""

    sensor_seconds: int = 30
    retry_seconds: int = 120

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Pace":
        """The pace of this environment.

        Raises:
            FixConfigError: ``bad_seconds``.
        """
        names = {"sensor_seconds": SENSOR_SECONDS, "retry_seconds": RETRY_SECONDS}
        chosen = {key: seconds_of(environ, name) for key, name in names.items()}
        return cls(**{key: seconds for key, seconds in chosen.items() if seconds is not None})

    def wait_after(self, failures: int) -> int:
        """Seconds to wait after so many failures in a row (at least one)."""
        return self.retry_seconds << (failures - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One earlier run for the same occasion that did not succeed.

    Attributes:
        at: When it ended, seconds since 1970.
        config_hash: Of the exports.yaml that it ran with.
    """

    ended: Ended
    at: float
    config_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing is to be started, and why; the reason comes first.

    Attributes:
        final: Nothing will be, for this occasion and this exports.yaml.
        gave_up: As nobody canceled or stopped it; it failed too often.
    """

    reason: str
    final: bool = False
    gave_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Go:
    """A run is to be started; the number of this attempt, counted from 1."""

    attempt: int


def next_attempt(past: Sequence[Past], *, now: float, config_hash: str, pace: Pace) -> Go | Wait:
    """Whether an occasion that is not done yet is to be tried now; *past* may be in any order.

    Somebody who cancels a run does not want it. What a guard stopped needs a person, who either runs it by hand
    or changes exports.yaml. A changed file starts afresh: whatever was wrong may be mended.
    """
    if any(each.ended == "canceled" for each in past):
        return Wait(
            reason="canceled: not started again by itself; materialize it by hand, or wait for the next",
            final=True,
        )
    mine = [each for each in past if each.config_hash == config_hash]
    if any(each.ended == "stopped" for each in mine):
        return Wait(
            reason="stopped by a guard: not started again until exports.yaml changes, or by hand", final=True
        )
    if len(mine) >= MAX_ATTEMPTS:
        return Wait(
            reason=f"gave up after {len(mine)} failed attempts; run it by hand, or wait for the next",
            final=True,
            gave_up=True,
        )
    if mine:
        due = max(each.at for each in mine) + pace.wait_after(len(mine))
        if now < due:
            left = max(1, round(due - now))
            return Wait(reason=f"attempt {len(mine)} failed, the next one in {left} s")
    return Go(attempt=len(mine) + 1)
