"""One run at a time on an audience, across processes: a lease with a heartbeat and a fence."""

import logging
import threading
import time
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Row, select, text, update

from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.records import Clock
from ci_mailchimp_pipeline.ledger.schema import lease as table
from ci_mailchimp_pipeline.process import is_gone

BEATS_PER_TTL = 3  # two beats may fail before the lease ends

_NEVER_HELD = """
    INSERT INTO lease (audience, owner, fence, heartbeat, expires) VALUES (:audience, '', 0, 0, 0)
    ON CONFLICT DO NOTHING"""

_log = logging.getLogger(__name__)


class Lease:
    """The right to write to one audience, held while the ``with`` block runs; made by ``Ledger.lease``.

    A lease is alive from one ttl before its last heartbeat until its end, by the clock that all holders share:
    PostgreSQL's own, or that of the one machine that has the SQLite file. So a clock that was set back keeps
    the lease of a dead run for two ttl at most, and one that was set forward may end the lease of a living
    run: its next write then fails, because whoever took over holds a higher fence.

    Attributes:
        audience: The ledger's number of the audience.
        owner: Who holds it (host and process, nothing personal); others see it in their message.
        fence: Grows with every holder; a write that carries an older one fails. 0 before the block.
    """

    def __init__(
        self, database: Database, audience: int, owner: str, *, ttl: float, clock: Clock | None
    ) -> None:
        self.audience = audience
        self.owner = owner
        self.fence = 0
        self.clock = clock or time.time
        self._injected = clock
        self._database = database
        self._ttl = ttl
        self._expires = 0.0
        self._lost = False
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._acquire()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{self.audience}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        try:
            with self._database.write() as connection:
                self._change(connection, owner="", fence=self.fence + 1, expires=table.c.heartbeat)
        except PipelineError as problem:
            _log.warning("the lease ends by itself in %.0f s: %s", self._ttl, problem.code)

    def check(self) -> None:
        """Fail when the lease is lost; costs nothing while it is fresh. For senders, before each batch.

        Raises:
            RunLaterError: ``lease_lost``.
        """
        if self._lost:
            raise _lost_lease()
        if self.clock() >= self._expires:
            self.renew()

    def renew(self) -> None:
        """Prolong the lease by its ttl from now; the heartbeat does it three times a ttl.

        Raises:
            RunLaterError: ``lease_lost``: somebody took over after it had ended.
        """
        began = self.clock()
        with self._database.write() as connection:
            now = self._now(connection)
            self._lost = not self._change(connection, heartbeat=now, expires=now + self._ttl)
        if self._lost:
            raise _lost_lease()
        self._expires = began + self._ttl

    def guard(self, connection: Connection) -> None:
        """Fail inside a transaction that must not be written by a former holder.

        Raises:
            RunLaterError: ``lease_lost``; leaving the transaction with it undoes all of it.
        """
        fence = connection.execute(
            select(table.c.fence).where(table.c.audience == self.audience).with_for_update()
        ).scalar()
        if fence != self.fence:
            self._lost = True
            raise _lost_lease()

    def _acquire(self) -> None:
        began = self.clock()
        mine = table.c.audience == self.audience
        with self._database.write() as connection:
            connection.execute(text(_NEVER_HELD), {"audience": self.audience})
            held = connection.execute(select(table).where(mine).with_for_update()).one()
            now = self._now(connection)
            if _is_alive(held, now):
                raise _busy(held.owner, age=now - held.heartbeat, left=held.expires - now)
            self.fence = held.fence + 1
            values = {"owner": self.owner, "heartbeat": now, "expires": now + self._ttl}
            connection.execute(update(table).where(mine).values(fence=self.fence, **values))
        self._expires = began + self._ttl

    def _now(self, connection: Connection) -> float:
        return self._injected() if self._injected else self._database.backend.now(connection)

    def _change(self, connection: Connection, **values: object) -> bool:
        mine = (table.c.audience == self.audience) & (table.c.fence == self.fence)
        return connection.execute(update(table).where(mine).values(**values)).rowcount == 1

    def _beat(self) -> None:
        while not self._over.wait(self._ttl / BEATS_PER_TTL):
            try:
                self.renew()
            except PipelineError as problem:
                if self._lost:
                    return
                _log.warning("the lease could not be renewed, trying again: %s", problem.code)


def is_held(connection: Connection, audience: int | None, *, now: float) -> bool:
    """Whether anybody who may be alive holds the lease of *audience*; of any audience, if it is None."""
    held = select(table) if audience is None else select(table).where(table.c.audience == audience)
    return any(_is_alive(row, now) for row in connection.execute(held))


def _is_alive(held: Row[Any], now: float) -> bool:
    ttl = held.expires - held.heartbeat
    return held.heartbeat - ttl <= now < held.expires and not is_gone(held.owner)


def _busy(owner: str, *, age: float, left: float) -> RunLaterError:
    return RunLaterError(
        "audience_busy",
        f"another run holds the audience: {':'.join(owner.split(':')[:2])}, last sign of life {max(age, 0):.0f} s ago",
        fix=f"run again when it has finished; if it died, its lease ends by itself in {left:.0f} s",
    )


def _lost_lease() -> RunLaterError:
    return RunLaterError(
        "lease_lost",
        "another run took over the audience, because this one gave no sign of life for too long",
        fix="nothing was recorded after that; run again when the other run has finished",
    )
