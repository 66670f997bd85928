"""The one door to the database: transactions, one writer at a time, errors in our own words."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger.statements import Statements

Clean = Callable[[DBAPIConnection], None]
Meaning = Callable[[BaseException | None], PipelineError | None]


class Database:
    """Transactions on the ledger, from any thread.

    Args:
        engine: Where it lives; closed with this object.
        meaning: What an error of the driver means to a person; None for a bug of ours.
        clean: Overwrites what deleted rows left in its files, outside of a transaction.
        read_only: Whether writing is a mistake of the caller.
    """

    def __init__(self, engine: Engine, meaning: Meaning, clean: Clean, *, read_only: bool = False) -> None:
        self.read_only = read_only
        self.statements = Statements(engine.dialect)
        self._engine = engine
        self._writing_engine = engine.execution_options(writing=True)
        self._meaning = meaning
        self._clean = clean
        self._driver_error = engine.dialect.loaded_dbapi.Error
        # Our threads queue here; between connections SQLite polls, up to 0.1 s at a time.
        self._one_writer = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees the ledger as it was at its first query.

        Raises:
            PipelineError: What the database's error means: see ``sqlite.meaning``.
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
            self._clean(connection)

    def close(self) -> None:
        """Give all files back; what was committed stays."""
        self._engine.dispose()

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, self._driver_error) as error:  # the bulk door reads with the driver's own cursor
            known = self._meaning(error.orig if isinstance(error, DBAPIError) else error)
            if known is None:
                raise
            raise known from None
