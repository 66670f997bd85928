"""Addresses: what is sent, what is not, and one normal form everywhere."""

import hashlib
from collections.abc import Iterator

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.engine import trimmed
from ci_mailchimp_pipeline.frame.address import (
    address_problem,
    hash_sql,
    key_sql,
    problem_sql,
)
from ci_mailchimp_pipeline.keys import normal_form, subscriber_hash

LOCAL64 = "a" * 64
LABEL63 = "b" * 63


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The engine, for single values."""
    with duckdb.connect() as connection:
        yield connection


def _in_sql(connection: duckdb.DuckDBPyConnection, address: str) -> tuple[str | None, bytes | None]:
    email = trimmed("$address::VARCHAR")
    sql = f"SELECT {problem_sql('email')}, {hash_sql(key_sql('email'))} FROM (SELECT {email} AS email)"
    problem, key = connection.execute(sql, {"address": address}).fetchall()[0]
    return problem, key


@pytest.mark.parametrize(
    "address",
    [
        "ada@contoso-mail.internal",
        "ADA@Contoso-Mail.Internal",
        "a.b-c_d+tag@sub.contoso.internal",
        "o'hara@contoso.internal",
        "!#$%&'*+/=?^_`{|}~-@contoso.internal",
        "1@2.internal",
        "ada@xn--mller-kva.internal",
        "ada@contoso.xn--p1ai",
        f"{LOCAL64}@contoso.internal",
        f"a@{LABEL63}.internal",
        "ada@contoso.co",
        "ada@myexample.com",
        "ada@example.com.contoso.internal",
        "ada@test.internal",
    ],
)
def test_addresses_that_are_sent(connection: duckdb.DuckDBPyConnection, address: str) -> None:
    """Every address that Mailchimp can be expected to take passes, in SQL and alone."""
    assert address_problem(address) is None
    assert _in_sql(connection, address)[0] is None


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "no_email"),
        (" \t\r\n\u00a0\u200b\ufeff", "no_email"),
        ("ada", "malformed_email"),
        ("ada@", "malformed_email"),
        ("@contoso.internal", "malformed_email"),
        ("ada@contoso", "malformed_email"),
        ("ada@localhost", "malformed_email"),
        ("ada lovelace@contoso.internal", "malformed_email"),
        ("ada@contoso .internal", "malformed_email"),
        ("ada@@contoso.internal", "malformed_email"),
        ("ada@b@contoso.internal", "malformed_email"),
        (".ada@contoso.internal", "malformed_email"),
        ("ada.@contoso.internal", "malformed_email"),
        ("a..da@contoso.internal", "malformed_email"),
        ("ada@contoso..internal", "malformed_email"),
        ("ada@.contoso.internal", "malformed_email"),
        ("ada@contoso.internal.", "malformed_email"),
        ("ada@-contoso.internal", "malformed_email"),
        ("ada@contoso-.internal", "malformed_email"),
        ("ada@con_toso.internal", "malformed_email"),
        ("ada@contoso.i", "malformed_email"),
        ("ada@contoso.1nternal", "malformed_email"),
        ("ada@192.0.2.1", "malformed_email"),
        ("ada@[192.0.2.1]", "malformed_email"),
        ('"ada"@contoso.internal', "malformed_email"),
        ("Ada <ada@contoso.internal>", "malformed_email"),
        ("mailto:ada@contoso.internal", "malformed_email"),
        ("a@contoso.internal,b@contoso.internal", "malformed_email"),
        ("zoë@contoso.internal", "malformed_email"),
        ("ada@müller.internal", "malformed_email"),
        ("\u212a@contoso.internal", "malformed_email"),  # the Kelvin sign, which becomes k in lower case
        ("ada@contoso.\u0130nternal", "malformed_email"),
        ("ada\n@contoso.internal", "malformed_email"),
        (f"{LOCAL64}a@contoso.internal", "malformed_email"),
        (f"a@{LABEL63}b.internal", "malformed_email"),
        (f"a@{'.'.join([LABEL63] * 4)}.internal", "malformed_email"),
        ("ada@example.com", "reserved_domain"),
        ("ADA@Mail.EXAMPLE.Org", "reserved_domain"),
        ("ada@example.net", "reserved_domain"),
        ("ada@contoso.test", "reserved_domain"),
        ("ada@contoso.example", "reserved_domain"),
        ("ada@contoso.invalid", "reserved_domain"),
        ("ada@contoso.localhost", "reserved_domain"),
        ("ada@printer.local", "reserved_domain"),
        ("ada@contoso.onion", "reserved_domain"),
        ("ada@contoso.alt", "reserved_domain"),
    ],
)
def test_addresses_that_are_not_sent(
    connection: duckdb.DuckDBPyConnection, address: str, reason: str
) -> None:
    """Every other one has a reason, the same in SQL and alone."""
    assert address_problem(address) == reason
    assert _in_sql(connection, address)[0] == reason


@pytest.mark.parametrize(
    "address", ["ada@contoso.internal", " ADA@Contoso.Internal\u200b", "\ufeff\tAda@CONTOSO.internal\r\n"]
)
def test_the_hash_is_of_the_normal_form(connection: duckdb.DuckDBPyConnection, address: str) -> None:
    """White space and case do not make another member; the hash is the one Mailchimp documents."""
    expected = hashlib.md5(b"ada@contoso.internal").digest()

    assert normal_form(address) == "ada@contoso.internal"
    assert subscriber_hash(address) == expected
    assert _in_sql(connection, address)[1] == expected


PIECES = st.text(st.sampled_from("aA1.-_@+é\u212a\u0130 \t\u00a0\u200b'\n"), max_size=8)
DOMAINS = st.sampled_from(
    ["contoso.internal", "EXAMPLE.com", "xn--a.internal", "a.test", "x.y.z", "local", "alt.internal"]
)
ADDRESSES = st.builds(
    lambda a, b, c: a + b + c, PIECES, st.sampled_from(["@", "@@", "", " @"]), DOMAINS | PIECES
)


@settings(max_examples=30, deadline=None)
@given(addresses=st.lists(ADDRESSES, min_size=10, max_size=30))
def test_sql_and_python_agree(connection: duckdb.DuckDBPyConnection, addresses: list[str]) -> None:
    """The frame and a single look-up judge and hash every address alike."""
    in_sql = [_in_sql(connection, address) for address in addresses]

    assert [problem for problem, _ in in_sql] == [address_problem(address) for address in addresses]
    sent = [
        (address, key) for address, (problem, key) in zip(addresses, in_sql, strict=True) if problem is None
    ]
    assert [key for _, key in sent] == [subscriber_hash(address) for address, _ in sent]
