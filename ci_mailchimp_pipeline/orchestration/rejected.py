"""The rejected rows of a frame, and those that Mailchimp refused; read in blocks."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from ci_mailchimp_pipeline.ledger import RefusalRow

BLOCK = 10_000  # rows in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """One row that is not sent; ``row`` is its number in the source, None for a customer without a profile."""

    row: int | None
    customer_id: str = dataclasses.field(repr=False)
    reason: str
    field: str | None
    address: str | None = dataclasses.field(repr=False)


def rejected_rows(path: Path, *, limit: int | None = None) -> Iterator[Rejected]:
    """Yield the rows of ``rejected.parquet`` at *path* in their order, at most *limit* of them."""
    rows = pl.scan_parquet(path, glob=False)
    there = int(rows.select(pl.len()).collect().item())
    total = there if limit is None else min(limit, there)
    for start in range(0, total, BLOCK):
        for row in rows.slice(start, min(BLOCK, total - start)).collect().iter_rows(named=True):
            yield Rejected(
                row=row["row"],
                customer_id=row["customer_id"],
                reason=row["reason"],
                field=row["field"],
                address=row["email_address"],
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """One row that Mailchimp refused; ``address`` is that of the frame, None when it is not in it any more."""

    row: RefusalRow
    address: str | None = dataclasses.field(repr=False)


def refused_rows(refusals: Iterator[RefusalRow], frame: Path) -> Iterator[Refused]:
    """Yield *refusals* in their order, each with its address in ``frame.parquet`` at *frame*."""
    accepted = pl.scan_parquet(frame, glob=False).select("subscriber_hash", "email_address")
    while block := list(islice(refusals, BLOCK)):
        keys = pl.LazyFrame(
            {"subscriber_hash": [each.subscriber_hash for each in block]},
            schema={"subscriber_hash": pl.Binary},
        )
        known = dict(accepted.join(keys, on="subscriber_hash", how="semi").collect().iter_rows())
        yield from (Refused(row=each, address=known.get(each.subscriber_hash)) for each in block)
