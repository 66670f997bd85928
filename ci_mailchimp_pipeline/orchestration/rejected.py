"""The rejected rows of a frame, read in blocks."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ci_mailchimp_pipeline.sync.batches import rows_of


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
    for row in islice(rows_of(path), limit):
        yield Rejected(
            row=row["row"],
            customer_id=row["customer_id"],
            reason=row["reason"],
            field=row["field"],
            address=row["email_address"],
        )


def masked(address: str | None) -> str:
    """*address* as it may be shown: its first character and nothing else; blank for none."""
    text = (address or "").strip()
    return f"{text[0]}***@***" if text else ""
