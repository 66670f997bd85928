"""A small source on disk, and the ways tests look at what was read from it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ci_mailchimp_pipeline.sources.base import Needs
from ci_mailchimp_pipeline.sources.files import FilesSource, Options

PROFILES = (
    "CustomerId,FirstName,EMail\nc1,Ada,ada@contoso-mail.internal\nc2,Ben,ben@contoso-mail.internal\nc3,Cy,\n"
)
MEMBERSHIP = "CustomerId,Segment\nc1,Vip\nc2,Vip\nc1,News\nc9,Vip\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``profiles.csv`` and ``membership.csv``, last changed long ago."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "profiles.csv").write_text(PROFILES, encoding="utf-8", newline="")
    (folder / "membership.csv").write_text(MEMBERSHIP, encoding="utf-8", newline="")
    return folder


@pytest.fixture
def make_source(folder: Path) -> Callable[..., FilesSource]:
    """Build a source over *folder*; keyword arguments are options, ``clock`` is the clock."""

    def make(*, clock: Callable[[], float] = lambda: 4e9, **options: Any) -> FilesSource:
        paths = {"profiles": "profiles.csv", "membership": "membership.csv"}
        return FilesSource(Options(**(paths | options)), folder=folder, clock=clock)

    return make


@pytest.fixture
def rows() -> Callable[[Path], list[tuple[Any, ...]]]:
    """All rows of a Parquet file, sorted."""

    def read(path: Path) -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            return connection.execute(
                "SELECT * FROM read_parquet($path) ORDER BY ALL", {"path": str(path)}
            ).fetchall()

    return read


@pytest.fixture
def read(
    tmp_path: Path, make_source: Callable[..., FilesSource], rows: Callable[[Path], list[tuple[Any, ...]]]
) -> Callable[..., list[tuple[Any, ...]]]:
    """Read the profiles of everybody in some segment: (row, customer id, values …)."""

    def read(
        columns: Sequence[str], segments: Sequence[str] = ("Vip",), **options: Any
    ) -> list[tuple[Any, ...]]:
        into = tmp_path / "read"
        into.mkdir()
        make_source(**options).read(Needs(columns=tuple(columns), segments=tuple(segments)), into)
        return rows(into / "profiles.parquet")

    return read
