"""Opening: private files, nothing created by readers, and every broken state explained."""

import hashlib
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.ledger import RunRow, open_ledger, sqlite


def mode(path):
    """The permission bits of *path*."""
    return stat.S_IMODE(path.stat().st_mode)


def content(folder):
    """Every file below *folder* with a digest of what is in it."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_all_files_are_private_while_open_and_after(home, people):
    """Folder 0700; ledger, log and shared memory 0600; closed, the ledger alone is left."""
    with open_ledger(home) as ledger, ledger.lease(ledger.audience("a", "b"), "host:1") as lease:
        ledger.record(lease, [people.acknowledged(1)], export="vip")
        files = {path.name: mode(path) for path in home.iterdir()}

    assert mode(home) == 0o700
    assert files == dict.fromkeys(("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 384)
    assert [path.name for path in home.iterdir()] == ["ledger.sqlite"]


def test_a_ledger_that_others_could_read_is_closed_to_them(home):
    """Permissions that a copy or a restore has widened are narrowed when the ledger is opened to write."""
    open_ledger(home).close()
    (home / "ledger.sqlite").chmod(0o644)

    open_ledger(home).close()

    assert mode(home / "ledger.sqlite") == 0o600


def test_a_reader_creates_nothing(home, tmp_path):
    """Planning before the first run finds an empty ledger and leaves no trace on disk."""
    with open_ledger(home, read_only=True) as ledger:
        assert ledger.audience("account-1", "a1b2c3d4e5") == 0
        assert ledger.held(0, "vip") == 0
        assert ledger.unfinished_writing(0, "vip") is None
        assert ledger.last_run("vip") is None
        ledger.export_state(0, tmp_path / "out")

    assert not home.exists()


def test_an_empty_file_reads_as_an_empty_ledger(home):
    """A file that was created and never filled (a crash) is no error and is not filled by a reader."""
    home.mkdir()
    (home / "ledger.sqlite").touch()

    with open_ledger(home, read_only=True) as ledger:
        assert ledger.runs() == []

    assert (home / "ledger.sqlite").stat().st_size == 0


def test_a_reader_leaves_the_folder_as_it_was(home, tmp_path, people):
    """Reading a ledger changes no file, not even its time."""
    with open_ledger(home) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        with ledger.lease(audience, "host:1") as lease:
            ledger.record(lease, [people.acknowledged(1)], export="vip")
    before = content(home)

    with open_ledger(home, read_only=True) as ledger:
        assert ledger.audience("account-1", "a1b2c3d4e5") == audience
        assert ledger.audience("account-1", "unknown") == 0
        assert ledger.held(audience, "vip") == 1
        ledger.export_state(audience, tmp_path / "out")

    assert content(home) == before


@pytest.mark.parametrize("present", [True, False])
def test_a_reader_cannot_write(home, present):
    """A dry run that tried to record something is stopped before the database is asked."""
    if present:
        open_ledger(home).close()
    row = RunRow(run_id="r", export="vip", connection="n", trigger="t", config_digest="d", started_at=1.0)

    with open_ledger(home, read_only=True) as ledger, pytest.raises(PipelineError) as caught:
        ledger.start_run(row)

    assert caught.value.code == "ledger_read_only"


def test_a_reader_beside_a_writer_sees_what_was_committed(open_it, ledger, audience, lease, people):
    """Nobody waits: a second program reads while a run holds the audience."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")

    with open_it(read_only=True) as reader:
        assert reader.held(audience, "vip") == 1


@pytest.mark.parametrize("read_only", [True, False])
def test_a_newer_ledger_says_both_numbers(home, read_only):
    """A ledger that a later program migrated is left alone, and the message says which program is needed."""
    open_ledger(home).close()
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        database.execute("UPDATE schema_version SET version = 42")
        database.commit()
    before = content(home)

    with pytest.raises(FixConfigError) as caught:
        open_ledger(home, read_only=read_only)

    assert caught.value.code == "ledger_too_new"
    assert "version 42" in caught.value.message
    assert "up to 2" in caught.value.message
    assert caught.value.fix
    assert content(home) == before


def test_another_programs_database_is_not_touched(home):
    """A database with other tables is refused instead of being filled with ours."""
    home.mkdir()
    with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
        database.execute("CREATE TABLE theirs (x)")

    with pytest.raises(FixConfigError) as caught:
        open_ledger(home)

    assert caught.value.code == "not_a_ledger"
    assert "CI_MAILCHIMP_LEDGER" in caught.value.fix


@pytest.mark.parametrize("read_only", [True, False])
def test_a_file_that_is_no_database_is_explained(home, read_only):
    """Garbage where the ledger should be names the file and the way out."""
    home.mkdir()
    (home / "ledger.sqlite").write_bytes(b"person1@contoso-mail.internal\n" * 1000)

    with pytest.raises(FixConfigError) as caught:
        open_ledger(home, read_only=read_only)

    assert caught.value.code == "ledger_damaged"
    assert "ledger.sqlite" in caught.value.message
    assert "backup" in caught.value.fix
    assert "contoso" not in str(caught.value)


def test_damage_that_shows_later_is_explained_too(home, people, tmp_path):
    """A ledger whose inner pages were overwritten fails with our error when those pages are read."""
    with open_ledger(home) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        with ledger.lease(audience, "host:1") as lease:
            ledger.record(lease, [people.acknowledged(number) for number in range(2000)], export="vip")
    file = home / "ledger.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) - len(whole) // 2))

    with open_ledger(home) as ledger, pytest.raises(FixConfigError) as caught:
        ledger.export_state(audience, tmp_path / "out")

    assert caught.value.code == "ledger_damaged"


def test_a_folder_that_cannot_exist_is_explained(tmp_path):
    """A state folder below a file fails with what to set instead."""
    (tmp_path / "file").touch()

    with pytest.raises(FixConfigError) as caught:
        open_ledger(tmp_path / "file" / "home")

    assert caught.value.code == "ledger_not_writable"
    assert "CI_MAILCHIMP_HOME" in caught.value.fix


OPENER = """
import os, sys
from pathlib import Path
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import open_ledger
if os.getuid() == 0:  # root may write anywhere: be somebody else
    os.setgid(65534)
    os.setuid(65534)
for home in sys.argv[1:]:
    for read_only in (False, True):
        try:
            open_ledger(Path(home), read_only=read_only).close()
        except PipelineError as error:
            print(error.exit_code, error.code)
        else:
            print("opened")
"""


def test_a_read_only_place_is_explained():
    """Without the right to write, opening fails with a fix, also for readers; never with a traceback."""
    modes = {"folder": (0o555, 0o666), "file": (0o777, 0o444), "closed": (0o000, 0o666)}
    with tempfile.TemporaryDirectory() as base:
        Path(base).chmod(0o755)  # whoever opens them below must get there
        homes = [Path(base) / name for name in modes]
        for home, (folder_mode, file_mode) in zip(homes, modes.values(), strict=True):
            open_ledger(home).close()
            (home / "ledger.sqlite").chmod(file_mode)
            home.chmod(folder_mode)
        try:
            done = subprocess.run(
                [sys.executable, "-c", OPENER, *map(str, homes)],
                capture_output=True,
                cwd=Path(__file__).parents[2],
                check=False,
            )
        finally:
            for home in homes:
                home.chmod(0o700)

    assert (done.stdout, done.stderr) == (b"2 ledger_not_writable\n" * 6, b"")


def test_a_locked_ledger_says_run_later(home, monkeypatch):
    """Another program that holds the file for too long ends in exit 4, not in a hang."""
    open_ledger(home).close()
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.01)
    with (
        open_ledger(home) as ledger,
        closing(sqlite3.connect(home / "ledger.sqlite", isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunLaterError) as caught:
            ledger.audience("account-1", "a1b2c3d4e5")

    assert caught.value.code == "ledger_busy"


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_full_disk_says_run_later_and_loses_nothing(home, ledger, audience, lease, people):
    """A batch that finds no space is not recorded, what was recorded stays, and later batches work again."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    engine = ledger._database._engine

    def small_disk(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1")

    def wide_disk(connection):
        connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")

    event.listen(engine, "begin", small_disk)
    with pytest.raises(RunLaterError) as caught:
        ledger.record(lease, [people.acknowledged(number) for number in range(2, 2000)], export="vip")
    event.remove(engine, "begin", small_disk)
    event.listen(engine, "begin", wide_disk)

    assert caught.value.code == "ledger_disk_full"
    assert ledger.held(audience, "vip") == 1
    ledger.record(lease, [people.acknowledged(2)], export="vip")
    assert ledger.held(audience, "vip") == 2


def test_the_ledger_may_live_elsewhere(home, tmp_path):
    """A SQLite URL names the file; the state folder is not needed then."""
    file = tmp_path / "elsewhere" / "my ledger.db"

    open_ledger(home, f"sqlite:///{file}").close()

    assert mode(file) == 0o600
    assert not home.exists()


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql+psycopg2://ana:s3cret@db/ledger", "unknown_ledger"),
        ("mysql://ana:s3cret@db/ledger", "unknown_ledger"),
        ("s3cret", "unknown_ledger"),
        ("sqlite://", "unknown_ledger"),
        ("sqlite:///:memory:", "unknown_ledger"),
        ("sqlite:///x?s3cret=1", "unknown_ledger"),
        ("sqlite+nothing:///s3cret", "unknown_ledger"),
        ("postgresql://ana:s3cret@db:port/ledger", "unknown_ledger"),
    ],
)
def test_urls_of_other_databases_are_refused_without_repeating_them(home, url, code):
    """What this installation cannot open is said with a fix, and a password in the URL is not repeated."""
    with pytest.raises(FixConfigError) as caught:
        open_ledger(home, url)

    assert caught.value.code == code
    assert "s3cret" not in str(caught.value)
    assert "sqlite:///" in caught.value.fix
    assert not home.exists()


def test_errors_of_ours_are_not_excused():
    """Only what a person can mend becomes an error with a fix; a bug stays a bug."""
    assert sqlite.Sqlite(None).meaning(sqlite3.IntegrityError("x")) is None
    assert sqlite.Sqlite(None).meaning(sqlite3.ProgrammingError("x")) is None
    assert sqlite.Sqlite(None).meaning(ValueError("x")) is None


def test_importing_the_ledger_does_nothing(tmp_path):
    """No file, no environment, no network when the package is imported."""
    code = "import ci_mailchimp_pipeline.ledger, os; print(os.listdir('.'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        cwd=tmp_path,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout == b"[]\n"
