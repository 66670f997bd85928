"""Add and remove tags with a call per 500 members and tag, adds and removes of one tag sharing the call."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest

import polars as pl

from ci_mailchimp_pipeline.ledger import Released, Retagged
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.plan.model import Plan
from ci_mailchimp_pipeline.sync.batches import Row, batches_of, rows_of, scan
from ci_mailchimp_pipeline.sync.moves import Moves
from ci_mailchimp_pipeline.sync.tally import Outcome
from ci_mailchimp_pipeline.sync.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class TagIds:
    """The audience's tags: key (lower case) to Mailchimp's id and the name as we write it."""

    ids: Mapping[str, str]
    names: Mapping[str, str]


@dataclass(slots=True)
class Taggings:
    """People whose tag calls were not all taken; they are not counted as updated or gone."""

    failed: dict[bytes, Row] = field(default_factory=dict)


def send_taggings(writer: Writer, plan: Plan, tags: TagIds, moves: Moves) -> None:
    """Work through the tags one after the other: who leaves is let go with the call of their last tag."""
    state = Taggings()
    settled = moves.settled_otherwise
    _disown(writer, plan, settled)
    keys = scan(plan.tags).select(pl.col("tag_key").unique()).collect()["tag_key"].to_list()
    extra = [
        _removal(row, key)
        for row in moves.left_behind
        if row["old_op"] == "untag"
        for key in row["old_drop_keys"]
    ]
    for key in sorted({*keys, *(row["tag_key"] for row in extra)}):
        calls = _calls(plan, key, settled, [row for row in extra if row["tag_key"] == key])
        writer.each(calls, lambda call, key=key: _send(writer, tags, key, call, state))  # type: ignore[misc]
    _count_people(writer, plan, settled, state)


def _disown(writer: Writer, plan: Plan, settled: frozenset[bytes]) -> None:
    """Forget tags that we held, no longer want, and may not take off: others hold them, or they are gone."""
    for batch in batches_of(rows_of(plan.tags, where=pl.col("action") == "disown")):
        writer.record(
            *(
                Retagged(subscriber_hash=row["subscriber_hash"], removed=(row["tag_key"],))
                for row in batch
                if row["subscriber_hash"] not in settled
            )
        )


def _removal(row: Row, key: str) -> Row:
    return {
        "tag_key": key,
        "action": "remove",
        "subscriber_hash": row["old_hash"],
        "email_address": row["old_address"],
        "leaving": True,
        "last_one": key == max(row["old_drop_keys"]),
        "extra": True,
    }


def _calls(
    plan: Plan, key: str, settled: frozenset[bytes], extra: list[Row]
) -> Iterator[tuple[list[Row], list[Row]]]:
    def planned(action: str) -> Iterator[Row]:
        chosen = (pl.col("tag_key") == key) & (pl.col("action") == action)
        return (row for row in rows_of(plan.tags, where=chosen) if row["subscriber_hash"] not in settled)

    def removals() -> Iterator[Row]:
        yield from planned("remove")
        yield from extra

    nobody: list[Row] = []
    yield from zip_longest(batches_of(planned("add")), batches_of(removals()), fillvalue=nobody)


def _send(
    writer: Writer, tags: TagIds, key: str, call: tuple[list[Row], list[Row]], state: Taggings
) -> Outcome:
    writer.lease.check()
    adds, removes = call
    answer = endpoints.update_tag(
        writer.client,
        writer.audience_id,
        tags.ids[key],
        add=[row["email_address"] for row in adds],
        remove=[row["email_address"] for row in removes],
    )
    not_taken = set(answer.refused)
    outcome = Outcome()
    records: list[Retagged | Released] = []
    for row in adds:
        if row["subscriber_hash"] in not_taken:
            state.failed[row["subscriber_hash"]] = row
            continue
        outcome.buckets["tags_added"] += 1
        records.append(Retagged(subscriber_hash=row["subscriber_hash"], added=(tags.names[key],), removed=()))
    for row in removes:
        if row["subscriber_hash"] in not_taken:
            state.failed[row["subscriber_hash"]] = row
            if row["leaving"] and row["last_one"] and _is_gone(writer, row):
                records.append(Released(subscriber_hash=row["subscriber_hash"]))
                outcome.buckets["exited"] += 1
            continue
        outcome.buckets["tags_removed"] += 1
        if row["leaving"] and row["last_one"] and row["subscriber_hash"] not in state.failed:
            records.append(Released(subscriber_hash=row["subscriber_hash"]))
            outcome.buckets["exited"] += 1
        else:
            records.append(Retagged(subscriber_hash=row["subscriber_hash"], added=(), removed=(key,)))
    writer.record(*records)
    return outcome


def _count_people(writer: Writer, plan: Plan, settled: frozenset[bytes], state: Taggings) -> None:
    """Count the members that needed nothing but tag calls: updated when all of theirs were taken."""
    posted = scan(plan.posts).select("subscriber_hash")
    moved = scan(plan.moves).select("subscriber_hash")
    people = (
        scan(plan.tags)
        .filter(~pl.col("leaving") & (pl.col("action") != "disown"))
        .select(pl.col("subscriber_hash").unique())
        .join(posted, on="subscriber_hash", how="anti")
        .join(moved, on="subscriber_hash", how="anti")
        .collect()["subscriber_hash"]
    )
    due = [each for each in people if each not in settled]
    refused = [state.failed[each] for each in due if each in state.failed]
    for batch in batches_of(iter(refused)):
        writer.record(*(writer.refused(row, "temporary", "tag_refused") for row in batch))
    writer.tally.add(
        Outcome(buckets=Counter(updated=len(due) - len(refused)), refused=Counter(tag_refused=len(refused)))
    )


def _is_gone(writer: Writer, row: Row) -> bool:
    """Whether there is no such member any more. One that may not be written to now keeps its hold till it may."""
    return endpoints.member_status(writer.client, writer.audience_id, row["subscriber_hash"]) is None
