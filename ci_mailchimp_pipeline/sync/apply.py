"""Carry out a plan in an order that a crash cannot spoil: moves, upserts, tags, exits; each recorded at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger import Lease, Ledger, Renamed, Suppressed
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.answers import Tag
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.plan.model import Counts, Plan
from ci_mailchimp_pipeline.sync.batches import Row, batches_of, rows_of
from ci_mailchimp_pipeline.sync.leaving import let_go
from ci_mailchimp_pipeline.sync.moves import also_upserted, send_moves
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts
from ci_mailchimp_pipeline.sync.taggings import TagIds, send_taggings
from ci_mailchimp_pipeline.sync.tally import Tally
from ci_mailchimp_pipeline.sync.upserts import send_upserts
from ci_mailchimp_pipeline.sync.writer import Writer

REMEMBERED_AT_ONCE = 5_000  # rows per commit; nothing is sent for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was acknowledged; on a finished run the two laws of the counts hold."""

    counts: Counts
    suppressed_reasons: Mapping[str, int] = field(default_factory=dict)
    refused_reasons: Mapping[str, int] = field(default_factory=dict)
    warnings: Mapping[str, int] = field(default_factory=dict)


def apply_plan(
    plan: Plan,
    *,
    run_id: str,
    client: MailchimpClient,
    ledger: Ledger,
    lease: Lease,
    export: Export,
    facts: AudienceFacts,
    tags: Mapping[str, Tag],
    max_connections: int,
    now: Callable[[], float],
    unfinished_since: float | None,
    progress: Callable[[int], None] = lambda _done: None,
    tally: Tally | None = None,
) -> Applied:
    """Send *plan* to its audience and record each answer; repeating it is harmless.

    Args:
        tags: The audience's tags now, by key (lower case).
        tally: Where the counts go; hand one in to see what was acknowledged when this raises.

    Raises:
        RunLaterError: Mailchimp stayed busy, or the lease was lost; everything acknowledged is recorded.
        SafetyStopError: New members come back with another status than asked.
    """
    tally = Tally(plan) if tally is None else tally
    began = endpoints.server_time(client) or now()
    writer = Writer(
        client=client,
        ledger=ledger,
        lease=lease,
        export=export,
        fields=facts.by_tag,
        tally=tally,
        workers=max_connections,
        now=now,
        began=began,
        unfinished_since=unfinished_since,
        progress=progress,
    )
    for batch in batches_of(rows_of(plan.suppressed), REMEMBERED_AT_ONCE):
        writer.record(*map(_remembered, batch))
    if not plan.writes_nothing:
        _adopt(writer, tags)
        ledger.begin_writing(run_id, export.id, lease=lease, mailchimp_time=began)
        _create(writer, facts)
    ids = _tag_ids(writer, plan, tags)
    moves = send_moves(writer, plan)
    send_upserts(writer, plan, extra=also_upserted(moves), skip=moves.settled_otherwise)
    send_taggings(writer, plan, ids, moves)
    let_go(writer, plan, moves)
    return Applied(
        counts=tally.counts,
        suppressed_reasons=dict(+tally.suppressed),
        refused_reasons=dict(+tally.refused),
        warnings=dict(+tally.warnings),
    )


def _remembered(row: Row) -> Suppressed | Renamed:
    if row["reason"] is None:
        return Renamed(subscriber_hash=row["subscriber_hash"], customer_id=row["customer_id"])
    return Suppressed(
        subscriber_hash=row["subscriber_hash"],
        address=row["email_address"],
        customer_id=row["customer_id"],
        reason=row["reason"],
    )


def adoption_reads(adopted: frozenset[str], export: Export, tags: Mapping[str, Tag]) -> int:
    """Requests that it takes to learn who carries a tag that we use for the first time: they stay foreign."""
    first_used = (tags[key] for key in map(tag_key, export.tags) if key in tags and key not in adopted)
    return sum(max(1, -(-tag.member_count // 1_000)) for tag in first_used)  # pages of 1,000


def _adopt(writer: Writer, tags: Mapping[str, Tag]) -> None:
    known = writer.ledger.adopted_tags(writer.lease.audience)
    for tag in writer.export.tags:
        if tag_key(tag) in known:
            continue
        existing = tags.get(tag_key(tag))
        pages = endpoints.tag_members(writer.client, writer.audience_id, existing.id) if existing else ()
        writer.ledger.adopt_tag(writer.lease, tag, pages)


def _create(writer: Writer, facts: AudienceFacts) -> None:
    for tag, kind in facts.missing_fields.items():
        endpoints.create_merge_field(writer.client, writer.audience_id, tag=tag, name=tag, type=kind)


def _tag_ids(writer: Writer, plan: Plan, tags: Mapping[str, Tag]) -> TagIds:
    """The ids of the tags that get calls; those the audience lacks are created, and begin empty."""
    names = {tag_key(tag): tag for tag in writer.export.tags}
    ids = {key: tag.id for key, tag in tags.items()}
    if plan.calls.tags_created:
        for row in rows_of(plan.tags, where=pl.col("action") == "add"):
            key = row["tag_key"]
            if key not in ids:
                ids[key] = endpoints.create_tag(writer.client, writer.audience_id, names[key]).id
    return TagIds(ids=ids, names={**{key: tag.name for key, tag in tags.items()}, **names})
