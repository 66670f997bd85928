"""What each step says of a person, in words; no address is in any of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.frame.reasons import REASONS
from ci_mailchimp_pipeline.ledger import RefusalRow
from ci_mailchimp_pipeline.pipeline.evidence import Customer, Facts

StepName = Literal["source", "segment", "frame", "ledger", "mailchimp"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one step knows."""

    step: StepName
    found: bool
    says: str

    def as_json(self) -> dict[str, Any]:
        """The documented object."""
        return {"step": self.step, "found": self.found, "says": self.says}


def steps_of(export: Export, facts: Facts, wanted: list[Customer]) -> tuple[Step, ...]:
    """The chain, in its order. *wanted*: the customers in a segment of the export."""
    chosen = {segment.name: segment.tag for segment in export.segments}
    return (
        _source(facts),
        _segment(chosen, facts, wanted),
        _frame(export, facts, wanted),
        _ledger(export, facts),
        _mailchimp(export, facts),
    )


def told_time(seconds: float) -> str:
    """ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _source(facts: Facts) -> Step:
    source = facts.source
    if source.customers:
        ids = ", ".join(each.id for each in source.customers)
        word = "customer" if len(source.customers) == 1 else "customers"
        return Step(step="source", found=True, says=f"{word} {ids}, in refresh {source.refresh}, the newest")
    says = f"no profile has the address, in refresh {source.refresh}, the newest"
    if member := facts.person.member:
        now = "has another address now" if source.still_there else "has no profile any more"
        says += f"; customer {member.customer_id}, who had it, {now}"
    return Step(step="source", found=False, says=says)


def _segment(chosen: Mapping[str, str], facts: Facts, wanted: list[Customer]) -> Step:
    held = {name for each in facts.source.customers for name in each.segments}
    if wanted:
        mine = ", ".join(f"{name} (tag {tag})" for name, tag in chosen.items() if name in held)
        return Step(step="segment", found=True, says=f"in {mine}")
    others = sorted(held - chosen.keys())
    elsewhere = f"only in {', '.join(others)}" if others else "in no segment at all"
    says = elsewhere if facts.source.customers else "unknown: there is no profile"
    return Step(step="segment", found=False, says=f"{says}; the export has {', '.join(chosen)}")


def _frame(export: Export, facts: Facts, wanted: list[Customer]) -> Step:
    frame = facts.frame
    if frame is None:
        says = f"the export has no frame yet: ci-mailchimp run {export.id} --dry-run makes one"
        return Step(step="frame", found=False, says=says)
    stale = ""
    if facts.is_stale:
        why = "refresh" if frame.current else "declaration"
        stale = f", in the newest frame, which is of an earlier {why}"
    if frame.customer_id is not None:
        others = [each.id for each in wanted if each.id != frame.customer_id and not each.excluded]
        merged = f"; merged into it: {', '.join(others)}, who have the same address" if others else ""
        says = f"accepted as customer {frame.customer_id}, with {_listed(frame.tags)}{merged}"
    elif frame.reason:
        where = f" in {frame.field}" if frame.field else ""
        says = f"rejected{where}: {frame.reason} ({REASONS.get(frame.reason, 'unknown')})"
    elif wanted and all(each.excluded for each in wanted):
        says = f"excluded: require asks for {_required(export)}"
    elif frame.kept is not None:
        says = f"merged: another row of customer {frame.kept}, with another address, is kept"
    else:
        says = "not in it"
    return Step(step="frame", found=frame.customer_id is not None, says=says + stale)


def _ledger(export: Export, facts: Facts) -> Step:
    hold = facts.hold_of(export)
    if facts.forgotten:
        return Step(step="ledger", found=True, says="erased on request: only a keyed hash is kept")
    member, said = facts.person.member, []
    if member is None:
        said.append("no member under this address")
        if facts.earlier:
            said.append("the customer is a member under an earlier one")
    else:
        state = {"active": "active", "archived_by_us": "archived by us"}.get(member.state, "")
        origin = "that we created" if member.created_by_us else "that was there before us"
        said.append(f"a member {origin}, {state or f'suppressed: {member.reason}'}")
        said.append(f"the export holds {_listed(hold.tags)}" if hold else "the export holds nothing")
    said += [_refused(refusal) for refusal in facts.person.refusals]
    known = member is not None or bool(facts.person.refusals)
    return Step(step="ledger", found=known, says="; ".join(said))


def _mailchimp(export: Export, facts: Facts) -> Step:
    member = facts.member
    if not facts.asked:
        return Step(step="mailchimp", found=False, says="not asked: the export is detached")
    if member is None:
        return Step(step="mailchimp", found=False, says="no such member in the audience")
    mine = facts.tags_of(export)
    others = len(member.tags) - len(mine)
    besides = f", and {others} of others" if others else ""
    since = f", last changed {told_time(member.last_changed)}" if member.last_changed is not None else ""
    return Step(step="mailchimp", found=True, says=f"{member.status}; {_listed(mine)}{besides}{since}")


def _refused(refusal: RefusalRow) -> str:
    where = f" in {refusal.field}" if refusal.field else ""
    if refusal.retry_at is not None:
        then = f"due again {told_time(refusal.retry_at)}"
    else:
        then = "not sent again until the data change" if refusal.kind == "permanent" else "not sent at all"
    times = "once" if refusal.attempts == 1 else f"{refusal.attempts} times"
    return f"Mailchimp refused it for {refusal.export} {times}{where}: {refusal.code}, {then}"


def _required(export: Export) -> str:
    def told(value: object) -> str:
        if isinstance(value, tuple):
            return " or ".join(told(each) for each in value)
        return str(value).lower() if isinstance(value, bool) else str(value)

    return ", ".join(f"{column} = {told(value)}" for column, value in export.require.items())


def _listed(tags: tuple[str, ...]) -> str:
    if not tags:
        return "no tag of the export"
    return f"tag{'s' if len(tags) > 1 else ''} {', '.join(tags)}"
