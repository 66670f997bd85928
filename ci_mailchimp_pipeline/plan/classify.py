"""Which person needs what: the SQL that puts everyone wanted, and everyone leaving, in exactly one place.

Tables made here (narrow: wide columns are joined back when the files are written):
    ``mine``: what this export holds; ``wanted``: one row an accepted address, with its ``op``;
    ``leaving``: one row a member this export holds and no longer wants, with its ``op``.
"""

from ci_mailchimp_pipeline.engine import Engine, array, quoted
from ci_mailchimp_pipeline.plan.model import PlanSettings

# The clock that stamps a member's last change and the one that stamps an answer are the same server's;
# an answer leaves a moment after its change.
ANSWER_DELAY_SECONDS = 5.0

_KEYS = "list_sort(list_distinct(list_transform({tags}, lambda t: lower(t))))"


def classify(engine: Engine, settings: PlanSettings) -> None:
    """Create the tables ``mine``, ``wanted`` and ``leaving``; reads the views of the inputs, writes no file."""
    # A tag that the audience no longer has is on nobody, whatever we hold: it is missing where it is wanted,
    # and there is nothing to take off where it is not.
    engine.execute(
        f"""
        CREATE TEMP TABLE mine AS
        SELECT subscriber_hash, tags, {_KEYS.format(tags="tags")} AS all_keys,
               list_filter(all_keys, lambda k: list_contains({array(settings.known_tags)}, k)) AS keys,
               fingerprint, filled
        FROM holds WHERE export = {quoted(settings.export)}
        """
    )
    _classify_wanted(engine, settings)
    _classify_leaving(engine, settings)


def _classify_wanted(engine: Engine, settings: PlanSettings) -> None:
    engine.execute(
        f"""
        CREATE TEMP TABLE joined AS
        SELECT f.subscriber_hash, f.customer_id, s.status AS seen, m.state AS known_as, m.reason AS known_reason,
               m.archived_at, h.subscriber_hash IS NOT NULL AS held,
               h.fingerprint IS NOT NULL AND h.fingerprint = f.fingerprint AS same_fields,
               {_KEYS.format(tags="f.tags")} AS keys, h.keys AS held_keys, h.all_keys AS all_held_keys,
               r.kind AS refusal, r.code AS refusal_code,
               CASE WHEN r.fingerprint = f.fingerprint THEN r.attempts ELSE 0 END AS attempts,
               r.kind IS NOT NULL AND r.kind <> 'suppress' AND r.fingerprint = f.fingerprint
                   AND (r.kind = 'permanent' OR r.retry_at > {settings.now!r}) AS still_refused,
               s.status = 'archived' AND m.state = 'archived_by_us' AND (
                   s.last_changed IS NULL OR m.archived_at IS NULL
                   OR s.last_changed <= m.archived_at + {ANSWER_DELAY_SECONDS}) AS returnable
        FROM frame f
        LEFT JOIN seen s USING (subscriber_hash)
        LEFT JOIN members m USING (subscriber_hash)
        LEFT JOIN mine h USING (subscriber_hash)
        LEFT JOIN (SELECT * FROM refusals WHERE export = {quoted(settings.export)}) r USING (subscriber_hash)
        """
    )
    # A person who opted out under an earlier address stays opted out; a bounced address is not an opt-out.
    # A customer's earlier address that nobody is wanted under any more is moved, not left behind. Somebody
    # who is a member under the new address already cannot be moved there, unless a lost request of ours did it.
    moved_before = "j.seen = 'subscribed'" if settings.unfinished_since is not None else "false"
    engine.execute(
        f"""
        CREATE TEMP TABLE earlier AS
        SELECT j.subscriber_hash,
               bool_or(coalesce(
                   (s.status IN ('unsubscribed', 'pending', 'transactional'))
                   OR (s.status = 'archived' AND m.state <> 'archived_by_us')
                   OR (m.state = 'suppressed' AND m.reason <> 'cleaned'
                       AND s.status IS DISTINCT FROM 'subscribed' AND s.status IS DISTINCT FROM 'cleaned'),
                   false)) AS opted_out,
               max(struct_pack(mine := h.subscriber_hash IS NOT NULL, changed := m.changed_at,
                               old := m.subscriber_hash)) FILTER (
                   WHERE m.state = 'active' AND coalesce(s.status, 'subscribed') = 'subscribed'
                   AND f.subscriber_hash IS NULL AND (m.created_by_us = 1 OR a.subscriber_hash IS NOT NULL)
               ).old AS old_hash
        FROM joined j
        JOIN (
            SELECT customer_id, subscriber_hash, state, reason, changed_at, created_by_us FROM members
            UNION ALL
            SELECT customer_id, subscriber_hash, 'suppressed', code, 0, 0 FROM refusals WHERE kind = 'suppress'
        ) m ON m.customer_id = j.customer_id AND m.subscriber_hash <> j.subscriber_hash
        LEFT JOIN seen s ON s.subscriber_hash = m.subscriber_hash
        LEFT JOIN mine h ON h.subscriber_hash = m.subscriber_hash
        LEFT JOIN (SELECT DISTINCT subscriber_hash FROM holds) a ON a.subscriber_hash = m.subscriber_hash
        LEFT JOIN frame f ON f.subscriber_hash = m.subscriber_hash
        WHERE j.known_as IS NULL AND (j.seen IS NULL OR {moved_before})
        GROUP BY j.subscriber_hash
        """
    )
    engine.execute(
        """
        CREATE TEMP TABLE wanted AS
        SELECT *,
            CASE WHEN op = 'suppressed' THEN
                     CASE WHEN seen IN ('unsubscribed', 'cleaned', 'pending', 'transactional', 'archived') THEN seen
                          WHEN refusal = 'suppress' THEN refusal_code
                          ELSE 'opted_out_before_move' END
                 WHEN op = 'refused' THEN refusal_code END AS reason,
            CASE WHEN op = 'move' THEN 'moved'
                 WHEN op = 'return' OR (op = 'upsert' AND known_as IS NULL AND seen IS DISTINCT FROM 'subscribed')
                     THEN 'added'
                 WHEN op IN ('upsert', 'tag') THEN 'updated'
                 ELSE op END AS bucket
        FROM (
            SELECT j.* EXCLUDE (held_keys, all_held_keys, archived_at, known_reason),
                coalesce(b.keys, j.held_keys, []) AS had_keys, e.old_hash,
                coalesce(j.archived_at, 0) AS archived_at, j.known_reason,
                CASE
                    WHEN j.seen IN ('unsubscribed', 'cleaned', 'pending', 'transactional') THEN 'suppressed'
                    WHEN j.seen = 'archived' AND NOT coalesce(j.returnable, false) THEN 'suppressed'
                    WHEN j.refusal = 'suppress' AND j.seen IS DISTINCT FROM 'subscribed' THEN 'suppressed'
                    WHEN e.opted_out AND j.seen IS NULL THEN 'suppressed'
                    WHEN j.still_refused THEN 'refused'
                    WHEN j.seen = 'archived' THEN 'return'
                    WHEN e.old_hash IS NOT NULL THEN 'move'
                    WHEN NOT j.held OR j.known_as IS DISTINCT FROM 'active' OR NOT j.same_fields THEN 'upsert'
                    WHEN j.keys <> j.held_keys OR j.keys <> j.all_held_keys THEN 'tag'
                    ELSE 'unchanged'
                END AS op
            FROM joined j
            LEFT JOIN earlier e USING (subscriber_hash)
            LEFT JOIN mine b ON b.subscriber_hash = e.old_hash
        )
        """
    )
    engine.execute("DROP TABLE joined; DROP TABLE earlier")


def _classify_leaving(engine: Engine, settings: PlanSettings) -> None:
    unfinished = (
        "NULL"
        if settings.unfinished_since is None
        else repr(settings.unfinished_since - ANSWER_DELAY_SECONDS)
    )
    # ``moving`` rows leave only if their move turns out to be impossible.
    # People whose row is rejected, or whose new address Mailchimp refuses, have not left: what we hold on them
    # stays as it is. People Mailchimp will
    # not let us write to keep their hold until they can be written to again.
    engine.execute(
        f"""
        CREATE TEMP TABLE leaving AS
        SELECT g.*,
            CASE WHEN g.seen = 'archived' THEN 'archived_already'
                 WHEN g.removable THEN 'archive'
                 WHEN {quoted(settings.on_exit)} = 'keep' OR len(g.drop_keys) = 0 THEN 'release'
                 ELSE 'untag' END AS op
        FROM (
            SELECT h.subscriber_hash, m.address, m.customer_id, s.status AS seen,
                CASE WHEN c.customer_key IS NULL THEN 'profile_gone' ELSE 'left_segment' END AS reason,
                {quoted(settings.on_exit)} = 'archive' AND m.created_by_us = 1 AND o.subscriber_hash IS NULL AS removable,
                w.old_hash IS NOT NULL AS moving,
                list_filter(h.keys, lambda k: NOT list_contains(coalesce(o.keys, []), k)
                                          AND NOT list_contains(coalesce(t.keys, []), k)) AS drop_keys
            FROM mine h
            JOIN members m USING (subscriber_hash)
            LEFT JOIN seen s USING (subscriber_hash)
            LEFT JOIN ({_other_holds(settings.export)}) o USING (subscriber_hash)
            LEFT JOIN (SELECT subscriber_hash, list(tag_key) AS keys FROM foreign_tags GROUP BY 1) t
                USING (subscriber_hash)
            LEFT JOIN customers c ON c.customer_key = unhex(md5(m.customer_id))
            LEFT JOIN (SELECT old_hash FROM wanted WHERE op = 'move') w ON w.old_hash = h.subscriber_hash
            WHERE m.state <> 'archived_by_us'
              AND NOT EXISTS (FROM frame f WHERE f.subscriber_hash = h.subscriber_hash)
              AND NOT EXISTS (FROM rejected r WHERE r.reason <> 'no_profile' AND r.customer_id = m.customer_id)
              AND NOT EXISTS (FROM wanted x WHERE x.op = 'refused' AND x.customer_id = m.customer_id)
              AND (coalesce(s.status, 'subscribed') = 'subscribed'
                   OR (s.status = 'archived' AND removable AND s.last_changed >= {unfinished}))
        ) g
        """
    )


def _other_holds(export: str) -> str:
    """What the other exports of this audience hold on each member: never taken away by this one."""
    return f"""
        SELECT subscriber_hash, list_distinct(flatten(list(list_transform(tags, lambda t: lower(t))))) AS keys
        FROM holds WHERE export <> {quoted(export)} GROUP BY subscriber_hash
    """
