"""Alerts about runs: at the end of a run in its own process, and from a sensor when that process died.

Sent where the run is, so that the command line, the page and the daemon all do, with or without a daemon.
What was delivered is written to the run's tags: the next run of the same incident reads there who knows.
"""

import itertools
import logging
import os
from collections.abc import Callable, Sequence

import dagster as dg

from ci_mailchimp_pipeline.alerts.incident import Before, before_run, due, name_of
from ci_mailchimp_pipeline.alerts.message import PAGE as PAGE_ADDRESS
from ci_mailchimp_pipeline.alerts.message import SOURCE, Message, Subject, message
from ci_mailchimp_pipeline.alerts.receivers import deliver_all
from ci_mailchimp_pipeline.config import Alert, Config, Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import RunRow, open_ledger
from ci_mailchimp_pipeline.pipeline.report import Report

ALERTED = "ci_mailchimp/alerted"  # run tag: the receivers that took the message about this run
FRESH = "fresh"  # the check; its failed evaluation holds the receivers that took the message about it
TOLD = "told"
HISTORY = 200  # runs that are looked at; an incident with more of them was told of long ago
_BETWEEN = ", "
_LOG = logging.getLogger(__name__)

Log = Callable[[str], None]


def tell(
    config: Config,
    export: Export,
    report: Report,
    *,
    instance: dg.DagsterInstance,
    run_id: str,
    final: bool,
    log: Log = _LOG.warning,
) -> None:
    """Send what *report* calls for; takes seconds at most and never raises.

    Args:
        config: With the receivers; none declared, nothing done.
        export: Whose run it was.
        report: How it ended.
        instance: Where the tags of runs are.
        run_id: The run.
        final: Whether no further try follows by itself.
        log: Told of each message that did not arrive.
    """

    def found() -> tuple[Before, frozenset[str]]:
        before = before_run(history(config, export), run_id)
        return before, told_of(instance, export, before, run_id)

    _tell(config, Subject.of(export), report, found, instance=instance, run_id=run_id, final=final, log=log)


def tell_source(
    config: Config,
    report: Report,
    *,
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    final: bool,
    log: Log = _LOG.warning,
) -> None:
    """Like ``tell``, for a run that reads the source for all exports: the ledger knows nothing of it."""

    def found() -> tuple[Before, frozenset[str]]:
        runs = instance.get_runs(dg.RunsFilter(job_name=run.job_name), limit=HISTORY)
        others = [each for each in runs if each.run_id != run.run_id]
        since = list(itertools.takewhile(lambda each: each.status != dg.DagsterRunStatus.SUCCESS, others))
        broken = any(each.status == dg.DagsterRunStatus.FAILURE for each in since)
        before = Before(run_ids=tuple(each.run_id for each in since), broken=broken)
        return before, _told_by(instance, [*before.run_ids, run.run_id])

    _tell(config, SOURCE, report, found, instance=instance, run_id=run.run_id, final=final, log=log)


def _tell(
    config: Config,
    about: Subject,
    report: Report,
    found: Callable[[], tuple[Before, frozenset[str]]],
    *,
    instance: dg.DagsterInstance,
    run_id: str,
    final: bool,
    log: Log,
) -> None:
    """Send what is due after what *found* finds out, and tag the run with who took it."""
    if not config.alerts or report.dry_run:
        return
    try:
        before, told = found()
        page = os.environ.get(PAGE_ADDRESS)
        owed = due(config.alerts, report, before=before, told=told, final=final)
        messages = [
            (alert, message(each.kind, about, report, page=page)) for each in owed for alert in each.to
        ]
        took = send(config, messages, log)
        if took and report.status != "success":
            instance.add_run_tags(run_id, {ALERTED: told_text(took | told)})
    except Exception as error:  # noqa: BLE001  (an alert is never a reason for a run to fail)
        log(f"alerts: {type(error).__name__}, nothing more was sent")


def send(config: Config, messages: Sequence[tuple[Alert, Message]], log: Log) -> frozenset[str]:
    """Deliver *messages* and return the names of the receivers that took theirs."""
    took = set()
    for delivery in deliver_all(config, messages):
        if delivery.problem is None:
            took.add(name_of(delivery.alert))
        else:
            log(f"alert not sent: {delivery.problem.message}; fix: {delivery.problem.fix}")
    return frozenset(took)


def history(config: Config, export: Export) -> list[RunRow]:
    """The newest runs that the ledger knows; none when it cannot be read, for the failure may be the ledger's."""
    try:
        with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
            return ledger.runs(export.id, limit=HISTORY)
    except PipelineError:
        return []


def told_of(
    instance: dg.DagsterInstance, export: Export, before: Before, run_id: str | None = None
) -> frozenset[str]:
    """The receivers that know of the incident that is open: by a run of it, or by a failed freshness check."""
    named = _told_by(instance, [*before.run_ids, *([run_id] if run_id else [])])
    return named | told_stale(instance, export, before)


def _told_by(instance: dg.DagsterInstance, run_ids: list[str]) -> frozenset[str]:
    """The receivers that took a message about one of the runs."""
    runs = instance.get_runs(dg.RunsFilter(run_ids=run_ids)) if run_ids else []
    names = {name for run in runs for name in run.tags.get(ALERTED, "").split(_BETWEEN)}
    return frozenset(names - {""})


def told_stale(instance: dg.DagsterInstance, export: Export, before: Before) -> frozenset[str]:
    """The receivers that were told, since the last success, that the export is not fresh."""
    record = instance.get_latest_asset_check_evaluation_record(fresh_key(export))
    found = record and record.event and record.event.asset_check_evaluation
    success = before.last_success
    ended = (success.finished_at or success.started_at) if success else 0.0
    if not record or not found or found.passed or record.create_timestamp < ended:
        return frozenset()
    value = found.metadata.get(TOLD)
    return frozenset(str(value.value).split(_BETWEEN) if value else ()) - {""}


def fresh_key(export: Export) -> dg.AssetCheckKey:
    """The freshness check of an export's sync."""
    return dg.AssetCheckKey(dg.AssetKey([export.id, "mailchimp_sync"]), FRESH)


def told_text(names: frozenset[str]) -> str:
    """*names* as they are kept."""
    return _BETWEEN.join(sorted(names))
