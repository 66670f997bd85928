"""The demo's story: a plan, a first run, a run with nothing to do, and a refresh that changes a few people."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ci_mailchimp_pipeline.cli.audience import AUDIENCE, FIELDS
from ci_mailchimp_pipeline.cli.output import print_report, stdout, table
from ci_mailchimp_pipeline.cli.planning import plan_exports
from ci_mailchimp_pipeline.cli.running import page_command, run_exports
from ci_mailchimp_pipeline.cli.sample import Sample, place_sample
from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.testing import Emulator

_COUNTS = ("added", "updated", "moved", "unchanged", "suppressed", "rejected", "exited")


@dataclass(slots=True, kw_only=True)
class _Told:
    """What happened so far: a line for each run of each export."""

    lines: list[tuple[str, ...]] = field(default_factory=list)
    last: dict[str, Report] = field(default_factory=dict)
    failed: bool = False

    def add(self, chapter: str, report: Report, writes: int) -> None:
        """Take over a run's report; Mailchimp saw *writes* requests that write."""
        counts = report.counts.as_json()
        shown = [f"{counts[name]:,}" for name in _COUNTS]
        self.lines.append((chapter, report.export, *shown, f"{report.requests:,}", f"{writes:,}"))
        self.last[report.export] = report
        self.failed = self.failed or report.status != "success"


def tell(folder: Path | None) -> bool:
    """Play the story in *folder* (a new temporary one for None); return whether all of it came true.

    Raises:
        FixConfigError: ``folder_not_empty``.
    """
    where = _empty(folder)
    console = stdout()
    with Emulator.start() as emulator:
        sample = place_sample(where, emulator.url)
        config = load_config(sample.config, environ={})
        emulator.reset()
        emulator.add_audience(AUDIENCE, name="Contoso newsletter", merge_fields=FIELDS)
        emulator.add_members(AUDIENCE, sample.present)
        console.print(Text("A local Mailchimp is running, with an audience of two people:", style="bold"))
        console.print("one signed up by herself, one of our customers has unsubscribed.\n")
        told = _play(config, sample, emulator, console)
        members = emulator.members(AUDIENCE)
    console.print(table("What happened", _columns(), told.lines))
    console.print()
    wrong = _disagreements(told, members, sample)
    for text in wrong or [
        "Mailchimp holds what the reports say; whoever unsubscribed still is, and nobody else was touched."
    ]:
        console.print(Text(text, style="red" if wrong else "green"))
    console.print(
        f"\nIt is all in {where}: exports.yaml, data/, and .ci_mailchimp/ with ledger, frames and runs. Look at"
    )
    console.print(f"  ci-mailchimp --config {config.path} exports")
    console.print(f"  ci-mailchimp --config {config.path} rejected newsletter")
    console.print(f"  {page_command(config)}", soft_wrap=True)
    return not wrong and not told.failed


def _play(config: Config, sample: Sample, emulator: Emulator, console: Console) -> _Told:
    told = _Told()
    exports = list(config.exports.values())
    console.print(Text("1. ci-mailchimp plan: what would happen; nothing is written", style="bold"))
    for report in plan_exports(config, exports):
        print_report(console, report, will=True)
        console.print()
    chapters: tuple[tuple[str, str, Callable[[], None] | None], ...] = (
        ("first run", "2. ci-mailchimp run --all: through Dagster", None),
        ("nothing new", "3. The same once more: a refresh that changed nothing sends nothing", None),
        ("a refresh", f"4. The source changes: {sample.CHANGES}", sample.refresh),
    )
    for chapter, title, before in chapters:
        console.print(Text(title, style="bold"))
        if before is not None:
            before()
        for export in exports:
            emulator.forget_requests()
            (report,) = run_exports(config, [export], SyncConfig()).reports
            told.add(chapter, report, len(emulator.writes()))
            if report.status == "success":
                console.print(f"   {_sentence(report, len(emulator.writes()))}")
            else:
                print_report(console, report, will=False)
        console.print()
    return told


def _sentence(report: Report, writes: int) -> str:
    counts = report.counts.as_json()
    happened = ", ".join(f"{counts[name]:,} {name}" for name in _COUNTS if counts[name])
    return f"{report.export}: {happened}; {report.requests:,} requests, {writes:,} of them writing"


def _disagreements(told: _Told, members: dict[str, dict[str, Any]], sample: Sample) -> list[str]:
    """Where the audience is not what the last reports say."""
    wrong = []
    for export, tag in sample.TAGS.items():
        active = [each for each in members.values() if each["status"] == "subscribed" and tag in each["tags"]]
        reported = told.last[export].members
        if len(active) != reported:
            wrong.append(f"{export} reports {reported} members, Mailchimp has {len(active)} with tag {tag}")
    for before in sample.present:
        now = members[before["email_address"]]
        if now["status"] != before["status"] or now["tags"]:
            wrong.append("a person who was there before was touched")
    return wrong


def _columns() -> tuple[str, ...]:
    return ("", "export", *(f"#{name}" for name in _COUNTS), "#requests", "#of them writing")


def _empty(folder: Path | None) -> Path:
    if folder is None:
        return Path(tempfile.mkdtemp(prefix="ci-mailchimp-demo-"))
    where = folder.absolute()
    if where.exists() and any(where.iterdir()):
        raise FixConfigError(
            "folder_not_empty",
            f"{where} is not empty, and the demo overwrites nothing",
            fix="name a new folder",
        )
    where.mkdir(mode=0o700, parents=True, exist_ok=True)
    return where
