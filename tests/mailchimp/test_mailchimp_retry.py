"""Waits are random, bounded, and heed what the server asks for within reason."""

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.mailchimp.retry import (
    DEFAULT_LIMITS,
    RetryLimits,
    http_date,
    retry_after_seconds,
    wait_before_next,
)

CHANCE = st.floats(0, 1, exclude_max=True)


@given(tries=st.integers(1, 10_000), chance=CHANCE, asked=st.floats(0, 300))
def test_a_wait_lies_within_its_bounds(tries: int, chance: float, asked: float) -> None:
    """Never shorter than asked for, never more than the longest wait on top."""
    wait = wait_before_next(tries, DEFAULT_LIMITS, chance=chance, retry_after=asked)
    assert asked <= wait <= asked + DEFAULT_LIMITS.longest_wait


@given(chance=CHANCE)
def test_the_bound_doubles(chance: float) -> None:
    """1, 2, 4, 8 ... seconds, of which chance takes a part."""
    limits = RetryLimits(first_wait=1, longest_wait=60)
    bounds = [wait_before_next(tries, limits, chance=1.0) for tries in range(1, 9)]
    assert bounds == [1, 2, 4, 8, 16, 32, 60, 60]
    assert wait_before_next(3, limits, chance=chance) == chance * 4


@given(header=st.text(max_size=40) | st.none())
def test_any_header_gives_a_wait_within_bounds(header: str | None) -> None:
    """A proxy may send anything as Retry-After."""
    assert 0 <= retry_after_seconds(header, now=1_790_000_000, longest=300) <= 300


def test_a_header_of_seconds_is_heeded_and_clamped() -> None:
    """A number is seconds; an absurd one is cut to the longest."""
    assert retry_after_seconds(" 17 ", now=0, longest=300) == 17
    assert retry_after_seconds("9" * 400, now=0, longest=300) == 300
    assert retry_after_seconds("-5", now=0, longest=300) == 0


@given(ahead=st.integers(-10_000, 10_000))
def test_a_header_of_a_date_is_heeded_and_clamped(ahead: int) -> None:
    """A date counts from our clock; one in the past means now."""
    now = 1_790_000_000
    header = formatdate(now + ahead, usegmt=True)
    assert retry_after_seconds(header, now=now, longest=300) == min(max(ahead, 0), 300)


@given(text=st.text(max_size=60))
def test_any_date_header_is_a_time_or_nothing(text: str) -> None:
    """Reading a hostile date raises nothing."""
    assert http_date(text) is None or isinstance(http_date(text), float)
