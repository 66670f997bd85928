"""Read a plan's files in pieces of at most 500, in order, without holding a file in memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from ci_mailchimp_pipeline.plan.model import BATCH

Row = dict[str, Any]
SLICE = 40 * BATCH  # rows read at once: the plan's row groups


def scan(path: Path) -> pl.LazyFrame:
    """The rows of a plan's file, its parts in their order."""
    return pl.scan_parquet(path / "*.parquet")


def rows_of(path: Path, *, where: pl.Expr | None = None) -> Iterator[Row]:
    """Yield the rows of *path* in order, those that hold *where* if it is given."""
    rows = scan(path)
    total = int(rows.select(pl.len()).collect().item())
    for start in range(0, total, SLICE):
        frame = rows.slice(start, SLICE).collect()
        yield from (frame if where is None else frame.filter(where)).iter_rows(named=True)


def batches_of(rows: Iterator[Row], size: int = BATCH) -> Iterator[list[Row]]:
    """Yield *rows* in lists of *size*, the last one shorter."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
