"""Columns and segments that do not exist: place, near miss, what there is."""

import pytest

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.errors import Place, Problem
from ci_mailchimp_pipeline.sources.base import Needs, column_problems, needs_of, segment_problems

HERE = Place("exports.yaml", 14, 7)


def test_unknown_column_has_place_near_miss_and_fix() -> None:
    """A slip of the pen is answered with the name that was meant."""
    problems = column_problems(["CustomerId", "EMail"], {"Email": HERE, "EMail": HERE})

    message = "the profiles lack the column 'Email'. Did you mean 'EMail'? There are: CustomerId, EMail"
    assert problems == [Problem(message, "write 'EMail'", HERE)]


def test_unknown_segment_without_near_miss_lists_what_there_is() -> None:
    """Without a near miss the names that exist are shown, the first twenty of them."""
    names = [f"Segment{n:03}" for n in range(25)]

    problems = segment_problems(names, {"Pilots": None})

    assert problems[0].message.startswith(
        "the membership lacks the segment 'Pilots'. There are: Segment000, "
    )
    assert problems[0].message.endswith("Segment019 and 5 more")


@pytest.mark.parametrize("names", [[], ["A"]])
def test_nothing_wanted_is_no_problem(names: list[str]) -> None:
    """What nobody names cannot be missing."""
    assert column_problems(names, {}) == []


def test_needs_are_what_all_exports_name() -> None:
    """Columns and segments of all exports, each once."""
    common = {
        "display_name": "x",
        "connection": None,
        "audience_id": "a1b2c3d4e5",
        "owner": {"name": "b", "role": "administrator"},
    }
    one = Export.model_validate(
        {**common, "id": "a", "email": "EMail", "first_name": "FirstName", "segments": ("Vip",)}
    )
    two = Export.model_validate(
        {**common, "id": "b", "email": "EMail", "prefer": ("Income desc",), "segments": ("Vip", "News")}
    )

    assert needs_of([one, two]) == Needs(columns=("EMail", "FirstName", "Income"), segments=("News", "Vip"))
