"""What a run has to come to, in plain Python.

It says more than that counts add up: who is where afterwards, under which tags, with which fields, for how many
requests, and what the ledger has to know.
"""

from collections import Counter
from dataclasses import dataclass, field, replace

from properties.machine.decisions import Decided, Moment, Verdict
from properties.machine.scene import Fields, Held, Known, Memory, Refusal, There, Want, filled

WAITS = (300.0, 86_400.0, 172_800.0, 604_800.0)  # as documented: 5 minutes, 1, 2, then every 7 days
FORGOTTEN = Refusal(kind="suppress", code="forgotten")


@dataclass(slots=True, kw_only=True)
class Expected:
    """What has to be found after the run.

    Attributes:
        people: Each member in one of these ways; whether tags ride a POST or get a call of their own is open.
        sure: False when an answer decides that only the run will see; then only the promises are looked at.
        spared: Requests that are planned and turn out to be needless.
        rerouted: Somebody could not be moved as planned, so the requests are others.
    """

    counts: Counter[str]
    stop: str | None = None
    suppressed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    people: dict[str, list[There]] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)
    writes: int = 0
    spared: int = 0
    rerouted: bool = False
    sure: bool = True


def expect(moment: Moment, batch: int) -> Expected:
    """What a run at this *moment* comes to, with requests that carry *batch* people."""
    return _Reckoning(moment, Decided(moment, batch)).reckon()


class _Reckoning:
    def __init__(self, moment: Moment, plan: Decided) -> None:
        self.at, self.plan, self.export = moment, plan, moment.declared
        self.memory = moment.memory.copy()
        self.people = {key: [there] for key, there in moment.audience.people.items()}
        self.end = Expected(counts=Counter(plan.wishes.counts), stop=plan.stop(), writes=plan.writes())

    def reckon(self) -> Expected:
        end, plan = self.end, self.plan
        if end.stop:
            return end
        if end.writes:
            self._adopt()
        for key, verdict in plan.verdicts.items():
            self._carry_out(key, verdict)
        for key, op in plan.exits.items():
            end.spared += op == "archive" and key not in self.at.audience.people
            self._let_go(key, op)
        end.counts["suppressed"], end.counts["refused"] = end.suppressed.total(), end.refused.total()
        placed = sum(end.counts[name] for name in ("added", "updated", "moved", "suppressed", "refused"))
        end.counts["unchanged"] = len(plan.wanted) - placed
        end.people, end.memory = self.people, self.memory
        return end

    def _adopt(self) -> None:
        for tag in set(self.export.segments.values()) - self.memory.adopted:
            self.memory.adopted.add(tag)
            self.memory.foreign[tag] = {
                key
                for key, there in self.at.audience.people.items()
                if tag in there.tags and there.status != "archived"
            }

    def _carry_out(self, key: str, verdict: Verdict) -> None:
        want, there = self.plan.wanted[key], self.at.audience.people.get(key)
        match verdict.op:
            case "suppressed":
                self._suppress(key, want, verdict.reason)
            case "refused":
                self.end.refused[verdict.reason] += 1
            case "unchanged":
                self._keep(key, want)
            case "tag" if there is None:
                self.end.sure = (
                    False  # whether the tags ride a POST decides whether the person is there again
                )
            case "tag":
                drops, adds = self.plan.drops(key, want), self.plan.adds(key, want)
                self.people[key] = [
                    replace(there, tags=(there.tags | adds) - drops),
                    replace(
                        there, tags=(there.tags | want.tags) - drops, fields=self._sent(there, want, key)
                    ),
                ]
                self.end.counts["updated"] += 1
                self._keep(key, want)
            case "move":
                self._move(key, want, verdict.old)
            case _:
                self._post(key, want, verdict.op)

    def _suppress(self, key: str, want: Want, reason: str) -> None:
        self.end.suppressed[reason] += 1
        there, known = self.at.audience.people.get(key), self.memory.members.get(key)
        if there is None or there.status != reason:
            return
        # An opt-out stays with whom it follows to another address, as long as there is such a customer.
        customer = known.customer if known and known.customer in self.at.upstream.people else want.customer
        created = known.created if known else False
        self.memory.members[key] = Known(
            customer=customer, state="suppressed", reason=reason, created=created
        )

    def _keep(self, key: str, want: Want) -> None:
        """Whose the address is is noted also when nothing has to be sent."""
        self.memory.members[key] = replace(self.memory.members[key], customer=want.customer)
        self._hold(key, want)

    def _hold(self, key: str, want: Want) -> None:
        self.memory.holds[self.export.name, key] = Held(tags=want.tags, fields=want.fields)

    def _acknowledge(self, key: str, want: Want, *, created: bool) -> None:
        known = self.memory.members.get(key)
        self.memory.members[key] = Known(
            customer=want.customer, state="active", created=known.created if known else created
        )
        self._hold(key, want)
        self.memory.refusals.pop((self.export.name, key), None)

    def _sent(self, there: There, want: Want, was: str) -> Fields:
        """The member's fields after an upsert: what has a value is written, what we had filled is cleared."""
        held = self.at.memory.holds.get((self.export.name, was))
        cleared = {
            tag: ""
            for tag in (held.fields if held else ())
            if held and held.fields[tag] and tag in want.fields and not want.fields[tag]
        }
        return {**there.fields, **cleared, **filled(want.fields)}

    def _post(self, key: str, want: Want, op: str, *, bucket: str = "") -> None:
        there, known = self.at.audience.people.get(key), self.memory.members.get(key)
        if there is None and key in self.at.audience.forgotten:
            self._refuse(key, want, FORGOTTEN)
            self.memory.holds.pop((self.export.name, key), None)
            return
        if there is None and self.at.audience.distrusts(key):
            self._refuse(key, want, Refusal(kind="temporary", code="too_many_signups"))
            return
        new = there is None or op == "return"
        added = op == "return" or bucket == "added" or (known is None and there is None)
        self.end.counts["added" if added and new else "updated"] += 1
        if there is None:
            blank = dict.fromkeys(self.at.audience.merge_tags, "")
            made = There(
                status=self.export.new_members, tags=want.tags, fields={**blank, **filled(want.fields)}
            )
            self.people[key] = [made]
        else:
            tags = (there.tags | want.tags) - self.plan.drops(key, want)
            self.people[key] = [
                replace(there, status="subscribed", tags=tags, fields=self._sent(there, want, key))
            ]
        # Made by a request whose answer was lost, as far as Mailchimp's own stamps still say so.
        lost = self.at.unfinished is not None and key in self.at.made_by_us
        self._acknowledge(
            key, want, created=new or (lost and there is not None and there.source.startswith("API"))
        )

    def _refuse(self, key: str, want: Want, refusal: Refusal) -> None:
        before = self.memory.refusals.get((self.export.name, key))
        attempts = 1 + (before.attempts if before and before.fields == want.fields else 0)
        wait = WAITS[min(attempts - 1, len(WAITS) - 1)]
        due = self.at.now + wait if refusal.kind == "temporary" else None
        self.memory.refusals[self.export.name, key] = replace(
            refusal, customer=want.customer, fields=want.fields, attempts=attempts, retry_at=due
        )
        (self.end.suppressed if refusal.kind == "suppress" else self.end.refused)[refusal.code] += 1

    def _move(self, key: str, want: Want, old: str) -> None:
        was = self.at.audience.people.get(old)
        if key in self.at.audience.people:
            self.end.sure = False  # an earlier run may have moved it: Mailchimp's answer tells
            return
        self.end.rerouted |= was is None or key in self.at.audience.forgotten
        if was is None:
            self._post(key, want, "upsert", bucket="added")
            if old in self.plan.leaving:
                self._let_go(old, self.plan.leaving[old])
            return
        if key in self.at.audience.forgotten:
            self._refuse(key, want, FORGOTTEN)
            if old in self.plan.leaving:
                self._let_go(old, self.plan.leaving[old])
            return
        drops, adds = self.plan.drops(key, want, old), self.plan.adds(key, want, old)
        fields = self._sent(was, want, old)
        del self.people[old]
        self.people[key] = [
            replace(was, tags=(was.tags | more) - drops, fields=fields) for more in (adds, want.tags)
        ]
        self.end.counts["moved"] += 1
        self.memory.rekey(old, key)
        self._acknowledge(key, want, created=False)

    def _let_go(self, key: str, op: str) -> None:
        there = self.at.audience.people.get(key)
        self.end.counts["exited"] += 1
        if op in ("archive", "archived_already") and there is not None:
            self.end.counts["archived"] += 1
            self.people[key] = [replace(there, status="archived")]
            self.memory.members[key] = replace(self.memory.members[key], state="archived_by_us", reason=None)
            return
        if op == "untag" and there is not None:
            self.people[key] = [replace(there, tags=there.tags - self.plan.drops(key, None))]
        del self.memory.holds[self.export.name, key]
