"""When something is tried again: a law for any history, and each case by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.orchestration.attempts import MAX_ATTEMPTS, Go, Pace, Past, Wait, next_attempt

PACE = Pace(retry_seconds=10)
NOW = 1_000_000.0


def past(ended="failed", *, ago=1e6, config_hash="a"):
    return Past(ended=ended, at=NOW - ago, config_hash=config_hash)


def decide(*tries, config_hash="a"):
    return next_attempt(tries, now=NOW, config_hash=config_hash, pace=PACE)


def test_what_was_never_tried_is_tried_at_once():
    """The first attempt waits for nothing."""
    assert decide() == Go(attempt=1)


@pytest.mark.parametrize(("failures", "wait"), [(1, 10), (2, 20), (3, 40), (7, 640)])
def test_each_failure_doubles_the_wait(failures, wait):
    """Attempt n+1 starts no sooner than base times 2^(n-1) seconds after the last failure."""
    early = [past(ago=wait - 1), *[past(ago=1e5)] * (failures - 1)]
    late = [past(ago=wait), *[past(ago=1e5)] * (failures - 1)]

    assert isinstance(decide(*early), Wait)
    assert decide(*late) == Go(attempt=failures + 1)


def test_waiting_says_for_how_long():
    """The reason of a skipped look has the seconds that are left."""
    assert decide(past(ago=4)) == Wait(reason="attempt 1 failed, the next one in 6 s")


def test_after_the_last_attempt_it_is_given_up():
    """The number of attempts is bounded, and the reason says what to do then."""
    verdict = decide(*[past()] * MAX_ATTEMPTS)

    assert isinstance(verdict, Wait)
    assert verdict.reason.startswith(f"gave up after {MAX_ATTEMPTS} failed attempts")


def test_what_a_guard_stopped_is_left_to_a_person():
    """A stopped run is not repeated, however long ago it was."""
    verdict = decide(past("stopped"))

    assert isinstance(verdict, Wait)
    assert verdict.reason.startswith("stopped by a guard")


@pytest.mark.parametrize("tries", [[past("stopped")], [past()] * MAX_ATTEMPTS, [past(ago=1)]])
def test_a_changed_file_starts_afresh(tries):
    """Whatever was stopped, given up or waiting is tried at once when exports.yaml changed."""
    assert decide(*tries, config_hash="b") == Go(attempt=1)


def test_what_somebody_canceled_stays_so():
    """Not even a changed file starts again what a person ended."""
    verdict = decide(past("canceled"), config_hash="b")

    assert isinstance(verdict, Wait)
    assert verdict.reason.startswith("canceled")


tries = st.builds(
    past,
    st.sampled_from(["failed", "stopped", "canceled"]),
    ago=st.floats(0, 1e7),
    config_hash=st.sampled_from("ab"),
)


@given(st.lists(tries, max_size=12), st.randoms())
def test_the_order_of_the_past_is_of_no_matter(history, random):
    """The same runs in any order give the same verdict."""
    shuffled = list(history)
    random.shuffle(shuffled)

    assert decide(*history) == decide(*shuffled)


@given(st.lists(tries, max_size=12))
def test_no_history_leads_to_more_runs_than_allowed(history):
    """Trying whenever it is allowed, at whatever time, ends within the allowed number of attempts."""
    started = 0
    while isinstance(next_attempt(history, now=NOW + 1e9, config_hash="a", pace=PACE), Go):
        history = [*history, past()]
        started += 1

    assert started <= MAX_ATTEMPTS


def test_the_pace_is_as_the_environment_says():
    """Two variables, each with a default."""
    assert Pace.of({}) == Pace(sensor_seconds=30, retry_seconds=120)
    assert Pace.of({"CI_MAILCHIMP_SENSOR_SECONDS": "5", "CI_MAILCHIMP_RETRY_SECONDS": "7"}) == Pace(
        sensor_seconds=5, retry_seconds=7
    )


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "a", "100000", "²"])
def test_seconds_that_are_none_are_refused(text):
    """The message names the variable, not what it holds."""
    with pytest.raises(FixConfigError) as caught:
        Pace.of({"CI_MAILCHIMP_RETRY_SECONDS": text})

    assert caught.value.code == "bad_seconds"
    assert "CI_MAILCHIMP_RETRY_SECONDS" in caught.value.message
