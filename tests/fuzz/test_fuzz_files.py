"""Whatever stands in the files of a source, every row is counted somewhere, or an error says what is wrong."""

import csv
import io
from pathlib import Path

import duckdb
import pytest
from fuzz.often import often
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.sources.base import Needs
from ci_mailchimp_pipeline.sources.files import FilesSource, Options
from ci_mailchimp_pipeline.sources.snapshots import Snapshot, take_snapshot

ADDRESS = "zz-marked@contoso-mail.internal"
NEEDS = Needs(columns=("EMail",), segments=("Vip",))
WHITE = " \t\r\n\u00a0\u200b\ufeff"
FUZZ = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
CELLS = st.text(alphabet=st.sampled_from("ab1,;\"'\t\n\r\\ é日#%\u00a0"), max_size=6)
IDS = st.sampled_from(
    ["c1", "c2", " c3 ", "c,4", 'c"5', "c;6", "", "  ", "Ç7", "c\n8", "NULL", "0009", "-", "#c"]
)
ROWS = st.lists(st.tuples(IDS, CELLS, st.sampled_from([ADDRESS, "", "x", '"'])), max_size=12)
DIALECTS = st.fixed_dictionaries({
    "delimiter": st.sampled_from([",", ";", "\t", "|"]),
    "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    "lineterminator": st.sampled_from(["\n", "\r\n"]),
})  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a right membership file."""
    (tmp_path / "membership.csv").write_text(
        "CustomerId,Segment\n" + "".join(f"c{number},Vip\n" for number in range(9)), encoding="utf-8"
    )
    return tmp_path


def taken(folder: Path, profiles: bytes) -> Snapshot | PipelineError:
    """A snapshot of these profiles, or the error that says why there is none."""
    (folder / "profiles.csv").write_bytes(profiles)
    options = Options(profiles="profiles.csv", membership="membership.csv")
    source = FilesSource(options, folder=folder, clock=lambda: 4e9)
    try:
        return take_snapshot(source, NEEDS, folder / "snapshots")
    except PipelineError as error:
        return error


def explained(error: PipelineError) -> None:
    """Looks at an error: it is the data's or the declaration's, has a fix, and quotes nobody."""
    assert error.exit_code in {2, 3}, error
    assert error.fix
    assert ADDRESS not in f"{error}{error!r}"


def customers_of(snapshot: Snapshot) -> int:
    """The distinct customers that the snapshot itself holds."""
    with duckdb.connect() as connection:
        return len(connection.execute(f"FROM read_parquet('{snapshot.customers_path}')").fetchall())


@settings(FUZZ, max_examples=often(25))
@given(rows=ROWS, dialect=DIALECTS)
@example(rows=[("c1", 'a"b', ADDRESS), ("c2", "", "")], dialect={"quoting": csv.QUOTE_ALL})
def test_every_row_that_was_written_is_counted(
    folder: Path, rows: list[tuple[str, str, str]], dialect: dict[str, object]
) -> None:
    """A file that a program wrote by the rules of CSV: everyone with an id is among the customers."""
    text = io.StringIO()
    writer = csv.writer(text, **dialect)  # type: ignore[arg-type]
    writer.writerows([("CustomerId", "Note", "EMail"), *rows])

    found = taken(folder, text.getvalue().encode())

    if isinstance(found, PipelineError):
        explained(found)
        return
    ids = {row[0].strip(WHITE) for row in rows} - {""}
    assert found.customers == customers_of(found) == len(ids)
    assert found.profiles == sum(row[0].strip(WHITE) in {f"c{number}" for number in range(9)} for row in rows)


@settings(FUZZ, max_examples=often(25))
@given(data=st.data())
def test_damage_is_an_error_or_changes_no_more_than_it_touches(folder: Path, data: st.DataObject) -> None:
    """A piece cut out, doubled or overwritten: an error, or as many customers as lines that were left whole."""
    rows = [f"c{number},note {number},p{number}@contoso-mail.internal" for number in range(40)]
    whole = "\n".join(["CustomerId,Note,EMail", *rows, ""]).encode()
    start = data.draw(st.integers(22, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 30)))
    piece = data.draw(
        st.sampled_from([b"", whole[start:end] * 2, b"\x00", b"\xff", b'"', b"\n", b"\r", b",,", b'"\n"'])
    )

    found = taken(folder, whole[:start] + piece + whole[end:])

    if isinstance(found, PipelineError):
        explained(found)
        return
    touched = whole[start:end].count(b"\n") + piece.count(b"\n") + 2
    assert 40 - touched <= found.customers == customers_of(found) <= 40 + touched


@settings(FUZZ, max_examples=often(25))
@given(
    content=st.binary(max_size=200) | st.binary(max_size=80).map(lambda tail: b"CustomerId,EMail\n" + tail)
)
def test_no_bytes_are_a_crash(folder: Path, content: bytes) -> None:
    """Bytes of any kind are customers or an error of ours."""
    found = taken(folder, content)

    if isinstance(found, PipelineError):
        explained(found)
    else:
        assert found.customers == customers_of(found)
