"""Why a person is, or is not, in an audience: what each step knows of them, as a verdict and in plain words. Pure.

The order of the questions is that of a run: source, segment, frame, then what the plan would say. No address is
in any of it: the one that was asked about need not be repeated, and no other may be shown.
"""

from dataclasses import dataclass
from typing import Any, Literal

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.pipeline.evidence import Customer, Facts, InFrame, is_waiting, keys_of
from ci_mailchimp_pipeline.pipeline.telling import Step, steps_of, told_time

Verdict = Literal[
    "member", "suppressed", "rejected", "refused", "merged", "excluded", "not_in_segment", "not_in_source",
    "forgotten",
]  # fmt: skip

Judgement = tuple[Verdict, str | None, str]  # verdict, reason, what would change it

# Reasons of a member who is not as the export wants it.
NOT_SENT = "not_sent"
MISSING = "missing_in_mailchimp"
TAG_MISSING = "tag_missing"

_NEXT = {
    "no_email": "fill the address at the source",
    "malformed_customer_id": "write the customer id without the character U+0000 at the source",
    "malformed_email": "correct the address at the source",
    "reserved_domain": "the domain is for examples and tests: put a real address into the source",
    "no_profile": "the customer is in a segment without a profile: deliver both from the same refresh",
    "unsubscribed": "only the person can come back, by signing up through a form; leave them out at the source",
    "cleaned": "the address bounced: correct it at the source",
    "pending": "the person has been asked to confirm; only they can",
    "transactional": "only the person can agree to more, by signing up through a form",
    "archived": "unarchive the member in Mailchimp, if archiving was a mistake",
    "opted_out_before_move": "nothing: the opt-out under an earlier address follows the person",
    "compliance": "only the person can sign up again, through a form",
    "forgotten": "only the person can sign up again, through a form",
}
_ONE_ROW = "nothing: a customer is one member; prefer in exports.yaml decides which row counts"
_PERMANENT = "correct the data at the source: a run tries again at once when they change"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The document of ``explain --json``.

    Attributes:
        segments: Those of the export that the person is in.
        tags: Those of the export that the member carries in Mailchimp.
        next: What would change the verdict.
    """

    export: str
    verdict: Verdict
    reason: str | None
    customer_id: str | None
    segments: tuple[str, ...]
    tags: tuple[str, ...]
    steps: tuple[Step, ...]
    next: str

    def as_json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "export": self.export,
            "verdict": self.verdict,
            "reason": self.reason,
            "customer_id": self.customer_id,
            "segments": list(self.segments),
            "tags": list(self.tags),
            "steps": [step.as_json() for step in self.steps],
            "next": self.next,
            "error": None,
        }


def judge(export: Export, facts: Facts) -> Explanation:
    """Say what became of the person, where it stopped, and what would change it."""
    chosen = [segment.name for segment in export.segments]
    wanted = [each for each in facts.source.customers if not set(chosen).isdisjoint(each.segments)]
    verdict, reason, told = _verdict(export, facts, wanted)
    customer = facts.frame.customer_id if facts.frame else None
    ids = [customer, *(each.id for each in (*wanted, *facts.source.customers))]
    if facts.person.member:
        ids.append(facts.person.member.customer_id)
    return Explanation(
        export=export.id,
        verdict=verdict,
        reason=reason,
        customer_id=next((each for each in ids if each is not None), None),
        segments=tuple(name for name in chosen if any(name in each.segments for each in wanted)),
        tags=facts.tags_of(export),
        steps=steps_of(export, facts, wanted),
        next=told,
    )


def _verdict(export: Export, facts: Facts, wanted: list[Customer]) -> Judgement:
    return _upstream(export, facts, wanted) or _unfit(export, facts) or _as_planned(export, facts)


def _upstream(export: Export, facts: Facts, wanted: list[Customer]) -> Judgement | None:
    """Why the address is not wanted at all; None when it is."""
    leaves = _leaves(export, facts)
    if facts.forgotten:
        return "forgotten", "forgotten", "nothing: the person was erased, and no run sends them again"
    if not facts.source.customers:
        missing = "no_profile" if facts.person.member and not facts.source.still_there else None
        return "not_in_source", missing, f"{leaves}put the address into the customer's profile at the source"
    if not wanted:
        named = " or ".join(segment.name for segment in export.segments)
        return "not_in_segment", None, f"{leaves}put the customer into {named} at the source"
    if all(each.excluded for each in wanted):
        columns = ", ".join(export.require)
        return "excluded", "require", f"{leaves}change {columns} at the source, or require in exports.yaml"
    return None


def _unfit(export: Export, facts: Facts) -> Judgement | None:
    """Why no row with the address is sent; None when one is, or nobody knows yet."""
    frame = facts.frame
    if frame and frame.customer_id is not None:
        return None
    if frame and frame.reason:
        return "rejected", frame.reason, _mend(export, frame)
    if facts.problem:
        return "rejected", facts.problem, _NEXT[facts.problem]
    if frame and frame.kept is not None and not facts.is_stale:
        return "merged", None, _ONE_ROW
    return None


def _as_planned(export: Export, facts: Facts) -> Judgement:
    """What the plan would say of an accepted address; the first that fits counts, as there."""
    status = facts.member.status if facts.member else None
    known, refusal = facts.person.member, facts.refusal_of(export)
    if not facts.asked:
        status = known.reason if known and known.state == "suppressed" else "subscribed"
    fixed = {"unsubscribed", "cleaned", "pending", "transactional"}
    if status in fixed or (status == "archived" and not facts.is_returnable):
        return "suppressed", status, _NEXT[str(status)]
    if refusal and refusal.kind == "suppress" and status != "subscribed":
        return "suppressed", refusal.code, _NEXT.get(refusal.code, _NEXT["compliance"])
    if facts.opted_out_earlier and status is None:
        return "suppressed", "opted_out_before_move", _NEXT["opted_out_before_move"]
    if refusal and refusal.kind == "permanent":
        return "refused", refusal.code, _PERMANENT
    if refusal and refusal.kind == "temporary" and is_waiting(refusal, facts.now):
        return "refused", refusal.code, f"nothing: a run after {told_time(refusal.retry_at or 0)} tries again"
    return _as_member(export, facts)


def _as_member(export: Export, facts: Facts) -> Judgement:
    hold, member, frame = facts.hold_of(export), facts.member, facts.frame
    known = facts.person.member
    newest = frame if frame and not facts.is_stale else None
    held = {name for each in facts.source.customers if not each.excluded for name in each.segments}
    wanted = keys_of(
        newest.tags if newest else tuple(each.tag for each in export.segments if each.name in held)
    )
    settled = (
        hold is not None
        and known is not None
        and known.state == "active"
        and keys_of(hold.tags) == wanted
        and (frame is None or (frame.current and hold.fingerprint == frame.fingerprint))
    )
    if not settled:
        return "member", NOT_SENT, _sends(export, facts)
    repair = f"ci-mailchimp reconcile {export.id} --repair"
    if member is None and facts.asked:
        told = f"{repair} adds them again, unless it is their address that was changed there"
        return "member", MISSING, f"somebody took the member out in Mailchimp: {told}"
    if member is not None and not wanted <= keys_of(member.tags):
        return "member", TAG_MISSING, f"somebody took the tag off in Mailchimp: {repair} puts it back"
    if facts.is_stale:
        return (
            "member",
            None,
            "nothing, as far as the newest frame knows; the next run decides by the newer refresh",
        )
    return "member", None, "nothing: it is as the export wants it"


def _sends(export: Export, facts: Facts) -> str:
    if not facts.asked:
        return f"give the export a connection: exports.{export.id}.connection"
    if not export.enabled:
        return f"the export is disabled: set exports.{export.id}.enabled to true"
    if facts.frame is None:
        return f"ci-mailchimp run {export.id} --dry-run shows what a run would do; ci-mailchimp run {export.id} sends"
    moves = " (it changes the address of the member they are)" if facts.earlier and not facts.member else ""
    return f"the next run sends it{moves}: ci-mailchimp run {export.id}"


def _leaves(export: Export, facts: Facts) -> str:
    """What the next run does to somebody who is held and not wanted any more."""
    hold = facts.hold_of(export)
    if hold is None or facts.member is None or facts.member.status != "subscribed":
        return ""
    does = {
        "keep": "leaves the member as it is",
        "remove_tag": "takes its tags off",
        "archive": "archives or untags",
    }
    return f"the next run {does[export.on_exit]} (on_exit: {export.on_exit}); to keep the member, "


def _mend(export: Export, frame: InFrame) -> str:
    if frame.field is None:
        return _NEXT.get(frame.reason or "", "correct the row at the source")
    source = export.fields.get(frame.field)
    columns = ", ".join(source.columns) if source else "no column is mapped to it"
    verb = "fill" if frame.reason == "missing_required_field" else "correct"
    other = "make the field optional" if verb == "fill" else "change the field's type"
    return f"{verb} {frame.field} ({columns}) at the source, or {other} in Mailchimp"
