"""Merge field types: what is sent for a value, and what does not fit."""

import json
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.config import MergeSource
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.values import value_sql

INVALID = "does not fit"


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The engine, for single values."""
    with duckdb.connect() as connection:
        yield connection


def _sent(
    connection: duckdb.DuckDBPyConnection, field: MergeField, **columns: str | None
) -> tuple[str | None, int]:
    """What *field* sends for the value of its column (or of its parts), and how many values were cut."""
    names = dict.fromkeys(columns, "")
    source = (
        MergeSource(tag=field.tag, address={name: name for name in names}, column=None, type=None)
        if field.type == "address"
        else MergeSource(tag=field.tag, column="value")
    )
    value = value_sql(field, source)
    given = ", ".join(f'${name}::VARCHAR AS "p_{name}"' for name in columns)
    texts = ", ".join(f"{text} AS {alias}" for alias, text in value.texts.items())
    sql = f"SELECT {value.value}, {value.blank}, {value.cut} FROM (SELECT {texts} FROM (SELECT {given}))"
    sent, blank, cut = connection.execute(sql, columns).fetchall()[0]
    return (INVALID if sent is None and not blank else sent), cut


def _field(kind: str, **more: object) -> MergeField:
    return MergeField(tag="X", type=kind, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "kind", ["text", "number", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip"]
)
@pytest.mark.parametrize("value", [None, "", " \t\u00a0", "\x00\x1f", "\u200b\ufeff"])
def test_blank_is_not_a_value(connection: duckdb.DuckDBPyConnection, kind: str, value: str | None) -> None:
    """White space and control characters are nothing: the field is not sent, and nothing is wrong."""
    assert _sent(connection, _field(kind), value=value) == (None, 0)


@pytest.mark.parametrize(
    ("kind", "value", "sent"),
    [
        pytest.param("text", "  Zoë\t", "Zoë", id="trimmed"),
        pytest.param("text", "Gita\r\nMaharani\tLine\n2", "Gita Maharani Line 2", id="one line"),
        pytest.param("text", "a\x00b\x7fc\x85d\x1b", "abcd", id="control characters"),
        pytest.param("text", "O'Hara \"X\" {y}", "O'Hara \"X\" {y}", id="quotes and braces"),
        pytest.param("text", "00123", "00123", id="zeros"),
        pytest.param("text", "true", "true", id="boolean"),
        pytest.param("number", "51000.5", "51000.5", id="number"),
        pytest.param("number", "256414.1127086401", "256414.1127086401", id="long number"),
        pytest.param("number", "007", "7", id="leading zeros"),
        pytest.param("number", "12.50", "12.5", id="trailing zeros"),
        pytest.param("number", "12.00", "12", id="whole"),
        pytest.param("number", "5.", "5", id="point at the end"),
        pytest.param("number", "-.5", "-0.5", id="point at the start"),
        pytest.param("number", "+7", "7", id="plus"),
        pytest.param("number", "-0.0", "0", id="minus zero"),
        pytest.param("number", "1e3", "1000", id="scientific, whole"),
        pytest.param("number", "-2.5E-3", "-0.0025", id="scientific"),
        pytest.param("number", "1e+20", "1e+20", id="scientific, huge"),
        pytest.param("number", "123456789012345678901234567890", "123456789012345678901234567890", id="many digits"),
        pytest.param("number", "1e400", INVALID, id="infinite"),
        pytest.param("number", "1,000", INVALID, id="thousands"),
        pytest.param("number", "1_000", INVALID, id="underscore"),
        pytest.param("number", "0x1F", INVALID, id="hexadecimal"),
        pytest.param("number", "nan", INVALID, id="not a number"),
        pytest.param("number", "inf", INVALID, id="infinity"),
        pytest.param("number", "high", INVALID, id="word"),
        pytest.param("number", "1 000", INVALID, id="blank inside"),
        pytest.param("number", "٣", INVALID, id="other digits"),
        pytest.param("number", "9" * 256, INVALID, id="endless number"),
        pytest.param("date", "2024-02-29", "2024-02-29", id="date"),
        pytest.param("date", "2024-02-29T23:59:59.1234567Z", "2024-02-29", id="timestamp"),
        pytest.param("date", "2024-02-29 23:59:59+02:00", "2024-02-29", id="timestamp with zone"),
        pytest.param("date", "5/8/1986", "1986-05-08", id="slashed, month first"),
        pytest.param("date", "11/24/2026 1:02:03 AM", "2026-11-24", id="slashed with time"),
        pytest.param("date", "0001-01-01", "0001-01-01", id="first date"),
        pytest.param("date", "2023-02-29", INVALID, id="no such day"),
        pytest.param("date", "24/11/2026", INVALID, id="no such month"),
        pytest.param("date", "0000-01-01", INVALID, id="year zero"),
        pytest.param("date", "5/8/86", INVALID, id="two-digit year"),
        pytest.param("date", "05/08", INVALID, id="no year"),
        pytest.param("date", "2024-2-9", INVALID, id="short ISO"),
        pytest.param("date", "24.12.2026", INVALID, id="dots"),
        pytest.param("date", "20240229", INVALID, id="no separators"),
        pytest.param("birthday", "1986-05-08", "05/08", id="birthday from a date"),
        pytest.param("birthday", "5/8/1986", "05/08", id="birthday from a slashed date"),
        pytest.param("birthday", "5/8", "05/08", id="birthday"),
        pytest.param("birthday", "02/29", "02/29", id="leap day"),
        pytest.param("birthday", "02/30", INVALID, id="no such birthday"),
        pytest.param("birthday", "13/01", INVALID, id="no such month, no year"),
        pytest.param("phone", "+49 (30) 1234-567 x9", "+49 (30) 1234-567 x9", id="phone"),
        pytest.param("phone", "9" * 256, INVALID, id="endless phone"),
        pytest.param("zip", "01234", "01234", id="zip"),
        pytest.param("url", "https://contoso.internal/a?b=c#d", "https://contoso.internal/a?b=c#d", id="url"),
        pytest.param("url", "HTTP://contoso.internal", "HTTP://contoso.internal", id="url, upper case"),
        pytest.param("imageurl", "http://[2001:db8::1]:80/x.png", "http://[2001:db8::1]:80/x.png", id="image"),
        pytest.param("url", "contoso.internal", INVALID, id="no scheme"),
        pytest.param("url", "ftp://contoso.internal", INVALID, id="other scheme"),
        pytest.param("url", "javascript:alert(1)", INVALID, id="script"),
        pytest.param("url", "https:///path", INVALID, id="no host"),
        pytest.param("url", "https://a b.internal", INVALID, id="blank in the host"),
        pytest.param("url", "https://contoso.internal/" + "x" * 240, INVALID, id="endless url"),
    ],
)  # fmt: skip
def test_typed_values(connection: duckdb.DuckDBPyConnection, kind: str, value: str, sent: str) -> None:
    """A value is sent in one canonical form, or the row is rejected; never something that means another value."""
    assert _sent(connection, _field(kind), value=value) == (sent, 0)


@pytest.mark.parametrize(
    ("kind", "date_format", "value", "sent"),
    [
        ("date", "DD/MM/YYYY", "5/8/1986", "1986-08-05"),
        ("date", "MM/DD/YYYY", "5/8/1986", "1986-05-08"),
        ("date", "DD/MM/YYYY", "1986-05-08", "1986-05-08"),
        ("date", "DD/MM/YYYY", "05/28/1986", INVALID),
        ("birthday", "DD/MM", "5/8", "08/05"),
        ("birthday", "DD/MM", "28/8/1986", "08/28"),
    ],
)
def test_slashed_dates_follow_the_field(
    connection: duckdb.DuckDBPyConnection, kind: str, date_format: str, value: str, sent: str
) -> None:
    """Day and month are read in the order of the audience's field; ISO dates are never turned round."""
    assert _sent(connection, _field(kind, date_format=date_format), value=value)[0] == sent


@pytest.mark.parametrize("kind", ["radio", "dropdown"])
@pytest.mark.parametrize(
    ("value", "sent"), [("Gold", "Gold"), (" It's ok ", "It's ok"), ("gold", INVALID), ("Silver", INVALID)]
)
def test_choices_match_exactly(
    connection: duckdb.DuckDBPyConnection, kind: str, value: str, sent: str
) -> None:
    """Only one of the audience's choices is sent; a guess would be another answer."""
    assert _sent(connection, _field(kind, choices=("Gold", "It's ok")), value=value)[0] == sent


@pytest.mark.parametrize("letter", ["x", "é", "日", "🙂"])
@pytest.mark.parametrize("shift", range(4))
def test_long_texts_are_cut_at_a_character(
    connection: duckdb.DuckDBPyConnection, letter: str, shift: int
) -> None:
    """At most 255 bytes are sent, as many whole characters as fit, and the cut is counted."""
    value = "a" * shift + letter * 300

    sent, cut = _sent(connection, _field("text"), value=value)

    assert sent == value.encode()[:255].decode(errors="ignore")
    assert cut == 1


def test_texts_of_just_the_limit_are_whole(connection: duckdb.DuckDBPyConnection) -> None:
    """255 bytes fit."""
    assert _sent(connection, _field("text"), value="x" * 255) == ("x" * 255, 0)


ADDRESS = {"addr1": "Main St 1", "city": "Köln", "state": 'N"RW', "zip": "01234"}


def test_addresses_are_objects_of_the_parts_that_there_are(connection: duckdb.DuckDBPyConnection) -> None:
    """A part without a value is left out, and a value may hold anything."""
    sent, _ = _sent(connection, _field("address"), **ADDRESS, addr2=" ", country=None)

    assert json.loads(sent or "") == ADDRESS


@pytest.mark.parametrize("lacking", ["addr1", "city", "state", "zip"])
def test_incomplete_addresses_do_not_fit(connection: duckdb.DuckDBPyConnection, lacking: str) -> None:
    """Mailchimp refuses an address without one of its four required parts."""
    assert _sent(connection, _field("address"), **(ADDRESS | {lacking: " "}))[0] == INVALID


def test_an_address_of_blanks_is_no_value(connection: duckdb.DuckDBPyConnection) -> None:
    """Nothing in any part is nothing, not an incomplete address."""
    assert _sent(connection, _field("address"), **dict.fromkeys(ADDRESS, ""))[0] is None


def test_an_address_that_has_only_its_country_does_not_fit(connection: duckdb.DuckDBPyConnection) -> None:
    """One optional part is a value, and an incomplete one."""
    assert _sent(connection, _field("address"), **dict.fromkeys(ADDRESS, ""), country="DE")[0] == INVALID


def test_long_parts_of_an_address_are_cut(connection: duckdb.DuckDBPyConnection) -> None:
    """Parts are texts: each is cut and counted."""
    sent, cut = _sent(connection, _field("address"), **(ADDRESS | {"addr1": "é" * 200, "city": "x" * 256}))

    assert (len(json.loads(sent or "")["addr1"]), len(json.loads(sent or "")["city"]), cut) == (127, 255, 2)


WRITTEN = st.builds(
    str.format,
    st.sampled_from(["{!r}", "{:e}", " {!r} "]),
    st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**18), 10**18),
)


@settings(max_examples=15, deadline=None)
@given(numbers=st.lists(WRITTEN, min_size=10, max_size=30))
def test_numbers_keep_their_value(connection: duckdb.DuckDBPyConnection, numbers: list[str]) -> None:
    """The canonical text is JSON, and stands for the number that was written."""
    sent = [_sent(connection, _field("number"), value=number)[0] for number in numbers]

    assert [float(json.loads(text or "")) for text in sent] == [float(number) for number in numbers]


@settings(max_examples=15, deadline=None)
@given(values=st.lists(st.text(max_size=300), min_size=10, max_size=30))
def test_texts_are_sent_clean(connection: duckdb.DuckDBPyConnection, values: list[str]) -> None:
    """What is sent is short, on one line and without control characters; sent again it is the same."""
    sent = [_sent(connection, _field("text"), value=value)[0] for value in values]
    again = [_sent(connection, _field("text"), value=value)[0] for value in sent]

    texts = [text for text in sent if text is not None]
    assert all(len(text.encode()) <= 255 for text in texts)
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for text in texts for letter in text)
    assert again == sent
