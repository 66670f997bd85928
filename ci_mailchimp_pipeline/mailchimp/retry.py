"""How long to wait before trying again, and when to give up."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """Every bound of one call, so that nothing waits, reads or grows for ever. Times are seconds."""

    tries: int = 8
    """Requests sent for one call, the first included: about two minutes of waiting, then a later run does better."""
    seconds: float = 900
    """Spent on one call: its requests and its waits, not its place in the queue for a permit."""
    first_wait: float = 1
    """The longest possible first wait; doubles with each try."""
    longest_wait: float = 60
    """Where the doubling ends; long, since Mailchimp names no window and others pause for a minute."""
    longest_retry_after: float = 300
    """What a ``Retry-After`` may ask for; Mailchimp documents none, a proxy on the way may send anything."""
    connect_seconds: float = 10
    read_seconds: float = 130
    """Without a byte; Mailchimp cuts a call at 120 s, and one given up earlier may still be written."""
    exchange_seconds: float = 240
    """From the first byte sent to the last received, however slowly they trickle."""
    answer_bytes: int = 64 * 1024 * 1024
    """Of one answer, decompressed; 500 members with all that Mailchimp knows of them are about 1 MB."""


DEFAULT_LIMITS = RetryLimits()
SOMEBODY_WAITS = RetryLimits(tries=3, seconds=60)
"""For a look that somebody waits for: who is busy is said, not waited out."""


def wait_before_next(tries: int, limits: RetryLimits, *, chance: float, retry_after: float = 0) -> float:
    """Seconds to wait after ``tries`` failures: at random up to a doubling bound, after ``retry_after``.

    ``chance`` is in [0, 1). The whole span is random ("full jitter"), so threads that failed together do not
    come back together.
    """
    doublings = min(tries - 1, 30)  # beyond, only the bound counts, and 2**n would grow without need
    bound: float = min(limits.longest_wait, limits.first_wait * 2**doublings)
    return retry_after + chance * bound


def retry_after_seconds(header: str | None, *, now: float, longest: float) -> float:
    """The seconds a ``Retry-After`` header asks for, given as seconds or as a date, within [0, longest]."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:10]), longest)
    date = http_date(text)
    return min(max(date - now, 0), longest) if date is not None else 0


def http_date(text: str | None) -> float | None:
    """Seconds since 1970 of a date such as ``Tue, 24 Nov 2026 07:35:23 GMT``; None when it is not one."""
    try:
        date = parsedate_to_datetime(text or "")
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
