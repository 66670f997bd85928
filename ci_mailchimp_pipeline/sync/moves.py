"""Change the address of members whose profile has a new one, so that they keep their history (P10)."""

from dataclasses import dataclass, field

from ci_mailchimp_pipeline.ledger import Acknowledged, Moved, Suppressed
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.answers import MoveAnswer
from ci_mailchimp_pipeline.mailchimp.bodies import Move
from ci_mailchimp_pipeline.plan.model import Plan
from ci_mailchimp_pipeline.sync.batches import Row, rows_of
from ci_mailchimp_pipeline.sync.tally import Outcome
from ci_mailchimp_pipeline.sync.upserts import NOT_WRITABLE
from ci_mailchimp_pipeline.sync.writer import Writer


@dataclass(slots=True)
class Moves:
    """What became of the moves that did not happen.

    Attributes:
        impossible: The new address is a member already, or the old member is gone: these people are sent as
            new ones, and the old member is let go.
        found: An earlier run, whose end nobody heard, had moved them already: with the merge fields of that time,
            so those of today are still to be sent.
        never: Mailchimp will never take the new address (erased, opted out): nothing is sent for these people, and
            the old member is let go, as it is when a new address is known to be out.
        refused: New hashes that Mailchimp would not take; nothing else is sent for them.
    """

    impossible: list[Row] = field(default_factory=list)
    found: list[Row] = field(default_factory=list)
    never: list[Row] = field(default_factory=list)
    refused: set[bytes] = field(default_factory=set)

    @property
    def settled_otherwise(self) -> frozenset[bytes]:
        """Hashes whose planned upserts and tag calls no longer apply."""
        return frozenset(row["subscriber_hash"] for row in self.impossible) | self.refused

    @property
    def left_behind(self) -> list[Row]:
        """Whose old member is wanted no longer."""
        return [*self.impossible, *self.never]


def send_moves(writer: Writer, plan: Plan) -> Moves:
    """Send one request per changed address; returns those that have to go another way."""
    moves = Moves()
    writer.each(rows_of(plan.moves), lambda row: _send(writer, row, moves))
    return moves


def _send(writer: Writer, row: Row, moves: Moves) -> Outcome:
    outcome = Outcome()
    body = Move(email_address=row["email_address"], merge_fields=writer.merge_fields(row))
    writer.lease.check()
    answer = endpoints.move_member(
        writer.client,
        writer.audience_id,
        row["old_hash"],
        body,
        uncertain=writer.unfinished_since is not None,
    )
    moved = Moved(
        old_hash=row["old_hash"],
        subscriber_hash=row["subscriber_hash"],
        address=row["email_address"],
        customer_id=row["customer_id"],
    )
    if (
        answer.kind in ("address_taken", "gone")
        or _is_gone(writer, row, answer)
        or _is_another(writer, row, answer)
    ):
        moves.impossible.append(row)
    elif answer.kind == "refused" and answer.refusal is not None:
        refusal = answer.refusal
        moves.refused.add(row["subscriber_hash"])
        if refusal.kind == "suppress":
            moves.never.append(row)
        (outcome.suppressed if refusal.kind == "suppress" else outcome.refused)[refusal.code] += 1
        writer.record(writer.refused(row, refusal.kind, refusal.code, refusal.field))
    elif answer.status in NOT_WRITABLE:
        outcome.suppressed[answer.status] += 1
        moves.refused.add(row["subscriber_hash"])
        suppressed = Suppressed(
            subscriber_hash=row["subscriber_hash"],
            address=row["email_address"],
            customer_id=row["customer_id"],
            reason=answer.status,
        )
        writer.record(moved, suppressed)
    elif answer.found_moved and writer.unfinished_since is not None:
        outcome.buckets["moved"] += 1
        if not row["riding"]:
            moves.found.append(row)
        writer.record(moved)
    else:
        outcome.buckets["moved"] += 1
        held = Acknowledged(
            subscriber_hash=row["subscriber_hash"],
            address=row["email_address"],
            customer_id=row["customer_id"],
            created_by_us=False,
            tags=tuple(row["held_tags"]),
            fingerprint=row["fingerprint"],
            filled=row["filled"],
        )
        writer.record(moved, held)
    return outcome


def _is_gone(writer: Writer, row: Row, answer: MoveAnswer) -> bool:
    """Whether a refusal means that there is no member to move: Mailchimp then complains of a missing status."""
    refused = answer.refusal is not None and answer.refusal.code in ("unknown_refusal", "invalid_merge_value")
    return refused and endpoints.member_status(writer.client, writer.audience_id, row["old_hash"]) is None


def _is_another(writer: Writer, row: Row, answer: MoveAnswer) -> bool:
    """Whether who was found at the new address came by another way than the member whom we made and would move."""
    if not answer.found_moved or writer.unfinished_since is None or not row["created_by_us"]:
        return False
    found = endpoints.member(writer.client, writer.audience_id, row["subscriber_hash"])
    return found is not None and bool(found.source) and not found.source.startswith("API")


def also_upserted(moves: Moves) -> list[Row]:
    """The people whose move was impossible, or left their merge fields open, as rows of the upserts."""
    more = {"pairs": 0, "archived_at": None}
    return [
        *(
            {**row, **more, "op": "upsert", "bucket": "added", "held_tags": row["tags"]}
            for row in moves.impossible
        ),
        *({**row, **more, "op": "ride", "bucket": "moved"} for row in moves.found),
    ]
