"""Count what happened to each person, from the plan's expectation to what Mailchimp acknowledged."""

from collections import Counter
from dataclasses import dataclass, field, replace

from ci_mailchimp_pipeline.plan.model import Counts, Plan


@dataclass(slots=True)
class Tally:
    """Starts as nobody acknowledged; each answer puts people into their buckets. Not thread-safe."""

    plan: Plan
    buckets: Counter[str] = field(default_factory=Counter)
    suppressed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.suppressed.update(self.plan.suppressed_reasons)
        self.refused.update(self.plan.refused_reasons)

    def add(self, other: "Outcome") -> None:
        """Take over the numbers of one batch."""
        self.buckets.update(other.buckets)
        self.suppressed.update(other.suppressed)
        self.refused.update(other.refused)
        self.warnings.update(other.warnings)

    @property
    def counts(self) -> Counts:
        """The counts so far; balanced once everything of the plan has been answered."""
        return replace(
            self.plan.counts,
            added=self.buckets["added"],
            updated=self.buckets["updated"],
            moved=self.buckets["moved"],
            suppressed=self.suppressed.total(),
            refused=self.refused.total(),
            exited=self.buckets["exited"],
            archived=self.buckets["archived"],
            tags_added=self.buckets["tags_added"],
            tags_removed=self.buckets["tags_removed"],
        )


@dataclass(slots=True)
class Outcome:
    """The numbers of one batch: people by bucket, suppressed and refused by reason, warnings by code."""

    buckets: Counter[str] = field(default_factory=Counter)
    suppressed: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
