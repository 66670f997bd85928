"""The plan as a value: what would be done to whom (in Parquet), and the numbers people read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

from ci_mailchimp_pipeline.forgotten import ForgetKey

BATCH = 500  # Mailchimp: at most 500 members a call, POST /lists/{id} and POST /lists/{id}/segments/{id}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanInputs:
    """The Parquet files a plan is made of; a plan reads nothing else.

    Attributes:
        frame: The accepted rows of the export (``frame.parquet``).
        rejected: The rejected rows; what we hold on these people is left as it is.
        customers: ``customer_key`` of every profile upstream, to tell who is gone for good.
        members: Ledger: one row a member of the audience.
        holds: Ledger: what each export of the audience holds on a member.
        refusals: Ledger: who Mailchimp refused, and until when.
        foreign_tags: Ledger: who carried one of our tags before we first used it.
        forgotten: Ledger: keyed digests of people who were erased.
        seen: What Mailchimp shows now: ``subscriber_hash``, ``status``, ``last_changed``; everyone
            who is not subscribed, and the subscribed as far as they were read.
    """

    frame: Path
    rejected: Path
    customers: Path
    members: Path
    holds: Path
    refusals: Path
    foreign_tags: Path
    forgotten: Path
    seen: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """What the declaration and the moment add to the files.

    Attributes:
        scope: The account and audience the plan is for; part of its id.
        known_tags: Keys (lower case) of the tags the audience already has; others cost a call to create.
        now: Seconds since the epoch; only refusals that are due again depend on it.
        unfinished_since: Mailchimp's clock when a run began that never finished, else None. What
            happened to a member after it may have been our own unrecorded request.
        forget_key: The key of the digests of ``forgotten``; None when nobody was forgotten.
    """

    export: str
    scope: str = ""
    on_exit: Literal["keep", "remove_tag", "archive"]
    new_members: Literal["subscribed", "pending"]
    merge_tags: tuple[str, ...]
    known_tags: frozenset[str]
    now: float
    unfinished_since: float | None = None
    forget_key: ForgetKey | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The numbers of one export, in people; the two laws of ``check`` hold in every finished run."""

    profiles: int = 0
    excluded: int = 0
    rejected: int = 0
    merged: int = 0
    accepted: int = 0
    added: int = 0
    updated: int = 0
    moved: int = 0
    unchanged: int = 0
    suppressed: int = 0
    refused: int = 0
    exited: int = 0
    archived: int = 0
    tags_added: int = 0
    tags_removed: int = 0
    no_profile: int = 0

    def as_json(self) -> dict[str, int]:
        """The ``counts`` object of the JSON documents, in its documented order."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def is_balanced(self) -> bool:
        """Whether every profile is in exactly one bucket."""
        placed = self.added + self.updated + self.moved + self.unchanged + self.suppressed + self.refused
        return (
            self.profiles == self.accepted + self.rejected + self.merged + self.excluded
            and self.accepted == placed
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """Requests that write, by kind; reads are counted where they are made."""

    posts: int = 0
    moves: int = 0
    tag_calls: int = 0
    tags_created: int = 0
    archives: int = 0

    @property
    def total(self) -> int:
        """All requests that write."""
        return self.posts + self.moves + self.tag_calls + self.tags_created + self.archives


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do, written under *folder* in the order it would do it.

    Folders of Parquet files, one file a range of hashes, each sorted as it is sent:
        ``posts``: members to upsert or bring back; ``moves``: addresses to change; ``tags``: (tag, member)
        pairs to add, to remove, or no longer to claim; ``leaving``: members this export lets go;
        ``suppressed``: people who are not sent, to be remembered.

    Attributes:
        held_by_tag: Members that this export holds under each tag and that can be written to.
    """

    folder: Path
    plan_id: str
    counts: Counts
    calls: Calls
    held: int
    growing: int
    suppressed_reasons: Mapping[str, int] = field(default_factory=dict)
    refused_reasons: Mapping[str, int] = field(default_factory=dict)
    exit_reasons: Mapping[str, int] = field(default_factory=dict)
    held_by_tag: Mapping[str, int] = field(default_factory=dict)

    @property
    def posts(self) -> Path:
        """``op`` (upsert | return), bucket, address, merge values, tags; in subscriber-hash order."""
        return self.folder / "posts"

    @property
    def moves(self) -> Path:
        """Members whose address changes, with the old hash."""
        return self.folder / "moves"

    @property
    def tags(self) -> Path:
        """(tag, member, action) rows: add and remove for the calls of 500 per tag, disown for the ledger alone."""
        return self.folder / "tags"

    @property
    def leaving(self) -> Path:
        """``op`` (archive | archived_already | untag | release) for members no longer wanted."""
        return self.folder / "leaving"

    @property
    def suppressed(self) -> Path:
        """What is only remembered: people not sent, with the reason, and (without one) members of another customer.

        Only those the ledger does not know as such yet.
        """
        return self.folder / "suppressed"

    @property
    def writes_nothing(self) -> bool:
        """Whether carrying it out would send no request that writes."""
        return self.calls.total == 0


@dataclass(frozen=True, slots=True)
class ReturnProof:
    """Evidence, from a ledger row, that a member was archived by us while subscribed.

    The only thing that lets a request carry ``status`` (P1). Rows of ``posts`` with op ``return``
    hold it; nothing else makes one.
    """

    subscriber_hash: bytes
    archived_by_us_at: float
    status_before: Literal["subscribed"] = "subscribed"
