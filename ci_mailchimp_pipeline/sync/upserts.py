"""Send members that are new, changed or brought back, 500 a request, and read the answer row by row."""

from collections.abc import Iterator, Sequence

from ci_mailchimp_pipeline.errors import RunLaterError, SafetyStopError
from ci_mailchimp_pipeline.ledger import Acknowledged, Refused, Released, Suppressed
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.bodies import Return, Upsert, returning, upsert
from ci_mailchimp_pipeline.mailchimp.refusals import RefusalKind
from ci_mailchimp_pipeline.plan.model import Plan, ReturnProof
from ci_mailchimp_pipeline.sync.batches import Row, batches_of, rows_of
from ci_mailchimp_pipeline.sync.tally import Outcome
from ci_mailchimp_pipeline.sync.writer import Writer

NOT_WRITABLE = ("unsubscribed", "cleaned", "pending", "transactional", "archived")


def send_upserts(
    writer: Writer, plan: Plan, *, extra: Sequence[Row] = (), skip: frozenset[bytes] = frozenset()
) -> None:
    """Send the plan's posts, the first batch alone so that a wrong status stops before the second.

    Args:
        extra: Rows whose move was impossible: sent as new members.
        skip: People whose move did not happen; there is nothing to ride on.
    """

    def people() -> Iterator[Row]:
        yield from (row for row in rows_of(plan.posts) if row["subscriber_hash"] not in skip)
        yield from extra

    batches = batches_of(people())
    first = next(batches, None)
    if first is None:
        return
    outcome = _send(writer, first)
    writer.count(outcome)
    _stop_if_unexpected(outcome, len(first))
    writer.each(batches, lambda batch: _send(writer, batch))


def _stop_if_unexpected(outcome: Outcome, rows: int) -> None:
    came_back = outcome.warnings["came_back_pending"] + outcome.warnings["came_back_otherwise"]
    if came_back * 2 > rows:
        raise SafetyStopError(
            "unexpected_status",
            f"{came_back:,} of the first {rows:,} members came back with another status than asked; "
            f"stopped before the second batch",
            fix="look at the account in Mailchimp: it may be under review or force double opt-in",
        )


def _send(writer: Writer, batch: list[Row]) -> Outcome:
    writer.lease.check()
    asked = {row["subscriber_hash"]: row for row in batch}
    answer = endpoints.upsert_members(
        writer.client, writer.audience_id, [_body(writer, row) for row in batch]
    )
    outcome = Outcome()
    records: list[Acknowledged | Refused | Released | Suppressed] = []
    for created, members in ((True, answer.created), (False, answer.updated)):
        for member in members:
            row = asked.pop(member.subscriber_hash, None)
            if row is None:
                continue
            ours = created or writer.may_be_ours(
                repeated=answer.repeated, created_at=member.timestamp_opt, source=member.source
            )
            records.append(_accept(writer, row, outcome, status=member.status, ours=ours, created=created))
    for refusal in answer.refused:
        row = asked.pop(refusal.subscriber_hash, None) if refusal.subscriber_hash else None
        if row is not None:
            records.append(
                _refuse(writer, row, outcome, kind=refusal.kind, code=refusal.code, field=refusal.field)
            )
            if refusal.code == "forgotten":  # permanently deleted: there is nobody left to hold
                records.append(Released(subscriber_hash=row["subscriber_hash"]))
    if len(asked) == len(batch):
        raise RunLaterError(
            "foreign_answer",
            f"audience {writer.audience_id}: the answer names none of the {len(batch)} members that were sent",
            fix="run again; if it repeats, look at what stands between here and Mailchimp",
        )
    records.extend(
        _refuse(writer, row, outcome, kind="temporary", code="no_answer", field=None)
        for row in asked.values()
    )
    writer.record(*records)
    return outcome


def _body(writer: Writer, row: Row) -> Upsert | Return:
    fields = writer.merge_fields(row)
    if row["op"] == "return":
        proof = ReturnProof(row["subscriber_hash"], row["archived_at"])
        return returning(proof, email_address=row["email_address"], merge_fields=fields, tags=row["tags"])
    return upsert(
        email_address=row["email_address"],
        status_if_new=writer.export.new_members,
        merge_fields=fields,
        tags=row["tags"],
    )


def _accept(
    writer: Writer, row: Row, outcome: Outcome, *, status: str, ours: bool, created: bool
) -> Acknowledged | Suppressed:
    new = ours and row["op"] != "return"
    expected = writer.export.new_members if new else "subscribed"
    returned = row["op"] == "return"
    if not new and status in NOT_WRITABLE and not (returned and status == "pending"):
        # Opted out between our reading and this request, and it stays that way.
        outcome.suppressed[status] += int(row["bucket"] != "moved")
        return Suppressed(
            subscriber_hash=row["subscriber_hash"],
            address=row["email_address"],
            customer_id=row["customer_id"],
            reason=status,
        )
    # Whom an earlier run created that never finished may have been confirmed since, or declared otherwise then.
    confirmed = new and not created and status == "subscribed"
    if (new or returned) and status != expected and not confirmed:
        outcome.warnings["came_back_pending" if status == "pending" else "came_back_otherwise"] += 1
    if row["op"] != "ride":
        outcome.buckets["added" if row["bucket"] == "added" and (new or returned) else "updated"] += 1
    outcome.buckets["tags_added"] += row["pairs"]
    return Acknowledged(
        subscriber_hash=row["subscriber_hash"],
        address=row["email_address"],
        customer_id=row["customer_id"],
        created_by_us=ours or returned,
        tags=tuple(row["held_tags"]),
        fingerprint=row["fingerprint"],
        filled=row["filled"],
    )


def _refuse(
    writer: Writer, row: Row, outcome: Outcome, *, kind: RefusalKind, code: str, field: str | None
) -> Refused:
    if row["bucket"] != "moved":
        (outcome.suppressed if kind == "suppress" else outcome.refused)[code] += 1
    return writer.refused(row, kind, code, field)
