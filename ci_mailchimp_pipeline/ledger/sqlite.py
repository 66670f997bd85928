"""What only SQLite needs: files, pragmas, where transactions begin, and what its errors mean."""

import logging
import os
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, PoolProxiedConnection, QueuePool, Select, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPICursor

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.ledger.database import Rows, Statements
from ci_mailchimp_pipeline.ledger.statements import PARAMETER, SQL

BUSY_SECONDS = 30.0  # a commit takes milliseconds and a bulk write seconds; nobody waits longer than this
LOGGING_NAME = "ci_mailchimp_pipeline"
CACHE_KIB = 16_384  # pages kept in memory by a connection; batches in hash order need no more

_SQL = {name: PARAMETER.sub("?", sql) for name, sql in SQL.items()}
_PRAGMAS = (
    "PRAGMA synchronous = FULL",  # an acknowledged batch survives power loss
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",  # deleted addresses are overwritten with zeros
    f"PRAGMA cache_size = -{CACHE_KIB}",
)


@dataclass(frozen=True, slots=True)
class Sqlite:
    """A ledger in a file, or, without one, in memory until its engine is closed."""

    file: Path | None

    @property
    def statements(self) -> Statements:
        """One execution for each row: the driver's own loop costs next to nothing."""
        return RowByRow()

    @property
    def present(self) -> bool:
        """Whether the file is there.

        Raises:
            FixConfigError: This user may not look into its folder.
        """
        try:
            return self.file is None or self.file.exists()
        except OSError:
            raise self._not_writable() from None

    def engine(self, *, read_only: bool) -> Engine:
        """Return an engine over the file; unless *read_only*, file (0600) and folder (0700) are created.

        Raises:
            FixConfigError: The file or its folder cannot be written. Reading needs that as well: beside the
                file SQLite keeps the log through which readers and a running writer see each other.
        """
        if self.file is None:
            url = make_url(f"sqlite:///file:ledger-{uuid4().hex}?mode=memory&cache=shared&uri=true")
            return _engine(url, read_only=False)
        try:
            if not read_only:
                self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.file, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
                self.file.chmod(0o600)  # SQLite gives -wal and -shm the mode of the file itself
            writable = os.access(self.file, os.R_OK | os.W_OK) and os.access(
                self.file.parent, os.W_OK | os.X_OK
            )
        except OSError:
            writable = False
        if not writable:
            raise self._not_writable()
        return _engine(URL.create("sqlite", database=str(self.file)), read_only=read_only)

    def meaning(self, error: BaseException) -> PipelineError | None:
        """Return what *error* means to a person; None when it can only be a bug of ours."""
        # The low byte is the class of the error, the rest its detail: https://www.sqlite.org/rescode.html
        match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return self._busy()
            case sqlite3.SQLITE_FULL:
                return RunLaterError(
                    "ledger_disk_full",
                    f"no space left for the ledger {self.file}",
                    fix="free disk space, then run again",
                )
            case sqlite3.SQLITE_IOERR:
                return RunLaterError(
                    "ledger_io_error",
                    f"the disk under the ledger {self.file} did not read or write",
                    fix="check the disk; the ledger must lie on a local one (no network share), then run again",
                )
            case (
                sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH
            ):
                return self._not_writable()
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
                return FixConfigError(
                    "ledger_damaged",
                    f"the ledger {self.file} is damaged or not a ledger",
                    fix="restore it from a backup; or move it away to begin with an empty one, for which "
                    "everybody who is in an audience was there before us",
                )
            case _:
                return None

    def cursor(self, connection: Connection, query: Select[Any]) -> DBAPICursor:
        """Return a cursor that fetches from the file as it goes."""
        return connection.execute(query).cursor

    def now(self, _connection: Connection) -> float:
        """Return this machine's time: whoever opens the file is on this machine."""
        return time.time()

    def lock_schema(self, connection: Connection) -> None:
        """A transaction that writes has the whole file to itself already."""

    def clean(self, connection: PoolProxiedConnection) -> None:
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
            raise self._busy()

    def _busy(self) -> RunLaterError:
        return RunLaterError(
            "ledger_busy",
            f"the ledger {self.file} was locked for {BUSY_SECONDS:.0f} s",
            fix="wait for the other program that has it open (a run, a backup), then run again",
        )

    def _not_writable(self) -> FixConfigError:
        return FixConfigError(
            "ledger_not_writable",
            f"the ledger {self.file} or its folder cannot be written",
            fix="run as the user who owns it, or set CI_MAILCHIMP_HOME to a folder of your own",
        )


class RowByRow:
    """The statements with SQLite's own parameters."""

    def run(self, connection: Connection, name: str, rows: Rows) -> None:
        """Execute the statement called *name* once for each of *rows*."""
        if rows:
            connection.exec_driver_sql(_SQL[name], rows)

    def finds(self, connection: Connection, name: str, row: tuple[Any, ...]) -> bool:
        """Return whether the query called *name* has a result."""
        return connection.exec_driver_sql(_SQL[name], row).first() is not None


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
