"""What one export's run comes to: the entry of ``run --json`` and ``plan --json``, and the ledger's document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.plan.guards import Guard
from ci_mailchimp_pipeline.plan.model import Counts

REPAIR = "repair"  # the trigger of a run that brings an audience back in line; it says nothing of the source

Status = Literal["success", "failed", "stopped", "skipped", "planned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Counts and reasons only: no address, no name, no key.

    Attributes:
        requests: Requests sent to Mailchimp, reads and retries included; for a plan, those a run will need.
        seconds: Wall time of the steps of this export.
        steps: Seconds by step.
        writes: Requests that write, as planned; the fewest that do the work.
        minutes: For a plan: how long a run is expected to take.
    """

    export: str
    status: Status
    run_id: str | None = None
    dry_run: bool = False
    plan_id: str | None = None
    counts: Counts = field(default_factory=Counts)
    rejected_reasons: Mapping[str, int] = field(default_factory=dict)
    suppressed_reasons: Mapping[str, int] = field(default_factory=dict)
    refused_reasons: Mapping[str, int] = field(default_factory=dict)
    exit_reasons: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    requests: int = 0
    writes: int = 0
    seconds: float = 0.0
    minutes: float = 0.0
    steps: Mapping[str, float] = field(default_factory=dict)
    members: int = 0
    error: PipelineError | None = None
    skipped_because: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The documented object, and beside it what a person may want to plot."""
        return {
            "export": self.export,
            "status": self.status,
            "run_id": self.run_id,
            "dry_run": self.dry_run,
            "plan_id": self.plan_id,
            "counts": self.counts.as_json(),
            "rejected_reasons": dict(self.rejected_reasons),
            "suppressed_reasons": dict(self.suppressed_reasons),
            "refused_reasons": dict(self.refused_reasons),
            "exit_reasons": dict(self.exit_reasons),
            "warnings": list(self.warnings),
            "guards": [guard.as_json() for guard in self.guards],
            "requests": self.requests,
            "writes": self.writes,
            "seconds": round(self.seconds, 3),
            "minutes": round(self.minutes, 1),
            "steps": {name: round(seconds, 3) for name, seconds in self.steps.items()},
            "error": self.error.as_json() if self.error else None,
            "skipped_because": self.skipped_because,
        }


class Ended(Protocol):
    """Something that may have ended with an error."""

    @property
    def error(self) -> PipelineError | None:
        """Why it ended badly."""


def exit_code(reports: Sequence[Ended]) -> int:
    """0 when everything was done or skipped; else the code of the gravest error, configuration first."""
    codes = {report.error.exit_code for report in reports if report.error is not None}
    return next((code for code in (1, 2, 3, 5, 4) if code in codes), 0)
