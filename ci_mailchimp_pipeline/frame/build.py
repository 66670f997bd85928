"""From a snapshot to the export frame: classify, merge duplicates, write, check, publish."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ci_mailchimp_pipeline.artifacts import draft, load_manifest, publish
from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.engine import MEMORY_LIMIT, Engine, identifier, open_engine, quoted
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.reasons import NO_PROFILE
from ci_mailchimp_pipeline.frame.rows import classified_sql, order_sql
from ci_mailchimp_pipeline.frame.schema import frame_schema, validate
from ci_mailchimp_pipeline.frame.values import column_sql

_CODE = "frame_not_good"


class Upstream(Protocol):
    """The part of a snapshot that a frame is built from."""

    @property
    def profiles_path(self) -> Path:
        """``row``, ``customer_id`` and ``p_<Column>``."""

    @property
    def membership_path(self) -> Path:
        """``customer_id`` and ``segment``, distinct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The rows of one export that are worth sending, and beside them those that are not.

    Counts are rows of the profiles: ``profiles = accepted + rejected + merged + excluded``.

    Attributes:
        folder: Private; complete or absent.
        profiles: Rows of customers in the chosen segments.
        excluded: Dropped by ``require``.
        rejected: Not sent, for a reason.
        merged: Another row of the same customer or address was kept.
        accepted: Distinct addresses.
        no_profile: Customers in the chosen segments without a profile; in none of the other counts.
        rejected_reasons: Reason → rows; sums up to ``rejected``.
        cut_values: Values of accepted rows that were shortened.
        segments: Chosen segment → its customers that have a profile.
        tags: Every tag the frame can hold, sorted.
        columns: Of ``frame.parquet``, in order.
        digest: The same content has the same.
        good: Whether the accepted rows passed their checks.
    """

    folder: Path
    profiles: int
    excluded: int
    rejected: int
    merged: int
    accepted: int
    no_profile: int
    rejected_reasons: dict[str, int]
    cut_values: int
    segments: dict[str, int]
    tags: tuple[str, ...]
    columns: tuple[str, ...]
    digest: str
    good: bool

    @property
    def frame_path(self) -> Path:
        """The accepted rows, in the order of the subscriber hash."""
        return self.folder / "frame.parquet"

    @property
    def rejected_path(self) -> Path:
        """``row``, ``customer_id``, ``reason``, ``field``, ``email_address``."""
        return self.folder / "rejected.parquet"


def build_frame(
    export: Export,
    snapshot: Upstream,
    fields: Mapping[str, MergeField],
    into: Path,
    *,
    memory_limit: str = MEMORY_LIMIT,
) -> Frame:
    """Write the frame of *export* into the folder *into*, checked, and return its counts.

    *fields* are the audience's merge fields by merge tag, the required ones that are not mapped included; the
    mapping fits them (see `field_problems`).

    Raises:
        FixConfigError: ``unknown_column``; the snapshot lacks a column.
        FixDataError: ``frame_check_failed``; an accepted row breaks the contract, which is a bug.
    """
    with draft(into) as work:
        with open_engine(work, memory_limit=memory_limit) as engine:
            _open_snapshot(engine, export, snapshot)
            _classify(engine, export, fields, work)
            _choose(engine, export)
            _write(engine, export, work)
            facts = _facts(engine, export, work)
        validate(frame_schema(export, fields), work / "frame.parquet")
        rows = {
            "frame.parquet": facts["accepted"],
            "rejected.parquet": facts["rejected"] + facts["no_profile"],
        }
        publish(work, into, rows=rows, facts={**facts, "good": True})
    return load_frame(into)


def load_frame(folder: Path) -> Frame:
    """The frame in *folder*, after comparing both files with its manifest.

    Raises:
        FixDataError: ``frame_not_good``.
    """
    manifest = load_manifest(folder, code=_CODE)
    known = {name: manifest[name] for name in Frame.__dataclass_fields__ if name != "folder"}
    return Frame(
        **{**known, "folder": folder, "tags": tuple(known["tags"]), "columns": tuple(known["columns"])}
    )


def recounted(engine: Engine, facts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The *facts* of a manifest for the files in *folder*, out of which rows were taken as if they had never been."""
    accepted = engine.one(f"SELECT count(*) FROM {_parquet(folder / 'frame.parquet')}")
    reasons = _reasons(engine, _parquet(folder / "rejected.parquet"))
    no_profile = reasons.pop(NO_PROFILE, 0)
    unfit = sum(reasons.values())
    fresh = {
        **facts,
        "profiles": facts["profiles"] - (facts["accepted"] - accepted) - (facts["rejected"] - unfit),
        "accepted": accepted,
        "rejected": unfit,
        "no_profile": no_profile,
        "rejected_reasons": reasons,
    }
    counted = {name: value for name, value in fresh.items() if name not in {"digest", "good"}}
    return {**fresh, "digest": _digest(engine, _parquet(folder / "frame.parquet"), counted)}


def _open_snapshot(engine: Engine, export: Export, snapshot: Upstream) -> None:
    for name, path in (("profiles", snapshot.profiles_path), ("membership", snapshot.membership_path)):
        engine.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({quoted(path)})")
    present = {name for name, *_ in engine.execute("DESCRIBE profiles")}
    for column in export.columns:
        if f"p_{column}" not in present:
            raise FixConfigError(
                "unknown_column",
                f"export '{export.id}': the snapshot has no column '{column}'",
                fix="correct the column's name, or take a new snapshot (materialize unified_profiles)",
            )
    chosen = ", ".join(f"({quoted(segment.name)}, {quoted(segment.tag)})" for segment in export.segments)
    engine.execute(
        f"""
        CREATE TABLE chosen AS SELECT * FROM (VALUES {chosen}) _(segment, tag);
        CREATE TABLE member AS SELECT customer_id, list_sort(list_distinct(list(tag))) AS tags
        FROM membership JOIN chosen USING (segment) GROUP BY customer_id
        """
    )


def _classify(engine: Engine, export: Export, fields: Mapping[str, MergeField], work: Path) -> None:
    staged = quoted(work / "classified.parquet")
    engine.execute(f"COPY ({classified_sql(export, fields)}) TO {staged} (FORMAT parquet)")
    engine.execute(f"CREATE VIEW classified AS SELECT * FROM read_parquet({staged})")


def _choose(engine: Engine, export: Export) -> None:
    """Make ``winner``: the row kept for each address, and its tags where several rows share them.

    Only duplicates are sorted; sorting everybody would not fit the memory limit.
    """
    whole = ", ".join(column_sql(column) for column in export.columns)
    engine.execute(
        f"""
        CREATE TABLE candidate AS
        SELECT row, customer_id, subscriber_hash FROM classified WHERE NOT excluded AND verdict IS NULL;

        CREATE TABLE twice AS SELECT customer_id FROM candidate GROUP BY customer_id HAVING count(*) > 1;
        DELETE FROM candidate WHERE row IN (
            SELECT row FROM (
                SELECT row, row_number() OVER (
                    PARTITION BY customer_id ORDER BY {order_sql(export.prefer, "key", "whole", "row")}) AS
                    place
                FROM classified
                SEMI JOIN candidate USING (row)
                JOIN (SELECT row, CAST(to_json([{whole}]) AS VARCHAR) AS whole FROM profiles) USING (row)
                WHERE customer_id IN (FROM twice)
            ) WHERE place > 1
        );

        CREATE TABLE shared AS
        SELECT subscriber_hash FROM candidate GROUP BY subscriber_hash HAVING count(*) > 1;
        CREATE TABLE winner AS
        SELECT row, NULL::VARCHAR[] AS tags FROM candidate ANTI JOIN shared USING (subscriber_hash)
        UNION ALL
        SELECT row, list_sort(list_distinct(flatten(all_tags))) FROM (
            SELECT row, list(tags) OVER (PARTITION BY subscriber_hash) AS all_tags, row_number() OVER (
                PARTITION BY subscriber_hash ORDER BY {order_sql(export.prefer, "customer_id")}) AS place
            FROM classified
            SEMI JOIN candidate USING (row)
            WHERE subscriber_hash IN (FROM shared)
        ) WHERE place = 1
        """
    )


def _write(engine: Engine, export: Export, work: Path) -> None:
    tags = sorted(export.fields)
    merge = "".join(f"{identifier(f'mf_{tag}')}, " for tag in export.fields)
    # The length makes it unambiguous: no value can look like the next field.
    columns = {tag: identifier(f"mf_{tag}") for tag in tags}
    content = " || ".join(
        f"'{tag}' || coalesce(strlen({mf}) || ':' || {mf}, '-')" for tag, mf in columns.items()
    )
    filled = ", ".join(f"CASE WHEN {mf} IS NOT NULL THEN '{tag}' END" for tag, mf in columns.items())
    engine.execute(
        f"""
        COPY (
            SELECT subscriber_hash, customer_id, email_address, coalesce(w.tags, c.tags) AS tags, {merge}
                unhex(md5({content or "''"})) AS fingerprint, concat_ws(',', {filled or "NULL"}) AS filled
            FROM classified c JOIN winner w USING (row) ORDER BY subscriber_hash
        ) TO {quoted(work / "frame.parquet")} (FORMAT parquet);
        COPY (
            SELECT row, customer_id, split_part(verdict, ' ', 1) AS reason,
                nullif(split_part(verdict, ' ', 2), '') AS field, email_address
            FROM classified WHERE NOT excluded AND verdict IS NOT NULL
            UNION ALL
            SELECT NULL, customer_id, {quoted(NO_PROFILE)}, NULL, NULL
            FROM member ANTI JOIN profiles USING (customer_id)
            ORDER BY row NULLS LAST, customer_id
        ) TO {quoted(work / "rejected.parquet")} (FORMAT parquet)
        """
    )


def _facts(engine: Engine, export: Export, work: Path) -> dict[str, Any]:
    frame = _parquet(work / "frame.parquet")
    profiles, excluded = engine.execute("SELECT count(*), count(*) FILTER (excluded) FROM classified")[0]
    accepted = engine.one("SELECT count(*) FROM winner")
    reasons = _reasons(engine, _parquet(work / "rejected.parquet"))
    no_profile = reasons.pop(NO_PROFILE, 0)
    unfit = sum(reasons.values())
    found = dict(
        engine.execute(
            """SELECT segment, count(*) FROM membership JOIN chosen USING (segment)
            WHERE customer_id IN (SELECT customer_id FROM profiles) GROUP BY segment"""
        )
    )
    columns = [name for name, *_ in engine.execute(f"DESCRIBE SELECT * FROM {frame}")]
    facts = {
        "profiles": profiles,
        "excluded": excluded,
        "rejected": unfit,
        "merged": profiles - excluded - unfit - accepted,
        "accepted": accepted,
        "no_profile": no_profile,
        "rejected_reasons": reasons,
        "cut_values": engine.one(
            "SELECT coalesce(sum(cut_values), 0)::BIGINT FROM classified JOIN winner USING (row)"
        ),
        "segments": {segment.name: found.get(segment.name, 0) for segment in export.segments},
        "tags": sorted(set(export.tags)),
        "columns": columns,
    }
    return {**facts, "digest": _digest(engine, frame, facts)}


def _parquet(path: Path) -> str:
    return f"read_parquet({quoted(path)})"


def _reasons(engine: Engine, rejected: str) -> dict[str, int]:
    return dict(engine.execute(f"SELECT reason, count(*) FROM {rejected} GROUP BY reason ORDER BY reason"))


def _digest(engine: Engine, frame: str, facts: Mapping[str, Any]) -> str:
    """A hash of the counts and the rows: the exclusive or of the rows' MD5, which has no order to depend on."""
    row = "hex(subscriber_hash) || hex(fingerprint) || to_json([customer_id, email_address]) || to_json(tags)"
    rows = engine.one(
        f"SELECT bit_xor(md5_number({row})) FROM {frame}"
    )  # no two rows are equal and cancel out
    return hashlib.sha256(json.dumps([rows, facts]).encode()).hexdigest()
