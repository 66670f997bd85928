"""Compare an export with what its audience really holds; and bring it in line, through a plan like any other."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger import Ledger, open_ledger
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.known import Known
from ci_mailchimp_pipeline.pipeline.planning import Planned, connection_of, plan_export
from ci_mailchimp_pipeline.pipeline.report import REPAIR
from ci_mailchimp_pipeline.pipeline.running import ExportRun, Occasion, facts_now
from ci_mailchimp_pipeline.plan.guards import Guard, expect_plan, permission_guards, stop_if_any
from ci_mailchimp_pipeline.process import this_process
from ci_mailchimp_pipeline.sources.snapshots import Snapshot
from ci_mailchimp_pipeline.sync.correction import correct, corrected, count_repaired, seen_of
from ci_mailchimp_pipeline.sync.drift import Compared, Drift, Inputs, compare, shows_too_few_tags
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts
from ci_mailchimp_pipeline.sync.whole import read_tagged, read_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReport:
    """What reconciling one export found and did: the entry of ``reconcile --json``. Counts are people.

    Attributes:
        read: Members of the audience, of any status.
        repairable: People whom a repair can bring in line.
        repaired: People whom this one did.
        plan_id: Of the plan of the repair.
        writes: Requests that write, which the repair needs.
        guards: Those that stop it.
        requests: Sent to Mailchimp, retries included.
    """

    export: str
    read: int = 0
    drift: Drift = field(default_factory=Drift)
    repairable: int = 0
    repaired: int = 0
    plan_id: str | None = None
    writes: int = 0
    guards: tuple[Guard, ...] = ()
    requests: int = 0
    seconds: float = 0.0
    error: PipelineError | None = None
    skipped_because: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The documented object, and beside it what a person may want to know."""
        return {
            "export": self.export,
            "read": self.read,
            "drift": self.drift.as_json(),
            "repaired": self.repaired,
            "plan_id": self.plan_id,
            "error": self.error.as_json() if self.error else None,
            "repairable": self.repairable,
            "writes": self.writes,
            "guards": [guard.as_json() for guard in self.guards],
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "skipped_because": self.skipped_because,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    read: int
    compared: Compared
    planned: Planned


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """One export and its audience; ``look`` and ``repair`` are its doors, and failures come back in the report.

    Attributes:
        into: A private folder for what is read and planned; it holds personal data.
        progress: Called with (requests done, requests planned) while a repair writes.
    """

    config: Config
    export: Export
    client: MailchimpClient
    into: Path
    progress: Callable[[int, int], None] = lambda _done, _total: None
    now: Callable[[], float] = time.time

    def look(self, snapshot: Snapshot, frame: Frame) -> DriftReport:
        """Compare, and plan the repair; writes nothing but files below ``into``."""

        def do(facts: AudienceFacts) -> DriftReport:
            with open_ledger(self.config.home, self.config.ledger_url, read_only=True) as ledger:
                return self._told(self._find(ledger, snapshot, frame, facts))

        return self._reported(frame, do)

    def repair(
        self, snapshot: Snapshot, frame: Frame, *, run_id: str, plan_id: str | None = None
    ) -> DriftReport:
        """Compare under the lease and carry out the repair, which the ledger records as a run; a sandbox only looks.

        Where there is nothing to repair, nobody runs: the ledger only learns who opted out.

        Args:
            snapshot: What *frame* was made from.
            frame: The newest good one.
            run_id: What the run is called.
            plan_id: The only plan that may be carried out, or None for any.
        """
        if self.config.sandbox:
            return self.look(snapshot, frame)

        def do(facts: AudienceFacts) -> DriftReport:
            with (
                open_ledger(self.config.home, self.config.ledger_url) as ledger,
                ledger.lease(ledger.audience(facts.account_id, facts.audience_id), this_process()) as lease,
            ):
                found = self._find(ledger, snapshot, frame, facts)
                report, people = self._told(found), found.compared.people
                try:
                    expect_plan(found.planned.plan, plan_id, again=f"reconcile {self.export.id}")
                except PipelineError as error:
                    return replace(report, error=error)
                if not report.repairable:
                    correct(ledger, lease, people, self.export)
                    return report
                learned = False

                def learn() -> None:
                    nonlocal learned
                    correct(ledger, lease, people, self.export)
                    learned = True

                run = ExportRun(
                    config=self.config,
                    export=self.export,
                    occasion=Occasion(run_id=run_id, trigger=REPAIR),
                    client=self.client,
                    into=self.into / "plan",
                    progress=self.progress,
                    now=self.now,
                )
                done = run.carry_out_planned(found.planned, ledger=ledger, lease=lease, first=learn)
                if not learned:  # the ledger still says that all is well
                    return replace(report, error=done.error)
                repaired = count_repaired(
                    people,
                    frame,
                    ledger.export_state(lease.audience, self.into / "after"),
                    self.export,
                    self.into,
                    finished=done.error is None,
                )
                return replace(report, repaired=repaired, error=done.error)

        return self._reported(frame, do)

    def _reported(self, frame: Frame, do: Callable[[AudienceFacts], DriftReport]) -> DriftReport:
        began = time.monotonic()
        try:
            stop_if_any(permission_guards(self.export, connection_of(self.config, self.export)))
            report = do(facts_now(self.client, self.config, self.export, frame))
        except PipelineError as error:
            report = DriftReport(export=self.export.id, error=error)
        return replace(report, requests=self.client.requests, seconds=time.monotonic() - began)

    def _find(self, ledger: Ledger, snapshot: Snapshot, frame: Frame, facts: AudienceFacts) -> _Found:
        audience = ledger.audience(facts.account_id, facts.audience_id)
        state = ledger.export_state(audience, self.into / "ledger")
        tags = endpoints.tags(self.client, facts.audience_id)
        whole = read_whole(self.client, facts.audience_id, self.export, self.into / "whole")
        mine = {tag_key(tag): tags[tag_key(tag)] for tag in self.export.tags if tag_key(tag) in tags}
        unshown = mine if shows_too_few_tags(state, whole.folder, self.into) else {}
        compared = compare(
            self.export,
            Inputs(
                state=state,
                frame=frame,
                whole=whole.folder,
                tagged=read_tagged(self.client, facts.audience_id, unshown, self.into / "tagged"),
                fields=facts.by_tag,
                unfinished_since=ledger.unfinished_writing(audience, self.export.id),
            ),
            self.into,
        )
        plan_folder = self.into / "plan"
        plan_folder.mkdir(mode=0o700)
        planned = plan_export(
            self.config,
            self.export,
            snapshot=snapshot,
            frame=frame,
            client=self.client,
            ledger=ledger,
            into=plan_folder,
            facts=facts,
            now=self.now,
            known=Known(
                state=corrected(state, compared.people, self.export, self.into),
                tags=tags,
                seen=seen_of(whole, self.into / "seen"),
            ),
        )
        return _Found(read=whole.read, compared=compared, planned=planned)

    def _told(self, found: _Found) -> DriftReport:
        return DriftReport(
            export=self.export.id,
            read=found.read,
            drift=found.compared.drift,
            repairable=found.compared.repairable,
            plan_id=found.planned.plan.plan_id,
            writes=found.planned.writes,
            guards=tuple(guard for guard in found.planned.guards if guard.stopped),
        )
