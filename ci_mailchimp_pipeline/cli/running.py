"""Run exports through Dagster in this process, showing how far they are."""

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ci_mailchimp_pipeline.alerts.message import PAGE, run_link
from ci_mailchimp_pipeline.cli.output import print_report, stderr, stdout
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.orchestration.launch import open_instance, run_export
from ci_mailchimp_pipeline.orchestration.session import Session
from ci_mailchimp_pipeline.pipeline.report import Report, exit_code
from ci_mailchimp_pipeline.pipeline.upstream import why_not

INTERRUPTED = 130
_STEPS = {"upstream": "reading the source", "frame": "validating", "sync": "planning", "drift": "comparing"}
_LINES = 10  # how many lines of progress a sync prints where there is no terminal

OnStep = Callable[[str], None]
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the runs ended. ``interrupted`` says how far the one was that Ctrl-C or SIGTERM stopped."""

    reports: list[Report]
    received: signal.Signals | None = None
    interrupted: str | None = None

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, else the gravest of the reports."""
        return INTERRUPTED if self.received == signal.SIGINT else exit_code(self.reports)


def run_exports(config: Config, exports: list[Export], options: SyncConfig) -> Outcome:
    """Run *exports* one after the other; a signal ends the one that runs and leaves out the others."""
    if all(why_not(config, export) for export in exports):
        return Outcome(reports=[_skipped(config, export, options) for export in exports])
    reports = []
    with open_instance(config.home) as instance:
        for export in exports:
            with shown(export.id) as (on_step, on_progress):
                session = Session(on_step=on_step, on_progress=on_progress)
                reports.append(run_export(config, export, options, instance=instance, session=session))
            if session.received is not None:
                how_far = f"interrupted, {session.done:,} of {session.planned:,} requests done"
                return Outcome(reports=reports, received=session.received, interrupted=how_far)
    return Outcome(reports=reports)


def print_outcome(config: Config, outcome: Outcome) -> None:
    """The counts of each run on stdout, and where to look next on stderr."""
    console, hints = stdout(), stderr()
    for report in outcome.reports:
        print_report(console, report, will=False)
        if report.counts.rejected or report.counts.no_profile:
            hints.print(f"next: ci-mailchimp rejected {report.export}")
        console.print()
    if outcome.interrupted:
        hints.print(outcome.interrupted)
    page = os.environ.get(PAGE)
    links = [run_link(page, report.run_id) for report in outcome.reports if report.run_id]
    for where in [link for link in links if link] or [page_command(config)][: len(links)]:
        hints.print(f"in Dagster's page: {where}", soft_wrap=True)


def page_command(config: Config) -> str:
    """What to type to see the runs of *config* in Dagster's page."""
    home = (
        f"CI_MAILCHIMP_HOME={shlex.quote(str(config.home))} " if os.environ.get("CI_MAILCHIMP_HOME") else ""
    )
    return f"{home}ci-mailchimp up --config {shlex.quote(str(config.path))}"


def _skipped(config: Config, export: Export, options: SyncConfig) -> Report:
    reason = why_not(config, export)
    return Report(export=export.id, status="skipped", dry_run=options.dry_run, skipped_because=reason)


@contextmanager
def shown(export: str) -> Iterator[tuple[OnStep, OnProgress]]:
    """A bar on a terminal, a few plain lines elsewhere; always on stderr."""
    if not sys.stderr.isatty():
        yield _say_step(export), _say_progress(export)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr(), transient=True) as bar:
        task = bar.add_task(f"{export}: starting", total=None)
        yield partial(_move_step, bar, task, export), partial(_move, bar, task, export)


def _move_step(bar: Progress, task: TaskID, export: str, step: str) -> None:
    bar.update(task, description=f"{export}: {_STEPS.get(step, step)}", total=None)


def _move(bar: Progress, task: TaskID, export: str, done: int, planned: int) -> None:
    bar.update(task, description=f"{export}: sending", completed=done, total=planned)


def _say_step(export: str) -> OnStep:
    def say(step: str) -> None:
        sys.stderr.write(f"{export}: {_STEPS.get(step, step)}\n")

    return say


def _say_progress(export: str) -> OnProgress:
    told = 0

    def say(done: int, planned: int) -> None:
        nonlocal told
        tenth = done * _LINES // max(planned, 1)
        if tenth > told or done == planned:
            told = tenth
            sys.stderr.write(f"{export}: {done:,} of {planned:,} requests\n")

    return say
