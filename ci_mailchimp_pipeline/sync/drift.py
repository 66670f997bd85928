"""Compare what the ledger says an export holds with what Mailchimp really holds. Reads files, writes one file.

Only people whom the ledger calls active are compared: nobody else was promised anything. The comparison is made
range by range, like a plan; what differs is usually little, and is looked at as a whole afterwards.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.engine import Engine, array, identifier, open_engine, quoted
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger import LedgerFiles
from ci_mailchimp_pipeline.plan.classify import ANSWER_DELAY_SECONDS
from ci_mailchimp_pipeline.plan.inputs import keys_of, narrow, ranges
from ci_mailchimp_pipeline.sync.changed_address import find_changed_addresses
from ci_mailchimp_pipeline.sync.values import same_sql
from ci_mailchimp_pipeline.sync.whole import there_sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """People by what differs; one person may be in several. The first four can be repaired.

    Attributes:
        missing: Held, and not in the audience any more: deleted.
        tag_missing: Lacks a tag that the export holds on them.
        tag_extra: Carries a tag of the export that the export did not give; not one that they had before us.
        field_differs: Another value in a merge field that we sent.
        opted_out: Unsubscribed, pending or transactional since.
        cleaned: Bounced since.
        archived_elsewhere: Archived, and not by us.
        address_changed: Not in the audience any more, and somebody is who holds the very same.
    """

    missing: int = 0
    tag_missing: int = 0
    tag_extra: int = 0
    field_differs: int = 0
    opted_out: int = 0
    cleaned: int = 0
    archived_elsewhere: int = 0
    address_changed: int = 0

    def as_json(self) -> dict[str, int]:
        """The ``drift`` object of ``reconcile --json``, in its documented order."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @property
    def none(self) -> bool:
        """Whether nothing differs."""
        return not any(self.as_json().values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The files a comparison is made of.

    Attributes:
        whole: Folder of what ``read_whole`` wrote.
        tagged: Folder of what ``read_tagged`` wrote.
        fields: The audience's merge fields by merge tag.
        unfinished_since: Mailchimp's clock when a run began that never finished: whom it archived is not known.
    """

    state: LedgerFiles
    frame: Frame
    whole: Path
    tagged: Path
    fields: Mapping[str, MergeField]
    unfinished_since: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What differs.

    Attributes:
        people: Folder of Parquet: ``subscriber_hash``, ``address``, ``customer_id``, whether ``held``, what
            differs (a column each), ``status`` in Mailchimp, and ``tags`` and ``filled`` as they really are.
        repairable: People whom a repair can bring in line.
    """

    drift: Drift
    people: Path
    repairable: int


def shows_too_few_tags(state: LedgerFiles, whole: Path, work: Path) -> bool:
    """Whether a member whom the ledger knows carries more tags than Mailchimp shows of a member."""
    with open_engine(work) as engine:
        members = f"read_parquet({quoted(state.members)})"
        return bool(
            engine.one(
                f"SELECT count(*) FROM read_parquet({quoted(whole / '*.parquet')}) w "
                f"SEMI JOIN {members} m USING (subscriber_hash) WHERE status = 'subscribed' AND NOT all_tags"
            )
        )


def compare(export: Export, inputs: Inputs, into: Path) -> Compared:
    """Write who differs, and how, below *into*, an existing private folder."""
    with open_engine(into) as engine:
        _open(engine, export, inputs)
        found = into / "found"
        found.mkdir(mode=0o700)
        for part in ranges(max(inputs.frame.accepted, engine.one("SELECT count(*) FROM members"))):
            narrow(engine, part, "whole", "members", "mine", "protected", "frame", "tagged")
            _write(engine, found / f"{part.number:03}.parquet", _different(export, inputs))
        engine.execute(f"CREATE VIEW found AS SELECT * FROM read_parquet({quoted(found / '*.parquet')})")
        find_changed_addresses(engine, {tag: inputs.fields[tag] for tag in export.fields})
        people = into / "people"
        people.mkdir(mode=0o700)
        gone = "(missing AND c.subscriber_hash IS NOT NULL)"
        _write(
            engine,
            people / "people.parquet",
            f"""
            SELECT f.* REPLACE (missing AND NOT {gone} AS missing), {gone} AS address_changed
            FROM found f LEFT JOIN changed c USING (subscriber_hash) ORDER BY subscriber_hash
            """,
        )
        kinds = ", ".join(f"count(*) FILTER ({each.name})" for each in fields(Drift))
        repairable = "count(*) FILTER (missing OR tag_missing OR tag_extra OR field_differs)"
        source = f"read_parquet({quoted(people / '*.parquet')})"
        *counts, repairs = engine.execute(f"SELECT {kinds}, {repairable} FROM {source}")[0]
    names = [each.name for each in fields(Drift)]
    return Compared(drift=Drift(**dict(zip(names, counts, strict=True))), people=people, repairable=repairs)


def _write(engine: Engine, path: Path, query: str) -> None:
    engine.execute(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet)")
    path.chmod(0o600)


def _open(engine: Engine, export: Export, inputs: Inputs) -> None:
    state = inputs.state
    sources = {
        "whole": inputs.whole / "*.parquet",
        "tagged": inputs.tagged / "*.parquet",
        "frame": inputs.frame.frame_path,
        "rejected": inputs.frame.rejected_path,
        "members": state.members,
        "holds": state.holds,
        "foreign_tags": state.foreign_tags,
    }
    for name, path in sources.items():
        engine.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({quoted(path)})")
    declared = array(tag_key(tag) for tag in export.tags)
    engine.execute(
        f"""
        CREATE TEMP TABLE ours AS SELECT list(tag_key) AS keys
        FROM read_parquet({quoted(state.tags)}) WHERE list_contains({declared}, tag_key);
        CREATE TEMP TABLE held_by_others AS SELECT coalesce(list(DISTINCT tag_key), []) AS keys
        FROM (SELECT unnest({keys_of("tags")}) AS tag_key FROM holds WHERE export <> {quoted(export.id)});
        CREATE VIEW mine AS SELECT subscriber_hash, tags, {keys_of("tags")} AS keys, fingerprint, filled
        FROM holds WHERE export = {quoted(export.id)};
        CREATE VIEW protected AS SELECT subscriber_hash, list_distinct(flatten(list(keys))) AS keys FROM (
            SELECT subscriber_hash, {keys_of("tags")} AS keys FROM holds WHERE export <> {quoted(export.id)}
            UNION ALL SELECT subscriber_hash, [tag_key] FROM foreign_tags
        ) GROUP BY subscriber_hash
        """
    )


def _different(export: Export, inputs: Inputs) -> str:
    """One row per active member of the range that differs in any way.

    ``tag_extra`` on members whom the export does not hold is told only where leaving takes the tag off
    (``remove_tag``), and never of a tag that another export uses: it may have left it there on purpose.
    """
    since = inputs.unfinished_since
    ours_perhaps = "false" if since is None else f"w.last_changed >= {since - ANSWER_DELAY_SECONDS!r}"
    pending = "true" if export.new_members == "pending" else "false"
    names, keys = array(export.tags), array(tag_key(tag) for tag in export.tags)
    removes = "true" if export.on_exit == "remove_tag" else "false"
    differs = " OR ".join(_differs(tag, inputs.fields[tag]) for tag in export.fields) or "false"
    return f"""
        WITH there AS ({there_sql("whole_here", "tagged_here")}), joined AS (
            SELECT m.subscriber_hash, m.address, m.customer_id, h.subscriber_hash IS NOT NULL AS held,
                   w.status, coalesce(w.status, '') = 'subscribed' AS writable,
                   coalesce(h.tags, []) AS held_tags, coalesce(h.keys, []) AS held_keys,
                   coalesce(w.carried, []) AS carried, coalesce(p.keys, []) AS not_ours,
                   coalesce(h.filled, '') AS filled, f.subscriber_hash IS NOT NULL AS wanted,
                   coalesce(f.fingerprint = h.fingerprint, false) AND ({differs}) AS other_fields,
                   coalesce({ours_perhaps}, false) AS ours_perhaps
            FROM members_here m
            LEFT JOIN mine_here h USING (subscriber_hash)
            LEFT JOIN there w USING (subscriber_hash)
            LEFT JOIN protected_here p USING (subscriber_hash)
            LEFT JOIN frame_here f USING (subscriber_hash)
            WHERE m.state = 'active'
        ), tagged AS (
            SELECT *,
                CASE WHEN held AND writable
                     THEN list_filter(held_keys, lambda k: NOT list_contains(carried, k)) ELSE [] END AS lost,
                CASE WHEN NOT writable OR NOT held AND NOT ({removes} AND NOT wanted AND customer_id NOT IN (
                              SELECT customer_id FROM rejected WHERE reason <> 'no_profile')) THEN []
                     ELSE list_filter(carried, lambda k: list_contains(ours.keys, k) AND NOT list_contains(held_keys, k)
                         AND NOT list_contains(not_ours, k) AND (held OR NOT list_contains(others.keys, k)))
                END AS extra
            FROM joined, (SELECT coalesce(keys, []) AS keys FROM ours) ours, held_by_others others
        )
        SELECT subscriber_hash, address, customer_id, held, status, filled,
               held AND status IS NULL AS missing,
               len(lost) > 0 AS tag_missing, len(extra) > 0 AS tag_extra,
               held AND writable AND other_fields AS field_differs,
               held AND (status IN ('unsubscribed', 'transactional') OR status = 'pending' AND NOT {pending})
                   IS TRUE AS opted_out,
               held AND (status = 'cleaned') IS TRUE AS cleaned,
               held AND (status = 'archived') IS TRUE AND NOT ours_perhaps AS archived_elsewhere,
               list_filter(held_tags, lambda t: NOT list_contains(lost, lower(t)))
                   || list_filter({names}, lambda t: list_contains(extra, ({keys})[list_position({names}, t)])) AS tags,
               lost, extra
        FROM tagged
        WHERE missing OR tag_missing OR tag_extra OR field_differs OR opted_out OR cleaned OR archived_elsewhere
    """


def _differs(tag: str, field: MergeField) -> str:
    """SQL: whether a field that has a value is another one in Mailchimp. A blank is no value: it was not sent."""
    name = identifier(f"mf_{tag}")
    return f"(f.{name} IS NOT NULL AND NOT {same_sql(field, f'f.{name}', f'w.{name}')})"
