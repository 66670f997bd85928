"""What the local Mailchimp remembers. No HTTP and no rules, only the indexes kept right."""

import bisect
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

ACTIVE = "subscribed"
ARCHIVED = "archived"
STATUSES = ("subscribed", "unsubscribed", "cleaned", "pending", "transactional", ARCHIVED)

Value = str | int | float | dict[str, str]
"""A merge field's value as Mailchimp reads it back; ``""`` is no value."""


def key_of(address: str) -> bytes:
    """The 16 bytes that Mailchimp finds a member by: MD5 of the lower-cased address."""
    return hashlib.md5(address.lower().encode(), usedforsecurity=False).digest()


@dataclass(slots=True, kw_only=True)
class MergeField:
    """A typed column; its place in the audience's ``fields`` is its place in every member's values."""

    merge_id: int
    tag: str
    name: str
    type: str
    required: bool = False
    default_value: str = ""
    public: bool = True
    display_order: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    help_text: str = ""


@dataclass(slots=True, eq=False)
class Member:
    """One person in an audience; ``cause``, who made the status: api, admin, contact, complaint, bounce."""

    key: bytes
    email_address: str
    status: str
    cause: str
    values: tuple[Value, ...]
    tags: tuple[int, ...]
    number: int
    changed: int
    opted: int
    source: str
    extra: dict[str, Any] | None


@dataclass(slots=True, eq=False)
class Segment:
    """A tag (static: ``options`` is None) or a saved condition; ``active`` counts subscribed members only."""

    id: int
    name: str
    created: int
    updated: int
    active: int = 0
    options: dict[str, Any] | None = None


@dataclass(slots=True, eq=False)
class Audience:
    """An audience with its members. Change members through the methods: they keep counts and orders right."""

    id: str
    name: str
    web_id: int
    created: int
    double_optin: bool = False
    marketing_permissions: bool = False
    merge_field_limit: int = 30
    fields: list[MergeField] = field(default_factory=list)
    field_index: dict[str, int] = field(default_factory=dict)
    required: list[tuple[str, int]] = field(default_factory=list)
    members: dict[bytes, Member] = field(default_factory=dict)
    segments: dict[int, Segment] = field(default_factory=dict)
    tag_ids: dict[str, int] = field(default_factory=dict)
    forgotten: set[bytes] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    webhooks: list[dict[str, Any]] = field(default_factory=list)
    last_subscribed: int = 0
    last_unsubscribed: int = 0
    _rare: dict[str, dict[bytes, Member]] = field(default_factory=dict)
    _tag_sets: dict[tuple[int, ...], tuple[int, ...]] = field(default_factory=dict)
    _ordered: dict[tuple[str, str], list[Member]] = field(default_factory=dict)
    _tagged: dict[tuple[int, frozenset[str]], list[Member]] = field(default_factory=dict)

    def add_field(self, merge_field: MergeField) -> None:
        """Append a merge field; present members have no value for it."""
        if merge_field.required:
            self.required.append((merge_field.tag, len(self.fields)))
        self.field_index[merge_field.tag] = len(self.fields)
        self.fields.append(merge_field)

    def value(self, member: Member, tag: str) -> Value:
        """The member's value of a merge tag, ``""`` when it or the field is absent."""
        index = self.field_index.get(tag, len(member.values))
        return member.values[index] if index < len(member.values) else ""

    def find(self, address: str) -> Member | None:
        """The member of an address, archived ones too."""
        return self.members.get(key_of(address))

    def add(self, member: Member) -> None:
        """Take in a new member."""
        self.members[member.key] = member
        self._enter(member)

    def remove(self, member: Member) -> None:
        """Let go of a member for good."""
        del self.members[member.key]
        self._leave(member)

    def move(self, member: Member, email_address: str) -> None:
        """Give a member another address, keeping everything else."""
        self.remove(member)
        member.email_address, member.key = email_address, key_of(email_address)
        self.add(member)

    def set_status(self, member: Member, status: str, cause: str, now: int) -> None:
        """Change who may be mailed; a new subscription gets a new time of consent."""
        self._leave(member)
        member.status, member.cause = status, cause
        if status == ACTIVE:
            member.opted = now
        member.changed = now
        self._enter(member)
        self.note_status(status, now)

    def note_status(self, status: str, now: int) -> None:
        """Remember when somebody last came and last left."""
        if status == ACTIVE:
            self.last_subscribed = now
        elif status == "unsubscribed":
            self.last_unsubscribed = now

    def set_tags(self, member: Member, tags: Iterable[int]) -> bool:
        """Replace the member's tags; False if they were just these."""
        wanted = tuple(sorted(tags))
        if wanted == member.tags:
            return False
        if member.status == ACTIVE:
            self._count(member.tags, -1)
            self._count(wanted, 1)
        member.tags = self.intern_tags(wanted)
        self._tagged.clear()
        return True

    def intern_tags(self, tags: tuple[int, ...]) -> tuple[int, ...]:
        """The one shared copy of an equal tuple: a million members have few distinct sets of tags."""
        return self._tag_sets.setdefault(tags, tags)

    def touch(self, member: Member, now: int) -> None:
        """Note that something of the member changed."""
        member.changed = now
        self._forget_order(member.status)

    def add_segment(self, segment: Segment) -> None:
        """Take in a tag or a saved segment."""
        self.segments[segment.id] = segment
        if segment.options is None:
            self.tag_ids[segment.name.lower()] = segment.id

    def rename_segment(self, segment: Segment, name: str) -> None:
        """Give a tag or saved segment another name."""
        if segment.options is None:
            del self.tag_ids[segment.name.lower()]
            self.tag_ids[name.lower()] = segment.id
        segment.name = name

    def remove_segment(self, segment: Segment) -> None:
        """Take a tag off everybody and forget it."""
        for member in self.tagged(segment.id, frozenset(STATUSES)):
            self.set_tags(member, (tag for tag in member.tags if tag != segment.id))
        del self.segments[segment.id]
        if segment.options is None:
            del self.tag_ids[segment.name.lower()]

    def with_status(self, status: str) -> Iterable[Member]:
        """Members of one status, oldest first; ``""`` is every status but archived."""
        if status == "":
            return (member for member in self.members.values() if member.status != ARCHIVED)
        if status == ACTIVE:
            return (member for member in self.members.values() if member.status == ACTIVE)
        return self._rare.get(status, {}).values()

    def ordered(self, status: str, sort_field: str) -> Sequence[Member]:
        """Members of one status by ``number``, ``changed`` or ``opted``; kept until one of them changes."""
        order = self._ordered.get((status, sort_field))
        if order is None:
            order = sorted(self.with_status(status), key=_sort_key(sort_field))
            self._ordered[(status, sort_field)] = order
        return order

    def changed_between(self, status: str, since: int | None, before: int | None) -> Sequence[Member]:
        """Members whose last change is after ``since`` and before ``before``, in that order."""
        order = self.ordered(status, "changed")
        low = 0 if since is None else bisect.bisect_right(order, since, key=lambda m: m.changed)
        high = len(order) if before is None else bisect.bisect_left(order, before, key=lambda m: m.changed)
        return order[low:high]

    def tagged(self, tag: int, statuses: frozenset[str]) -> Sequence[Member]:
        """Members of some statuses that carry a tag, oldest first; kept until a tag or status changes."""
        found = self._tagged.get((tag, statuses))
        if found is None:
            found = [m for m in self.members.values() if tag in m.tags and m.status in statuses]
            self._tagged[(tag, statuses)] = found
        return found

    def _enter(self, member: Member) -> None:
        status = member.status
        self.counts[status] += 1
        if status == ACTIVE:
            self._count(member.tags, 1)
        else:
            self._rare.setdefault(status, {})[member.key] = member
        self._forget_order(status)
        if self._tagged:
            self._tagged.clear()

    def _leave(self, member: Member) -> None:
        status = member.status
        self.counts[status] -= 1
        if status == ACTIVE:
            self._count(member.tags, -1)
        else:
            del self._rare[status][member.key]
        self._forget_order(status)
        if self._tagged:
            self._tagged.clear()

    def _count(self, tags: tuple[int, ...], by: int) -> None:
        for tag in tags:
            self.segments[tag].active += by

    def _forget_order(self, status: str) -> None:
        if self._ordered:
            for stale in [known for known in self._ordered if known[0] in ("", status)]:
                del self._ordered[stale]


def _sort_key(sort_field: str) -> Callable[[Member], tuple[int, int]]:
    if sort_field == "changed":
        return lambda member: (member.changed, member.number)
    if sort_field == "opted":
        return lambda member: (member.opted, member.number)
    return lambda member: (member.number, 0)


@dataclass(slots=True, eq=False)
class World:
    """The whole account: audiences, queued batches, and the counters that make ids."""

    audiences: dict[str, Audience] = field(default_factory=dict)
    batches: dict[str, Any] = field(default_factory=dict)
    _last_number: int = 0

    def next_number(self, wanted: int | None = None) -> int:
        """A number that was never given before, or the wanted one; members, tags and batches share them."""
        number = self._last_number + 1 if wanted is None else wanted
        self._last_number = max(self._last_number, number)
        return number

    def next_id(self, kind: str) -> str:
        """Ten hexadecimal digits that look like Mailchimp's ids and repeat from run to run."""
        seed = f"{kind} {self.next_number()}".encode()
        return hashlib.md5(seed, usedforsecurity=False).hexdigest()[:10]
