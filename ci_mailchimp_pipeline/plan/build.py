"""Build the plan: classify everyone, choose the cheapest route for tags, write the files, name the whole."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, open_engine, quoted
from ci_mailchimp_pipeline.plan.classify import classify
from ci_mailchimp_pipeline.plan.economy import Route, choose_route
from ci_mailchimp_pipeline.plan.files import FILES, file_of, write_files
from ci_mailchimp_pipeline.plan.inputs import open_inputs, ranges
from ci_mailchimp_pipeline.plan.model import Calls, Counts, Plan, PlanInputs, PlanSettings


def build_plan(inputs: PlanInputs, settings: PlanSettings, frame_counts: Counts, into: Path) -> Plan:
    """Write the plan's files under *into* and return it; reads only *inputs*, sends nothing.

    Args:
        frame_counts: profiles, excluded, rejected, merged, accepted and no_profile of the frame.
        into: An existing private folder; spill files live there while it runs.
    """
    work = into / "work"
    work.mkdir(mode=0o700)
    with open_engine(into) as engine:
        open_inputs(engine, inputs, settings)
        held = engine.one("SELECT count(*) FROM holds")
        parts = tuple(ranges(max(frame_counts.accepted, held)))
        classify(engine, settings, parts, work)
        route = _route(engine, settings)
        write_files(engine, settings, route, parts, into)
        plan = _summarize(engine, settings, frame_counts, route, into)
    shutil.rmtree(work)
    return plan


def count_strangers(frame: Path, members: Path, refusals: Path, work: Path) -> tuple[int, int]:
    """How many wanted addresses may have signed up by themselves, and how many members the ledger knows.

    Those it has never heard of, and those whom Mailchimp takes only when they come by themselves.
    """
    known = f"read_parquet({quoted(members)})"
    with open_engine(work) as engine:
        out = f"(SELECT subscriber_hash FROM read_parquet({quoted(refusals)}) WHERE kind = 'suppress')"
        strangers = f"""
            read_parquet({quoted(frame)}) f WHERE f.subscriber_hash NOT IN (SELECT subscriber_hash FROM {known})
                OR f.subscriber_hash IN {out}
        """
        return engine.one(f"SELECT count(*) FROM {strangers}"), engine.one(f"SELECT count(*) FROM {known}")


def _route(engine: Engine, settings: PlanSettings) -> Route:
    adds = engine.execute(
        "SELECT list_sort(add_keys), count(*) FROM wanted WHERE op IN ('tag', 'move') AND len(add_keys) > 0 GROUP BY 1"
    )
    removes = engine.execute(
        """
        SELECT tag_key, count(*) FROM (
            SELECT unnest(drop_keys) AS tag_key FROM wanted
            UNION ALL SELECT unnest(drop_keys) FROM leaving WHERE op = 'untag' AND NOT moving
        ) GROUP BY 1
        """
    )
    return choose_route(
        must_post=engine.one("SELECT count(*) FROM wanted WHERE op IN ('upsert', 'return')"),
        adds={frozenset(keys): count for keys, count in adds},
        removes=dict(removes),
        known_tags=settings.known_tags,
    )


def _summarize(engine: Engine, settings: PlanSettings, frame: Counts, route: Route, into: Path) -> Plan:
    buckets = _pairs(engine, "SELECT bucket, count(*) FROM wanted WHERE bucket <> 'unchanged' GROUP BY 1")
    exits = _pairs(engine, "SELECT op, count(*) FROM leaving WHERE NOT moving GROUP BY 1")
    counts = Counts(
        profiles=frame.profiles,
        excluded=frame.excluded,
        rejected=frame.rejected,
        merged=frame.merged,
        accepted=frame.accepted,
        no_profile=frame.no_profile,
        added=buckets.get("added", 0),
        updated=buckets.get("updated", 0),
        moved=buckets.get("moved", 0),
        unchanged=frame.accepted - sum(buckets.values()),
        suppressed=buckets.get("suppressed", 0),
        refused=buckets.get("refused", 0),
        exited=sum(exits.values()),
        archived=exits.get("archive", 0) + exits.get("archived_already", 0),
        tags_added=engine.one(
            "SELECT coalesce(sum(len(add_keys)), 0)::BIGINT FROM wanted WHERE bucket IN ('updated', 'moved')"
        ),
        tags_removed=engine.one(f"SELECT count(*) FROM {file_of(into, 'tags')} WHERE action = 'remove'"),
    )
    reasons = "SELECT reason, count(*) FROM wanted WHERE op = '{op}' GROUP BY 1"
    # A profile that is gone for good is told apart from one that only left the segment.
    gone = """
        SELECT CASE WHEN c.customer_key IS NULL THEN 'profile_gone' ELSE 'left_segment' END, count(*)
        FROM (SELECT unhex(md5(customer_id)) AS customer_key FROM leaving WHERE NOT moving) l
        LEFT JOIN customers c USING (customer_key) GROUP BY 1
    """
    writable = """
        SELECT unnest(all_keys), count(*) FROM mine JOIN members m USING (subscriber_hash)
        LEFT JOIN seen s USING (subscriber_hash)
        WHERE m.state <> 'archived_by_us' AND coalesce(s.status, 'subscribed') = 'subscribed' GROUP BY 1
    """
    return Plan(
        folder=into,
        plan_id=_identify(engine, settings, into),
        counts=counts,
        calls=Calls(
            posts=route.posts,
            moves=counts.moved,
            tag_calls=route.tag_calls,
            tags_created=route.tags_created,
            archives=exits.get("archive", 0),
        ),
        held=engine.one(
            "SELECT count(*) FROM mine JOIN members m USING (subscriber_hash) WHERE m.state <> 'archived_by_us'"
        ),
        growing=engine.one("SELECT count(*) FROM wanted WHERE op = 'return' OR (op = 'upsert' AND NOT held)"),
        suppressed_reasons=_pairs(engine, reasons.format(op="suppressed")),
        refused_reasons=_pairs(engine, reasons.format(op="refused")),
        exit_reasons=_pairs(engine, gone),
        held_by_tag=_pairs(engine, writable),
    )


def _identify(engine: Engine, settings: PlanSettings, into: Path) -> str:
    """A name for exactly these operations: equal plans have equal ids, whenever and wherever they are made."""
    named = (settings.scope, settings.export, settings.on_exit, settings.new_members)
    digest = hashlib.sha256("\x1f".join(named).encode())
    for name in FILES[:-1]:  # what is only remembered, not sent, is not part of it
        rows, mark = engine.execute(
            f"SELECT count(*), coalesce(bit_xor(md5_number(t::VARCHAR)), 0)::VARCHAR FROM {file_of(into, name)} t"
        )[0]
        digest.update(f"\x1f{name}\x1f{rows}\x1f{mark}".encode())
    return digest.hexdigest()[:16]


def _pairs(engine: Engine, query: str) -> Mapping[str, int]:
    return dict(sorted((str(key), int(count)) for key, count in engine.execute(query)))
