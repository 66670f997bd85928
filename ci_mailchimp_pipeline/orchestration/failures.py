"""Our errors as Dagster's failures: what a person should read, and nothing of what the rows hold.

Dagster stores every exception for ever, its causes included. So nothing that a library raised gets there:
a known error becomes its message and fix, an unknown one its class and the number of a private file.
"""

import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec

from ci_mailchimp_pipeline.artifacts import no_room
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError, SafetyStopError
from ci_mailchimp_pipeline.ledger import RunRow, open_ledger
from ci_mailchimp_pipeline.ledger.records import RunStatus
from ci_mailchimp_pipeline.orchestration.alerts import tell, tell_source
from ci_mailchimp_pipeline.orchestration.attempts import MAX_ATTEMPTS
from ci_mailchimp_pipeline.orchestration.home import private_files
from ci_mailchimp_pipeline.orchestration.session import current_session, waits
from ci_mailchimp_pipeline.orchestration.tags import ATTEMPT, PAGE, TRIGGER, UNATTENDED
from ci_mailchimp_pipeline.pipeline.report import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of one run.

    Attributes:
        export: Whose step; for the upstream's, the export whose job it is, or None when all are materialized.
        dry_run: Whether the run's sync would write; a dry run leaves no row in the ledger.
        tell: Sends the alerts that a report calls for: of the export, or, where there is none, of the source.
    """

    config: Config
    export: Export | None
    name: str
    run_id: str
    trigger: str
    dry_run: bool
    tell: Callable[[Report], None] = field(default=lambda _report: None, repr=False)

    @classmethod
    def of(
        cls, context: dg.AssetExecutionContext, config: Config, export: Export | None, name: str
    ) -> "Step":
        """The step that *context* is about."""
        run = context.run
        export = export or config.exports.get(run.job_name)

        def tell_of(report: Report) -> None:
            instance, final, log = context.instance, is_final(run.tags), context.log.warning
            if export is None:
                tell_source(config, report, instance=instance, run=run, final=final, log=log)
            elif report.export:
                tell(config, export, report, instance=instance, run_id=run.run_id, final=final, log=log)

        return cls(
            config=config,
            export=export,
            name=name,
            run_id=run.run_id,
            trigger=run.tags.get(TRIGGER, PAGE),
            dry_run=config.sandbox or (export is not None and is_dry(run, export)),
            tell=tell_of,
        )


def is_dry(run: dg.DagsterRun, export: Export) -> bool:
    """Whether *run* was asked not to send for *export*."""
    ops: Mapping[str, Any] = run.run_config.get("ops", {})  # type: ignore[assignment]  # Dagster says object
    sync = ops.get(f"{export.id}__mailchimp_sync", {})
    return bool(sync.get("config", {}).get("dry_run"))


def is_final(tags: Mapping[str, str]) -> bool:
    """Whether no further try follows by itself when the run with *tags* fails."""
    attempt = tags.get(ATTEMPT, "1")
    return tags.get(TRIGGER) not in UNATTENDED or (attempt.isdecimal() and int(attempt) >= MAX_ATTEMPTS)


@contextmanager
def guarded(step: Step) -> Iterator[None]:
    """Run a step's work: privately, heeding signals when somebody waits, failing in our own words.

    Raises:
        dagster.Failure: Instead of any error; an interruption passes as it is.
    """
    session = current_session()
    session.on_step(step.name)
    failure: dg.Failure | None = None
    try:
        with private_files():
            if waits():
                with session.heeding_signals():
                    yield
            else:
                yield
    except dg.Failure:
        raise
    except PipelineError as error:
        failure = failed(step, error)
    except Exception as error:  # noqa: BLE001  (whatever it is, its text must not be stored)
        failure = failed(step, no_room(error, step.config.home) or _bug(step, error))
    if failure is not None:
        raise failure from None


def failed(step: Step, error: PipelineError, report: Report | None = None) -> dg.Failure:
    """Tell the session and the ledger how the export ended, and return what Dagster is to store.

    Args:
        step: Where.
        error: Why.
        report: What is known besides; one that the ledger does not have yet.
    """
    if step.export is not None:
        report = report or Report(export=step.export.id, status="failed")
        report = Report(
            export=step.export.id,
            status="stopped" if isinstance(error, SafetyStopError) else "failed",
            run_id=step.run_id,
            dry_run=step.dry_run,
            counts=report.counts,
            rejected_reasons=report.rejected_reasons,
            guards=report.guards,
            requests=report.requests,
            seconds=report.seconds,
            steps=report.steps,
            error=error,
        )
        current_session().report = report
        if not step.dry_run:
            remember(step.config, step.export, report, trigger=step.trigger, now=time.time())
            step.tell(report)
    else:
        step.tell(Report(export="", status="failed", run_id=step.run_id, error=error))
    return as_failure(error)


def as_failure(error: PipelineError) -> dg.Failure:
    """*error* as Dagster stores and shows it."""
    return dg.Failure(
        description=f"{error.message}\n\nfix: {error.fix}" if error.fix else error.message,
        metadata={"code": error.code, "fix": error.fix, "exit_code": error.exit_code},
        allow_retries=False,
    )


def remember(config: Config, export: Export, report: Report, *, trigger: str, now: float) -> None:
    """Note in the ledger how a run ended that could not itself; the reason of the failure comes first, so never raises."""
    run_id = report.run_id or ""
    try:
        with open_ledger(config.home, config.ledger_url) as ledger:
            rows = [row for row in ledger.runs(export.id) if row.run_id == run_id]
            if any(row.finished_at is not None for row in rows):
                return  # the sync itself said how it ended; what failed came after it
            if not rows:
                ledger.start_run(
                    RunRow(
                        run_id=run_id,
                        export=export.id,
                        connection=export.connection or "",
                        trigger=trigger,
                        config_digest=config.digest,
                        started_at=now - report.seconds,
                    )
                )
            document = msgspec.json.encode(report.as_json()).decode()
            ended: RunStatus = "stopped" if report.status == "stopped" else "failed"
            ledger.finish_run(run_id, export.id, ended, document=document)
    except PipelineError:
        return


def _bug(step: Step, error: Exception) -> PipelineError:
    number = secrets.token_hex(6)
    path = step.config.home / "errors" / f"{number}.txt"
    with suppress(OSError):  # what a disk does must not hide what happened
        _describe(error, path)
    return PipelineError(
        "bug",
        f"step {step.name} stopped with {type(error).__name__} (error {number})",
        fix=f"this is a bug: report it with {path}, which holds no data",
    )


def _describe(error: BaseException, path: Path) -> None:
    """Where it happened, without the error's own words: they may quote a row."""
    lines = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.extract_tb(cause.__traceback__)
        lines += [f"{type(cause).__module__}.{type(cause).__qualname__}"]
        lines += [f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}' for frame in frames]
        cause = cause.__cause__ or cause.__context__
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
