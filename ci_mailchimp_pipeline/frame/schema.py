"""The contract of the frame, checked row by row before anything is sent."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandera.errors
import pandera.polars as pa
import polars as pl
import polars.selectors as cs

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.errors import FixDataError
from ci_mailchimp_pipeline.frame.address import ADDRESS
from ci_mailchimp_pipeline.frame.address import MAX_BYTES as MAX_ADDRESS_BYTES
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.values import MAX_BYTES, NUMBER
from ci_mailchimp_pipeline.keys import NOT_IN_AN_ID

ROWS_AT_ONCE = 100_000  # a frame of 1,000,000 rows is validated in about 0.1 GB

MD5 = "^[0-9a-f]{32}$"
_FORMS = {"number": NUMBER, "date": r"\d{4}-\d{2}-\d{2}", "birthday": r"\d{2}/\d{2}"}


def frame_schema(export: Export, fields: Mapping[str, MergeField]) -> pa.DataFrameSchema:
    """What every accepted row of *export* is like; the address column is required. Bytes are looked at as hex."""
    tags = sorted(export.tags)
    merge = {f"mf_{tag}": _merge_column(fields[tag]) for tag in export.fields}
    return pa.DataFrameSchema(
        {
            "subscriber_hash": pa.Column(
                pl.String, pa.Check.str_matches(MD5, error="is an MD5"), unique=True
            ),
            "customer_id": pa.Column(
                pl.String,
                [
                    _each("is not blank", lambda c: c.str.len_bytes() > 0),
                    _each("can be stored", lambda c: ~c.str.contains(NOT_IN_AN_ID, literal=True)),
                ],
            ),
            "email_address": pa.Column(
                pl.String,
                [
                    pa.Check.str_matches(f"^(?:{ADDRESS})$", error="is an address"),
                    _each("is not too long", lambda c: c.str.len_bytes() <= MAX_ADDRESS_BYTES),
                ],
                required=True,
            ),
            "tags": pa.Column(
                pl.List(pl.String),
                [
                    _each("has a tag", lambda c: c.list.len() > 0),
                    _each("are the export's", lambda c: c.list.eval(pl.element().is_in(tags)).list.all()),
                ],
            ),
            **merge,
            "fingerprint": pa.Column(pl.String, pa.Check.str_matches(MD5, error="is an MD5")),
            "filled": pa.Column(pl.String),
        },
        name=f"{export.id}/export_frame",
        strict=True,
        ordered=True,
    )


def validate(schema: pa.DataFrameSchema, path: Path) -> None:
    """Check every row of the Parquet file *path*; reads it in parts, changes nothing.

    Raises:
        FixDataError: ``frame_check_failed``, with column, check and count; never with a value.
    """
    frame = pl.scan_parquet(path)
    rows, last = frame.select(pl.len()).collect().item(), b""
    for offset in range(0, max(rows, 1), ROWS_AT_ONCE):
        part = frame.slice(offset, ROWS_AT_ONCE).collect()
        failures = _failures(schema, part)
        if not failures and not _ascends(part["subscriber_hash"], last):
            failures = {("subscriber_hash", "is unique and in order"): 1}
        if failures:
            raise FixDataError(
                "frame_check_failed",
                "; ".join(
                    f"{column}: {count:,} rows fail '{check}'" for (column, check), count in failures.items()
                ),
                fix="this is a bug: report it with this message; nothing was sent",
            )
        last = part["subscriber_hash"][-1] if part.height else last


def _failures(schema: pa.DataFrameSchema, part: pl.DataFrame) -> dict[tuple[str, str], int]:
    """Column and check → rows that fail; pandera's own report holds the values."""
    try:
        # As bytes pandera cannot report them: it reads them as UTF-8.
        schema.validate(part.with_columns(cs.binary().bin.encode("hex")), lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return {}
    # When a column is missing or too much, the case is its name, and the column is the schema's.
    named = pl.when(pl.col("schema_context") == "Column").then("column").otherwise("failure_case")
    counted = cases.group_by(named.alias("of"), "check").len().sort("of", "check")
    return {(str(column), str(check)): int(count) for column, check, count in counted.iter_rows()}


def _ascends(hashes: pl.Series, last: bytes) -> bool:
    return hashes.is_empty() or (last < hashes[0] and bool((hashes[:-1] < hashes[1:]).all()))


def _merge_column(field: MergeField) -> pa.Column:
    checks = []
    if field.type in _FORMS:
        checks.append(pa.Check.str_matches(f"^(?:{_FORMS[field.type]})$", error=f"is a {field.type}"))
    if field.type in ("radio", "dropdown"):
        checks.append(pa.Check.isin(field.choices, error="is a choice"))
    if field.type != "address":
        checks.append(_each("is not too long", lambda c: c.str.len_bytes() <= MAX_BYTES))
    return pa.Column(pl.String, checks, nullable=not field.required)


def _each(name: str, test: Callable[[pl.Expr], pl.Expr]) -> pa.Check:
    return pa.Check(lambda data: data.lazyframe.select(test(pl.col(data.key))), name=name)
