"""The plan's files: who is sent what, one Parquet file a range, in the order it will be sent."""

from collections.abc import Sequence
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, array, identifier, quoted
from ci_mailchimp_pipeline.plan.economy import Route
from ci_mailchimp_pipeline.plan.inputs import HashRange, narrow
from ci_mailchimp_pipeline.plan.model import PlanSettings

FILES = ("posts", "moves", "tags", "leaving", "suppressed")


def write_files(
    engine: Engine, settings: PlanSettings, route: Route, parts: Sequence[HashRange], into: Path
) -> None:
    """Write every file of the plan below *into*; reads the views that ``classify`` made."""
    engine.execute(
        f"""
        CREATE VIEW routed AS
        SELECT * EXCLUDE (op),
            op IN ('tag', 'move') AND len(add_keys) > 0
                AND NOT list_has_all({array(sorted(route.by_call))}, add_keys) AS riding,
            CASE WHEN op = 'tag' AND riding THEN 'upsert' ELSE op END AS op
        FROM wanted
        """
    )
    for name in FILES:
        (into / name).mkdir(mode=0o700)
    for part in parts:
        narrow(engine, part, "frame", "mine", "routed", "leaving")
        for name, query in _queries(settings).items():
            path = into / name / f"{part.number:03}.parquet"
            engine.execute(
                f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20000)"
            )
            path.chmod(0o600)


def file_of(into: Path, name: str) -> str:
    """SQL: all rows of a plan's file."""
    return f"read_parquet({quoted(into / name / '*.parquet')})"


def _queries(settings: PlanSettings) -> dict[str, str]:
    merge = "".join(f"f.{identifier(f'mf_{tag}')}, " for tag in settings.merge_tags)
    # What was held is held under the old address when it moves.
    had = "CASE WHEN w.op = 'move' THEN coalesce(e.{old}, {empty}) ELSE coalesce(h.{now}, {empty}) END"
    filled, tags = (
        had.format(old="old_filled", now="filled", empty="''"),
        had.format(old="old_tags", now="tags", empty="[]"),
    )
    person = f"""
        f.customer_id, f.email_address, {merge} f.tags, f.fingerprint, f.filled,
        list_filter({array(settings.merge_tags)}, lambda t: list_contains(string_split({filled}, ','), t)
                                    AND NOT list_contains(string_split(f.filled, ','), t)) AS clear
    """
    people = """
        FROM routed_here w JOIN frame_here f USING (subscriber_hash)
        LEFT JOIN mine_here h USING (subscriber_hash) LEFT JOIN earlier e USING (subscriber_hash)
    """
    return {
        # ``held_tags``: what the export holds once it is acknowledged: what is wanted, and what is still to come off.
        "posts": f"""
            SELECT w.subscriber_hash, CASE WHEN w.op = 'move' THEN 'ride' ELSE w.op END AS op, w.bucket,
                   w.archived_at, w.attempts, {person},
                   list_sort(list_distinct(f.tags || list_filter({tags}, lambda t: list_contains(w.drop_keys, lower(t)))))
                       AS held_tags,
                   CASE WHEN w.bucket IN ('updated', 'moved') THEN len(w.add_keys) ELSE 0 END AS pairs
            {people} WHERE w.op IN ('upsert', 'return') OR (w.op = 'move' AND w.riding)
            ORDER BY w.subscriber_hash
        """,
        "moves": f"""
            SELECT w.subscriber_hash, w.old_hash, m.address AS old_address, m.created_by_us, w.attempts, w.riding, {person},
                   coalesce(e.old_tags, []) AS held_tags, l.op AS old_op, coalesce(l.drop_keys, []) AS old_drop_keys
            {people} JOIN members m ON m.subscriber_hash = w.old_hash LEFT JOIN leaving l ON l.subscriber_hash = w.old_hash
            WHERE w.op = 'move' ORDER BY w.subscriber_hash
        """,
        "tags": """
            SELECT tag_key, action, subscriber_hash, email_address, customer_id, fingerprint, attempts, leaving,
                   leaving AND tag_key = max(tag_key) OVER (PARTITION BY subscriber_hash) AS last_one
            FROM (
                SELECT unnest(w.add_keys) AS tag_key, 'add' AS action, w.subscriber_hash, f.email_address,
                       f.customer_id, f.fingerprint, w.attempts, false AS leaving
                FROM routed_here w JOIN frame_here f USING (subscriber_hash) WHERE w.op IN ('tag', 'move') AND NOT w.riding
                UNION ALL
                SELECT unnest(w.drop_keys), 'remove', w.subscriber_hash, f.email_address, f.customer_id, f.fingerprint,
                       w.attempts, false
                FROM routed_here w JOIN frame_here f USING (subscriber_hash)
                UNION ALL
                SELECT unnest(disown_keys), 'disown', subscriber_hash, NULL, NULL, NULL, 0, false FROM routed_here
                UNION ALL
                SELECT unnest(drop_keys), 'remove', subscriber_hash, address, customer_id, NULL, 0, true
                FROM leaving_here WHERE op = 'untag' AND NOT moving
            ) ORDER BY tag_key, action, subscriber_hash
        """,
        "leaving": "SELECT subscriber_hash, address, op FROM leaving_here WHERE NOT moving ORDER BY 1",
        # An opt-out stays with the customer whom it follows to another address, whoever has this one now; unless
        # there is no such customer any more: then it got another id.
        "suppressed": """
            SELECT subscriber_hash, email_address, CASE WHEN followed THEN known_customer ELSE customer_id END AS customer_id,
                   reason
            FROM (
                SELECT w.*, f.email_address,
                       w.op = 'suppressed'
                           AND unhex(md5(w.known_customer)) IN (SELECT customer_key FROM customers) AS followed
                FROM routed_here w JOIN frame_here f USING (subscriber_hash) WHERE w.op IN ('suppressed', 'unchanged', 'tag')
            )
            WHERE (op = 'suppressed' AND reason = seen
                   AND (known_as IS DISTINCT FROM 'suppressed' OR known_reason IS DISTINCT FROM reason
                        OR (known_customer IS NOT NULL AND NOT followed)))
               OR (op <> 'suppressed' AND known_customer IS NOT NULL)
            ORDER BY subscriber_hash
        """,
    }
