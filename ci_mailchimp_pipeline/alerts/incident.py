"""Which messages a finished run owes to whom; pure.

An incident is the time from an export's first failed or stopped run to its next success. Every receiver
hears of it once, when no further try follows by itself, and once more when it is over.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ci_mailchimp_pipeline.config import Alert
from ci_mailchimp_pipeline.config.models import AlertKind
from ci_mailchimp_pipeline.ledger import RunRow
from ci_mailchimp_pipeline.pipeline.report import REPAIR, Report

INTERRUPTED = "interrupted"  # whoever stopped it knows
_BAD = ("failed", "stopped")
_NUMBER = re.compile(r"[\d.,]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What is known from before a run.

    Attributes:
        run_ids: The runs since the last success.
        broken: Whether one of them failed or was stopped.
        last_success: The ledger's row of it.
        warnings: Those of the last success.
    """

    run_ids: tuple[str, ...] = ()
    broken: bool = False
    last_success: RunRow | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One kind of message and those who are to get it."""

    kind: AlertKind
    to: tuple[Alert, ...] = field(repr=False)


def name_of(alert: Alert) -> str:
    """What a receiver is called where people read: the name of its reference, never its address."""
    return alert.to.env or alert.to.file or ""


def before_run(rows: Sequence[RunRow], run_id: str | None) -> Before:
    """Split the newest *rows* of an export at its last success, leaving out the run in question and repairs."""
    others = [row for row in rows if row.run_id != run_id and not row.dry_run and row.trigger != REPAIR]
    at = next((number for number, row in enumerate(others) if row.status == "success"), len(others))
    success = others[at] if at < len(others) else None
    return Before(
        run_ids=tuple(row.run_id for row in others[:at]),
        broken=any(row.status in _BAD for row in others[:at]),
        last_success=success,
        warnings=_warnings_of(success.document) if success else (),
    )


def due(
    alerts: Sequence[Alert], report: Report, *, before: Before, told: frozenset[str], final: bool
) -> list[Due]:
    """The messages that *report* calls for.

    Args:
        alerts: The receivers.
        report: How the run ended; a dry run is nobody's incident.
        before: What was before it.
        told: Names of the receivers that know of the open incident.
        final: Whether no further try follows by itself.
    """
    if report.dry_run:
        return []
    if report.status == "success":
        over = [each for each in alerts if "recovered" in each.on and _awaits_end(each, before, told)]
        new = {_kind(text) for text in report.warnings} - {_kind(text) for text in before.warnings}
        doubtful = [each for each in alerts if "warning" in each.on and new]
        found = [Due(kind="recovered", to=tuple(over)), Due(kind="warning", to=tuple(doubtful))]
    elif report.status in _BAD and final and not (report.error and report.error.code == INTERRUPTED):
        kind: Literal["failed", "stopped"] = "stopped" if report.status == "stopped" else "failed"
        found = [Due(kind=kind, to=_untold(alerts, kind, told))]
    else:
        found = []
    return [each for each in found if each.to]


def due_stale(alerts: Sequence[Alert], *, told: frozenset[str]) -> tuple[Alert, ...]:
    """Who is to hear that an export had no success for too long: who hears of failures, and knows of none."""
    return _untold(alerts, "failed", told)


def _untold(alerts: Sequence[Alert], kind: AlertKind, told: frozenset[str]) -> tuple[Alert, ...]:
    return tuple(each for each in alerts if kind in each.on and name_of(each) not in told)


def _awaits_end(alert: Alert, before: Before, told: frozenset[str]) -> bool:
    """Whether *alert* knows of the incident; one that never hears of beginnings hears of every end."""
    return name_of(alert) in told or (before.broken and not set(_BAD) & set(alert.on))


def _kind(warning: str) -> str:
    """A warning without its numbers: tomorrow's count of the same thing is nothing new."""
    return _NUMBER.sub("", warning)


def _warnings_of(document: str) -> tuple[str, ...]:
    try:
        found = msgspec.json.decode(document, type=dict[str, object]).get("warnings")
    except msgspec.DecodeError:
        return ()
    return tuple(str(each) for each in found) if isinstance(found, list) else ()
