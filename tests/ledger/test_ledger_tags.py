"""Adopting a tag: whose it was before us, once and for all."""

import sys

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.ledger import tags
from ci_mailchimp_pipeline.ledger.statements import tag_key


def test_an_adopted_tag_remembers_whom_it_belonged_to(ledger, lease, people, read, clock):
    """Name, time and earlier carriers of all pages are kept, each carrier once."""
    pages = [[people.hash(1), people.hash(2)], [], [people.hash(2)]]

    ledger.adopt_tag(lease, "Straße VIP", pages)

    assert read(ledger, lease.audience, "tags") == [
        {"tag_key": "straße vip", "name": "Straße VIP", "adopted_at": clock.now}
    ]
    assert read(ledger, lease.audience, "foreign_tags") == [
        {"tag_key": "straße vip", "subscriber_hash": key} for key in sorted((people.hash(1), people.hash(2)))
    ]
    assert ledger.adopted_tags(lease.audience) == {"straße vip"}


def test_a_tag_is_adopted_once_in_any_spelling(ledger, lease, people, read):
    """Later carriers are ours: a second adoption changes nothing and does not even fetch them."""

    def never():
        raise AssertionError
        yield

    ledger.adopt_tag(lease, "Newsletter", [[people.hash(1)]])
    before = [read(ledger, lease.audience, name) for name in ("tags", "foreign_tags")]

    ledger.adopt_tag(lease, "NEWSLETTER", never())

    assert [read(ledger, lease.audience, name) for name in ("tags", "foreign_tags")] == before


def test_pages_that_fail_adopt_nothing(ledger, lease, people, read):
    """If Mailchimp stops answering in between, the tag is not adopted with half of its carriers."""

    def pages():
        yield [people.hash(1)]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        ledger.adopt_tag(lease, "Newsletter", pages())

    assert read(ledger, lease.audience, "tags") == []
    assert read(ledger, lease.audience, "foreign_tags") == []


def test_whoever_adopts_first_is_right(ledger, lease, people, read):
    """If the tag is adopted by somebody else while its carriers are being fetched, theirs stand."""

    def pages():
        ledger.adopt_tag(lease, "newsletter", [[people.hash(1)]])
        yield [people.hash(1), people.hash(2)]

    ledger.adopt_tag(lease, "Newsletter", pages())

    assert [row["name"] for row in read(ledger, lease.audience, "tags")] == ["newsletter"]
    assert [row["subscriber_hash"] for row in read(ledger, lease.audience, "foreign_tags")] == [
        people.hash(1)
    ]


def test_fetching_pages_holds_up_nobody(ledger, lease, people):
    """While carriers are being fetched, batches of other threads are recorded."""

    def pages():
        ledger.record(lease, [people.acknowledged(1)], export="vip")
        yield [people.hash(2)]

    ledger.adopt_tag(lease, "Newsletter", pages())

    assert ledger.held(lease.audience, "vip") == 1


def test_a_tag_of_many_people_arrives_whole(ledger, lease, people, read):
    """More carriers than one block of the writer are all there."""
    count = tags.BLOCK + 1

    ledger.adopt_tag(lease, "Newsletter", ([people.hash(number)] for number in range(count)))

    assert len(read(ledger, lease.audience, "foreign_tags")) == count


def test_every_letter_is_lowered_as_the_plan_lowers_it():
    """The ledger's key of a tag and DuckDB's ``lower``, with which the plan compares, agree on all of Unicode."""
    letters = "code NOT BETWEEN 55296 AND 57343"  # surrogates are none
    query = (
        f"SELECT code, lower(chr(code::INTEGER)) FROM range(1, {sys.maxunicode + 1}) r(code) WHERE {letters}"
    )
    with duckdb.connect() as connection:
        lowered = connection.execute(query).fetchall()

    assert len(lowered) == sys.maxunicode - 2048
    assert [code for code, lower in lowered if tag_key(chr(code)) != lower] == []


@pytest.fixture(scope="module")
def engine():
    """DuckDB, as the plan uses it."""
    with duckdb.connect() as connection:
        yield connection


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))
def test_every_name_is_lowered_letter_by_letter(engine, name):
    """Neighbours do not matter: the key of a text is the keys of its letters."""
    assert engine.execute("SELECT lower(?)", [name]).fetchall() == [(tag_key(name),)]
