"""Which person needs what: the SQL that puts everyone wanted, and everyone leaving, in exactly one place.

Two narrow sets of Parquet files, one file a range, behind the views ``wanted`` (one row an accepted address that
is not unchanged) and ``leaving`` (one row a member this export holds and no longer wants). Wide columns are joined
back when the plan's files are written.
"""

from collections.abc import Sequence
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, quoted
from ci_mailchimp_pipeline.plan.inputs import HashRange, keys_of, narrow
from ci_mailchimp_pipeline.plan.model import PlanSettings

# The clock that stamps a member's last change and the one that stamps an answer are the same server's;
# an answer leaves a moment after its change.
ANSWER_DELAY_SECONDS = 5.0
# No refusal waits for more than 7 days: a later time was noted by a clock that was wrong, and counts as due.
LONGEST_WAIT = 8 * 86_400.0


def classify(engine: Engine, settings: PlanSettings, parts: Sequence[HashRange], work: Path) -> None:
    """Make the table ``earlier`` and the views ``wanted`` and ``leaving``, range by range, below *work*."""
    _find_earlier_addresses(engine, settings)
    _each_range(
        engine,
        parts,
        work / "wanted",
        _wanted(settings),
        "frame",
        "seen",
        "members",
        "mine",
        "protected",
        "refusals",
    )
    _each_range(
        engine, parts, work / "leaving", _leaving(settings), "seen", "members", "mine", "protected", "frame"
    )


def _each_range(engine: Engine, parts: Sequence[HashRange], folder: Path, query: str, *views: str) -> None:
    folder.mkdir(mode=0o700)
    for part in parts:
        narrow(engine, part, *views)
        engine.execute(f"COPY ({query}) TO {quoted(folder / f'{part.number:03}.parquet')} (FORMAT parquet)")
    engine.execute(f"CREATE VIEW {folder.name} AS SELECT * FROM read_parquet({quoted(folder / '*.parquet')})")


def _find_earlier_addresses(engine: Engine, settings: PlanSettings) -> None:
    """Make ``earlier``: wanted addresses nobody knows, of customers who are known under another one.

    A person who opted out under an earlier address stays opted out; a bounced address is not an opt-out. An
    earlier address that nobody is wanted under any more is moved, not left behind. Somebody who is a member
    under the new address already cannot be moved there, unless a lost request of ours did it.
    """
    moved_before = "s.status = 'subscribed'" if settings.unfinished_since is not None else "false"
    engine.execute(
        f"""
        CREATE TEMP TABLE strangers AS
        SELECT f.subscriber_hash, f.customer_id FROM frame f ANTI JOIN members m USING (subscriber_hash);
        CREATE TEMP TABLE known_before AS
        SELECT j.subscriber_hash, m.subscriber_hash AS old, m.state, m.reason, m.changed_at, m.created_by_us
        FROM strangers j
        JOIN (
            SELECT customer_id, subscriber_hash, state, reason, changed_at, created_by_us FROM members
            UNION ALL
            SELECT customer_id, subscriber_hash, 'suppressed', code, 0, 0 FROM refusals WHERE kind = 'suppress'
        ) m ON m.customer_id = j.customer_id AND m.subscriber_hash <> j.subscriber_hash;
        DROP TABLE strangers;
        CREATE TEMP TABLE earlier AS
        SELECT e.*, h.subscriber_hash IS NOT NULL AS old_is_mine, h.keys AS had_keys, h.all_keys AS all_had_keys,
               h.tags AS old_tags, h.filled AS old_filled, coalesce(p.keys, []) AS old_protected
        FROM (
            SELECT k.subscriber_hash,
                   bool_or(coalesce(
                       (o.status IN ('unsubscribed', 'pending', 'transactional'))
                       OR (o.status = 'archived' AND k.state <> 'archived_by_us')
                       OR (k.state = 'suppressed' AND k.reason <> 'cleaned'
                           AND o.status IS DISTINCT FROM 'subscribed' AND o.status IS DISTINCT FROM 'cleaned'),
                       false)) AS opted_out,
                   max(struct_pack(mine := h.subscriber_hash IS NOT NULL, changed := k.changed_at, old := k.old)) FILTER (
                       WHERE k.state = 'active' AND coalesce(o.status, 'subscribed') = 'subscribed'
                       AND f.subscriber_hash IS NULL AND (k.created_by_us = 1 OR a.subscriber_hash IS NOT NULL)
                   ).old AS old_hash
            FROM known_before k
            LEFT JOIN seen s ON s.subscriber_hash = k.subscriber_hash
            LEFT JOIN seen o ON o.subscriber_hash = k.old
            LEFT JOIN mine h ON h.subscriber_hash = k.old
            LEFT JOIN (SELECT DISTINCT subscriber_hash FROM holds SEMI JOIN known_before b ON b.old = holds.subscriber_hash) a
                ON a.subscriber_hash = k.old
            LEFT JOIN frame f ON f.subscriber_hash = k.old
            WHERE s.status IS NULL OR {moved_before}
            GROUP BY k.subscriber_hash
        ) e
        LEFT JOIN mine h ON h.subscriber_hash = e.old_hash
        LEFT JOIN protected p ON p.subscriber_hash = e.old_hash;
        DROP TABLE known_before;
        """
    )


def _wanted(settings: PlanSettings) -> str:
    """One row per accepted address of the range that is not unchanged.

    ``add_keys``: tags to add; ``drop_keys``: tags to take off; ``disown_keys``: tags we no longer claim, because
    somebody else holds them or the audience has them no more. That takes no request, nor does
    ``known_customer``: whose the address was, if it is another customer's now, who has to be found by it.
    """
    now = settings.now
    return f"""
        WITH joined AS (
            SELECT f.subscriber_hash, f.customer_id, s.status AS seen, m.state AS known_as, m.reason AS known_reason,
                   CASE WHEN m.customer_id <> f.customer_id THEN m.customer_id END AS known_customer,
                   coalesce(m.archived_at, 0) AS archived_at, h.subscriber_hash IS NOT NULL AS held,
                   h.fingerprint IS NOT NULL AND h.fingerprint = f.fingerprint AS same_fields,
                   {keys_of("f.tags")} AS keys, h.keys AS held_keys, h.all_keys AS all_held_keys,
                   coalesce(e.had_keys, h.keys, []) AS had_keys, coalesce(e.all_had_keys, h.all_keys, []) AS all_had_keys,
                   coalesce(e.old_protected, p.keys, []) AS not_ours, e.opted_out, e.old_hash,
                   r.kind AS refusal, r.code AS refusal_code,
                   CASE WHEN r.fingerprint = f.fingerprint THEN r.attempts ELSE 0 END AS attempts,
                   r.kind IS NOT NULL AND r.kind <> 'suppress' AND r.fingerprint = f.fingerprint
                       AND (r.kind = 'permanent' OR r.retry_at BETWEEN {now!r} AND {now + LONGEST_WAIT!r}) AS still_refused,
                   x.subscriber_hash IS NOT NULL AS erased,
                   s.status = 'archived' AND m.state = 'archived_by_us' AND (
                       -- Without a stamp nobody can tell whether the person, or somebody else, changed it since.
                       coalesce(s.last_changed <= m.archived_at + {ANSWER_DELAY_SECONDS}, false)) AS returnable
            FROM frame_here f
            LEFT JOIN seen_here s USING (subscriber_hash)
            LEFT JOIN members_here m USING (subscriber_hash)
            LEFT JOIN mine_here h USING (subscriber_hash)
            LEFT JOIN protected_here p USING (subscriber_hash)
            LEFT JOIN earlier e USING (subscriber_hash)
            LEFT JOIN erased x USING (subscriber_hash)
            LEFT JOIN (SELECT * FROM refusals_here WHERE export = {quoted(settings.export)}) r USING (subscriber_hash)
        ), judged AS (
            SELECT *, CASE
                WHEN erased THEN 'suppressed'
                WHEN seen IN ('unsubscribed', 'cleaned', 'pending', 'transactional') THEN 'suppressed'
                WHEN seen = 'archived' AND NOT coalesce(returnable, false) THEN 'suppressed'
                WHEN refusal = 'suppress' AND seen IS DISTINCT FROM 'subscribed' THEN 'suppressed'
                WHEN opted_out AND seen IS NULL THEN 'suppressed'
                WHEN still_refused THEN 'refused'
                WHEN seen = 'archived' THEN 'return'
                WHEN old_hash IS NOT NULL THEN 'move'
                WHEN NOT held OR known_as IS DISTINCT FROM 'active' OR NOT same_fields THEN 'upsert'
                WHEN keys <> held_keys OR keys <> all_held_keys THEN 'tag'
                ELSE 'unchanged' END AS verdict
            FROM joined
        ), keyed AS (
            SELECT *,
                CASE WHEN verdict IN ('tag', 'move', 'upsert')
                     THEN list_filter(keys, lambda k: NOT list_contains(had_keys, k)) ELSE [] END AS add_keys,
                CASE WHEN verdict IN ('tag', 'move', 'upsert', 'return')
                     THEN list_filter(had_keys, lambda k: NOT list_contains(keys, k) AND NOT list_contains(not_ours, k))
                     ELSE [] END AS drop_keys,
                CASE WHEN verdict IN ('tag', 'move')
                     THEN list_filter(all_had_keys, lambda k: NOT list_contains(keys, k) AND NOT list_contains(drop_keys, k))
                     ELSE [] END AS disown_keys,
                CASE WHEN verdict = 'tag' AND len(add_keys) = 0 AND len(drop_keys) = 0 THEN 'unchanged'
                     ELSE verdict END AS op
            FROM judged
        )
        SELECT subscriber_hash, customer_id, op, seen, known_as, known_reason, known_customer, archived_at, held,
               attempts, old_hash, add_keys, drop_keys, disown_keys,
               CASE WHEN op = 'suppressed' THEN
                        CASE WHEN erased THEN 'forgotten'
                             WHEN seen IN ('unsubscribed', 'cleaned', 'pending', 'transactional', 'archived') THEN seen
                             WHEN refusal = 'suppress' THEN refusal_code
                             ELSE 'opted_out_before_move' END
                    WHEN op = 'refused' THEN refusal_code END AS reason,
               CASE WHEN op = 'move' THEN 'moved'
                    WHEN op = 'return' OR (op = 'upsert' AND known_as IS NULL AND seen IS DISTINCT FROM 'subscribed')
                        THEN 'added'
                    WHEN op IN ('upsert', 'tag') THEN 'updated'
                    ELSE op END AS bucket
        FROM keyed WHERE op <> 'unchanged' OR len(disown_keys) > 0 OR known_customer IS NOT NULL
    """


def _leaving(settings: PlanSettings) -> str:
    """One row per member of the range that this export holds, may write to, and no longer wants.

    ``moving`` rows leave only if their move turns out to be impossible. People whose row is rejected, or whose
    new address Mailchimp refuses, have not left: what we hold on them stays as it is. People Mailchimp will not
    let us write to keep their hold until they can be written to again; so do people who were forgotten, until
    their erasure is finished. Whom we archived and somebody else brought back loses our tags, and is not
    archived a second time.
    """
    since = settings.unfinished_since
    unfinished = "NULL" if since is None else repr(since - ANSWER_DELAY_SECONDS)
    on_exit = quoted(settings.on_exit)
    return f"""
        SELECT g.*,
            CASE WHEN g.seen = 'archived' THEN 'archived_already'
                 WHEN g.removable THEN 'archive'
                 WHEN {on_exit} = 'keep' OR len(g.drop_keys) = 0 THEN 'release'
                 ELSE 'untag' END AS op
        FROM (
            SELECT h.subscriber_hash, m.address, m.customer_id, s.status AS seen,
                {on_exit} = 'archive' AND m.created_by_us = 1 AND m.state <> 'archived_by_us'
                    AND NOT coalesce(p.held_by_others, false) AS removable,
                w.old_hash IS NOT NULL AS moving,
                list_filter(h.keys, lambda k: NOT list_contains(coalesce(p.keys, []), k)) AS drop_keys
            FROM mine_here h
            JOIN members_here m USING (subscriber_hash)
            LEFT JOIN seen_here s USING (subscriber_hash)
            LEFT JOIN protected_here p USING (subscriber_hash)
            LEFT JOIN (SELECT old_hash FROM wanted WHERE op = 'move') w ON w.old_hash = h.subscriber_hash
            WHERE (m.state <> 'archived_by_us' OR s.status IS DISTINCT FROM 'archived')
              AND NOT EXISTS (FROM frame_here f WHERE f.subscriber_hash = h.subscriber_hash)
              AND NOT EXISTS (FROM erased x WHERE x.subscriber_hash = h.subscriber_hash)
              AND NOT EXISTS (FROM rejected r WHERE r.reason <> 'no_profile' AND r.customer_id = m.customer_id)
              AND NOT EXISTS (FROM wanted x WHERE x.op = 'refused' AND x.customer_id = m.customer_id)
              AND (coalesce(s.status, 'subscribed') = 'subscribed'
                   OR (s.status = 'archived' AND removable AND s.last_changed >= {unfinished}))
        ) g
    """
