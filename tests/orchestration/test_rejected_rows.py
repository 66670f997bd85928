"""Rejected rows, read back."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.frame.address import masked
from ci_mailchimp_pipeline.orchestration.rejected import BLOCK, rejected_rows


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file of two blocks and a half, in a folder whose name looks like a pattern."""
    count = BLOCK * 5 // 2
    folder = tmp_path / "a[b]*"
    folder.mkdir()
    pl.DataFrame(
        {
            "row": [None if number == 1 else number for number in range(count)],
            "customer_id": [f"c{number}" for number in range(count)],
            "reason": ["no_email"] * count,
            "field": [None] * count,
            "email_address": [None] * count,
        },
        schema_overrides={"row": pl.Int64, "field": pl.String, "email_address": pl.String},
    ).write_parquet(folder / "rejected.parquet")
    return folder / "rejected.parquet"


def test_all_rows_come_in_their_order(written: Path) -> None:
    """No row is lost between two blocks."""
    rows = list(rejected_rows(written))

    assert [row.customer_id for row in rows] == [f"c{number}" for number in range(BLOCK * 5 // 2)]
    assert rows[1].row is None


@pytest.mark.parametrize("limit", [0, 1, BLOCK, BLOCK + 1])
def test_no_more_than_the_limit(written: Path, limit: int) -> None:
    """A screen asks for a thousand, and gets no more."""
    assert len(list(rejected_rows(written, limit=limit))) == limit


@given(st.text())
def test_mask_shows_one_character_at_most(address: str) -> None:
    """Whatever the address is, the mask is its first character and stars."""
    shown = masked(address)

    assert shown in ("", f"{address.strip()[:1]}***@***")


def test_no_repr_shows_a_person(written: Path) -> None:
    """A row in a log is a number and a reason."""
    row = next(rejected_rows(written))

    assert "c0" not in repr(row)
