"""The one door to the database: transactions, one writer at a time, errors in our own words."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger.schema import FORGOTTEN_SINCE

Rows = list[tuple[Any, ...]]


class Statements(Protocol):
    """The statements of the hot path, in the words of one database."""

    def run(self, connection: Connection, name: str, rows: Rows) -> None:
        """Do the statement called *name* for each of *rows*, as if one after the other."""

    def finds(self, connection: Connection, name: str, row: tuple[Any, ...]) -> bool:
        """Return whether the query called *name* has a result."""


class Backend(Protocol):
    """What SQLite and PostgreSQL do differently."""

    @property
    def present(self) -> bool:
        """Whether there is anything to read."""

    @property
    def statements(self) -> Statements:
        """How rows are written fastest."""

    def engine(self, *, read_only: bool) -> Engine:
        """Return an engine whose connections with the option ``writing`` may write; all of them see one moment."""

    def meaning(self, error: BaseException) -> PipelineError | None:
        """Return what an error of the driver means to a person; None when it can only be a bug of ours."""

    def cursor(self, connection: Connection, query: Select[Any]) -> DBAPICursor:
        """Return the driver's cursor over the result of *query*: SQLAlchemy's rows cost half as much again."""

    def now(self, connection: Connection) -> float:
        """Return the time, seconds since 1970, by the one clock that all holders of leases share."""

    def lock_schema(self, connection: Connection) -> None:
        """Let nobody else create or change tables until the transaction ends."""

    def clean(self, connection: PoolProxiedConnection) -> None:
        """Overwrite what deleted rows left in the files; outside of a transaction."""


class Database:
    """Transactions on the ledger, from any thread.

    Args:
        backend: Where it lives.
        read_only: Whether writing is a mistake of the caller.

    Attributes:
        version: Of the tables, once they are known; only a reader may meet an old one.
    """

    def __init__(self, backend: Backend, *, read_only: bool = False) -> None:
        self.backend = backend
        self.statements = backend.statements
        self.read_only = read_only
        self.version = 0
        self._engine = backend.engine(read_only=read_only)
        self._writing_engine = self._engine.execution_options(writing=True)
        self._driver_error = self._engine.dialect.loaded_dbapi.Error
        # Our threads queue here; between connections SQLite polls, up to 0.1 s at a time.
        self._one_writer = threading.Lock()

    @property
    def remembers(self) -> bool:
        """Whether the tables are of a version that remembers who was forgotten."""
        return self.version >= FORGOTTEN_SINCE

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees the ledger as it was at its first query.

        Raises:
            PipelineError: What the database's error means.
        """
        with self._in_our_words(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes; it waits for other writers and is on disk when the block has ended.

        Raises:
            PipelineError: ``ledger_read_only``, or what the database's error means.
        """
        if self.read_only:
            raise PipelineError("ledger_read_only", "a dry run tried to write to the ledger")
        with self._in_our_words(), self._one_writer, self._writing_engine.begin() as connection:
            yield connection

    def clean(self) -> None:
        """Overwrite what deleted rows left in the database's files.

        Raises:
            RunLaterError: ``ledger_busy``, another program is using the files; or what the error means.
        """
        with self._in_our_words(), closing(self._engine.raw_connection()) as connection:
            self.backend.clean(connection)

    def close(self) -> None:
        """Give all files and connections back; what was committed stays."""
        self._engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, self._driver_error) as error:  # the bulk door reads with the driver's own cursor
            cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
            name = getattr(cause, "sqlite_errorname", None) or getattr(cause, "sqlstate", None)
            # PostgreSQL quotes the whole row in some errors: no word of theirs goes on.
            raise self.backend.meaning(cause) or PipelineError(
                "ledger_failed",
                f"the ledger's database refused a statement: {name or type(cause).__name__}",
                fix="report it, with this code and the version of the program; nothing was recorded",
            ) from None
