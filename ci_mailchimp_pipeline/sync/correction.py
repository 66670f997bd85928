"""The ledger as it would be if it knew what Mailchimp really holds: as files for a plan, as records to write down."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.engine import open_engine, quoted
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.ledger import (
    Acknowledged,
    Lease,
    Ledger,
    LedgerFiles,
    Record,
    Released,
    Retagged,
    Suppressed,
)
from ci_mailchimp_pipeline.plan.inputs import keys_of
from ci_mailchimp_pipeline.sync.batches import Row, batches_of, rows_of
from ci_mailchimp_pipeline.sync.seen import NOT_SUBSCRIBED, Seen
from ci_mailchimp_pipeline.sync.whole import Whole

UNKNOWN = bytes(16)  # a fingerprint that no merge fields have: they are sent again
AT_ONCE = 5_000  # rows per commit; nothing is sent for them


def corrected(state: LedgerFiles, people: Path, export: Export, into: Path) -> LedgerFiles:
    """Write *state* with what *people* (of ``compare``) says instead; the ledger itself is left alone.

    Who is missing is not a member; fields that differ are unknown; tags are those that are really there.
    """
    mine = quoted(export.id)
    files = {name: into / f"corrected-{name}.parquet" for name in ("members", "holds")}
    with open_engine(into) as engine:
        engine.execute(
            f"""
            CREATE TEMP TABLE people AS
            SELECT subscriber_hash, held, missing, field_differs, tags FROM read_parquet({quoted(people / "*.parquet")})
            WHERE missing OR tag_missing OR tag_extra OR field_differs;
            COPY (
                SELECT m.* FROM read_parquet({quoted(state.members)}) m
                ANTI JOIN (FROM people WHERE missing) USING (subscriber_hash)
            ) TO {quoted(files["members"])} (FORMAT parquet);
            COPY (
                SELECT h.* REPLACE (
                    coalesce(p.tags, h.tags) AS tags,
                    CASE WHEN p.field_differs THEN unhex('{UNKNOWN.hex()}') ELSE h.fingerprint END AS fingerprint)
                FROM read_parquet({quoted(state.holds)}) h
                LEFT JOIN people p ON p.subscriber_hash = h.subscriber_hash AND h.export = {mine}
                WHERE NOT coalesce(p.missing, false)
                UNION ALL BY NAME
                SELECT {mine} AS export, subscriber_hash, tags, unhex('{UNKNOWN.hex()}') AS fingerprint, '' AS filled
                FROM people WHERE NOT held
            ) TO {quoted(files["holds"])} (FORMAT parquet)
            """
        )
    for file in files.values():
        file.chmod(0o600)
    return replace(state, members=files["members"], holds=files["holds"])


def seen_of(whole: Whole, into: Path) -> Seen:
    """What a plan looks at, of everybody."""
    into.mkdir(mode=0o700)
    path = into / "everybody.parquet"
    path.touch(mode=0o600)
    pl.scan_parquet(whole.folder / "*.parquet").select(
        "subscriber_hash", "status", "last_changed"
    ).sink_parquet(path)
    return Seen(folder=into, totals=whole.totals, knows_subscribed=True)


def correct(ledger: Ledger, lease: Lease, people: Path, export: Export) -> None:
    """Write down what Mailchimp really holds, so that whatever happens next, the next run goes on from there.

    Raises:
        RunLaterError: ``lease_lost``.
    """
    for batch in batches_of(rows_of(people), AT_ONCE):
        ledger.record(
            lease, [record for row in batch for record in _records(row) if row["held"]], export=export.id
        )


def _records(row: Row) -> Iterator[Record]:
    key = row["subscriber_hash"]
    if row["missing"]:
        yield Released(subscriber_hash=key)
    elif row["status"] in NOT_SUBSCRIBED:
        yield Suppressed(
            subscriber_hash=key, address=row["address"], customer_id=row["customer_id"], reason=row["status"]
        )
    elif row["field_differs"]:
        yield Acknowledged(
            subscriber_hash=key,
            address=row["address"],
            customer_id=row["customer_id"],
            created_by_us=False,  # what was recorded first stays
            tags=tuple(row["tags"]),
            fingerprint=UNKNOWN,
            filled=row["filled"],
        )
    elif row["tag_missing"] or row["tag_extra"]:
        yield Retagged(subscriber_hash=key, added=tuple(row["tags"]), removed=tuple(row["lost"]))


def count_repaired(
    people: Path, frame: Frame, after: LedgerFiles, export: Export, work: Path, *, finished: bool
) -> int:
    """How many of *people* the ledger now shows in line: not refused, nothing of them unknown or missing.

    Args:
        people: Of ``compare``.
        frame: Who is wanted.
        after: The ledger after the repair.
        export: Whose repair.
        work: A private folder to spill into.
        finished: Whether the plan was carried out whole; people whom the export did not hold leave no trace else.
    """
    done = "true" if finished else "false"
    with open_engine(work) as engine:
        return int(
            engine.one(
                f"""
                SELECT count(*) FROM read_parquet({quoted(people / "*.parquet")}) p
                LEFT JOIN read_parquet({quoted(frame.frame_path)}) f USING (subscriber_hash)
                LEFT JOIN read_parquet({quoted(after.members)}) m USING (subscriber_hash)
                LEFT JOIN (FROM read_parquet({quoted(after.holds)}) WHERE export = {quoted(export.id)}) h
                    USING (subscriber_hash)
                LEFT JOIN (FROM read_parquet({quoted(after.refusals)}) WHERE export = {quoted(export.id)}) r
                    USING (subscriber_hash)
                WHERE (p.missing OR p.tag_missing OR p.tag_extra OR p.field_differs)
                  AND (p.held OR {done}) AND r.subscriber_hash IS NULL
                  AND coalesce(m.state, 'active') <> 'suppressed'
                  AND (h.fingerprint IS NULL OR h.fingerprint <> unhex('{UNKNOWN.hex()}'))
                  AND (f.subscriber_hash IS NULL OR {keys_of("coalesce(h.tags, [])")} = {keys_of("f.tags")})
                """
            )
        )
