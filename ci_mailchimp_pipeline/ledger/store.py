"""The ledger: what Mailchimp acknowledged, who may write, and how the runs went."""

import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import func, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.ledger import bulk, runs, sqlite
from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.lease import Lease
from ci_mailchimp_pipeline.ledger.migrations import NEWEST, check_version, migrate, read_version
from ci_mailchimp_pipeline.ledger.records import Clock, LedgerFiles, Record, RunRow, RunStatus
from ci_mailchimp_pipeline.ledger.schema import audience as audiences
from ci_mailchimp_pipeline.ledger.schema import hold, member, tag
from ci_mailchimp_pipeline.ledger.statements import Recorder, tag_key

FILE_NAME = "ledger.sqlite"
HASH_BYTES = 16  # MD5
BLOCK = 50_000  # hashes in one statement call


class Ledger:
    """The ledger, open; made by ``open_ledger``, closed by leaving its ``with`` block. Safe from any thread.

    Every method may raise the errors of its database in our words (``ledger_busy``, ``ledger_disk_full``,
    ``ledger_damaged`` and so on), and the writing ones ``ledger_read_only`` when it was opened so.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what was recorded stays."""
        self._database.close()

    def audience(self, account_id: str, audience_id: str) -> int:
        """Return the ledger's number of an audience, which it gets when it is first asked for.

        A ledger that is open to be read returns 0 for an audience it does not know: one without rows.
        """
        known = select(audiences.c.id).where(
            (audiences.c.account_id == account_id) & (audiences.c.audience_id == audience_id)
        )
        with self._database.read() as connection:
            number: int = connection.execute(known).scalar() or 0
        if number or self._database.read_only:
            return number
        with self._database.write() as connection:
            if connection.execute(known).scalar() is None:  # another process may have been quicker
                connection.execute(insert(audiences).values(account_id=account_id, audience_id=audience_id))
            return int(connection.execute(known).scalar_one())

    def export_state(self, audience: int, into: Path) -> LedgerFiles:
        """Write everything known about *audience* to Parquet files in *into*, all of one moment."""
        with self._database.read() as connection:
            return bulk.export_tables(connection, audience, into)

    def lease(self, audience: int, owner: str, *, ttl: float = 60, clock: Clock | None = None) -> Lease:
        """Return the lease of *audience*; entering it raises RunLaterError ``audience_busy`` if it is taken.

        Args:
            audience: The ledger's number of it.
            owner: Host and process, for whoever finds the audience busy; nothing personal.
            ttl: Seconds after the last heartbeat at which others may take over.
            clock: Instead of the ledger's.
        """
        return Lease(self._database, audience, owner, ttl=ttl, clock=clock or self._clock)

    def record(self, lease: Lease, rows: Sequence[Record], *, export: str) -> None:
        """Write *rows*, in their order, in one transaction that is on disk when this returns.

        Threads may call it at once: they queue, and each returns after its own commit.

        Raises:
            RunLaterError: ``lease_lost``; nothing was written.
        """
        if not rows:
            return
        with self._database.write() as connection:
            lease.guard(connection)
            Recorder(
                self._database.statements,
                connection,
                audience=lease.audience,
                export=export,
                now=lease.clock(),
            ).write(rows)

    def adopt_tag(self, lease: Lease, name: str, foreign_pages: Iterable[list[bytes]]) -> None:
        """Note that we use tag *name* from now on, and who had it before: the hashes in *foreign_pages*.

        All or nothing. A tag that was adopted before (in any spelling) changes nothing, and the pages are not
        read. They are read before the transaction begins, so that fetching them holds up no writer.

        Raises:
            RunLaterError: ``lease_lost``; nothing was written.
        """
        key = tag_key(name)
        adopted = select(tag.c.name).where((tag.c.audience == lease.audience) & (tag.c.tag_key == key))
        with self._database.read() as connection:
            if connection.execute(adopted).first() is not None:
                return
        hashes = b"".join(b"".join(page) for page in foreign_pages)
        with self._database.write() as connection:
            lease.guard(connection)
            if connection.execute(adopted).first() is not None:
                return
            connection.execute(
                insert(tag).values(audience=lease.audience, tag_key=key, name=name, adopted_at=lease.clock())
            )
            size = HASH_BYTES * BLOCK
            for start in range(0, len(hashes), size):
                block = hashes[start : start + size]
                rows = [
                    (lease.audience, key, block[at : at + HASH_BYTES])
                    for at in range(0, len(block), HASH_BYTES)
                ]
                self._database.statements.run(connection, "foreign_tag", rows)

    def adopted_tags(self, audience: int) -> frozenset[str]:
        """Return the keys (lower case) of the tags that were adopted in *audience*."""
        keys = select(tag.c.tag_key).where(tag.c.audience == audience)
        with self._database.read() as connection:
            return frozenset(connection.execute(keys).scalars())

    def start_run(self, row: RunRow) -> None:
        """Note that a run of an export has started; the same one again (a retry) starts over."""
        with self._database.write() as connection:
            runs.start(connection, row)

    def begin_writing(self, run_id: str, export: str, lease: Lease, mailchimp_time: float) -> None:
        """Note, before the first write, Mailchimp's time: until a run succeeds, writes since are uncertain.

        Raises:
            RunLaterError: ``lease_lost``; nothing was noted.
        """
        with self._database.write() as connection:
            lease.guard(connection)
            runs.begin(connection, run_id, export, audience=lease.audience, mailchimp_time=mailchimp_time)

    def finish_run(
        self,
        run_id: str,
        export: str,
        status: RunStatus,
        *,
        document: str,
        plan_id: str | None = None,
        members: int | None = None,
        audience: int | None = None,
    ) -> None:
        """Note how a run ended. A success (no dry run) settles what the export left open.

        Args:
            run_id: As it was started.
            export: As it was started.
            status: How it ended.
            document: The export's JSON of ``run --json``: counts only.
            plan_id: Of the plan it carried out.
            members: People the export holds now.
            audience: For a run that was started without one and had nothing to write.
        """
        values = {"status": status, "document": document, "plan_id": plan_id, "members": members}
        if audience is not None:
            values["audience"] = audience
        with self._database.write() as connection:
            runs.finish(connection, run_id, export, finished_at=self._clock(), **values)

    def unfinished_writing(self, audience: int, export: str) -> float | None:
        """Return Mailchimp's time from which on writes of *export* may be missing here; None if none are.

        The earliest time at which a run began to write that did not finish with success, since one that did.
        """
        with self._database.read() as connection:
            return runs.unsettled_since(connection, audience, export)

    def runs(self, export: str | None = None, limit: int = 50) -> list[RunRow]:
        """Return the newest *limit* runs, of one export or of all, the one that started last first."""
        with self._database.read() as connection:
            return runs.newest(connection, export, limit)

    def last_run(self, export: str) -> RunRow | None:
        """Return the run of *export* that started last."""
        return next(iter(self.runs(export, 1)), None)

    def last_success(self, export: str) -> RunRow | None:
        """Return the last run of *export* that finished with success and was no dry run."""
        with self._database.read() as connection:
            return next(iter(runs.newest(connection, export, 1, "success")), None)

    def held(self, audience: int, export: str) -> int:
        """Return how many members, other than those we archived, *export* holds something on."""
        both = (member.c.audience == hold.c.audience) & (member.c.subscriber_hash == hold.c.subscriber_hash)
        query = (
            select(func.count())
            .select_from(hold.join(member, both))
            .where(
                (hold.c.audience == audience)
                & (hold.c.export == export)
                & (member.c.state != "archived_by_us")
            )
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()


def open_ledger(
    home: Path, url: str | None = None, *, read_only: bool = False, clock: Clock = time.time
) -> Ledger:
    """Open the ledger at *url*, else ``ledger.sqlite`` in *home*; it is created, or brought up to date.

    Args:
        home: The state folder; created (0700) when something has to be written to it.
        url: A database URL instead; only ``sqlite:///PATH`` in this installation.
        read_only: Write nothing: a ledger that is not there is an empty one in memory, and one of an earlier
            version is refused.
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
        sqlite.open_file(file, read_only=read_only), partial(sqlite.meaning, file=file), read_only=read_only
    )
    try:
        with database.read() as connection:
            version = read_version(connection)
        if version == 0 and read_only:
            database.close()
            return _empty(clock)
        check_version(version, NEWEST, read_only=read_only)
        if version != NEWEST:
            with database.write() as connection:
                migrate(connection)
    except BaseException:
        database.close()
        raise
    return Ledger(database, clock)


def _empty(clock: Clock) -> Ledger:
    database = Database(sqlite.open_memory(), partial(sqlite.meaning, file=None))
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
