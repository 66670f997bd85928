"""No success for too long: a check on the export's sync, and one message about it.

Dagster's own freshness policies and checks go by materializations. A dry run is one, too, and sends nothing;
the ledger knows what was sent. So the check is ours, and a sensor judges it without starting a run.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
import msgspec

from ci_mailchimp_pipeline.alerts.incident import before_run, due_stale, name_of
from ci_mailchimp_pipeline.alerts.message import PAGE, stale_message
from ci_mailchimp_pipeline.config import Alert, Config, Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import RunRow, open_ledger
from ci_mailchimp_pipeline.orchestration.alerts import (
    FRESH,
    HISTORY,
    TOLD,
    fresh_key,
    send,
    told_of,
    told_stale,
    told_text,
)
from ci_mailchimp_pipeline.orchestration.home import private_files
from ci_mailchimp_pipeline.pipeline.upstream import why_not

NAME = "freshness"
_SECONDS = 300  # between looks; limits are given in hours
_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How long ago the last success was, in hours; since the export is known when it never had one."""

    hours: float
    limit: float
    last_success: float | None

    @property
    def fresh(self) -> bool:
        """Whether that is not too long."""
        return self.hours <= self.limit

    @property
    def says(self) -> str:
        """The verdict in a sentence."""
        since = "no success yet, known" if self.last_success is None else "last success"
        return f"{since} {self.hours:.1f} hours ago, the limit is {self.limit:g} hours (fresh_within_hours)"


def watched(config: Config) -> list[Export]:
    """The exports that run and are to be fresh; none where every run is a dry run."""
    return [each for each in config.exports.values() if _is_watched(config, each)]


def _is_watched(config: Config, export: Export) -> bool:
    return not config.sandbox and export.fresh_within_hours is not None and why_not(config, export) is None


def judge(export: Export, rows: list[RunRow], *, now: float, known_since: float) -> Freshness:
    """Compare the last success in *rows* (newest first) with the export's limit.

    Args:
        export: One with ``fresh_within_hours``.
        rows: Its runs.
        now: Seconds since 1970, like all times here.
        known_since: From when on an export that never had a success is expected to have one.
    """
    assert export.fresh_within_hours is not None  # noqa: S101  (see watched)
    success = before_run(rows, None).last_success
    at = (success.finished_at or success.started_at) if success else None
    begun = min([known_since, *(row.started_at for row in rows)])
    return Freshness(
        hours=max(0.0, now - (begun if at is None else at)) / _HOUR,
        limit=export.fresh_within_hours,
        last_success=at,
    )


def freshness_checks(config: Config, export: Export) -> list[dg.AssetChecksDefinition]:
    """The check of *export* if it is watched; it is judged at the end of each run, too."""
    return [_check(config, export)] if _is_watched(config, export) else []


def _check(config: Config, export: Export) -> dg.AssetChecksDefinition:
    key = fresh_key(export)

    @dg.asset_check(
        asset=key.asset_key,
        name=FRESH,
        description=f"The last success is not more than {export.fresh_within_hours:g} hours ago.",
    )
    def fresh(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        now = time.time()
        problem = "the ledger cannot be read"
        try:
            with private_files():
                rows = _runs(config, [export])[export.id]
        except PipelineError as error:
            problem = error.message
        else:
            verdict = judge(export, rows, now=now, known_since=now)
            told = told_stale(context.instance, export, before_run(rows, None))
            return dg.AssetCheckResult(
                passed=verdict.fresh,
                severity=dg.AssetCheckSeverity.ERROR,
                description=verdict.says,
                metadata=_numbers(verdict, told),
            )
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.ERROR, description=problem)

    return fresh


def freshness_sensors(
    config: Config, *, name: str = NAME, now: Callable[[], float] = time.time
) -> list[dg.SensorDefinition]:
    """The one that judges every watched export every few minutes; none when there is nothing to watch.

    Its cursor holds since when each export is known, for those that never had a success.
    """
    exports = watched(config)
    if not exports:
        return []

    @dg.sensor(
        name=name,
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Judges the check `fresh` of each export with `fresh_within_hours`, and sends the alert.",
    )
    def freshness(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        moment = now()
        known = _known(context.cursor)
        known = {export.id: known.get(export.id, moment) for export in exports}
        context.update_cursor(msgspec.json.encode(known).decode())
        with private_files():
            return dg.SkipReason(_look(context, config, exports, known, moment))

    return [freshness]


def _look(
    context: dg.SensorEvaluationContext,
    config: Config,
    exports: list[Export],
    known: dict[str, float],
    moment: float,
) -> str:
    """Judge *exports*, tell whoever does not know yet, and store what changed; return what there is to say."""
    verdicts: dict[str, Freshness] = {}
    told: dict[str, frozenset[str]] = {}
    waiting: dict[str, tuple[Alert, list[tuple[Export, str]]]] = {}
    try:
        runs = _runs(config, exports)
    except PipelineError as error:
        return f"{error.message}; fix: {error.fix}"
    for export in exports:
        rows = runs[export.id]
        verdict = verdicts[export.id] = judge(export, rows, now=moment, known_since=known[export.id])
        before = before_run(rows, None)
        told[export.id] = told_stale(context.instance, export, before)
        if not verdict.fresh:
            for alert in due_stale(config.alerts, told=told_of(context.instance, export, before)):
                waiting.setdefault(name_of(alert), (alert, []))[1].append((export, verdict.says))
    page = os.environ.get(PAGE)
    messages = [(alert, stale_message(stale, page=page)) for alert, stale in waiting.values()]
    took = send(config, messages, context.log.warning)
    for export in exports:
        news = frozenset(name for name in took if any(each.id == export.id for each, _ in waiting[name][1]))
        _store(context.instance, export, verdicts[export.id], told[export.id], news)
    stale = [name for name, verdict in verdicts.items() if not verdict.fresh]
    return f"not fresh: {', '.join(stale)}" if stale else "all fresh"


def _store(
    instance: dg.DagsterInstance,
    export: Export,
    verdict: Freshness,
    told: frozenset[str],
    news: frozenset[str],
) -> None:
    """Store the verdict when it is another than the last one, or somebody was told of it."""
    record = instance.get_latest_asset_check_evaluation_record(fresh_key(export))
    last = record and record.event and record.event.asset_check_evaluation
    if last and last.passed == verdict.fresh and not news:
        return
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=fresh_key(export).asset_key,
            check_name=FRESH,
            passed=verdict.fresh,
            severity=dg.AssetCheckSeverity.ERROR,
            description=verdict.says,
            metadata=_numbers(verdict, frozenset() if verdict.fresh else told | news),
        )
    )


def _numbers(verdict: Freshness, told: frozenset[str]) -> dict[str, dg.MetadataValue]:
    found: dict[str, dg.MetadataValue] = {
        "hours": dg.MetadataValue.float(round(verdict.hours, 2)),
        "limit": dg.MetadataValue.float(float(verdict.limit)),
    }
    if verdict.last_success is not None:
        found["last_success"] = dg.MetadataValue.timestamp(verdict.last_success)
    if told:
        found[TOLD] = dg.MetadataValue.text(told_text(told))
    return found


def _runs(config: Config, exports: list[Export]) -> dict[str, list[RunRow]]:
    """The newest runs of each export, with its last success however old that is."""
    found = {}
    with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
        for export in exports:
            rows, success = ledger.runs(export.id, limit=HISTORY), ledger.last_success(export.id)
            found[export.id] = rows if success is None or success in rows else [*rows, success]
    return found


def _known(cursor: str | None) -> dict[str, float]:
    try:
        return msgspec.json.decode(cursor or "{}", type=dict[str, float])
    except msgspec.DecodeError:
        return {}
