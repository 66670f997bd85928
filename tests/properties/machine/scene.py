"""The pieces of the machine's world: what is upstream, what Mailchimp shows, what the ledger knows.

Tags and addresses stand in lower case everywhere: there they are compared.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Fields = Mapping[str, str | None]

# What is wrong with these is known without any rule for addresses.
BAD_ADDRESSES = {
    "": "no_email",
    "   ": "no_email",
    "no address": "malformed_email",
    "somebody@contoso": "malformed_email",
    "eve@example.com": "reserved_domain",
}


def filled(fields: Fields) -> dict[str, str | None]:
    """Those that have a value."""
    return {tag: value for tag, value in fields.items() if value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """One address that has to be a member, whose it is, and what has to be known of it."""

    customer: str
    tags: frozenset[str]
    fields: Fields


@dataclass(slots=True, kw_only=True)
class Wishes:
    """What the source asks for: wanted members by address, and what became of everybody else."""

    wanted: dict[str, Want]
    counts: Counter[str]
    rejected: Counter[str]
    rejected_customers: set[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """An export as far as it matters: its columns by merge tag, its tags by segment."""

    name: str
    segments: Mapping[str, str]
    columns: Mapping[str, str]
    on_exit: str
    new_members: str
    consent: bool
    max_exit_percent: float | None

    @classmethod
    def of(cls, name: str, keys: Mapping[str, object]) -> "Declared":
        """Read from the keys of exports.yaml."""
        more = keys.get("merge_fields") or {}
        assert isinstance(more, Mapping)
        return cls(
            name=name,
            segments={each["name"]: each["tag"].lower() for each in keys["segments"]},  # type: ignore[attr-defined]
            columns={"FNAME": "FirstName", "LNAME": "LastName", **more},
            on_exit=str(keys["on_exit"]),
            new_members=str(keys["new_members"]),
            consent=bool(keys.get("require")),
            max_exit_percent=keys["guards"]["max_exit_percent"],  # type: ignore[index]
        )


@dataclass(slots=True, kw_only=True)
class Upstream:
    """Profiles by customer id, and customers by segment, some of them twice."""

    people: dict[str, dict[str, str]]
    segments: dict[str, list[str]]

    def wishes(self, declared: Declared) -> Wishes:
        """Who is wanted by an export, and why others are not."""
        tags: dict[str, set[str]] = {}
        for segment, tag in declared.segments.items():
            for customer in self.segments.get(segment, ()):
                tags.setdefault(customer, set()).add(tag)
        counts = Counter(
            profiles=sum(each in self.people for each in tags),
            no_profile=sum(each not in self.people for each in tags),
        )
        end = Wishes(wanted={}, counts=counts, rejected=Counter(), rejected_customers=set())
        for customer in sorted(set(tags) & set(self.people)):
            row = self.people[customer]
            written = row["EMail"]
            key = written.strip().lower()
            if declared.consent and row["EmailSubscriber"] != "true":
                counts["excluded"] += 1
            elif written in BAD_ADDRESSES:
                end.rejected[BAD_ADDRESSES[written]] += 1
                end.rejected_customers.add(customer)
            elif key in end.wanted:  # the smallest customer id wins, with the tags of all
                counts["merged"] += 1
                first = end.wanted[key]
                both = first.tags | tags[customer]
                end.wanted[key] = Want(customer=first.customer, tags=frozenset(both), fields=first.fields)
            else:
                fields = {tag: row[column].strip() or None for tag, column in declared.columns.items()}
                end.wanted[key] = Want(customer=customer, tags=frozenset(tags[customer]), fields=fields)
        counts["rejected"], counts["accepted"] = end.rejected.total(), len(end.wanted)
        return end


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """A member as Mailchimp shows it; two are equal when people could not tell them apart."""

    status: str
    tags: frozenset[str]
    fields: Fields
    changed: int = field(default=0, compare=False)
    source: str = field(default="", compare=False)


@dataclass(slots=True, kw_only=True)
class Audience:
    """Everybody in the audience by address, its tags, and whom it never takes again."""

    people: dict[str, There]
    tags: frozenset[str]
    forgotten: frozenset[str]
    merge_tags: tuple[str, ...]
    distrusted: str = ""

    def distrusts(self, key: str) -> bool:
        """Whether Mailchimp refuses this address as a new member for now."""
        return bool(self.distrusted) and re.search(self.distrusted, key) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The ledger's row of a member."""

    customer: str
    state: str
    created: bool
    reason: str | None = None
    archived_at: float | None = field(default=None, compare=False)
    changed_at: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The ledger's row of what an export holds on a member."""

    tags: frozenset[str]
    fields: Fields


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The ledger's row of a no."""

    kind: str
    code: str
    customer: str = ""
    fields: Fields = field(default_factory=dict)
    attempts: int = 1
    retry_at: float | None = field(default=None, compare=False)

    def holds(self, fields: Fields, now: float) -> bool:
        """Whether the same data need not be sent again yet."""
        due = self.kind == "temporary" and (self.retry_at or 0) <= now
        return self.kind != "suppress" and self.fields == fields and not due


@dataclass(slots=True, kw_only=True)
class Memory:
    """The ledger of an audience, by address, and by (export, address)."""

    members: dict[str, Known] = field(default_factory=dict)
    holds: dict[tuple[str, str], Held] = field(default_factory=dict)
    refusals: dict[tuple[str, str], Refusal] = field(default_factory=dict)
    foreign: dict[str, set[str]] = field(default_factory=dict)
    adopted: set[str] = field(default_factory=set)

    def copy(self) -> "Memory":
        """One that may be changed."""
        return Memory(
            members=dict(self.members),
            holds=dict(self.holds),
            refusals=dict(self.refusals),
            foreign={tag: set(keys) for tag, keys in self.foreign.items()},
            adopted=set(self.adopted),
        )

    def known_as(self, customer: str) -> Iterator[tuple[str, Known]]:
        """The addresses that the customer is known under, those of refusals for good included."""
        for key, known in self.members.items():
            if known.customer == customer:
                yield key, known
        for (_, key), refusal in self.refusals.items():
            if refusal.customer == customer and refusal.kind == "suppress":
                yield key, Known(customer=customer, state="suppressed", reason=refusal.code, created=False)

    def protected(self, export: str, key: str) -> frozenset[str]:
        """Tags of a member that *export* may not take off: others hold them, or they were there before us."""
        others = (held.tags for (name, who), held in self.holds.items() if who == key and name != export)
        foreign = {tag for tag, keys in self.foreign.items() if key in keys}
        return frozenset(foreign.union(*others))

    def rekey(self, old: str, new: str) -> None:
        """Put everything that is known of *old* under *new*, where whatever stood is forgotten."""
        self.members[new] = self.members.pop(old)
        for export, key in [each for each in self.refusals if each[1] in (old, new)]:
            del self.refusals[export, key]
        for export in {export for export, key in self.holds if key in (old, new)}:
            self.holds.pop((export, new), None)
            if held := self.holds.pop((export, old), None):
                self.holds[export, new] = held
        for keys in self.foreign.values():
            keys.discard(new)
            if old in keys:
                keys.remove(old)
                keys.add(new)
