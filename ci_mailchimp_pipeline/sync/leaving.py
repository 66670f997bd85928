"""Let members go that this export no longer wants: archived, or only released in the ledger."""

from collections.abc import Iterator

import polars as pl

from ci_mailchimp_pipeline.ledger import Archived, Released
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.plan.model import Plan
from ci_mailchimp_pipeline.sync.batches import Row, batches_of, rows_of
from ci_mailchimp_pipeline.sync.moves import Moves
from ci_mailchimp_pipeline.sync.tally import Outcome
from ci_mailchimp_pipeline.sync.writer import Writer


def let_go(writer: Writer, plan: Plan, moves: Moves) -> None:
    """Archive (a look and a request each), and record who is released without a request.

    Members that lose tags are released with the call of their last tag, not here.
    """
    old = [
        {"subscriber_hash": row["old_hash"], "address": row["old_address"], "op": row["old_op"]}
        for row in moves.left_behind
        if row["old_op"] is not None
    ]

    def those(*ops: str) -> Iterator[Row]:
        yield from rows_of(plan.leaving, where=pl.col("op").is_in(ops))
        yield from (row for row in old if row["op"] in ops)

    for batch in batches_of(those("release", "archived_already")):
        released = [row for row in batch if row["op"] == "release"]
        archived = [row for row in batch if row["op"] == "archived_already"]
        writer.record(
            *(Released(subscriber_hash=row["subscriber_hash"]) for row in released),
            *(Archived(subscriber_hash=row["subscriber_hash"], archived_at=writer.now()) for row in archived),
        )
        outcome = Outcome()
        outcome.buckets.update(exited=len(batch), archived=len(archived))
        writer.tally.add(outcome)
    writer.each(those("archive"), lambda row: _archive(writer, row))


def _archive(writer: Writer, row: Row) -> Outcome:
    writer.lease.check()
    # An archived opt-out no longer shows that it is one, and would be brought back with the person. So the
    # status that was read with all others, minutes ago, is not good enough.
    outcome = Outcome()
    status = endpoints.member_status(writer.client, writer.audience_id, row["subscriber_hash"])
    if status is None:
        writer.record(Released(subscriber_hash=row["subscriber_hash"]))
        outcome.buckets["exited"] += 1
        return outcome
    if status != "subscribed":
        outcome.warnings["gone_before_archive"] += 1  # not ours to archive; the next plan will see it
        return outcome
    answer = endpoints.archive_member(writer.client, writer.audience_id, row["subscriber_hash"])
    if answer.kind == "archived" or answer.repeated:
        archived_at = answer.at if answer.at is not None else writer.now()
        writer.record(Archived(subscriber_hash=row["subscriber_hash"], archived_at=archived_at))
        outcome.buckets.update(exited=1, archived=1)
    else:
        # Somebody else archived or bounced it since we looked: not ours, and the next plan will see it.
        outcome.warnings["gone_before_archive"] += 1
    return outcome
