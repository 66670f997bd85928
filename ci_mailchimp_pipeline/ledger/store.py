"""The ledger: what Mailchimp acknowledged, who may write, and how the runs went."""

import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import select, text

from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger import bulk, erasure, people, runs, tags
from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.erasure import Erased, ForgottenRow
from ci_mailchimp_pipeline.ledger.lease import Lease, is_held
from ci_mailchimp_pipeline.ledger.people import AudienceRow, Person, RefusalRow
from ci_mailchimp_pipeline.ledger.records import Clock, LedgerFiles, Record, RunRow, RunStatus
from ci_mailchimp_pipeline.ledger.schema import audience as audiences
from ci_mailchimp_pipeline.ledger.statements import Recorder

_NEW_AUDIENCE = """
    INSERT INTO audience (account_id, audience_id) VALUES (:account, :audience)
    ON CONFLICT DO NOTHING"""  # another process may have been quicker


class Ledger:
    """The ledger, open; made by ``open_ledger``, closed by leaving its ``with`` block. Safe from any thread.

    Every method may raise the errors of its database in our words (``ledger_busy``, ``ledger_disk_full``,
    ``ledger_damaged`` and so on), and the writing ones ``ledger_read_only`` when it was opened so.
    """

    def __init__(self, database: Database, clock: Clock | None) -> None:
        self._database = database
        self._injected = clock
        self._clock = clock or time.time

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
            connection.execute(text(_NEW_AUDIENCE), {"account": account_id, "audience": audience_id})
            return int(connection.execute(known).scalar_one())

    def audiences(self) -> tuple[AudienceRow, ...]:
        """Return every audience the ledger knows, of all accounts."""
        with self._database.read() as connection:
            return people.all_audiences(connection)

    def export_state(self, audience: int, into: Path) -> LedgerFiles:
        """Write everything known about *audience* to Parquet files in *into*, all of one moment."""
        with self._database.read() as connection:
            return bulk.export_tables(self._database, connection, audience, into)

    def lease(self, audience: int, owner: str, *, ttl: float = 60, clock: Clock | None = None) -> Lease:
        """Return the lease of *audience*; entering it raises RunLaterError ``audience_busy`` if it is taken.

        Args:
            audience: The ledger's number of it.
            owner: Host and process, for whoever finds the audience busy; nothing personal.
            ttl: Seconds after the last heartbeat at which others may take over.
            clock: Instead of the ledger's; without both, the database's own.
        """
        return Lease(self._database, audience, owner, ttl=ttl, clock=clock or self._injected)

    @contextmanager
    def leases(self, owner: str, *, held: Collection[Lease] = ()) -> Iterator[tuple[Lease, ...]]:
        """Hold the leases of all audiences, so that no run is in progress: *held* and those not among them.

        Raises:
            RunLaterError: ``audience_busy``; none is kept.
        """
        known = {lease.audience for lease in held}
        with ExitStack() as stack:
            others = [row.id for row in self.audiences() if row.id not in known]
            yield (*held, *[stack.enter_context(self.lease(number, owner)) for number in others])

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
        key, audience = tag_key(name), lease.audience
        with self._database.read() as connection:
            if key in tags.adopted(connection, audience):
                return
        hashes = b"".join(b"".join(page) for page in foreign_pages)
        with self._database.write() as connection:
            lease.guard(connection)
            if key not in tags.adopted(connection, audience):
                tags.adopt(
                    connection,
                    self._database.statements,
                    audience=audience,
                    key=key,
                    name=name,
                    now=lease.clock(),
                    hashes=hashes,
                )

    def adopted_tags(self, audience: int) -> frozenset[str]:
        """Return the keys (lower case) of the tags that were adopted in *audience*."""
        with self._database.read() as connection:
            return tags.adopted(connection, audience)

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

    def is_in_progress(self, row: RunRow) -> bool:
        """Whether a run that did not say how it ended may still be at work: it would hold its audience's lease."""
        with self._database.read() as connection:
            return is_held(connection, row.audience, now=self._database.backend.now(connection))

    def last_success(self, export: str) -> RunRow | None:
        """Return the last run of *export* that finished with success and was no dry run."""
        with self._database.read() as connection:
            return next(iter(runs.newest(connection, export, 1, "success")), None)

    def held(self, audience: int, export: str) -> int:
        """Return how many members, other than those we archived, *export* holds something on."""
        with self._database.read() as connection:
            return people.held(connection, audience, export)

    def person(self, audience: int, subscriber_hash: bytes) -> Person:
        """Return everything that stands under *subscriber_hash* in *audience*."""
        with self._database.read() as connection:
            return people.person(connection, audience, subscriber_hash)

    def addresses_of(self, audience: int, customer_id: str) -> tuple[bytes, ...]:
        """Return the subscriber hashes under which a customer is a member, or was refused."""
        with self._database.read() as connection:
            return people.addresses_of(connection, audience, customer_id)

    def refusals(self, audience: int, export: str) -> Iterator[RefusalRow]:
        """Yield what Mailchimp refused of *export*, in the order of the hash; a block in memory at a time.

        Each block is of one moment; no transaction is open between them.
        """
        last = b""
        while True:
            with self._database.read() as connection:
                block = people.refusals_after(connection, audience, export, last)
            if not block:
                return
            yield from block
            last = block[-1].subscriber_hash

    def remember_forgotten(self, rows: Sequence[ForgottenRow]) -> None:
        """Note who must never be sent again; noting somebody twice changes nothing."""
        with self._database.write() as connection:
            erasure.remember(connection, rows)

    def forgotten_keys(self) -> frozenset[str]:
        """Return the ids of the keys that the remembered digests were made with."""
        with self._database.read() as connection:
            return erasure.keys(connection) if self._database.remembers else frozenset()

    def is_forgotten(self, digests: Collection[bytes]) -> bool:
        """Whether somebody with one of *digests*, of one person, must never be sent again."""
        with self._database.read() as connection:
            return self._database.remembers and erasure.remembers(connection, digests)

    def erase(
        self,
        subscriber_hash: bytes,
        customer_ids: Collection[str],
        *,
        owner: str,
        leases: Collection[Lease] = (),
    ) -> Erased:
        """Delete every row of a person in every audience, and leave no trace of them in the database's files.

        No run writes meanwhile: this holds the leases of all audiences. Again is harmless, and finishes what
        was interrupted.

        Args:
            subscriber_hash: Of the person's address.
            customer_ids: Whose rows go as well, at whatever address.
            owner: Host and process, for whoever finds an audience busy.
            leases: Those that the caller holds already; the others are taken and given back here.

        Raises:
            RunLaterError: ``audience_busy``, a run is in progress, or ``lease_lost``: nothing was erased.
                ``ledger_busy``: the rows are gone, but another program kept the files from being cleaned.
        """
        with self.leases(owner, held=leases) as all_leases:
            with self._database.write() as connection:
                for lease in all_leases:
                    lease.guard(connection)
                erased = erasure.erase(connection, subscriber_hash, customer_ids)
            self._database.clean()
        return erased
