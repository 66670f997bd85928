"""What only PostgreSQL needs: connections, rows as arrays, its clock, and what its errors mean."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, PoolProxiedConnection, Select, create_engine, event
from sqlalchemy import text as sql_text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor
from sqlalchemy.exc import ArgumentError

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError
from ci_mailchimp_pipeline.ledger.admission import why_not_admitted
from ci_mailchimp_pipeline.ledger.database import Rows, Statements
from ci_mailchimp_pipeline.ledger.schema import METADATA, foreign_tag, hold, member, refusal
from ci_mailchimp_pipeline.ledger.sqlstates import (
    BUSY_SECONDS,
    bad_option,
    meaning_of,
    no_access,
    unreachable,
)
from ci_mailchimp_pipeline.ledger.statements import PARAMETER, SQL

DRIVER = "postgresql+psycopg"
STOPPED_SECONDS = 60.0  # a program that was stopped inside a transaction keeps its locks no longer
LOGGING_NAME = "ci_mailchimp_pipeline"
SCHEMA_LOCK = 0x6369_6D63  # any number, the same in every version: "cimc"

# https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS; the URL may say otherwise
_CONNECTION = {
    "fallback_application_name": "ci-mailchimp",
    "client_encoding": "utf8",
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 30,  # seconds
    "tcp_user_timeout": 30_000,  # milliseconds: a server that vanished is noticed
}
_SETTINGS = """
    SET lock_timeout = {busy}; -- milliseconds
    SET idle_in_transaction_session_timeout = {stopped};
    -- an acknowledged batch survives power loss, whatever the database's default is
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"""
# What the driver and libpq find wrong before they ask the server has no code, only words. Those of libpq are
# English unless it was built with others: then the error says "run again later", which is only less helpful.
_BAD_OPTION = re.compile("invalid connection option|bad value for")
_NEVER_ASKED = re.compile(
    "invalid |certificate|does not support SSL|private key|definition of service", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A ledger in a PostgreSQL database, in the first schema of its search path."""

    url: URL = field(repr=False)

    @property
    def statements(self) -> Statements:
        """One statement for all rows, which are its arrays."""
        return AsArrays()

    @property
    def present(self) -> bool:
        """A server is there, or the first query says why not."""
        return True

    def engine(self, *, read_only: bool) -> Engine:  # noqa: ARG002  # who reads does so in READ ONLY transactions
        """Return an engine over the database; the driver is loaded, but nothing is connected yet.

        Raises:
            FixConfigError: ``ledger_needs_extra``, the driver is not installed; ``unknown_ledger``.
        """
        try:
            engine = create_engine(
                self.url.set(drivername=DRIVER),
                connect_args={key: value for key, value in _CONNECTION.items() if key not in self.url.query},
                pool_size=2,  # the writer and a reader; others come and go
                max_overflow=20,
                pool_pre_ping=True,  # a server that was restarted meanwhile costs nothing
                hide_parameters=True,  # they are addresses, and exceptions are stored for ever
                logging_name=LOGGING_NAME,
            )
        except ImportError:  # the driver, or the library of PostgreSQL's that it needs
            raise FixConfigError(
                "ledger_needs_extra",
                "the ledger's URL names PostgreSQL, and what reads it is not installed",
                fix="pip install 'ci-mailchimp-pipeline[postgres]'; or set CI_MAILCHIMP_LEDGER to "
                "sqlite:////absolute/path/ledger.sqlite",
            ) from None
        except ArgumentError:
            raise bad_option() from None
        # At DEBUG, which a user may set for everything, it would print the rows that it reads.
        logging.getLogger(f"sqlalchemy.engine.Engine.{LOGGING_NAME}").setLevel(logging.WARNING)

        @event.listens_for(engine, "connect")
        def set_up(connection: DBAPIConnection, _record: Any) -> None:
            connection.autocommit = True
            seconds = {"busy": BUSY_SECONDS, "stopped": STOPPED_SECONDS}
            connection.cursor().execute(
                _SETTINGS.format_map({name: int(1000 * value) for name, value in seconds.items()})
            )
            connection.autocommit = False

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            # A writer waits at the row of its lease and sees what those before it have committed.
            if not connection.get_execution_options().get("writing", False):
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

        return engine

    def meaning(self, error: BaseException) -> PipelineError | None:
        """Return what *error* means to a person; None when it can only be a bug of ours."""
        state = getattr(error, "sqlstate", None)
        if state is not None:
            return meaning_of(state)
        # By name: the driver may not be there.
        kinds = {base.__name__ for base in type(error).__mro__}
        if "ProgrammingError" in kinds and _BAD_OPTION.match(str(error)):
            return bad_option()
        if "OperationalError" not in kinds:
            return None
        # There is no connection: it was refused, or lost, or never asked for.
        state = why_not_admitted(self._parameters())
        if state is not None:
            return meaning_of(state) or no_access()
        return no_access() if _NEVER_ASKED.search(str(error)) else unreachable()

    def _parameters(self) -> dict[str, Any]:
        """Of a connection, in libpq's words."""
        url = self.url.set(drivername=DRIVER)
        return _CONNECTION | dict(url.get_dialect()().create_connect_args(url)[1])

    def cursor(self, connection: Connection, query: Select[Any]) -> DBAPICursor:
        """Return a cursor of the server's: the driver's own would fetch everything at once."""
        driver = connection.connection.driver_connection
        cursor: DBAPICursor = driver.cursor("bulk", binary=True)  # type: ignore[union-attr]
        cursor.execute(str(query.compile(connection, compile_kwargs={"literal_binds": True})))
        return cursor

    def now(self, connection: Connection) -> float:
        """Return the server's time at this moment, so that the clocks of several machines need not agree."""
        query = "SELECT extract(epoch FROM clock_timestamp())::float8"
        return float(connection.execute(sql_text(query)).scalar_one())

    def lock_schema(self, connection: Connection) -> None:
        """Wait until nobody else creates or migrates the ledger."""
        connection.execute(sql_text("SELECT pg_advisory_xact_lock(:key)"), {"key": SCHEMA_LOCK})

    def clean(self, connection: PoolProxiedConnection) -> None:
        """Write the tables that held people anew: a plain VACUUM leaves deleted rows in the pages it frees.

        So does it with the samples of their columns, which the server keeps; who does not own the database may not
        clean those, and is only warned.
        """
        driver = connection.driver_connection
        driver.autocommit = True  # type: ignore[union-attr]  # VACUUM is no part of a transaction
        try:
            for table in (member, hold, refusal, foreign_tag):
                connection.cursor().execute(f"VACUUM (FULL, ANALYZE) {table.name}")
            connection.cursor().execute("VACUUM (FULL) pg_catalog.pg_statistic")
        finally:
            driver.autocommit = False  # type: ignore[union-attr]


class AsArrays:
    """The statements with one array for each parameter: 500 rows in a tenth of the time of 500 executions.

    Measured for 100 batches: 2.6 s; COPY into a temporary table 4.4 s; ``executemany`` 6.7 s.
    """

    def run(self, connection: Connection, name: str, rows: Rows) -> None:
        """Do the statement called *name* for each of *rows*, as if one after the other."""
        sql, key = _ARRAYS[name]
        for wave in _waves(rows, key):
            connection.exec_driver_sql(sql, tuple(map(list, zip(*wave, strict=True))))

    def finds(self, connection: Connection, name: str, row: tuple[Any, ...]) -> bool:
        """Return whether the query called *name* has a result."""
        return connection.exec_driver_sql(PARAMETER.sub("%b", SQL[name]), row).first() is not None


def _waves(rows: Rows, key: int) -> Iterator[Rows]:
    """Split *rows* so that each value at *key* is there once: a statement must not change a row twice."""
    while rows:
        seen: set[Any] = set()
        wave: Rows = []
        later: Rows = []
        for row in rows:
            (later if row[key] in seen else wave).append(row)
            seen.add(row[key])
        yield wave
        rows = later


def _over_arrays(sql: str) -> tuple[str, int]:
    """Return *sql* for arrays in place of single values, and which of them tells the rows apart."""
    names = PARAMETER.findall(sql)
    arrays = ", ".join(f"%b::{_TYPES[name]}[]" for name in names)  # %b: binary, four times as fast as text
    given = f"unnest({arrays}) AS given ({', '.join(f'given_{name}' for name in names)})"
    sql = PARAMETER.sub(r"given_\1", sql.strip())
    if sql.startswith("INSERT"):
        sql = re.sub(r"VALUES\s*\((.*?)\)", rf"SELECT \1 FROM {given}", sql, count=1, flags=re.DOTALL)
    else:
        using = "USING" if sql.startswith("DELETE") else "FROM"
        sql = sql.replace("WHERE", f"{using} {given} WHERE", 1)
    return sql, names.index("subscriber_hash")


def _column_types() -> dict[str, str]:
    kinds = {"BLOB": "bytea", "TEXT": "text", "INTEGER": "int", "FLOAT": "float8"}
    types = {
        column.name: kinds[str(column.type)] for table in METADATA.tables.values() for column in table.columns
    }
    return types | {"new_hash": "bytea"}


_TYPES = _column_types()
_ARRAYS = {name: _over_arrays(sql) for name, sql in SQL.items() if not sql.startswith("SELECT")}
