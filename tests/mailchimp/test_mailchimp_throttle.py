"""Permits grow slowly, halve once per congestion, and are shared by all threads."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp.clock import SYSTEM_CLOCK, Clock
from ci_mailchimp_pipeline.mailchimp.throttle import Throttle, Window


@given(most=st.integers(1, 10), events=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=200))
def test_permits_stay_between_one_and_the_most(most: int, events: list[tuple[bool, int]]) -> None:
    """Whatever happens, at least one request may go and never more than allowed."""
    window = Window(most)
    for good, age in events:
        epoch = max(0, window.epoch - age)
        window.succeeded(epoch) if good else window.congested(epoch)
        assert 1 <= window.permits <= most


@given(most=st.integers(1, 10), failures=st.integers(1, 10))
def test_one_congestion_halves_once(most: int, failures: int) -> None:
    """Requests that were under way together and failed together count as one event."""
    window = Window(most)
    for _ in range(200):
        window.succeeded(window.epoch)
    epoch = window.epoch
    for _ in range(failures):
        window.congested(epoch)
    assert window.permits == max(1, most // 2)


@given(most=st.integers(1, 10))
def test_successes_bring_every_permit_back(most: int) -> None:
    """A window that was halved to one recovers, one permit for each window of successes."""
    window = Window(most)
    for _ in range(10):
        window.congested(window.epoch)
    assert window.permits == 1
    for _ in range(most * most):
        window.succeeded(window.epoch)
    assert window.permits == most


def test_stragglers_do_not_reopen_the_window() -> None:
    """Successes of requests sent before the congestion say nothing about the time after it."""
    window = Window(8)
    before = window.epoch
    window.congested(before)
    for _ in range(100):
        window.succeeded(before)
    assert window.permits == 2


def test_a_window_without_room_is_a_mistake() -> None:
    """Zero connections could never send anything."""
    with pytest.raises(ValueError, match="at least one"):
        Window(0)


def test_no_more_requests_are_under_way_than_permitted(still_clock: Clock) -> None:
    """Eight threads through a throttle of two never are more than two inside."""
    throttle = Throttle(most=4, clock=still_clock)
    throttle.congested(0)  # 4 // 2 = 2 permits at the start, halved: 1
    inside, peak = 0, 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, peak
        for _ in range(50):
            with throttle.permit():
                with lock:
                    inside += 1
                    peak = max(peak, inside)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert peak == 1


def test_a_pause_holds_everybody(still_clock: Clock) -> None:
    """What a Retry-After asks of one request is heeded by the next request of any thread."""
    throttle = Throttle(most=4, clock=still_clock)
    throttle.congested(0, pause=30)
    with throttle.permit():
        assert still_clock.waits == [30]  # type: ignore[attr-defined]


def test_stopping_ends_the_wait_for_a_permit() -> None:
    """A thread that waits for its turn leaves with an error that says to run again, and holds no permit."""
    throttle = Throttle(most=1, clock=SYSTEM_CLOCK)
    caught: list[RunLaterError] = []

    def wait() -> None:
        try:
            with throttle.permit():
                raise AssertionError("it must not be let in")
        except RunLaterError as error:
            caught.append(error)

    with throttle.permit():
        thread = threading.Thread(target=wait)
        thread.start()
        throttle.stop()
        thread.join(10)
    assert [error.code for error in caught] == ["interrupted"]


def test_stopping_ends_a_pause() -> None:
    """A long Retry-After does not keep a stopped run alive."""
    throttle = Throttle(most=1, clock=SYSTEM_CLOCK)
    throttle.congested(0, pause=3600)
    timer = threading.Timer(0.05, throttle.stop)
    timer.start()
    with pytest.raises(RunLaterError), throttle.permit():
        raise AssertionError("it must not be let in")
    timer.join(10)
