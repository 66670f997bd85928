"""Open the ledger where the environment says it lives: a new one, an old one, or an empty one for readers."""

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.ledger.database import Backend, Database
from ci_mailchimp_pipeline.ledger.migrations import (
    NEWEST,
    check_forgotten,
    check_version,
    migrate,
    read_version,
)
from ci_mailchimp_pipeline.ledger.postgresql import DRIVER, Postgresql
from ci_mailchimp_pipeline.ledger.records import Clock
from ci_mailchimp_pipeline.ledger.sqlite import Sqlite
from ci_mailchimp_pipeline.ledger.store import Ledger
from ci_mailchimp_pipeline.process import this_process

FILE_NAME = "ledger.sqlite"


def open_ledger(
    home: Path, url: str | None = None, *, read_only: bool = False, clock: Clock | None = None
) -> Ledger:
    """Open the ledger at *url*, else ``ledger.sqlite`` in *home*; it is created, or brought up to date.

    Args:
        home: The state folder; created (0700) when something has to be written to it.
        url: A database URL instead: ``sqlite:///PATH`` or ``postgresql://…``.
        read_only: Write nothing: a ledger that is not there is an empty one in memory, and one of an earlier
            version is read as it is.
        clock: Seconds since 1970, instead of this machine's clock and the database's.

    Raises:
        FixConfigError: The URL is of no known kind, or lacks its driver; the ledger cannot be written, is
            damaged, no ledger, or newer than this program.
        RunLaterError: It is locked by another program, out of reach, or its disk is full.
    """
    backend = backend_of(home, url)
    if read_only and not backend.present:
        return _empty(clock)
    database = Database(backend, read_only=read_only)
    try:
        with database.read() as connection:
            version = database.version = read_version(connection)
        if version == 0 and read_only:
            database.close()
            return _empty(clock)
        check_version(version, NEWEST)
        if version != NEWEST and not read_only:
            with database.write() as connection:
                backend.lock_schema(connection)
                database.version = migrate(connection)
    except BaseException:
        database.close()
        raise
    return Ledger(database, clock)


def change_version(home: Path, url: str | None, *, to: int, although_forgotten: bool = False) -> None:
    """Bring the ledger to version *to*, an earlier one too; no run is in progress meanwhile, and no row is lost.

    Raises:
        FixConfigError, RunLaterError: As ``open_ledger``; ``audience_busy``, a run is in progress.
        SafetyStopError: ``ledger_remembers``, the version knows nothing of people who were erased, unless
            *although_forgotten*.
    """
    backend = backend_of(home, url)
    with open_ledger(home, url) as ledger, ledger.leases(this_process()) as leases:
        database = Database(backend)
        try:
            with database.write() as connection:
                for lease in leases:
                    lease.guard(connection)
                backend.lock_schema(connection)
                if not although_forgotten:
                    check_forgotten(connection, to)
                migrate(connection, to=to)
        finally:
            database.close()


def backend_of(home: Path, url: str | None) -> Backend:
    """Return where the ledger lives; nothing is opened.

    Raises:
        FixConfigError: ``unknown_ledger``.
    """
    if not url:
        return Sqlite(home / FILE_NAME)
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        parsed = URL.create("unknown")
    if parsed.drivername in ("postgresql", DRIVER):
        return Postgresql(parsed)
    if parsed.drivername == "sqlite" and parsed.database not in (None, "", ":memory:") and not parsed.query:
        return Sqlite(Path(str(parsed.database)))
    raise FixConfigError(  # the URL is not repeated: it may hold a password
        "unknown_ledger",
        "the ledger's URL is none that this program knows",
        fix="set CI_MAILCHIMP_LEDGER to sqlite:////absolute/path/ledger.sqlite or to "
        "postgresql://USER:PASSWORD@HOST/DATABASE, or unset it",
    )


def _empty(clock: Clock | None) -> Ledger:
    database = Database(Sqlite(None))
    with database.write() as connection:
        database.version = migrate(connection)
    database.read_only = True
    return Ledger(database, clock)
