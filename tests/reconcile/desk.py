"""Somebody at a desk: runs exports, lets people do things in Mailchimp, and compares."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import AUDIENCE, Project, address

from ci_mailchimp_pipeline.frame.build import load_frame
from ci_mailchimp_pipeline.ledger import RunRow
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.reconciling import DriftReport, Reconciliation
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.sources.snapshots import load_snapshot

FIELDS = ["FNAME", "LNAME", "CITY"]


@dataclass
class Desk:
    """Somebody who runs exports, and compares them with their audience.

    Attributes:
        clients: What wraps each client, to hurt it.
    """

    project: Project
    clients: Callable[[MailchimpClient], MailchimpClient] = field(default=lambda client: client)

    def run(self, export: str = "vip", **more: Any) -> Report:
        """Run, which has to succeed."""
        report = self.project.run(export, **more)
        assert report.error is None, report.error
        return report

    def look(self, export: str = "vip") -> DriftReport:
        """Compare; nothing may be written by that."""
        before = self.project.writes()
        report = self._reconcile(export, lambda it, *sources: it.look(*sources))
        assert self.project.writes() == before
        assert report.error is None, report.error
        return report

    def repair(self, export: str = "vip", *, plan_id: str | None = None, fails: bool = False) -> DriftReport:
        """Compare and bring in line."""
        report = self._reconcile(
            export, lambda it, *sources: it.repair(*sources, run_id=str(uuid.uuid4()), plan_id=plan_id)
        )
        assert fails or report.error is None, report.error
        return report

    def people(self, action: str, number: int, **more: Any) -> None:
        """Somebody does something to the member of this number."""
        self.project.emulator.people(action, AUDIENCE, address(number), **more)

    def vanish(self, *numbers: int) -> None:
        """Take members out as if they had never been there; an erased one could not come back."""
        gone = {address(number) for number in numbers}
        (audience,) = self.project.emulator.state()["audiences"]
        audience["members"] = [each for each in audience["members"] if each["email_address"] not in gone]
        self.project.emulator.reset([audience])

    def delete_tag(self, name: str) -> None:
        """Somebody deletes a tag in Mailchimp, off everybody."""
        config = self.project.write()
        with self.project.connect(config, config.exports["vip"], self.project.environ) as client:
            tag = endpoints.tags(client, AUDIENCE)[name.lower()].id
            client.call("DELETE", f"/lists/{AUDIENCE}/segments/{tag}", what="to delete a tag", answer=None)

    def add_merge_field(self, **more: str) -> None:
        """Somebody adds a merge field in Mailchimp."""
        config = self.project.write()
        with self.project.connect(config, config.exports["vip"], self.project.environ) as client:
            endpoints.create_merge_field(client, AUDIENCE, **more)

    def runs(self, export: str = "vip") -> list[RunRow]:
        """What the ledger says of its runs."""
        with self.project.ledger() as ledger:
            return ledger.runs(export)

    def tags(self, number: int) -> list[str]:
        """The tags of the member of this number."""
        found: list[str] = self.project.members()[address(number)]["tags"]
        return found

    def _reconcile(self, export: str, do: Callable[..., DriftReport]) -> DriftReport:
        config = self.project.write()
        frames = config.home / "frames" / export
        folder = max((each for each in frames.iterdir() if (each / "manifest.json").exists()), key=_age)
        snapshot = max((config.home / "snapshots").iterdir(), key=_age)
        into = frames / str(uuid.uuid4())
        into.mkdir(mode=0o700)
        declared = config.exports[export]
        with self.clients(self.project.connect(config, declared, self.project.environ)) as client:
            it = Reconciliation(config=config, export=declared, client=client, into=into)
            return do(it, load_snapshot(snapshot), load_frame(folder))


def _age(folder: Path) -> int:
    return (folder / "manifest.json").stat().st_mtime_ns


def differs(report: DriftReport) -> dict[str, int]:
    """The kinds of drift that were found."""
    return {kind: people for kind, people in report.drift.as_json().items() if people}
