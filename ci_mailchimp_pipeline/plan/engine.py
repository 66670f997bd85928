"""One bounded DuckDB connection over the plan's inputs; the only place that opens the engine here."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from ci_mailchimp_pipeline.plan.model import PlanInputs

_ALL = "SELECT * FROM read_parquet({source})"
# A member that changed while the pages were read may be there twice: the status that forbids most counts.
_SELECT = {
    "seen": """
        SELECT subscriber_hash,
               arg_max(status, list_position(['subscribed', 'pending', 'transactional', 'archived', 'cleaned',
                                              'unsubscribed'], status)) AS status,
               max(last_changed) AS last_changed
        FROM read_parquet({source}) GROUP BY subscriber_hash
    """
}


def quoted(text: str | Path) -> str:
    """*text* as a SQL string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def identifier(name: str) -> str:
    """*name* as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def array(texts: Iterable[str]) -> str:
    """*texts* as a SQL array of strings, empty or not."""
    return "[" + ", ".join(quoted(text) for text in texts) + "]::VARCHAR[]"


@contextmanager
def open_engine(inputs: PlanInputs, work: Path, *, memory_limit: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection with one view per input; it spills below *work* and never downloads anything."""
    spill = work / "spill"
    spill.mkdir(mode=0o700, parents=True, exist_ok=True)
    connection = duckdb.connect(
        config={
            "memory_limit": memory_limit,
            "temp_directory": str(spill),
            "threads": "2",
            "autoinstall_known_extensions": "false",
        }
    )
    try:
        for name in PlanInputs.__dataclass_fields__:
            path: Path = getattr(inputs, name)
            source = quoted(path / "*.parquet" if path.is_dir() else path)
            connection.execute(f"CREATE VIEW {name} AS {_SELECT.get(name, _ALL).format(source=source)}")
        yield connection
    finally:
        connection.close()
