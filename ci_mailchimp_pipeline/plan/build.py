"""Build the plan: classify everyone, choose the cheapest route for tags, write the files, name the whole."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, array, identifier, open_engine, quoted
from ci_mailchimp_pipeline.plan.classify import classify
from ci_mailchimp_pipeline.plan.economy import Route, choose_route
from ci_mailchimp_pipeline.plan.inputs import open_inputs
from ci_mailchimp_pipeline.plan.model import Calls, Counts, Plan, PlanInputs, PlanSettings

FILES = ("posts", "moves", "tags", "leaving", "suppressed")


def build_plan(
    inputs: PlanInputs,
    settings: PlanSettings,
    frame_counts: Counts,
    into: Path,
) -> Plan:
    """Write the plan's files under *into* and return it; reads only *inputs*, sends nothing.

    Args:
        frame_counts: profiles, excluded, rejected, merged, accepted and no_profile of the frame.
        into: An existing private folder; spill files live there while it runs.
    """
    with open_engine(into) as engine:
        open_inputs(engine, inputs)
        classify(engine, settings)
        route = _route(engine, settings)
        _write_files(engine, settings, route, into)
        return _summarize(engine, settings, frame_counts, route, into)


def count_strangers(frame: Path, members: Path, work: Path) -> tuple[int, int]:
    """How many wanted addresses the ledger has never heard of, and how many members it knows."""
    known = f"read_parquet({quoted(members)})"
    with open_engine(work) as engine:
        strangers = f"read_parquet({quoted(frame)}) f ANTI JOIN {known} m USING (subscriber_hash)"
        return engine.one(f"SELECT count(*) FROM {strangers}"), engine.one(f"SELECT count(*) FROM {known}")


def _route(engine: Engine, settings: PlanSettings) -> Route:
    lacking = "list_filter(keys, lambda k: NOT list_contains(had_keys, k))"
    engine.execute(
        f"""
        ALTER TABLE wanted ADD COLUMN add_keys VARCHAR[];
        UPDATE wanted SET add_keys = {lacking} WHERE op IN ('tag', 'move', 'upsert');
        CREATE TEMP TABLE dropping AS
        SELECT w.subscriber_hash, unnest(list_filter(w.had_keys, lambda k: NOT list_contains(w.keys, k))) AS tag_key
        FROM wanted w WHERE w.op IN ('tag', 'move', 'upsert', 'return');
        """
    )
    # A tag that another export still holds on the member, or that it carried before us, is not ours to take.
    engine.execute(
        f"""
        DELETE FROM dropping d USING (
            SELECT subscriber_hash, lower(unnest(tags)) AS tag_key FROM holds WHERE export <> {quoted(settings.export)}
            UNION ALL SELECT subscriber_hash, tag_key FROM foreign_tags
        ) o
        LEFT JOIN (SELECT subscriber_hash, old_hash FROM wanted WHERE op = 'move') w ON w.old_hash = o.subscriber_hash
        WHERE o.tag_key = d.tag_key AND d.subscriber_hash = coalesce(w.subscriber_hash, o.subscriber_hash)
        """
    )
    # What is held, not wanted and not ours to take is no longer claimed; that takes no request.
    engine.execute(
        """
        ALTER TABLE wanted ADD COLUMN drop_keys VARCHAR[] DEFAULT [];
        UPDATE wanted w SET drop_keys = d.keys
        FROM (SELECT subscriber_hash, list(tag_key) AS keys FROM dropping GROUP BY 1) d
        WHERE d.subscriber_hash = w.subscriber_hash;
        CREATE TEMP TABLE disowned AS
        SELECT w.subscriber_hash, unnest(list_filter(h.all_keys, lambda k: NOT list_contains(w.keys, k)
                                                       AND NOT list_contains(w.drop_keys, k))) AS tag_key
        FROM wanted w JOIN mine h ON h.subscriber_hash = coalesce(w.old_hash, w.subscriber_hash)
        WHERE w.op IN ('tag', 'move');
        UPDATE wanted SET op = 'unchanged', bucket = 'unchanged'
        WHERE op = 'tag' AND len(add_keys) = 0 AND len(drop_keys) = 0;
        """
    )
    must_post = engine.one("SELECT count(*) FROM wanted WHERE op IN ('upsert', 'return')")
    adds = {
        frozenset(keys): count
        for keys, count in engine.execute(
            "SELECT list_sort(add_keys), count(*) FROM wanted WHERE op IN ('tag', 'move') AND len(add_keys) > 0 GROUP BY 1"
        )
    }
    removes = dict(
        engine.execute(
            """
            SELECT tag_key, count(*) FROM (
                SELECT tag_key FROM dropping
                UNION ALL SELECT unnest(drop_keys) FROM leaving WHERE op = 'untag' AND NOT moving
            ) GROUP BY 1
            """
        )
    )
    return choose_route(must_post=must_post, adds=adds, removes=removes, known_tags=settings.known_tags)


def _write_files(engine: Engine, settings: PlanSettings, route: Route, into: Path) -> None:
    by_call = array(sorted(route.by_call))
    engine.execute(
        f"""
        ALTER TABLE wanted ADD COLUMN riding BOOLEAN;
        UPDATE wanted SET riding = op IN ('tag', 'move') AND len(add_keys) > 0 AND NOT list_has_all({by_call}, add_keys);
        UPDATE wanted SET op = 'upsert' WHERE op = 'tag' AND riding;
        """
    )
    merge = ", ".join(f"f.{identifier(f'mf_{tag}')}" for tag in settings.merge_tags)
    mapped = array(settings.merge_tags)
    person = f"""
        f.customer_id, f.email_address, {merge + "," if merge else ""} f.tags, f.fingerprint, f.filled,
        list_filter({mapped}, lambda t: list_contains(string_split(coalesce(h.filled, ''), ','), t)
                                    AND NOT list_contains(string_split(f.filled, ','), t)) AS clear
    """
    # What the export holds once the upsert is acknowledged: what is wanted, and what is still to be taken off.
    held_after = """
        list_sort(list_distinct(f.tags || list_filter(coalesce(h.tags, []), lambda t: list_contains(w.drop_keys, lower(t)))))
    """
    _copy(
        engine, into, "posts",
        f"""
        SELECT w.subscriber_hash, w.op, w.bucket, w.archived_at, w.attempts, {person}, {held_after} AS held_tags,
               CASE WHEN w.bucket = 'updated' THEN len(w.add_keys) ELSE 0 END AS pairs
        FROM wanted w JOIN frame f USING (subscriber_hash) LEFT JOIN mine h USING (subscriber_hash)
        WHERE w.op IN ('upsert', 'return')
        UNION ALL BY NAME
        SELECT w.subscriber_hash, 'ride' AS op, w.bucket, w.archived_at, w.attempts, {person}, {held_after} AS held_tags,
               len(w.add_keys) AS pairs
        FROM wanted w JOIN frame f USING (subscriber_hash) LEFT JOIN mine h ON h.subscriber_hash = w.old_hash
        WHERE w.op = 'move' AND w.riding
        ORDER BY subscriber_hash
        """,
    )  # fmt: skip
    _copy(
        engine, into, "moves",
        f"""
        SELECT w.subscriber_hash, w.old_hash, m.address AS old_address, w.attempts, w.riding, {person},
               coalesce(h.tags, []) AS held_tags, l.op AS old_op, coalesce(l.drop_keys, []) AS old_drop_keys
        FROM wanted w JOIN frame f USING (subscriber_hash)
        JOIN members m ON m.subscriber_hash = w.old_hash
        LEFT JOIN leaving l ON l.subscriber_hash = w.old_hash
        LEFT JOIN mine h ON h.subscriber_hash = w.old_hash
        WHERE w.op = 'move' ORDER BY w.subscriber_hash
        """,
    )  # fmt: skip
    _copy(
        engine, into, "tags",
        """
        SELECT tag_key, action, subscriber_hash, email_address, customer_id, fingerprint, attempts, leaving,
               leaving AND tag_key = max(tag_key) OVER (PARTITION BY subscriber_hash) AS last_one
        FROM (
            SELECT unnest(w.add_keys) AS tag_key, 'add' AS action, w.subscriber_hash, f.email_address,
                   f.customer_id, f.fingerprint, w.attempts, false AS leaving
            FROM wanted w JOIN frame f USING (subscriber_hash) WHERE w.op IN ('tag', 'move') AND NOT w.riding
            UNION ALL
            SELECT d.tag_key, 'remove', w.subscriber_hash, f.email_address, f.customer_id, f.fingerprint, w.attempts, false
            FROM dropping d JOIN wanted w USING (subscriber_hash) JOIN frame f USING (subscriber_hash)
            UNION ALL
            SELECT tag_key, 'disown', subscriber_hash, NULL, NULL, NULL, 0, false FROM disowned
            UNION ALL
            SELECT unnest(drop_keys), 'remove', subscriber_hash, address, customer_id, NULL, 0, true
            FROM leaving WHERE op = 'untag' AND NOT moving
        ) ORDER BY tag_key, action, subscriber_hash
        """,
    )  # fmt: skip
    _copy(
        engine,
        into,
        "leaving",
        "SELECT subscriber_hash, address, op, reason FROM leaving WHERE NOT moving ORDER BY 1",
    )
    _copy(
        engine, into, "suppressed",
        """
        SELECT w.subscriber_hash, f.email_address, w.customer_id, w.reason
        FROM wanted w JOIN frame f USING (subscriber_hash)
        WHERE w.op = 'suppressed' AND w.reason = w.seen
          AND (w.known_as IS DISTINCT FROM 'suppressed' OR w.known_reason IS DISTINCT FROM w.reason)
        ORDER BY w.subscriber_hash
        """,
    )  # fmt: skip


def _copy(engine: Engine, into: Path, name: str, query: str) -> None:
    path = into / f"{name}.parquet"
    engine.execute(
        f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20000)"
    )
    path.chmod(0o600)


def _summarize(engine: Engine, settings: PlanSettings, frame: Counts, route: Route, into: Path) -> Plan:
    buckets = _pairs(engine, "SELECT bucket, count(*) FROM wanted GROUP BY 1")
    exits = _pairs(engine, "SELECT op, count(*) FROM leaving WHERE NOT moving GROUP BY 1")
    archived = exits.get("archive", 0) + exits.get("archived_already", 0)
    counts = Counts(
        profiles=frame.profiles, excluded=frame.excluded, rejected=frame.rejected, merged=frame.merged,
        accepted=frame.accepted, no_profile=frame.no_profile,
        added=buckets.get("added", 0), updated=buckets.get("updated", 0), moved=buckets.get("moved", 0),
        unchanged=buckets.get("unchanged", 0), suppressed=buckets.get("suppressed", 0),
        refused=buckets.get("refused", 0), exited=sum(exits.values()), archived=archived,
        tags_added=engine.one(
            "SELECT coalesce(sum(len(add_keys)), 0)::BIGINT FROM wanted WHERE bucket IN ('updated', 'moved')",
        ),
        tags_removed=engine.one(f"SELECT count(*) FROM {_file(into, 'tags')} WHERE action = 'remove'"),
    )  # fmt: skip
    return Plan(
        folder=into,
        plan_id=_identify(engine, settings, into),
        counts=counts,
        calls=Calls(
            posts=route.posts,
            moves=buckets.get("moved", 0),
            tag_calls=route.tag_calls,
            tags_created=route.tags_created,
            archives=exits.get("archive", 0),
        ),
        held=engine.one(
            "SELECT count(*) FROM mine JOIN members m USING (subscriber_hash) WHERE m.state <> 'archived_by_us'",
        ),
        growing=engine.one(
            "SELECT count(*) FROM wanted WHERE op = 'return' OR (op IN ('upsert', 'ride') AND NOT held)",
        ),
        suppressed_reasons=_pairs(
            engine, "SELECT reason, count(*) FROM wanted WHERE op = 'suppressed' GROUP BY 1"
        ),
        refused_reasons=_pairs(engine, "SELECT reason, count(*) FROM wanted WHERE op = 'refused' GROUP BY 1"),
        exit_reasons=_pairs(engine, "SELECT reason, count(*) FROM leaving WHERE NOT moving GROUP BY 1"),
        held_by_tag=_pairs(
            engine,
            """
            SELECT unnest(all_keys), count(*) FROM mine JOIN members m USING (subscriber_hash)
            LEFT JOIN seen s USING (subscriber_hash)
            WHERE m.state <> 'archived_by_us' AND coalesce(s.status, 'subscribed') = 'subscribed' GROUP BY 1
            """,
        ),
    )


def _identify(engine: Engine, settings: PlanSettings, into: Path) -> str:
    """A name for exactly these operations: equal plans have equal ids, whenever and wherever they are made."""
    digest = hashlib.sha256(
        f"{settings.scope}\x1f{settings.export}\x1f{settings.on_exit}\x1f{settings.new_members}".encode()
    )
    for name in FILES[:-1]:  # what is only remembered, not sent, is not part of it
        rows, mark = engine.execute(
            f"SELECT count(*), coalesce(bit_xor(md5_number(t::VARCHAR)), 0)::VARCHAR FROM {_file(into, name)} t"
        )[0]
        digest.update(f"\x1f{name}\x1f{rows}\x1f{mark}".encode())
    return digest.hexdigest()[:16]


def _file(into: Path, name: str) -> str:
    return f"read_parquet({quoted(into / f'{name}.parquet')})"


def _pairs(engine: Engine, query: str) -> Mapping[str, int]:
    return dict(sorted((str(key), int(count)) for key, count in engine.execute(query)))
