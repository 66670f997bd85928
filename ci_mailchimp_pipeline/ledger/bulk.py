"""The bulk door: one audience's rows as Parquet, in blocks, all of one moment."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source
from sqlalchemy import Connection, Select, Table, select

from ci_mailchimp_pipeline.ledger.database import Database
from ci_mailchimp_pipeline.ledger.records import LedgerFiles
from ci_mailchimp_pipeline.ledger.schema import (
    foreign_tag,
    forgotten,
    hold,
    member,
    refusal,
    tag,
)

BLOCK = 20_000  # rows in Python at a time; larger blocks were not faster

_LEFT_OUT = {"audience", "forgotten_at"}  # the same in each row of a file; of no use to a plan
_TYPES: dict[str, pl.DataType] = {
    "BLOB": pl.Binary(),
    "TEXT": pl.String(),
    "INTEGER": pl.Int64(),
    "FLOAT": pl.Float64(),
}


def export_tables(database: Database, connection: Connection, audience: int, into: Path) -> LedgerFiles:
    """Write the rows of *audience* to Parquet files (0600) in *into*, which is created (0700).

    *connection* must be inside a transaction of *database* that sees one moment; the files then do too.
    """
    into.mkdir(mode=0o700, parents=True, exist_ok=True)
    write = _Writer(database, connection, audience, into)
    return LedgerFiles(
        members=write(member, "members"),
        holds=write(hold, "holds"),
        refusals=write(refusal, "refusals"),
        tags=write(tag, "tags"),
        foreign_tags=write(foreign_tag, "foreign_tags"),
        forgotten=write(forgotten, "forgotten"),
    )


class _Writer:
    def __init__(self, database: Database, connection: Connection, audience: int, into: Path) -> None:
        self._connection = connection
        self._cursor = database.backend.cursor
        self._remembers = database.remembers
        self._audience = audience
        self._into = into

    def __call__(self, table: Table, name: str) -> Path:
        columns = [column for column in table.columns if column.name not in _LEFT_OUT]
        schema = {column.name: _TYPES[str(column.type)] for column in columns}
        query = select(*columns).order_by(*table.primary_key)
        if "audience" in table.columns:
            query = query.where(table.c.audience == self._audience)
        if table is forgotten and not self._remembers:  # a reader reads an old ledger as it is
            frame = pl.LazyFrame(schema=schema)
        else:
            frame = register_io_source(lambda *_: self._blocks(query, schema), schema=schema)
        if table is hold:
            frame = frame.with_columns(pl.col("tags").str.json_decode(pl.List(pl.String)))
        file = self._into / f"{name}.parquet"
        os.close(
            os.open(file, os.O_CREAT | os.O_CLOEXEC, 0o600)
        )  # polars keeps the mode of a file that exists
        frame.sink_parquet(file, maintain_order=True)
        return file

    def _blocks(self, query: Select[Any], schema: dict[str, pl.DataType]) -> Iterator[pl.DataFrame]:
        with closing(self._cursor(self._connection, query)) as cursor:
            while rows := cursor.fetchmany(BLOCK):
                values = zip(*rows, strict=True)
                yield pl.DataFrame(
                    [
                        pl.Series(name, column, dtype=dtype)
                        for (name, dtype), column in zip(schema.items(), values, strict=True)
                    ]
                )
