"""Parquet: every type has one text, and files of several schemas are one table."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ci_mailchimp_pipeline.errors import FixDataError

Read = Callable[..., list[tuple[Any, ...]]]


def _write(folder: Path, name: str = "profiles.parquet", **columns: Any) -> None:
    pl.DataFrame(
        {"CustomerId": [f"c{n + 1}" for n in range(len(next(iter(columns.values()))))]} | columns
    ).write_parquet(folder / name)


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        pytest.param(pl.Series(["007"]), "007", id="text"),
        pytest.param(pl.Series([7], dtype=pl.Int32), "7", id="integer"),
        pytest.param(pl.Series([2**63 - 1], dtype=pl.Int64), "9223372036854775807", id="big integer"),
        pytest.param(pl.Series([51000.5]), "51000.5", id="double"),
        pytest.param(pl.Series([51000.0]), "51000", id="whole double"),
        pytest.param(pl.Series([-0.0]), "0", id="minus zero"),
        pytest.param(pl.Series([0.1], dtype=pl.Float32), "0.1", id="float"),
        pytest.param(pl.Series([1e300]), "1e+300", id="huge double"),
        pytest.param(pl.Series([float("nan")]), "nan", id="not a number"),
        pytest.param(pl.Series([Decimal("12.50")], dtype=pl.Decimal(10, 2)), "12.50", id="decimal"),
        pytest.param(pl.Series([True]), "true", id="boolean"),
        pytest.param(pl.Series([dt.date(2024, 2, 29)]), "2024-02-29", id="date"),
        pytest.param(pl.Series([dt.datetime(2024, 2, 29, 1, 2, 3)]), "2024-02-29T01:02:03", id="timestamp"),
        pytest.param(
            pl.Series([dt.datetime(2024, 2, 29, 1, 2, 3, tzinfo=dt.UTC)]).dt.convert_time_zone(
                "Europe/Berlin"
            ),
            "2024-02-29T01:02:03Z",
            id="timestamp with zone",
        ),
        pytest.param(pl.Series([None], dtype=pl.Float64), None, id="null"),
    ],
)
def test_types_have_one_text(read: Read, folder: Path, column: pl.Series, expected: str | None) -> None:
    """A value is the same text whether its column was written as text or as its own type."""
    _write(folder, A=column)

    assert read(["A"], profiles="profiles.parquet") == [(1, "c1", expected)]


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pl.Series([[1]]), id="list"),
        pytest.param(pl.Series([{"x": 1}]), id="struct"),
        pytest.param(pl.Series([b"x"]), id="bytes"),
    ],
)
def test_types_without_a_text_are_refused(read: Read, folder: Path, column: pl.Series) -> None:
    """A needed column that is no single value stops the reading and is named."""
    _write(folder, Odd=column)

    with pytest.raises(FixDataError, match="column 'Odd' has the type") as caught:
        read(["Odd"], profiles="profiles.parquet")

    assert caught.value.code == "unsupported_type"


def test_columns_that_are_not_needed_do_not_matter(read: Read, folder: Path) -> None:
    """Only needed columns have to be readable as text."""
    _write(folder, Odd=pl.Series([[1]]), A=pl.Series(["x"]))

    assert read(["A"], profiles="profiles.parquet") == [(1, "c1", "x")]


def test_files_of_other_types_are_one_table(read: Read, folder: Path) -> None:
    """A column that is a number in one file and text in another keeps its zeros; rows are numbered by file name."""
    _write(folder, "b.parquet", Zip=["01234"])
    _write(folder, "a.parquet", Zip=[99, 98])
    _write(folder, "c.parquet", Zip=[7])

    found = read(["Zip"], profiles="*.parquet")

    assert found == [(1, "c1", "99"), (2, "c2", "98"), (3, "c1", "01234"), (4, "c1", "7")]


def test_columns_that_differ_in_case_are_refused(read: Read, folder: Path) -> None:
    """Parquet may hold `email` beside `Email`; which one is meant would be a guess."""
    _write(folder, email=["x"], Email=["y"])

    with pytest.raises(FixDataError, match="'email' and 'Email' differ only in case") as caught:
        read(["Email"], profiles="profiles.parquet")

    assert caught.value.code == "bad_column_names"


def test_file_without_a_needed_column_is_named(read: Read, folder: Path) -> None:
    """A column that only the first file has is an error, not nulls in the others."""
    _write(folder, "a.parquet", A=["x"])
    _write(folder, "b.parquet", B=["x"])

    with pytest.raises(FixDataError, match=r"b\.parquet has no column 'A'"):
        read(["A"], profiles="*.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense PAR1", b"CustomerId,A\nc1,1\n"])
def test_damaged_files_are_refused(read: Read, folder: Path, content: bytes) -> None:
    """What is no Parquet file is unreadable, and the message names it."""
    _write(folder, "a.parquet", A=["x"])
    (folder / "b.parquet").write_bytes(content)

    with pytest.raises(FixDataError, match=r"b\.parquet cannot be read as Parquet") as caught:
        read(["A"], profiles="*.parquet")

    assert caught.value.code == "source_unreadable"


def test_cut_file_is_refused(read: Read, folder: Path) -> None:
    """A Parquet file that lost its end is unreadable."""
    _write(folder, A=["x"])
    whole = (folder / "profiles.parquet").read_bytes()
    (folder / "profiles.parquet").write_bytes(whole[:-10])

    with pytest.raises(FixDataError, match="cannot be read as Parquet"):
        read(["A"], profiles="profiles.parquet")
