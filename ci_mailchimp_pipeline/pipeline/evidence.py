"""What is known of one person, step by step: the facts that an explanation judges."""

from dataclasses import dataclass, field

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger import HoldRow, Person, RefusalRow
from ci_mailchimp_pipeline.mailchimp.answers import MemberNow
from ci_mailchimp_pipeline.plan.classify import ANSWER_DELAY_SECONDS, LONGEST_WAIT

NOBODY = Person(member=None, holds=(), refusals=(), foreign_tags=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Customer:
    """A profile with the address. ``excluded``: ``require`` drops it."""

    id: str
    segments: tuple[str, ...]
    excluded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InSource:
    """What the source holds now.

    Attributes:
        refresh: Its short name.
        customers: Whose profile has the address.
        still_there: Whether the customer whom the ledger knows by the address has a profile.
    """

    refresh: str
    customers: tuple[Customer, ...]
    still_there: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InFrame:
    """What the newest frame holds.

    Attributes:
        refresh: That it was made of.
        current: Whether the export is declared as it was then.
        customer_id: Whose row was accepted with the address; None when none was.
        tags: Of that row.
        fingerprint: Of that row.
        reason: Why a row with the address was rejected, if one was; ``field`` is the merge tag.
        kept: A customer with the address of whom another row, with another address, was kept.
    """

    refresh: str
    current: bool
    customer_id: str | None = None
    tags: tuple[str, ...] = ()
    fingerprint: bytes = field(default=b"", repr=False)
    reason: str | None = None
    field: str | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Everything that is known of one person.

    Attributes:
        problem: What is wrong with the address itself, if anything.
        frame: None while the export has none.
        asked: Whether Mailchimp was asked: not for a detached export.
        earlier: Whether the customer is a member under an earlier address.
        opted_out_earlier: Whether they opted out under it.
        now: Seconds since 1970.
    """

    problem: str | None
    source: InSource
    frame: InFrame | None
    person: Person
    forgotten: bool = False
    asked: bool = True
    member: MemberNow | None = None
    earlier: bool = False
    opted_out_earlier: bool = False
    now: float

    @property
    def is_stale(self) -> bool:
        """Whether the newest frame is of another refresh or declaration than those of now."""
        frame = self.frame
        return frame is not None and not (frame.current and frame.refresh == self.source.refresh)

    @property
    def is_returnable(self) -> bool:
        """Whether the member is archived by us, and nobody touched it since."""
        known, now = self.person.member, self.member
        if known is None or now is None or known.state != "archived_by_us":
            return False
        if known.archived_at is None or now.last_changed is None:
            return False
        return now.last_changed <= known.archived_at + ANSWER_DELAY_SECONDS

    def tags_of(self, export: Export) -> tuple[str, ...]:
        """The tags that the member carries in Mailchimp and that *export* gives or holds."""
        hold = self.hold_of(export)
        ours = keys_of((*export.tags, *(hold.tags if hold else ())))
        return tuple(tag for tag in (self.member.tags if self.member else ()) if tag_key(tag) in ours)

    def hold_of(self, export: Export) -> HoldRow | None:
        """What *export* holds on the person."""
        return next((hold for hold in self.person.holds if hold.export == export.id), None)

    def refusal_of(self, export: Export) -> RefusalRow | None:
        """What Mailchimp refused *export*, unless the data changed since, as far as anybody knows."""
        found = next((each for each in self.person.refusals if each.export == export.id), None)
        if found is None or found.kind == "suppress" or self.frame is None or self.frame.customer_id is None:
            return found
        return found if self.frame.fingerprint == found.fingerprint else None


def is_waiting(refusal: RefusalRow, now: float) -> bool:
    """Whether a temporary refusal is not due yet at *now*, seconds since 1970."""
    return refusal.retry_at is not None and now <= refusal.retry_at <= now + LONGEST_WAIT


def keys_of(tags: tuple[str, ...]) -> set[str]:
    """Tags as they are compared."""
    return {tag_key(tag) for tag in tags}
