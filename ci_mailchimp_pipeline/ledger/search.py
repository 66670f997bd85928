"""Look into an SQLite file of whatever program, value by value: its bytes run values together."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

SQLITE = b"SQLite format 3\0"  # how such a file begins: https://www.sqlite.org/fileformat.html


def values_holding(file: Path, texts: Sequence[str], blobs: Sequence[bytes]) -> Iterator[bytes] | None:
    """Every value that holds one of *texts* (lower case; the value in any) or *blobs*; None when it is unreadable.

    Opens the file to read it; committed pages of its log count.
    """
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return iter([value for (name,) in tables for value in _of_table(database, name, texts, blobs)])
    except sqlite3.Error:  # locked or damaged
        return None


def _of_table(
    database: sqlite3.Connection, table: str, texts: Sequence[str], blobs: Sequence[bytes]
) -> Iterator[bytes]:
    name = _identifier(table)
    for column in (_identifier(row[1]) for row in database.execute(f"PRAGMA table_info({name})")):
        tests = [f"instr(lower(CAST({column} AS TEXT)), ?)"] * len(texts) + [f"instr({column}, ?)"] * len(
            blobs
        )
        found = database.execute(f"SELECT {column} FROM {name} WHERE {' OR '.join(tests)}", (*texts, *blobs))
        yield from (value if isinstance(value, bytes) else str(value).encode() for (value,) in found)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
