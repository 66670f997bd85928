"""Ledgers of earlier versions: brought up to date whole, or left as they were; and back again."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import yaml
from sqlalchemy import MetaData, select, text

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError, SafetyStopError
from ci_mailchimp_pipeline.ledger import ForgottenRow, open_ledger
from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.migrations import STEPS, Step, migrate, read_version
from ci_mailchimp_pipeline.ledger.opening import backend_of, change_version

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
INSERT INTO member VALUES (1, x'ffeeddccbbaa99887766554433221100', 'ben@contoso-mail.internal', 'C2', 'suppressed',
    'unsubscribed', 0, NULL, 6.5);
INSERT INTO hold VALUES (1, 'vip', x'00112233445566778899aabbccddeeff', '["A","B"]', x'01', 'CITY');
INSERT INTO refusal VALUES (1, 'vip', x'ffeeddccbbaa99887766554433221100', 'C2', 'temporary', 'busy', NULL, x'02', 3,
    9.0);
INSERT INTO tag VALUES (1, 'a', 'A', 2.0);
INSERT INTO foreign_tag VALUES (1, 'a', x'ffeeddccbbaa99887766554433221100');
INSERT INTO lease VALUES (1, '', 7, 5.0, 5.0);
INSERT INTO run VALUES ('r1', 'vip', 1, 'newsletter', 'failed', 0, NULL, 'sensor', 'd', 1.0, 2.0, 1.5, 1, NULL, '');
"""


IN_POSTGRESQL = (
    ("id INTEGER NOT NULL", "id SERIAL NOT NULL"),
    ("BLOB", "BYTEA"),
    ("FLOAT", "DOUBLE PRECISION"),
    (" WITHOUT ROWID", ""),
    ("x'", "'\\x"),
    *(
        (f"{key} TEXT NOT NULL", f'{key} TEXT COLLATE "C" NOT NULL')
        for key in ("export", "tag_key", "run_id")
    ),
)


@pytest.fixture
def version_1(home, new_url):
    """Home and URL of a ledger as version 1 left it."""
    script = VERSION_1
    if new_url is None:
        home.mkdir()
        with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
            database.executescript(script)
    else:
        for ours, theirs in IN_POSTGRESQL:
            script = script.replace(ours, theirs)
        with psycopg.connect(new_url, autocommit=True) as database:
            database.execute(script)
            database.execute("SELECT setval('audience_id_seq', 1)")
    return home, new_url


@pytest.fixture
def database(version_1):
    """The version 1 ledger behind its own door."""
    opened = Database(backend_of(*version_1))
    yield opened
    opened.close()


def layout(home, url):
    """Every table's columns (name, type, obligatory, place in the key), indexes and kind of storage."""
    if url is not None:
        with psycopg.connect(url) as database:
            columns = database.execute(
                "SELECT table_name, column_name, data_type, is_nullable, collation_name, column_default IS NULL"
                " FROM information_schema.columns WHERE table_schema = current_schema ORDER BY 1, 2"
            ).fetchall()
            indexes = database.execute(
                "SELECT tablename, replace(indexdef, schemaname, '') FROM pg_indexes"
                " WHERE schemaname = current_schema ORDER BY 1, 2"
            ).fetchall()
            return columns, indexes
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


def rows(home, url):
    """Every row of every table of the ledger but its version, whatever version it has."""
    opened = Database(backend_of(home, url))
    with opened.read() as connection:
        metadata = MetaData()
        metadata.reflect(connection)
        found = {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in metadata.sorted_tables
            if table.name != "schema_version"
        }
    opened.close()
    return found


def version(home, url):
    """The number in the ledger."""
    opened = Database(backend_of(home, url))
    with opened.read() as connection:
        number = read_version(connection)
    opened.close()
    return number


def test_version_1_keeps_everything(version_1, read, people, clock):
    """Members, holds, fences and open ends of a version 1 ledger are there, and it takes new records."""
    before = rows(*version_1)

    with open_ledger(*version_1, clock=clock) as ledger:
        assert rows(*version_1) == before | {"forgotten": []}
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        assert ledger.unfinished_writing(audience, "vip") == 1.5
        with ledger.lease(audience, "host:1") as lease:
            assert lease.fence == 8
            ledger.record(lease, [people.acknowledged(1)], export="vip")
        assert ledger.held(audience, "vip") == 2
        assert ["A", "B"] in [hold["tags"] for hold in read(ledger, audience, "holds")]
        assert ledger.audience("account-2", "a1b2c3d4e5") == 2


def test_a_migrated_ledger_looks_like_a_new_one(version_1, request, tmp_path):
    """However old a ledger is, it ends with the tables of a new one; a changed schema without a step fails here."""
    home, url = version_1
    new = tmp_path / "new", None
    if url is not None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS as_new")
        new = tmp_path / "new", url.rpartition("%3D")[0] + "%3Das_new"
    open_ledger(home, url).close()
    open_ledger(*new).close()

    assert layout(home, url) == layout(*new)


def test_a_reader_reads_an_earlier_version_as_it_is(version_1, read):
    """Planning after an upgrade, before the first run, works, changes nothing, and remembers nobody forgotten."""
    with open_ledger(*version_1, read_only=True) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        assert [row["customer_id"] for row in read(ledger, audience, "members")] == ["C1", "C2"]
        assert read(ledger, audience, "forgotten") == []
        assert ledger.forgotten_keys() == frozenset()

    assert version(*version_1) == 1
    assert "forgotten" not in rows(*version_1)


def test_back_and_up_again_every_row_is_there(version_1):
    """Whoever returns to version 1 and comes back later has lost nothing, not even who was forgotten."""
    with open_ledger(*version_1) as ledger:
        ledger.remember_forgotten(
            [ForgottenRow(kind="address", digest=b"d" * 32, key_id="k1", forgotten_at=7.0)]
        )
    before = rows(*version_1)

    change_version(*version_1, to=1, although_forgotten=True)
    assert version(*version_1) == 1
    open_ledger(*version_1).close()

    after = rows(*version_1)
    assert version(*version_1) == len(STEPS) + 1
    assert after | {"lease": []} == before | {"lease": []}  # going back held it: its fence has grown


def test_no_version_goes_back_that_would_send_the_erased_again(version_1):
    """An earlier program takes no notice of the forgotten, so going back to it needs a word from a person."""
    with open_ledger(*version_1) as ledger:
        ledger.remember_forgotten(
            [ForgottenRow(kind="customer", digest=b"d" * 32, key_id="k1", forgotten_at=7.0)]
        )

    with pytest.raises(SafetyStopError) as caught:
        change_version(*version_1, to=1)

    assert caught.value.code == "ledger_remembers"
    assert "1 digests" in caught.value.message
    assert "--although-forgotten" in caught.value.fix
    assert version(*version_1) == len(STEPS) + 1


def test_nothing_goes_back_under_a_run(version_1):
    """A run in progress keeps its version."""
    with open_ledger(*version_1) as ledger, ledger.lease(1, "host:1"), pytest.raises(RunLaterError) as caught:
        change_version(*version_1, to=1)

    assert caught.value.code == "audience_busy"
    assert version(*version_1) == len(STEPS) + 1


def test_the_way_back_is_a_command(tmp_path, mailchimp_emulator):
    """``python -m ci_mailchimp_pipeline.ledger --to 1`` finds the ledger of exports.yaml and says what it did."""
    home = tmp_path / ".ci_mailchimp"
    document = {"version": 1, "source": {"type": "files", "profiles": "p.csv", "membership": "m.csv"}}
    (tmp_path / "exports.yaml").write_text(
        yaml.safe_dump({**document, "connections": {}, "exports": {}}), encoding="utf-8"
    )
    open_ledger(home).close()

    def go(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "ci_mailchimp_pipeline.ledger", *arguments, "--config", tmp_path / "exports.yaml"],
            capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2],
        )  # fmt: skip

    done = go("--to", "1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the ledger has version 1\n", "")
    assert version(home, None) == 1

    (home / "ledger.sqlite").write_bytes(b"no database at all" * 100)
    done = go()
    assert done.returncode == 2
    assert done.stderr.count("fix:") == 1
    assert "Traceback" not in done.stderr


def test_a_newer_ledger_says_both_numbers(version_1):
    """A ledger that a later program migrated is left alone, whether to be read, written or taken back."""
    opened = Database(backend_of(*version_1))
    with opened.write() as connection:
        connection.execute(text("UPDATE schema_version SET version = 42"))
    opened.close()

    for attempt in (
        lambda: open_ledger(*version_1),
        lambda: open_ledger(*version_1, read_only=True),
        lambda: change_version(*version_1, to=1),
    ):
        with pytest.raises(FixConfigError) as caught:
            attempt()
        assert caught.value.code == "ledger_too_new"
        assert "version 42" in caught.value.message
        assert f"up to {len(STEPS) + 1}" in caught.value.message

    assert version(*version_1) == 42


COLOUR = Step(
    up=lambda connection: connection.execute(text("ALTER TABLE tag ADD COLUMN colour TEXT")),
    down=lambda connection: connection.execute(text("ALTER TABLE tag DROP COLUMN colour")),
)
RED = Step(
    up=lambda connection: connection.execute(text("UPDATE tag SET colour = 'red'")),
    down=lambda connection: connection.execute(text("UPDATE tag SET colour = NULL")),
)


def test_steps_are_taken_once_and_in_order(database):
    """A ledger goes from its version to the newest through every step between, and not twice."""
    with database.write() as connection:
        migrate(connection, [COLOUR])
        assert read_version(connection) == 2
        migrate(connection, [COLOUR, RED])
        assert read_version(connection) == 3
        migrate(connection, [COLOUR, RED])
        assert connection.execute(text("SELECT colour FROM tag")).scalars().all() == ["red"]


def test_steps_back_are_taken_in_the_opposite_order(database):
    """The last step is taken back first; up again, it is as it was."""
    with database.write() as connection:
        migrate(connection, [COLOUR, RED])
        migrate(connection, [COLOUR, RED], to=1)
        assert read_version(connection) == 1
        migrate(connection, [COLOUR, RED], to=2)
        assert connection.execute(text("SELECT colour FROM tag")).scalars().all() == [None]


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_step_that_fails_leaves_the_old_version(database, way):
    """Changed tables, changed rows and the version stand or fall together, up and down."""

    def broken(connection):
        raise KeyboardInterrupt

    steps = [COLOUR, Step(up=broken if way == "up" else RED.up, down=broken)]
    with database.write() as connection:
        migrate(connection, steps, to=1 if way == "up" else 3)

    with pytest.raises(KeyboardInterrupt), database.write() as connection:
        migrate(connection, steps, to=3 if way == "up" else 1)

    with database.write() as connection:
        assert read_version(connection) == (1 if way == "up" else 3)
        (COLOUR.up if way == "up" else COLOUR.down)(connection)  # fails had it been done already
