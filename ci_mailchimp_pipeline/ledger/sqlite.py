"""What only SQLite needs: files, pragmas, where transactions begin, and what its errors mean."""

import logging
import os
import sqlite3
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError

BUSY_SECONDS = 30.0  # a commit takes milliseconds and a bulk write seconds; nobody waits longer than this
LOGGING_NAME = "ci_mailchimp_pipeline"
CACHE_KIB = 16_384  # pages kept in memory by a connection; batches in hash order need no more

_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # an acknowledged batch survives power loss
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # deleted addresses are overwritten with zeros
    f"PRAGMA cache_size = -{CACHE_KIB}",
)


def present(file: Path) -> bool:
    """Return whether *file* is there.

    Raises:
        FixConfigError: This user may not look into its folder.
    """
    try:
        return file.exists()
    except OSError:
        raise _not_writable(file) from None


def open_file(file: Path, *, read_only: bool) -> Engine:
    """Return an engine over *file*; unless *read_only*, file (0600) and folder (0700) are created.

    Raises:
        FixConfigError: The file or its folder cannot be written. Reading needs that as well: beside the file
            SQLite keeps the log through which readers and a running writer see each other.
    """
    try:
        if not read_only:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
            file.chmod(0o600)  # SQLite gives -wal and -shm the mode of the file itself
        writable = os.access(file, os.R_OK | os.W_OK) and os.access(file.parent, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        raise _not_writable(file)
    return _engine(URL.create("sqlite", database=str(file)), read_only=read_only)


def open_memory() -> Engine:
    """Return an engine over a database of its own in memory, gone with the engine."""
    url = f"sqlite:///file:ledger-{uuid4().hex}?mode=memory&cache=shared&uri=true"
    return _engine(make_url(url), read_only=False)


def meaning(error: BaseException | None, *, file: Path | None) -> PipelineError | None:
    """Return what *error* means to a person; None when it can only be a bug of ours."""
    # The low byte is the class of the error, the rest its detail: https://www.sqlite.org/rescode.html
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return _busy(file)
        case sqlite3.SQLITE_FULL:
            return RunLaterError(
                "ledger_disk_full",
                f"no space left for the ledger {file}",
                fix="free disk space, then run again",
            )
        case sqlite3.SQLITE_IOERR:
            return RunLaterError(
                "ledger_io_error",
                f"the disk under the ledger {file} did not read or write",
                fix="check the disk; the ledger must lie on a local one (no network share), then run again",
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return _not_writable(file)
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return FixConfigError(
                "ledger_damaged",
                f"the ledger {file} is damaged or not a ledger",
                fix="restore it from a backup; or move it away to begin with an empty one, for which "
                "everybody who is in an audience was there before us",
            )
        case _:
            return None


def clean(connection: DBAPIConnection, *, file: Path | None) -> None:
    """Write the database anew and empty its log, so that no file of it holds anything that was deleted.

    Deleting overwrites a row where it is; copies that SQLite left when it moved rows between pages stay.

    Raises:
        RunLaterError: ``ledger_busy``, somebody was reading for too long.
    """
    cursor = connection.cursor()
    cursor.execute("VACUUM")
    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    busy, *_ = cursor.fetchone() or (0,)
    cursor.close()
    if busy:
        raise _busy(file)


def _busy(file: Path | None) -> RunLaterError:
    return RunLaterError(
        "ledger_busy",
        f"the ledger {file} was locked for {BUSY_SECONDS:.0f} s",
        fix="wait for the other program that has it open (a run, a backup), then run again",
    )


def _not_writable(file: Path | None) -> FixConfigError:
    return FixConfigError(
        "ledger_not_writable",
        f"the ledger {file} or its folder cannot be written",
        fix="run as the user who owns it, or set CI_MAILCHIMP_HOME to a folder of your own",
    )


def _engine(url: URL, *, read_only: bool) -> Engine:
    engine = create_engine(
        url,
        poolclass=QueuePool,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
        hide_parameters=True,  # they are addresses, and exceptions are stored for ever
        logging_name=LOGGING_NAME,
    )
    # At DEBUG, which a user may set for everything, it would print the rows that it reads.
    logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGING_NAME}").setLevel(logging.WARNING)

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            # Kept in the file; readers do not wait for the writer.
            connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A writer locks at once: a reader that turns writer later fails instead of waiting its turn.
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine
