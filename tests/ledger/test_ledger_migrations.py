"""Ledgers of earlier versions: brought up to date whole, or left as they were."""

import sqlite3
from contextlib import closing
from functools import partial

import pytest
from sqlalchemy import text

from ci_mailchimp_pipeline.ledger import open_ledger, sqlite
from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.migrations import migrate, read_version

# What version 1 looked like on disk. It never changes: files like it are out there.
VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (1);
CREATE TABLE audience (id INTEGER NOT NULL PRIMARY KEY, account_id TEXT NOT NULL, audience_id TEXT NOT NULL,
    UNIQUE (account_id, audience_id));
CREATE TABLE member (audience INTEGER NOT NULL REFERENCES audience (id), subscriber_hash BLOB NOT NULL,
    address TEXT NOT NULL, customer_id TEXT NOT NULL, state TEXT NOT NULL, reason TEXT,
    created_by_us INTEGER NOT NULL, archived_at FLOAT, changed_at FLOAT NOT NULL,
    PRIMARY KEY (audience, subscriber_hash)) WITHOUT ROWID;
CREATE TABLE hold (audience INTEGER NOT NULL REFERENCES audience (id), export TEXT NOT NULL,
    subscriber_hash BLOB NOT NULL, tags TEXT NOT NULL, fingerprint BLOB NOT NULL, filled TEXT NOT NULL,
    PRIMARY KEY (audience, export, subscriber_hash)) WITHOUT ROWID;
CREATE TABLE refusal (audience INTEGER NOT NULL REFERENCES audience (id), export TEXT NOT NULL,
    subscriber_hash BLOB NOT NULL, customer_id TEXT NOT NULL, kind TEXT NOT NULL, code TEXT NOT NULL, field TEXT,
    fingerprint BLOB NOT NULL, attempts INTEGER NOT NULL, retry_at FLOAT,
    PRIMARY KEY (audience, export, subscriber_hash)) WITHOUT ROWID;
CREATE TABLE tag (audience INTEGER NOT NULL REFERENCES audience (id), tag_key TEXT NOT NULL, name TEXT NOT NULL,
    adopted_at FLOAT NOT NULL, PRIMARY KEY (audience, tag_key)) WITHOUT ROWID;
CREATE TABLE foreign_tag (audience INTEGER NOT NULL REFERENCES audience (id), tag_key TEXT NOT NULL,
    subscriber_hash BLOB NOT NULL, PRIMARY KEY (audience, tag_key, subscriber_hash)) WITHOUT ROWID;
CREATE TABLE lease (audience INTEGER NOT NULL PRIMARY KEY REFERENCES audience (id), owner TEXT NOT NULL,
    fence INTEGER NOT NULL, heartbeat FLOAT NOT NULL, expires FLOAT NOT NULL);
CREATE TABLE run (run_id TEXT NOT NULL, export TEXT NOT NULL, audience INTEGER REFERENCES audience (id),
    connection TEXT NOT NULL, status TEXT NOT NULL, dry_run INTEGER NOT NULL, plan_id TEXT,
    "trigger" TEXT NOT NULL, config_digest TEXT NOT NULL, started_at FLOAT NOT NULL, finished_at FLOAT,
    mailchimp_time FLOAT, unsettled INTEGER NOT NULL, members INTEGER, document TEXT NOT NULL,
    PRIMARY KEY (run_id, export));
CREATE INDEX run_by_export ON run (export, started_at);
INSERT INTO audience VALUES (1, 'account-1', 'a1b2c3d4e5');
INSERT INTO member VALUES (1, x'00112233445566778899aabbccddeeff', 'ana@contoso-mail.internal', 'C1', 'active',
    NULL, 1, NULL, 5.0);
INSERT INTO hold VALUES (1, 'vip', x'00112233445566778899aabbccddeeff', '["A","B"]', x'01', 'CITY');
INSERT INTO lease VALUES (1, '', 7, 5.0, 5.0);
INSERT INTO run VALUES ('r1', 'vip', 1, 'newsletter', 'failed', 0, NULL, 'sensor', 'd', 1.0, 2.0, 1.5, 1, NULL, '');
"""


@pytest.fixture
def version_1(home):
    """A ledger as version 1 left it."""
    home.mkdir()
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        database.executescript(VERSION_1)
    return home


def layout(home):
    """Every table's columns (name, type, obligatory, place in the key), indexes and kind of storage."""
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        tables = database.execute("PRAGMA table_list").fetchall()
        return {
            name: (
                without_rowid,
                sorted(row[1:4] + row[5:] for row in database.execute(f"PRAGMA table_info({name})")),
                sorted(row[1] for row in database.execute(f"PRAGMA index_list({name})")),
            )
            for _, name, kind, _, without_rowid, _ in tables
            if kind == "table" and not name.startswith("sqlite_")
        }


def test_version_1_keeps_everything(version_1, read, people, clock):
    """Members, holds, fences and open ends of a version 1 file are there, and it takes new records."""
    with open_ledger(version_1, clock=clock) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        assert ledger.unfinished_writing(audience, "vip") == 1.5
        with ledger.lease(audience, "host:1") as lease:
            assert lease.fence == 8
            ledger.record(lease, [people.acknowledged(1)], export="vip")
        assert ledger.held(audience, "vip") == 2
        assert ["A", "B"] in [hold["tags"] for hold in read(ledger, audience, "holds")]


def test_a_migrated_ledger_looks_like_a_new_one(version_1, tmp_path):
    """However old a file is, it ends with the tables of a new one; a changed schema without a step fails here."""
    open_ledger(version_1).close()
    open_ledger(tmp_path / "new").close()

    assert layout(version_1) == layout(tmp_path / "new")


def test_a_reader_reads_an_earlier_version_as_it_is(version_1, read):
    """Planning after an upgrade, before the first run, works, changes no file, and remembers nobody forgotten."""
    before = (version_1 / "ledger.sqlite").read_bytes()

    with open_ledger(version_1, read_only=True) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        assert [row["customer_id"] for row in read(ledger, audience, "members")] == ["C1"]
        assert read(ledger, audience, "forgotten") == []
        assert ledger.forgotten_keys() == frozenset()

    assert (version_1 / "ledger.sqlite").read_bytes() == before


@pytest.fixture
def database(version_1):
    """The version 1 file behind the ledger's own door."""
    file = version_1 / "ledger.sqlite"
    opened = Database(
        sqlite.open_file(file, read_only=False),
        partial(sqlite.meaning, file=file),
        partial(sqlite.clean, file=file),
    )
    yield opened
    opened.close()


def add_colour(connection):
    """A step that changes a table."""
    connection.execute(text("ALTER TABLE tag ADD COLUMN colour TEXT"))


def colour_all(connection):
    """A step that needs the one before it."""
    connection.execute(text("UPDATE tag SET colour = 'red'"))


def test_steps_are_taken_once_and_in_order(database):
    """A file goes from its version to the newest through every step between, and not twice."""
    with database.write() as connection:
        migrate(connection, [add_colour])
        assert read_version(connection) == 2
        migrate(connection, [add_colour, colour_all])
        assert read_version(connection) == 3
        migrate(connection, [add_colour, colour_all])


def test_a_step_that_fails_leaves_the_old_version(database):
    """Changed tables, changed rows and the version stand or fall together."""

    def broken(connection):
        add_colour(connection)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), database.write() as connection:
        migrate(connection, [broken])

    with database.write() as connection:
        assert read_version(connection) == 1
        add_colour(connection)  # fails if the column were there already
