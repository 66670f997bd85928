"""The engine: bounded, cleaned up, and silent about values."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.engine import array, identifier, open_engine, quoted, trimmed
from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError


def test_a_failure_does_not_repeat_what_it_stumbled_over(tmp_path: Path) -> None:
    """DuckDB quotes values in its messages; ours name the kind of failure only."""
    with open_engine(tmp_path) as engine, pytest.raises(PipelineError) as caught:
        engine.execute("SELECT CAST('ada@contoso-mail.internal' AS INTEGER)")

    assert (caught.value.code, caught.value.exit_code) == ("engine_failed", 1)
    assert "ConversionException" in caught.value.message
    assert "ada@" not in str(caught.value)
    assert caught.value.__context__ is None


def test_too_little_memory_means_run_later(tmp_path: Path) -> None:
    """What does not fit even with spilling is the machine's fault, not the data's, whatever the caller would say."""
    with open_engine(tmp_path, memory_limit="10MB") as engine, pytest.raises(RunLaterError) as caught:
        engine.execute(
            "SELECT len(list(i)) FROM range(100000000) t(i)",
            explain=lambda _: PipelineError("wrong", "the data's fault"),
        )

    assert caught.value.code == "out_of_memory"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """The spill folder is deleted, also after a failure."""
    with pytest.raises(ZeroDivisionError), open_engine(tmp_path):
        raise ZeroDivisionError

    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB itself, for single values."""
    with duckdb.connect() as opened:
        yield opened


@settings(deadline=None)
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_any_text_is_a_literal_and_a_name(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    """Quotes, backslashes and comments in names and values are letters."""
    name = text or "x"
    sql = f"SELECT {quoted(text)}, {array([text, 'x'])} FROM (SELECT 1 AS {identifier(name)})"

    rows = connection.execute(sql).fetchall()

    assert rows == [(text, [text, "x"])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(" \t\r\n\u00a0\u200b\ufeffa b\u00a0\n", "a b"), (" \n", None), ("", None), ("a\nb", "a\nb")],
)
def test_white_space_around_a_value_is_not_part_of_it(
    connection: duckdb.DuckDBPyConnection, text: str, expected: str | None
) -> None:
    """Also the kinds that DuckDB's own trim leaves; nothing but white space is nothing."""
    rows = connection.execute(f"SELECT {trimmed('$t::VARCHAR')}", {"t": text}).fetchall()

    assert rows == [(expected,)]
