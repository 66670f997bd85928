"""CSV: every value as text, every row, or an error that says where."""

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.engine import open_engine, quoted
from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError
from ci_mailchimp_pipeline.sources import csv_files
from ci_mailchimp_pipeline.sources.csv_files import read_header, stage
from ci_mailchimp_pipeline.sources.listing import Listing

Read = Callable[..., list[tuple[Any, ...]]]
HEAD = "CustomerId,A,B\n"


def _write(folder: Path, content: str | bytes, name: str = "profiles.csv") -> None:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(HEAD + "c1,1,2\n", ("1", "2"), id="plain"),
        pytest.param(HEAD + "c1,1,2", ("1", "2"), id="no newline at the end"),
        pytest.param(HEAD + "c1,1,2\n\n\n", ("1", "2"), id="blank lines at the end"),
        pytest.param(HEAD.replace("\n", "\r\n") + "c1,1,2\r\n", ("1", "2"), id="CRLF"),
        pytest.param(HEAD.replace("\n", "\r\n") + "c1,1,2", ("1", "2"), id="CRLF, no newline at the end"),
        pytest.param(
            HEAD.replace("\n", "\r\n") + 'c1,"1\n1",2\r\n', ("1\n1", "2"), id="CRLF, LF in the first value"
        ),
        pytest.param(HEAD.replace("\n", "\r\n") + 'c1,"1\r\n1",2\r\n', ("1\r\n1", "2"), id="CRLF in a value"),
        pytest.param(
            HEAD.replace("\n", "\r\n") + 'c1,"",\r\n', ("", None), id="CRLF, nothing in the last column"
        ),
        pytest.param(HEAD.replace("\n", "\r") + "c1,1,2\r", ("1", "2"), id="CR alone"),
        pytest.param(b"\xef\xbb\xbf" + (HEAD + "c1,1,2\n").encode(), ("1", "2"), id="byte order mark"),
        pytest.param(HEAD.replace(",", ";") + "c1;1,5;2\n", ("1,5", "2"), id="semicolons"),
        pytest.param(HEAD.replace(",", "\t") + "c1\t1;5\t2\n", ("1;5", "2"), id="tabs"),
        pytest.param('"CustomerId","A","B"\n"c1","1","2"\n', ("1", "2"), id="everything quoted"),
        pytest.param(HEAD + 'c1,"say ""hi""",2\n', ('say "hi"', "2"), id="quotes in a value"),
        pytest.param(HEAD + 'c1,5" pipe,2\n', ('5" pipe', "2"), id="a quote inside an unquoted value"),
        pytest.param(HEAD + 'c1,"",\n', ("", None), id="empty and nothing"),
        pytest.param(HEAD + "c1,00123,1e3\n", ("00123", "1e3"), id="what looks like numbers"),
        pytest.param(HEAD + "c1,NULL,NA\n", ("NULL", "NA"), id="what looks like nulls"),
        pytest.param(HEAD + "c1, Zoë ,日本\n", (" Zoë ", "日本"), id="white space and letters"),
        pytest.param(HEAD + "c1,a\\,2\n", ("a\\", "2"), id="a backslash is a letter"),
        pytest.param(HEAD + "#c,1,2\nc1,#,2\n", ("#", "2"), id="no comments"),
    ],
)
def test_values_are_read_as_written(
    read: Read, folder: Path, content: str | bytes, expected: tuple[str, str]
) -> None:
    """Every way to write a CSV file that is unambiguous gives the value that was meant."""
    _write(folder, content)

    found = read(["A", "B"])

    assert [row[2:] for row in found] == [expected]


def test_rows_are_numbered_in_reading_order(read: Read, folder: Path) -> None:
    """A row's number is its place among the data rows of all files, in the order of their names."""
    (folder / "parts").mkdir()
    _write(folder, HEAD + "x,1,1\nc2,1,1\n", "parts/b.csv")
    _write(folder, 'B,CustomerId,A\n"two\nlines",x,1\n1,c1,2\n', "parts/a.csv")

    found = read(["A", "B"], profiles="parts")

    assert found == [(2, "c1", "2", "1"), (4, "c2", "1", "1")]


def test_compressed_files_are_read(read: Read, folder: Path) -> None:
    """A .csv.gz file is read like the .csv in it."""
    _write(folder, gzip.compress((HEAD + "c1,1,2\n").encode()), "profiles.csv.gz")

    assert read(["A"], profiles="profiles.csv.gz") == [(1, "c1", "1")]


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        pytest.param(HEAD + "c1,1,2\nc2,1\n", None, "data row 2 has 2 values, the header has 3", id="short row"),
        pytest.param(HEAD + "c1,1,2\nc2,1,2,3\n", None, "data row 2 has 4 values, the header has 3", id="long row"),
        pytest.param(HEAD + 'c1,"1\n1",2\nc2,1\n', None, "data row 2 has 2 values", id="short after a newline"),
        pytest.param(HEAD + "c1,1,2\nc2,1", None, "data row 2 has 2 values", id="cut in the last row"),
        pytest.param(HEAD + 'c1,1,2\nc2,"1,2\nc3,1,2\n', None, "opens in data row 2", id="quote not closed"),
        pytest.param(HEAD + 'c1,"1', None, "ends inside a quoted value that opens in data row 1", id="cut in a value"),
        pytest.param(HEAD + 'c1,"1"x,2\n', None, "data row 1 has a quoted value", id="after a closing quote"),
        pytest.param((HEAD + "c1,M\xfcller,2\n").encode("latin-1"), None, "data row 1 is not UTF-8", id="Latin-1"),
        pytest.param((HEAD + "c1,1,2\n").encode("utf-16"), 1, "is UTF-16, not UTF-8", id="UTF-16"),
        pytest.param((HEAD + "c1,1,2\n").encode("utf-16-le"), 1, "is UTF-16, not UTF-8", id="UTF-16 without a mark"),
        pytest.param("CustomerId,Größe\n".encode("latin-1"), 1, "is not UTF-8", id="header in Latin-1"),
        pytest.param(HEAD + "c1,1,2\r\nc2,1,2\n", None, "line ends are mixed", id="mixed line ends"),
        pytest.param(HEAD + "c1," + "x" * 3_000_000 + ",2\n", None, "data row 1 is longer than 2000000", id="endless row"),
        pytest.param("", 1, "has no header", id="empty file"),
        pytest.param("\n" + HEAD, 1, "has no header", id="blank first line"),
        pytest.param('CustomerId,"A\n', 1, "a header that is not closed", id="header not closed"),
        pytest.param("CustomerId,A;B\nc1,1;2\n", 1, "more than one of comma, semicolon and tab", id="two delimiters"),
    ],
)  # fmt: skip
def test_malformed_files_are_refused_with_their_line(
    read: Read, folder: Path, content: str | bytes, line: int | None, said: str
) -> None:
    """A row that is not as the header says stops the reading; nothing is filled in, and no value is repeated."""
    _write(folder, content)

    with pytest.raises(FixDataError) as caught:
        read(["A"])

    place = caught.value.problems[0].place
    assert caught.value.code == "malformed_csv"
    assert place is not None
    assert (place.file, place.line) == (str(folder / "profiles.csv"), line)
    assert said in caught.value.message
    assert caught.value.fix
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("header", "said"),
    [
        pytest.param("CustomerId,A,A\n", "the column 'A' is there twice", id="repeated"),
        pytest.param(
            "CustomerId,Email,EMail\n", "'Email' and 'EMail' differ only in case", id="only case differs"
        ),
        pytest.param("CustomerId,A,\n", "column 3 has no name", id="no name"),
    ],
)
def test_ambiguous_column_names_are_refused(read: Read, folder: Path, header: str, said: str) -> None:
    """Two columns that could be mistaken for each other are an error, whichever is needed."""
    _write(folder, header)

    with pytest.raises(FixDataError, match=said) as caught:
        read(["A"])

    assert caught.value.code == "bad_column_names"


def test_unknown_column_names_the_near_miss(read: Read) -> None:
    """A column that is not there is a configuration error with a suggestion."""
    with pytest.raises(FixConfigError, match=r"lack the column 'Email'\. Did you mean 'EMail'\?") as caught:
        read(["Email"])

    assert caught.value.code == "unknown_column"


def test_files_with_other_columns_are_refused(read: Read, folder: Path) -> None:
    """A file that lacks a needed column is named; its rows are not filled with nulls."""
    (folder / "parts").mkdir()
    _write(folder, HEAD + "c1,1,1\n", "parts/a.csv")
    _write(folder, "CustomerId,A\nc2,1\n", "parts/b.csv")

    with pytest.raises(FixDataError, match="has no column 'B', which other files have") as caught:
        read(["B"], profiles="parts")

    assert caught.value.problems[0].place is not None
    assert caught.value.problems[0].place.file.endswith("b.csv")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-30], lambda data: data[:-8], lambda data: b"no gzip" + data]
)
def test_damaged_archives_are_refused(read: Read, folder: Path, damage: Callable[[bytes], bytes]) -> None:
    """A .csv.gz file that was cut, or is none, is unreadable as a whole."""
    text = HEAD + "".join(f"c{n},{n * 7919 % 1000},2\n" for n in range(1000))
    _write(folder, damage(gzip.compress(text.encode())), "profiles.csv.gz")

    with pytest.raises(FixDataError) as caught:
        read(["A"], profiles="profiles.csv.gz")

    assert caught.value.code == "source_unreadable"


def test_header_only_is_a_table_without_rows(read: Read, folder: Path) -> None:
    """A file with a header and no rows is legal: a segment may be empty."""
    _write(folder, HEAD)

    assert read(["A"]) == []


# A lone CR is left out: Python's writer does not quote it.
CELLS = st.lists(st.sampled_from([*'a,;"\n \té日\\1#', "\r\n"]), max_size=6).map("".join)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=12),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_any_table_survives_the_way_through_csv(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str, str]], newline: str, quoting: Any
) -> None:
    """Whatever Python's writer writes is read back cell by cell; nothing and empty are both no value."""
    work = tmp_path_factory.mktemp("csv")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator=newline, quoting=quoting)
    writer.writerows([("k", "A", "B"), *table])
    _write(work, text.getvalue(), "t.csv")

    with open_engine(work) as engine:
        parts = stage(engine, Listing(key="t", kind="csv", files=(work / "t.csv",)), ("k", "A", "B"), work)
        staged = engine.execute(f"FROM read_parquet({quoted(parts[0].path)})")

    assert [tuple(cell or "" for cell in row[:3]) for row in staged[:-1]] == table
    assert parts[0].rows == len(table)


def test_rows_survive_where_buffers_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quotes and newlines keep their place where one of the reader's buffers ends and the next begins."""
    monkeypatch.setattr(csv_files, "MAX_ROW_BYTES", 900)
    monkeypatch.setattr(csv_files, "BUFFER_BYTES", 2_000)
    cells = ["a", "é", "\n", '"', ",", "", "x\ny", "\r\n", "日本"]
    random = Random(7)
    table = [
        tuple("".join(random.choices(cells, k=random.randrange(4))) for _ in "kAB") for _ in range(20_000)
    ]
    with (tmp_path / "t.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("k", "A", "B"), *table])

    with open_engine(tmp_path) as engine:
        parts = stage(
            engine, Listing(key="t", kind="csv", files=(tmp_path / "t.csv",)), ("k", "A", "B"), tmp_path
        )
    with duckdb.connect() as connection:
        staged = connection.execute(
            "SELECT p_k, p_A, p_B FROM read_parquet($p)", {"p": str(parts[0].path)}
        ).fetchall()

    assert [tuple(cell or "" for cell in row) for row in staged[:-1]] == table


def test_header_tells_how_rows_are_separated(tmp_path: Path) -> None:
    """The delimiter is the one that splits the header, even when another stands in a quoted name."""
    _write(tmp_path, 'k;"Last, First";B\r\n1;2;3\r\n', "t.csv")

    header = read_header(Listing(key="t", kind="csv", files=()), tmp_path / "t.csv")

    assert (header.columns, header.delimiter, header.newline) == (("k", "Last, First", "B"), ";", "\r\n")
