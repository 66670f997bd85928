"""What a run decides, in plain Python: the tables of docs/how-it-decides.md, one person at a time.

A function of what is upstream, what Mailchimp shows and what the ledger knows; no engine, no files, no network.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from properties.machine.scene import Audience, Declared, Known, Memory, There, Upstream, Want

OUT = ("unsubscribed", "cleaned", "pending", "transactional")
ANSWER_DELAY = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Everything a run looks at, and what it cannot see: which members requests of ours made and archived."""

    declared: Declared
    upstream: Upstream
    audience: Audience
    memory: Memory
    now: float
    unfinished: float | None
    allowed: bool = False
    made_by_us: frozenset[str] = frozenset()
    archived_by_us: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of somebody wanted, why not more, and from which address they move."""

    op: str
    reason: str = ""
    old: str = ""


class Decided:
    """A plan: what becomes of everybody wanted, and of everybody held who is not.

    Attributes:
        leaving: What happens to whom the export lets go, those included who only change their address.
        moving: The addresses that are changed.
    """

    def __init__(self, moment: Moment, batch: int) -> None:
        self.at, self.batch = moment, batch
        self.export, self.memory = moment.declared, moment.memory
        self.wishes = moment.upstream.wishes(moment.declared)
        self.wanted = self.wishes.wanted
        self.verdicts = {key: self._verdict(key, want) for key, want in self.wanted.items()}
        self.moving = {verdict.old for verdict in self.verdicts.values()} - {""}
        self.leaving = dict(self._leaving())
        self.exits = {key: op for key, op in self.leaving.items() if key not in self.moving}

    def _verdict(self, key: str, want: Want) -> Verdict:  # noqa: PLR0911 (a table, row by row)
        there = self.at.audience.people.get(key)
        status = there.status if there else None
        known = self.memory.members.get(key)
        held = self.memory.holds.get((self.export.name, key))
        refusal = self.memory.refusals.get((self.export.name, key))
        opted_out, old = self._earlier(key, want)
        if status in OUT:
            return Verdict(op="suppressed", reason=status)
        if there and status == "archived" and not _is_ours_to_return(there, known):
            return Verdict(op="suppressed", reason="archived")
        if refusal and refusal.kind == "suppress" and status != "subscribed":
            return Verdict(op="suppressed", reason=refusal.code)
        if opted_out and status is None:
            return Verdict(op="suppressed", reason="opted_out_before_move")
        if refusal and refusal.holds(want.fields, self.at.now):
            return Verdict(op="refused", reason=refusal.code)
        if status == "archived":
            return Verdict(op="return")
        if old:
            return Verdict(op="move", old=old)
        if held is None or known is None or known.state != "active" or held.fields != want.fields:
            return Verdict(op="upsert")
        return Verdict(op="tag" if self.adds(key, want) or self.drops(key, want) else "unchanged")

    def _earlier(self, key: str, want: Want) -> tuple[bool, str]:
        """Whether this customer opted out under another address, and which other address to move from."""
        there = self.at.audience.people.get(key)
        lost_move = self.at.unfinished is not None and there is not None and there.status == "subscribed"
        if key in self.memory.members or (there is not None and not lost_move):
            return False, ""
        opted_out, olds = False, []
        for old, known in self.memory.known_as(want.customer):
            was = self.at.audience.people.get(old)
            status = was.status if was else None
            opted_out |= (
                status in ("unsubscribed", "pending", "transactional")
                or (status == "archived" and known.state != "archived_by_us")
                or (
                    known.state == "suppressed"
                    and known.reason != "cleaned"
                    and status not in ("subscribed", "cleaned")
                )
            )
            free = old not in self.wanted and status in (None, "subscribed")
            ours = known.created or any(name == old for _, name in self.memory.holds)
            if old != key and known.state == "active" and free and ours:
                olds.append(((self.export.name, old) in self.memory.holds, known.changed_at, old))
        return opted_out, max(olds)[-1] if olds else ""

    def _leaving(self) -> Iterator[tuple[str, str]]:
        refused = {
            self.wanted[key].customer for key, verdict in self.verdicts.items() if verdict.op == "refused"
        }
        for export, key in self.at.memory.holds:
            known = self.memory.members[key]
            there = self.at.audience.people.get(key)
            status = there.status if there else "subscribed"
            others = any(each != export and name == key for each, name in self.memory.holds)
            removable = (
                self.export.on_exit == "archive"
                and known.created
                and known.state != "archived_by_us"
                and not others
            )
            lost = status == "archived" and removable and self._since(there)
            if (
                export != self.export.name
                or key in self.wanted
                or known.customer in self.wishes.rejected_customers | refused
                or (known.state == "archived_by_us" and status == "archived")
                or (status != "subscribed" and not lost)
            ):
                continue
            drops = self.drops(key, None)
            yield (
                key,
                "archived_already"
                if lost
                else "archive"
                if removable
                else "release"
                if self.export.on_exit == "keep" or not drops
                else "untag",
            )

    def _since(self, there: There | None) -> bool:
        since = self.at.unfinished
        return since is not None and there is not None and there.changed >= since - ANSWER_DELAY

    def adds(self, key: str, want: Want, old: str = "") -> frozenset[str]:
        held = self.at.memory.holds.get((self.export.name, old or key))
        had = held.tags & self.at.audience.tags if held else frozenset()
        return want.tags - had

    def drops(self, key: str, want: Want | None, old: str = "") -> frozenset[str]:
        """Tags that this export holds, no longer wants, and may take off."""
        held = self.at.memory.holds.get((self.export.name, old or key))
        if held is None:
            return frozenset()
        theirs = self.at.memory.protected(self.export.name, old or key)
        return (held.tags & self.at.audience.tags) - (want.tags if want else frozenset()) - theirs

    def writes(self) -> int:
        """The fewest requests that do it all."""
        adds: Counter[frozenset[str]] = Counter()
        removes: Counter[str] = Counter()
        for key, verdict in self.verdicts.items():
            want = self.wanted[key]
            if verdict.op in ("tag", "move"):
                adds[self.adds(key, want, verdict.old)] += 1
            if verdict.op in ("tag", "move", "upsert", "return"):
                removes.update(self.drops(key, want, verdict.old))
        for key, op in self.exits.items():
            removes.update(self.drops(key, None) if op == "untag" else ())
        del adds[frozenset()]
        ops = Counter(verdict.op for verdict in self.verdicts.values())
        archives = sum(op == "archive" for op in self.exits.values())
        return ops["move"] + archives + self._fewest(ops["upsert"] + ops["return"], adds, removes)

    def _fewest(self, posts: int, adds: Counter[frozenset[str]], removes: Counter[str]) -> int:
        """The cheapest mix of POSTs and calls per tag; a tag that the audience lacks costs its creation."""

        def calls(people: int) -> int:
            return -(-people // self.batch)

        tags = sorted(frozenset().union(*adds))

        def cost(called: frozenset[str]) -> int:
            riding = sum(people for some, people in adds.items() if not some <= called)
            added: Counter[str] = Counter()
            for some, people in adds.items():
                added.update(dict.fromkeys(some if some <= called else (), people))
            made = sum(tag not in self.at.audience.tags for tag in added)
            each = {*added, *removes}
            return (
                calls(posts + riding)
                + made
                + sum(max(calls(added[tag]), calls(removes[tag])) for tag in each)
            )

        return min(
            cost(frozenset(some)) for size in range(len(tags) + 1) for some in combinations(tags, size)
        )

    def stop(self) -> str | None:
        """The guard that stops it, if one does."""
        holds = {key: held for (name, key), held in self.at.memory.holds.items() if name == self.export.name}
        writable = {
            key
            for key in holds
            if self.memory.members[key].state != "archived_by_us"
            and getattr(self.at.audience.people.get(key), "status", "subscribed") == "subscribed"
        }
        for segment, tag in self.export.segments.items():
            rows = self.at.upstream.segments.get(segment, [])
            if not rows and tag not in self.memory.adopted:
                return "unknown_segment"
        for segment, tag in self.export.segments.items():
            rows = self.at.upstream.segments.get(segment, [])
            found = [each for each in rows if each in self.at.upstream.people]
            if not found and not self.at.allowed and any(tag in holds[key].tags for key in writable):
                return "empty_segment" if rows else "missing_segment"
        held = sum(self.memory.members[key].state != "archived_by_us" for key in holds)
        limit = self.export.max_exit_percent
        if limit is not None and not self.at.allowed and held and 100 * len(self.exits) / held > limit:
            return "max_exit_percent"
        return None


def _is_ours_to_return(there: There, known: Known | None) -> bool:
    if known is None or known.state != "archived_by_us" or known.archived_at is None:
        return False
    return there.changed <= known.archived_at + ANSWER_DELAY
