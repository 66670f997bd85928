"""The files source: what is a new version, when it is ready, what it offers, what it reads."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.sources.base import Needs, NotReady, SourceSchema, open_source
from ci_mailchimp_pipeline.sources.files import FilesSource, Options

Make = Callable[..., FilesSource]
Rows = Callable[[Path], list[tuple[Any, ...]]]


def _date(path: Path, seconds: float) -> None:
    os.utime(path, (seconds, seconds))


def _touch(folder: Path) -> None:
    _date(folder / "membership.csv", 1_000_000)


def _rewrite(folder: Path) -> None:
    (folder / "profiles.csv").write_text("CustomerId,EMail\n", encoding="utf-8")


@pytest.mark.parametrize("change", [_touch, _rewrite])
def test_a_changed_file_is_a_new_version(
    make_source: Make, folder: Path, change: Callable[[Path], None]
) -> None:
    """A file that was touched or written again is another refresh."""
    before = make_source().version()

    change(folder)

    assert make_source().version() != before


def test_a_file_more_is_a_new_version(make_source: Make, folder: Path) -> None:
    """A file that a glob would read as well is part of the version."""
    before = make_source(profiles="prof*.csv").version()

    (folder / "profiles_2.csv").touch()

    assert make_source(profiles="prof*.csv").version() != before


def test_other_files_do_not_change_the_version(make_source: Make, folder: Path) -> None:
    """What would not be read does not matter."""
    before = make_source().version()

    (folder / "unrelated.csv").touch()

    assert make_source().version() == before


def test_the_column_mapping_is_part_of_the_version(make_source: Make) -> None:
    """The same files read by another column are another content."""
    assert make_source().version() != make_source(columns={"customer_id": "FirstName"}).version()


def test_a_young_file_is_not_ready(make_source: Make, folder: Path) -> None:
    """Without a marker a refresh counts as complete when nothing has changed for settle_seconds."""
    _date(folder / "profiles.csv", 1000)
    _date(folder / "membership.csv", 1005)

    with pytest.raises(NotReady) as caught:
        make_source(clock=lambda: 1014.9).version()

    assert (caught.value.code, caught.value.exit_code) == ("source_not_ready", 4)
    assert make_source(clock=lambda: 1015).version() == make_source(clock=lambda: 1014.9).version(
        settle=False
    )


def test_a_person_need_not_wait(make_source: Make, folder: Path) -> None:
    """settle_seconds 0 and settle=False take the files as they are."""
    _date(folder / "profiles.csv", 1000)
    _date(folder / "membership.csv", 1000)

    assert make_source(clock=lambda: 1000, settle_seconds=0).version() == make_source(
        clock=lambda: 1000
    ).version(settle=False)


def test_a_file_from_the_future_does_not_block_for_ever(make_source: Make, folder: Path) -> None:
    """Another machine's clock may be wrong; that alone does not stop every refresh."""
    _date(folder / "profiles.csv", 9_000_000_000)

    assert make_source(clock=lambda: 1000).version()


@pytest.mark.parametrize(
    "made", [pytest.param(None, id="missing"), pytest.param(1001, id="older than a file")]
)
def test_without_its_marker_a_refresh_is_not_ready(
    make_source: Make, folder: Path, made: float | None
) -> None:
    """A marker that is missing, or from before the newest file, means that a refresh is under way."""
    _date(folder / "profiles.csv", 1000)
    _date(folder / "membership.csv", 1002)
    if made is not None:
        (folder / "_SUCCESS").touch()
        _date(folder / "_SUCCESS", made)

    with pytest.raises(NotReady, match="_SUCCESS"):
        make_source(ready="_SUCCESS").version(settle=False)


def test_with_its_marker_a_refresh_is_ready_at_once(make_source: Make, folder: Path) -> None:
    """A marker that is not older than any file replaces waiting."""
    for name in ("profiles.csv", "membership.csv", "_SUCCESS"):
        (folder / name).touch()
        _date(folder / name, 1000)

    assert make_source(ready="_SUCCESS", clock=lambda: 1000).version()


def test_describe_says_what_there_is(make_source: Make) -> None:
    """The columns in their order, and each segment with its rows."""
    source = make_source()

    assert source.describe() == SourceSchema(
        version=source.version(settle=False),
        columns=("CustomerId", "FirstName", "EMail"),
        segments={"Vip": 3, "News": 1},
    )


def test_read_keeps_what_is_needed(make_source: Make, tmp_path: Path, rows: Rows) -> None:
    """Profiles of customers in a needed segment, needed columns, all customers' keys, all segments' sizes."""
    into = tmp_path / "into"
    into.mkdir()

    make_source().read(Needs(columns=("EMail",), segments=("Vip", "Unknown")), into)

    assert rows(into / "profiles.parquet") == [
        (1, "c1", "ada@contoso-mail.internal"),
        (2, "c2", "ben@contoso-mail.internal"),
    ]
    assert rows(into / "membership.parquet") == [("c1", "Vip"), ("c2", "Vip"), ("c9", "Vip")]
    assert rows(into / "segments.parquet") == [("News", 1), ("Vip", 3)]
    assert len(rows(into / "customers.parquet")) == 3
    assert {len(key) for (key,) in rows(into / "customers.parquet")} == {16}


def test_ids_and_names_are_trimmed_and_counted_once(
    make_source: Make, folder: Path, tmp_path: Path, rows: Rows
) -> None:
    """White space does not part a customer from their segment; rows without one or the other are left out."""
    (folder / "membership.csv").write_text(
        'CustomerId,Segment\n c1\t,"Vip "\nc1,Vip\n,Vip\nc2,\n', encoding="utf-8"
    )
    (folder / "profiles.csv").write_text("CustomerId,EMail\nc1\u00a0,a\n,b\nc2,c\n", encoding="utf-8")
    into = tmp_path / "into"
    into.mkdir()

    make_source().read(Needs(columns=("EMail",), segments=("Vip",)), into)

    assert rows(into / "profiles.parquet") == [(1, "c1", "a")]
    assert rows(into / "membership.parquet") == [("c1", "Vip")]
    assert rows(into / "segments.parquet") == [("Vip", 1)]
    assert len(rows(into / "customers.parquet")) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            {"columns": {"customer_id": "CustomerID"}}, "profiles lack the column 'CustomerID'", id="id"
        ),
        pytest.param({"columns": {"segment": "Group"}}, "membership lack the column 'Group'", id="segment"),
    ],
)
def test_columns_that_join_are_checked(make_source: Make, options: dict[str, Any], said: str) -> None:
    """The mapped columns have to exist, in both relations."""
    with pytest.raises(FixConfigError, match=said):
        make_source(**options).describe()


def test_other_names_can_be_mapped(make_source: Make, folder: Path) -> None:
    """The columns that join may have any name."""
    (folder / "membership.csv").write_text("FirstName;Group\nAda;Vip\n", encoding="utf-8")

    schema = make_source(columns={"customer_id": "FirstName", "segment": "Group"}).describe()

    assert schema.segments == {"Vip": 1}


def test_the_source_is_registered_under_its_type(folder: Path) -> None:
    """The built-in source is found like any other plugin."""
    source = open_source(
        "files", Options(profiles="profiles.csv", membership="membership.csv"), folder=folder
    )

    assert isinstance(source, FilesSource)


def test_a_type_that_is_not_installed_is_named(folder: Path) -> None:
    """The error lists what is installed."""
    with pytest.raises(FixConfigError, match=r"'sql' is not installed; installed: .*files") as caught:
        open_source("sql", None, folder=folder)

    assert caught.value.code == "unknown_source"


@pytest.mark.parametrize(
    "wrong", [{"path": "x"}, {"profiles": ""}, {"settle_seconds": -1}, {"columns": {"id": "x"}}]
)
def test_options_are_exact(wrong: dict[str, Any]) -> None:
    """Unknown keys and impossible values are refused."""
    with pytest.raises(ValidationError):
        Options(**({"profiles": "a", "membership": "b"} | wrong))


def test_the_source_is_known_without_the_engine() -> None:
    """Reading exports.yaml loads the source's options, and neither DuckDB nor Polars."""
    script = "import sys, ci_mailchimp_pipeline.sources.files; print({'duckdb', 'polars', 'dagster'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "set()"


def test_one_person_is_found_whatever_their_segments(make_source: Make, rows: Rows, tmp_path: Path) -> None:
    """Asked for an address, the source gives its profile and all its segments, and nobody else's."""
    into = tmp_path / "read"
    into.mkdir()
    needs = Needs(columns=("EMail",), segments=("Nobody",), holder=("EMail", "ada@contoso-mail.internal"))

    make_source().read(needs, into)

    assert rows(into / "profiles.parquet") == [(1, "c1", "ada@contoso-mail.internal")]
    assert rows(into / "membership.parquet") == [("c1", "News"), ("c1", "Vip")]
    assert len(rows(into / "customers.parquet")) == 3
    assert "ada@" not in repr(needs)
