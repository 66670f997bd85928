"""The guards as asset checks: a failed blocking one means that nothing was sent."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.guards import Guard


@dataclass(frozen=True, slots=True)
class _Check:
    name: str
    says: str
    guards: tuple[str, ...] = ()
    blocking: bool = True


_FRAME = (
    _Check("email_column", "The source has the column that holds the address, and every row sent has one."),
    _Check(
        "consent",
        "Somebody agreed to the transfer, and the owner's role may use it.",
        ("consent", "allowed_roles"),
    ),
    _Check("max_profiles", "The segments hold no more profiles than the export allows.", ("max_profiles",)),
    _Check("rejection_rate", "Few enough profiles are unfit to be sent.", ("max_rejected_percent",)),
)
_SYNC = (
    _Check(
        "segments_present",
        "No segment that held members emptied or vanished upstream.",
        ("empty_source", "empty_segment", "missing_segment"),
    ),
    _Check("exit_rate", "Few enough members would leave.", ("max_exit_percent",)),
    _Check("growth_rate", "Few enough members would join.", ("max_growth_percent",)),
    _Check("contact_limit", "The account stays below its contact limit.", ("contact_limit",)),
    _Check(
        "opt_outs_honoured",
        "Everybody is in one bucket: who opted out, bounced or was archived is counted apart and was not written.",
        blocking=False,
    ),
    _Check("no_warnings", "Nothing that a person should know although nothing failed.", blocking=False),
)


def frame_check_specs(export: Export) -> list[dg.AssetCheckSpec]:
    """The checks of an export's frame."""
    return _specs([export.id, "export_frame"], _FRAME)


def sync_check_specs(export: Export) -> list[dg.AssetCheckSpec]:
    """The checks of an export's sync."""
    return _specs([export.id, "mailchimp_sync"], _SYNC)


def permission_results(export: Export, guards: Sequence[Guard]) -> Iterator[dg.AssetCheckResult]:
    """The verdict on consent and role, which comes before anything is read."""
    return _judged([export.id, "export_frame"], _FRAME, guards, only={"consent"})


def frame_results(export: Export, frame: Frame, guards: Sequence[Guard]) -> Iterator[dg.AssetCheckResult]:
    """The verdict on a frame; its address column was required by its schema."""
    yield dg.AssetCheckResult(
        asset_key=[export.id, "export_frame"],
        check_name="email_column",
        passed=frame.good,
        metadata={"column": export.email, "accepted": frame.accepted},
    )
    yield from _judged([export.id, "export_frame"], _FRAME, guards, only={"max_profiles", "rejection_rate"})


def no_email_column(export: Export) -> dg.AssetCheckResult:
    """The source lacks the column that holds the address."""
    return dg.AssetCheckResult(
        asset_key=[export.id, "export_frame"],
        check_name="email_column",
        passed=False,
        metadata={"column": export.email},
    )


def sync_results(export: Export, report: Report) -> Iterator[dg.AssetCheckResult]:
    """The verdict on a sync; before there is a plan, nobody can say how its guards would judge."""
    key = [export.id, "mailchimp_sync"]
    if report.guards:
        yield from _judged(key, _SYNC, report.guards, only={check.name for check in _SYNC if check.guards})
    finished = report.status == "success"
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="opt_outs_honoured",
        passed=report.counts.is_balanced() or not finished,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if finished else "the run did not finish; what was written is in its counts",
        metadata={"suppressed": report.counts.suppressed, **report.suppressed_reasons},
    )
    yield dg.AssetCheckResult(
        asset_key=key,
        check_name="no_warnings",
        passed=not report.warnings,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(report.warnings) or None,
        metadata={"warnings": len(report.warnings)},
    )


def _specs(key: list[str], checks: tuple[_Check, ...]) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(check.name, asset=key, description=check.says, blocking=check.blocking)
        for check in checks
    ]


def _judged(
    key: list[str], checks: tuple[_Check, ...], guards: Sequence[Guard], *, only: set[str]
) -> Iterator[dg.AssetCheckResult]:
    """One result for each check of *only*: failed when one of its guards stopped, with the numbers of all of them."""
    for check in checks:
        if check.name not in only:
            continue
        mine = [guard for guard in guards if guard.guard in check.guards]
        stopped = [guard for guard in mine if guard.stopped]
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=check.name,
            passed=not stopped,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(guard.message for guard in stopped) or None,
            metadata=_numbers(mine),
        )


def _numbers(guards: Sequence[Guard]) -> dict[str, str | float]:
    """Value and limit; of several guards of one name (one a segment) the numbers of each."""
    if len(guards) == 1:
        limit = guards[0].limit
        return {"value": guards[0].value, "limit": "off" if limit is None else limit}
    return {
        f"{guard.guard}_{number}": f"{guard.value:g} (limit {'off' if guard.limit is None else f'{guard.limit:g}'})"
        for number, guard in enumerate(guards, 1)
    }
