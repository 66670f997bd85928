"""The bulk door: types, order, blocks, one moment, private files."""

import os
import stat
import threading
from dataclasses import fields

import duckdb
import polars as pl

from ci_mailchimp_pipeline.ledger import LedgerFiles, bulk

COLUMNS = {
    "members": "subscriber_hash BLOB, address VARCHAR, customer_id VARCHAR, state VARCHAR, reason VARCHAR, "
    "created_by_us BIGINT, archived_at DOUBLE, changed_at DOUBLE",
    "holds": "export VARCHAR, subscriber_hash BLOB, tags VARCHAR[], fingerprint BLOB, filled VARCHAR",
    "refusals": "export VARCHAR, subscriber_hash BLOB, customer_id VARCHAR, kind VARCHAR, code VARCHAR, "
    "field VARCHAR, fingerprint BLOB, attempts BIGINT, retry_at DOUBLE",
    "tags": "tag_key VARCHAR, name VARCHAR, adopted_at DOUBLE",
    "foreign_tags": "tag_key VARCHAR, subscriber_hash BLOB",
    "forgotten": "kind VARCHAR, digest BLOB, key_id VARCHAR",
}


def columns_of(file):
    """Names and types, as DuckDB reads them."""
    with duckdb.connect() as connection:
        found = connection.execute(f"DESCRIBE SELECT * FROM read_parquet('{file}')").fetchall()
    return ", ".join(f"{name} {kind}" for name, kind, *_ in found)


def test_columns_have_their_types_without_and_with_rows(ledger, audience, lease, people, tmp_path):
    """The plan finds the same columns and types whether a relation is empty or not."""
    files = ledger.export_state(audience, tmp_path / "empty")
    assert {field.name: columns_of(getattr(files, field.name)) for field in fields(LedgerFiles)} == COLUMNS

    ledger.record(lease, [people.acknowledged(1)], export="vip")
    ledger.adopt_tag(lease, "Newsletter", [[people.hash(2)]])

    files = ledger.export_state(audience, tmp_path / "full")
    assert {field.name: columns_of(getattr(files, field.name)) for field in fields(LedgerFiles)} == COLUMNS


def test_tags_survive_any_text(ledger, audience, lease, people, read):
    """Commas, quotes, brackets, backslashes and other scripts come back as they went in."""
    tags = ("", '"', "a,b", "[x]", "\\", "Ünï", "日本", "\t")
    ledger.record(lease, [people.acknowledged(1, tags=tags)], export="vip")

    assert read(ledger, audience, "holds")[0]["tags"] == sorted(tags)


def test_more_than_a_block_arrives_in_hash_order(ledger, audience, lease, people, tmp_path):
    """Rows beyond the first block are there, all of them, in the order of their hashes."""
    count = bulk.BLOCK + 1
    ledger.record(lease, [people.acknowledged(number) for number in range(count)], export="vip")

    files = ledger.export_state(audience, tmp_path / "out")

    expected = sorted(people.hash(number) for number in range(count))
    assert pl.read_parquet(files.members)["subscriber_hash"].to_list() == expected
    assert pl.read_parquet(files.holds)["subscriber_hash"].to_list() == expected


def test_the_files_show_one_moment(ledger, audience, lease, people, tmp_path):
    """While batches are recorded, every member in the files has its hold in them, and the other way round."""
    stop = threading.Event()
    begun = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            ledger.record(lease, [people.acknowledged(number + offset) for offset in range(20)], export="vip")
            number += 20
            begun.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert begun.wait(30)
        for turn in range(8):
            files = ledger.export_state(audience, tmp_path / str(turn))
            members = pl.read_parquet(files.members)["subscriber_hash"].to_list()
            assert members == pl.read_parquet(files.holds)["subscriber_hash"].to_list()
            assert len(members) % 20 == 0
    finally:
        stop.set()
        writer.join()


def test_the_files_are_private_and_replaced(ledger, audience, lease, people, tmp_path):
    """Folder 0700 and files 0600, because they hold addresses; a second export replaces the first."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    into = tmp_path / "out"
    before = os.umask(0)
    try:
        ledger.export_state(audience, into)
        ledger.record(lease, [people.acknowledged(2)], export="vip")
        files = ledger.export_state(audience, into)
    finally:
        os.umask(before)

    assert stat.S_IMODE(into.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in into.iterdir()} == {0o600}
    assert len(list(into.iterdir())) == len(fields(LedgerFiles))
    assert pl.read_parquet(files.members).height == 2
