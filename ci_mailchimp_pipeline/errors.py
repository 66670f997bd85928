"""Every deliberate error, grouped by what happens next.

    PipelineError
    ├─ FixConfigError     exit 2   change exports.yaml or the environment; again fails the same way
    ├─ FixDataError       exit 3   the source's rows are wrong
    ├─ RunLaterError      exit 4   Mailchimp, the network or another run; run again unchanged
    └─ SafetyStopError    exit 5   a guard stopped it; a person has to look first

A message never holds an address, a name, a key, or the body of an answer. Anything that is not a
``PipelineError`` is a bug: it keeps its traceback and exits 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Place:
    """Where a problem is: a file and, when known, 1-based line and column."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file, self.line, self.column]
        return ":".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, where, and what to type to mend it."""

    message: str
    fix: str = ""
    place: Place | None = None

    def __str__(self) -> str:
        head = f"{self.place}: {self.message}" if self.place else self.message
        return f"{head}\n  fix: {self.fix}" if self.fix else head


class PipelineError(Exception):
    """Something a person or a later run can mend; carries a stable code, an exit code and a fix.

    Attributes:
        code: Stable, for machines, for example ``max_exit_percent``.
        problems: All problems found, never empty; the first one is the headline.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        code: str,
        message: str,
        *,
        fix: str = "",
        place: Place | None = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        self.code = code
        self.problems: tuple[Problem, ...] = tuple(problems) or (Problem(message, fix, place),)
        super().__init__(message)

    @property
    def message(self) -> str:
        """All problems' first lines, with their places."""
        return "\n".join(f"{p.place}: {p.message}" if p.place else p.message for p in self.problems)

    @property
    def fix(self) -> str:
        """What to do about the first problem that says it."""
        return next((problem.fix for problem in self.problems if problem.fix), "")

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)

    def as_json(self) -> dict[str, str]:
        """The ``error`` of the JSON documents: code, message, fix."""
        return {"code": self.code, "message": self.message, "fix": self.fix}


class FixConfigError(PipelineError):
    """The configuration or the environment is wrong; running again fails the same way."""

    exit_code = 2


class FixDataError(PipelineError):
    """The source's rows are wrong; nothing was sent."""

    exit_code = 3


class RunLaterError(PipelineError):
    """Mailchimp, the network, the source or another run was in the way; run again unchanged."""

    exit_code = 4


class SafetyStopError(PipelineError):
    """A guard stopped the run before it could hurt somebody; a person has to look first."""

    exit_code = 5
