"""Carry out one export: plan, guard, apply, record; a failure comes back as a report, not as an exception."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec

from ci_mailchimp_pipeline.artifacts import room_in
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import FixDataError, PipelineError, SafetyStopError
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.ledger import Lease, Ledger, RunRow, open_ledger
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.planning import (
    FACTS,
    Planned,
    connection_of,
    counts_of,
    plan_export,
    planned_report,
)
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.guards import (
    NO_ALLOWANCES,
    Allowances,
    expect_plan,
    permission_guards,
    stop_if_any,
)
from ci_mailchimp_pipeline.process import this_process
from ci_mailchimp_pipeline.sources.snapshots import Snapshot
from ci_mailchimp_pipeline.sync.apply import apply_plan
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts, read_audience
from ci_mailchimp_pipeline.sync.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why and how a run happens.

    Attributes:
        trigger: Who asked: cli, page, refresh, schedule.
        plan_id: The only plan that may be carried out, or None for any.
        frame_seconds: What the steps before took, to be reported with the rest.
    """

    run_id: str
    trigger: str = "cli"
    dry_run: bool = False
    plan_id: str | None = None
    allowances: Allowances = NO_ALLOWANCES
    frame_seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class ExportRun:
    """One run of one export; ``carry_out`` is its only door.

    Attributes:
        progress: Called with (requests done, requests planned) while it writes.
    """

    config: Config
    export: Export
    occasion: Occasion
    client: MailchimpClient
    into: Path
    progress: Callable[[int, int], None] = lambda _done, _total: None
    now: Callable[[], float] = time.time
    steps: dict[str, float] = field(default_factory=dict)
    audience: int | None = None

    def carry_out(self, snapshot: Snapshot, frame: Frame) -> Report:
        """Do it and return the report, also of a failure.

        A dry run, or a sandbox, writes nothing: no lease, no ledger row, no request that writes.
        Interruptions (``KeyboardInterrupt``, Dagster's cancel) are raised, once what is in flight is recorded.
        """
        self.steps.update(self.occasion.frame_seconds)
        dry_run = self.occasion.dry_run or self.config.sandbox
        failed = self._failed(frame, dry_run=dry_run)
        try:
            stop_if_any(permission_guards(self.export, connection_of(self.config, self.export)))
            with open_ledger(self.config.home, self.config.ledger_url, read_only=dry_run) as ledger:
                if dry_run:
                    return self._finished(self._dry_run(snapshot, frame, ledger))
                return self._recorded(ledger, failed, lambda: self._sync(snapshot, frame, ledger, failed))
        except PipelineError as error:
            return self._finished(replace(failed, status=_status(error), error=error))

    def carry_out_planned(
        self, planned: Planned, *, ledger: Ledger, lease: Lease, first: Callable[[], None]
    ) -> Report:
        """Like ``carry_out``, of a plan that was made under the *lease*; *first* is done once no guard stops it."""
        self.audience = lease.audience
        failed = self._failed(planned.frame)
        return self._recorded(ledger, failed, lambda: self._apply(planned, ledger, lease, failed, first))

    def _failed(self, frame: Frame, *, dry_run: bool = False) -> Report:
        return Report(
            export=self.export.id,
            status="failed",
            dry_run=dry_run,
            counts=counts_of(frame),
            rejected_reasons=frame.rejected_reasons,
        )

    def _dry_run(self, snapshot: Snapshot, frame: Frame, ledger: Ledger) -> Report:
        planned = self._plan(snapshot, frame, ledger)
        report = planned_report(self.export, connection_of(self.config, self.export), planned)
        try:
            self._check(planned)
        except SafetyStopError as error:
            return replace(report, status="stopped", error=error)
        return replace(report, status="success")

    def _recorded(self, ledger: Ledger, failed: Report, do: Callable[[], Report]) -> Report:
        """Run with a row in the ledger that says how it ended, whatever happens."""
        run_id = self.occasion.run_id
        ledger.start_run(
            RunRow(
                run_id=run_id,
                export=self.export.id,
                connection=connection_of(self.config, self.export).id,
                status="running",
                trigger=self.occasion.trigger,
                config_digest=self.config.digest,
                started_at=self.now(),
            )
        )
        report = failed
        try:
            report = do()
        except PipelineError as error:
            report = replace(failed, status=_status(error), error=error)
        finally:
            report = self._finished(report)
            ledger.finish_run(
                run_id,
                self.export.id,
                "failed" if report.status == "planned" else report.status,  # planned is never an end
                plan_id=report.plan_id,
                members=report.members,
                audience=self.audience,
                document=msgspec.json.encode(report.as_json()).decode(),
            )
        return report

    def _sync(self, snapshot: Snapshot, frame: Frame, ledger: Ledger, failed: Report) -> Report:
        facts = self._facts(frame)
        if endpoints.account(self.client).account_id != facts.account_id:
            # The secret was changed since the frame was made: the ledger would hold another account's members.
            raise _stale(self.export)
        audience = self.audience = ledger.audience(facts.account_id, facts.audience_id)
        with ledger.lease(audience, this_process()) as lease:
            planned = self._plan(snapshot, frame, ledger, facts)
            return self._apply(planned, ledger, lease, failed)

    def _apply(
        self,
        planned: Planned,
        ledger: Ledger,
        lease: Lease,
        failed: Report,
        first: Callable[[], None] = lambda: None,
    ) -> Report:
        plan = planned.plan
        report = replace(
            planned_report(self.export, connection_of(self.config, self.export), planned),
            status="failed",
            dry_run=False,
            counts=failed.counts,
            requests=0,
        )
        tally = Tally(plan)
        try:
            self._check(planned)
            with self._timed("apply"):
                first()
                applied = apply_plan(
                    plan,
                    run_id=self.occasion.run_id,
                    client=self.client,
                    ledger=ledger,
                    lease=lease,
                    export=self.export,
                    facts=planned.facts,
                    tags=planned.tags,
                    max_connections=connection_of(self.config, self.export).max_connections,
                    now=self.now,
                    unfinished_since=ledger.unfinished_writing(lease.audience, self.export.id),
                    progress=lambda done: self.progress(done, planned.writes),
                    tally=tally,
                )
        except PipelineError as error:
            counts = tally.counts if tally.buckets else failed.counts
            return replace(report, status=_status(error), counts=counts, error=error)
        return replace(
            report,
            status="success",
            counts=applied.counts,
            suppressed_reasons=applied.suppressed_reasons,
            refused_reasons=applied.refused_reasons,
            warnings=planned.warnings(self.export, applied.warnings),
            members=ledger.held(lease.audience, self.export.id),
        )

    def _plan(
        self, snapshot: Snapshot, frame: Frame, ledger: Ledger, facts: AudienceFacts | None = None
    ) -> Planned:
        with self._timed("plan"), room_in(self.into):
            planned = plan_export(
                self.config,
                self.export,
                snapshot=snapshot,
                frame=frame,
                client=self.client,
                ledger=ledger,
                into=self.into,
                facts=facts or self._facts(frame),
                allowances=self.occasion.allowances,
                now=self.now,
            )
        for name in ("ledger", "seen", "spill"):  # copies that nobody needs once the plan is made
            shutil.rmtree(self.into / name, ignore_errors=True)
        return planned

    def _facts(self, frame: Frame) -> AudienceFacts:
        """What the audience is like: as the frame of this run just read it, else read anew."""
        if frame.folder.name == self.occasion.run_id:
            return AudienceFacts.load(frame.folder / FACTS)
        return facts_now(self.client, self.config, self.export, frame)

    def _check(self, planned: Planned) -> None:
        stop_if_any(planned.guards)
        expect_plan(planned.plan, self.occasion.plan_id, again=f"plan {self.export.id}")

    def _finished(self, report: Report) -> Report:
        facts = self.into.parent / FACTS
        frame_requests = AudienceFacts.load(facts).requests if facts.exists() else 0
        return replace(
            report,
            run_id=self.occasion.run_id,
            # A dry run says what a run will need; any other says what was sent.
            requests=report.requests or self.client.requests + frame_requests,
            seconds=sum(self.steps.values()),
            steps=dict(self.steps),
        )

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.steps[name] = time.monotonic() - began


def facts_now(client: MailchimpClient, config: Config, export: Export, frame: Frame) -> AudienceFacts:
    """What the audience of a frame that was made earlier is like; its requests are the client's.

    Raises:
        FixDataError: ``stale_frame``: it is no longer what the frame was validated against.
    """
    then = AudienceFacts.load(frame.folder / FACTS)
    facts = read_audience(client, config, export)
    if facts.matter_to(export) != then.matter_to(export):
        raise _stale(export)
    return replace(facts, requests=0)


def remake_frame(export: Export) -> str:
    """What makes the frame of *export* again, on Dagster's page and on the command line."""
    return f"materialize {export.id}/export_frame again (ci-mailchimp run {export.id} --dry-run)"


def _stale(export: Export) -> FixDataError:
    return FixDataError(
        "stale_frame",
        f"the frame of export '{export.id}' was validated against another state of its audience",
        fix=remake_frame(export),
    )


def _status(error: PipelineError) -> Literal["stopped", "failed"]:
    return "stopped" if isinstance(error, SafetyStopError) else "failed"
