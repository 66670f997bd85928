"""Open the ledger where the environment says it lives: a new one, an old one, or an empty one for readers."""

import time
from functools import partial
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.ledger import sqlite
from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.migrations import NEWEST, check_version, migrate, read_version
from ci_mailchimp_pipeline.ledger.records import Clock
from ci_mailchimp_pipeline.ledger.store import Ledger

FILE_NAME = "ledger.sqlite"


def open_ledger(
    home: Path, url: str | None = None, *, read_only: bool = False, clock: Clock = time.time
) -> Ledger:
    """Open the ledger at *url*, else ``ledger.sqlite`` in *home*; it is created, or brought up to date.

    Args:
        home: The state folder; created (0700) when something has to be written to it.
        url: A database URL instead; only ``sqlite:///PATH`` in this installation.
        read_only: Write nothing: a ledger that is not there is an empty one in memory, and one of an earlier
            version is read as it is.
        clock: Seconds since 1970.

    Raises:
        FixConfigError: The URL is of no known kind; the file cannot be written, is damaged, no ledger, or
            newer than this program.
        RunLaterError: It is locked by another program, or the disk is full.
    """
    file = _file(home, url)
    if read_only and not sqlite.present(file):
        return _empty(clock)
    database = Database(
        sqlite.open_file(file, read_only=read_only),
        partial(sqlite.meaning, file=file),
        partial(sqlite.clean, file=file),
        read_only=read_only,
    )
    try:
        with database.read() as connection:
            version = read_version(connection)
        if version == 0 and read_only:
            database.close()
            return _empty(clock)
        check_version(version, NEWEST)
        if version != NEWEST and not read_only:
            with database.write() as connection:
                migrate(connection)
    except BaseException:
        database.close()
        raise
    return Ledger(database, clock)


def _empty(clock: Clock) -> Ledger:
    database = Database(
        sqlite.open_memory(), partial(sqlite.meaning, file=None), partial(sqlite.clean, file=None)
    )
    with database.write() as connection:
        migrate(connection)
    database.read_only = True
    return Ledger(database, clock)


def _file(home: Path, url: str | None) -> Path:
    if not url:
        return home / FILE_NAME
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        parsed = URL.create("unknown")
    match parsed.drivername.partition("+"):
        case "sqlite", "", _ if parsed.database and parsed.database != ":memory:" and not parsed.query:
            return Path(parsed.database)
        case "postgresql", _, _:
            raise FixConfigError(
                "ledger_needs_extra",
                "the ledger's URL names PostgreSQL: that needs the postgres extra, which is not here yet",
                fix="unset CI_MAILCHIMP_LEDGER, or set it to sqlite:////absolute/path/ledger.sqlite",
            )
        case _:  # the URL is not repeated: it may hold a password
            raise FixConfigError(
                "unknown_ledger",
                "the ledger's URL is none that this program knows",
                fix="set CI_MAILCHIMP_LEDGER to sqlite:////absolute/path/ledger.sqlite, or unset it",
            )
