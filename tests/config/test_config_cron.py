"""A cron schedule that is accepted is one that Dagster accepts, and one that comes true."""

import pytest
from dagster._utils.schedules import is_valid_cron_string
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from ci_mailchimp_pipeline.config.cron import check_cron


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "0 6 * * *",
        "*/15 0-6,22,23 1,15 * mon-fri",
        "5/20 */2 * JAN-JUN *",
        "0 0 29 2 *",
        "0 0 31 1,2 *",
        "59 23 31 12 7",
        "0-59/30 0 1-31/2 1-12/3 0-6/2",
    ],
)
def test_what_people_write_is_accepted(text: str) -> None:
    """Numbers, names, ranges, steps, lists; Dagster takes each of them, too."""
    assert check_cron(text) == text
    assert is_valid_cron_string(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has 0 fields"),
        ("@daily", "'@daily' has 1 fields"),
        ("0 6 * * * *", "has 6 fields"),
        ("60 * * * *", "the minute '60' is outside 0 to 59"),
        ("* 24 * * *", "the hour '24' is outside 0 to 23"),
        ("* * 0 * *", "the day of month '0' is outside 1 to 31"),
        ("* * * 13 *", "the month '13' is outside 1 to 12 or jan to dec"),
        ("* * * * 8", "the day of week '8' is outside 0 to 7 or sun to sat"),
        ("* * * mon *", "the month 'mon' is outside"),
        ("5-2 * * * *", "the minute '5-2' is outside"),
        ("*/0 * * * *", "the minute '*/0' is outside"),
        ("*/60 * * * *", "the minute '*/60' is outside"),
        ("1, * * * *", "the minute '' is not *, a number, a range or a step"),
        ("1;2 * * * *", "the minute '1;2' is not"),
        ("-1 * * * *", "the minute '-1' is not"),
        ("* * L * *", "the day of month 'L' is outside"),
        ("* * * * 1#2", "the day of week '1#2' is not"),
        ("٣ * * * *", "the minute '٣' is not"),
        ("999999999999 * * * *", "the minute '999999999999' is outside"),
        ("0 0 30 2 *", "never comes true: no such month has a day 30"),
        ("0 0 30 2 1", "never comes true"),
        ("0 0 31 4,6,9,11 *", "never comes true: no such month has a day 31"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_said(text: str, said: str) -> None:
    """The message names the field, what stands there, and the legal range."""
    with pytest.raises(PydanticCustomError) as caught:
        check_cron(text)

    assert said in caught.value.message()


WORD = st.one_of(
    st.just("*"),
    st.integers(0, 65).map(str),
    st.tuples(st.integers(0, 35), st.integers(0, 65)).map(lambda pair: f"{pair[0]}-{pair[1]}"),
    st.integers(0, 65).map(lambda step: f"*/{step}"),
    st.tuples(st.integers(0, 35), st.integers(0, 40)).map(lambda pair: f"{pair[0]}/{pair[1]}"),
    st.sampled_from(["jan", "DEC", "mon", "sun-tue", "x", ""]),
)


@given(st.lists(st.lists(WORD, min_size=1, max_size=3).map(",".join), min_size=5, max_size=5).map(" ".join))
def test_nothing_is_accepted_that_dagster_refuses(text: str) -> None:
    """Whatever passes here will not fail when Dagster builds the schedule."""
    try:
        checked = check_cron(text)
    except PydanticCustomError:
        return

    assert is_valid_cron_string(checked)
