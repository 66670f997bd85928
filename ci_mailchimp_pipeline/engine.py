"""The one way DuckDB is opened: bounded memory, a private spill folder, no downloads, no values in errors.

DuckDB's messages quote the rows they stumble over, so they never leave this module: every failure becomes
an error of ours, raised outside the ``except`` block so that the original is not even its context.
"""

import errno
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.keys import TRIMMED

if TYPE_CHECKING:
    import duckdb

MEMORY_LIMIT = "300MB"  # a run of 1,000,000 profiles then needs about 0.55 GB in all; more rows spill to disk
THREADS = 4  # each thread wants its own buffers: more threads than this do not fit the default limit
_FULL = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def quoted(text: str | Path) -> str:
    """*text* as a SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """*name* as a SQL identifier, exactly as written."""
    return '"' + name.replace('"', '""') + '"'


def array(texts: Iterable[str | Path]) -> str:
    """*texts* as a SQL array of strings, empty or not."""
    return "[" + ", ".join(quoted(text) for text in texts) + "]::VARCHAR[]"


def trimmed(expression: str) -> str:
    """SQL: *expression* without the white space around it; NULL when nothing is left."""
    # Half the time of trim() with as many characters.
    return f"nullif(regexp_replace({expression}, {quoted(f'^[{TRIMMED}]+|[{TRIMMED}]+$')}, '', 'g'), '')"


class Engine:
    """A connection whose failures carry no data."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection") -> None:
        self._connection = connection

    def execute(
        self, sql: str, *, explain: Callable[[Exception], PipelineError | None] | None = None
    ) -> list[tuple[Any, ...]]:
        """Run *sql* and return its rows.

        *explain* turns a failure that is the data's fault into the error to raise.

        Raises:
            RunLaterError: ``out_of_memory`` or ``disk_full``.
            PipelineError: ``engine_failed``; anything else, without the engine's words.
        """
        import duckdb  # noqa: PLC0415  reading exports.yaml loads the sources, and must not load the engine

        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            failure = _starved(error) or (explain(error) if explain else None) or _unexpected(error)
        raise failure

    def one(self, sql: str) -> Any:
        """The first value of the first row of *sql*."""
        return self.execute(sql)[0][0]


@contextmanager
def open_engine(work: Path, *, memory_limit: str = MEMORY_LIMIT) -> Iterator[Engine]:
    """Yield an engine over an empty database; beyond *memory_limit* it spills into the folder *work*."""
    import duckdb  # noqa: PLC0415  see above

    spill = work / "spill"
    spill.mkdir(mode=0o700, exist_ok=True)
    connection = duckdb.connect(
        config={
            "memory_limit": memory_limit,
            "temp_directory": str(spill),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    try:
        threads = min(THREADS, connection.execute("SELECT current_setting('threads')").fetchall()[0][0])
        connection.execute(
            f"SET threads = {threads}; SET TimeZone = 'UTC'; SET preserve_insertion_order = false"
        )
        yield Engine(connection)
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)


def _starved(error: Exception) -> PipelineError | None:
    if type(error).__name__ == "OutOfMemoryException":
        return RunLaterError(
            "out_of_memory",
            "the engine needs more memory or spill space than it may use",
            fix="free memory and disk space where the state is kept, then run again",
        )
    if any(words in str(error) for words in _FULL):
        return RunLaterError(
            "disk_full", "the disk where the state is kept is full", fix="free disk space, then run again"
        )
    return None


def _unexpected(error: Exception) -> PipelineError:
    return PipelineError(
        "engine_failed",
        f"the engine stopped with {type(error).__name__}",
        fix="this is a bug: report it with the steps that led here",
    )
