"""What people and programs see: tables and hints, or one JSON document on stdout."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ci_mailchimp_pipeline.errors import PipelineError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.pipeline.report import Report
    from ci_mailchimp_pipeline.plan.guards import Guard

WIDTH_OF_A_FILE = 140  # columns, when the output is no terminal

STYLES = {
    "success": "green", "ok": "green", "planned": "cyan", "skipped": "dim", "running": "cyan", "never run": "dim",
    "warning": "yellow", "failed": "bold red", "stopped": "bold red",
}  # fmt: skip


def stdout() -> Console:
    """Where results go."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where progress, hints and errors go."""
    return _console(stderr=True)


def print_json(document: Mapping[str, Any]) -> None:
    """Write *document* as the one thing on stdout; ASCII, so that any terminal or pipe takes it."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    sys.stdout.flush()


def print_json_rows(head: Mapping[str, Any], lists: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """Write *head* and *lists* as the one document on stdout, row by row: there may be many."""
    sys.stdout.write(json.dumps(head)[:-1])
    for name, rows in lists.items():
        sys.stdout.write(f", {json.dumps(name)}: [")
        for number, row in enumerate(rows):
            sys.stdout.write(f"{',' if number else ''}\n  {json.dumps(row)}")
        sys.stdout.write("\n]")
    sys.stdout.write("}\n")
    sys.stdout.flush()


def print_error(error: PipelineError) -> None:
    """Say on stderr what is wrong, all of it, and what to do."""
    console = stderr()
    for problem in error.problems:
        head = f"{problem.place}: {problem.message}" if problem.place else problem.message
        console.print(Text(head, style="red"))
        if problem.fix:
            console.print(Text(f"  fix: {problem.fix}"))


def styled(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=STYLES.get(status, ""))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A table; columns whose name starts with ``#`` hold numbers. Nothing in a cell is markup."""
    heading = Text(title, style="bold") if title else None
    made = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for column in columns:
        numeric = column.startswith("#")
        made.add_column(column.lstrip("#"), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def print_report(console: Console, report: "Report", *, will: bool) -> None:
    """One export's outcome: people by bucket, why others are not there, guards that stopped, warnings.

    Args:
        console: Where.
        report: Of a plan or a run.
        will: Whether it is still to happen.
    """
    head = Text(report.export, style="bold") + Text(": ") + styled(report.status)
    if report.skipped_because:
        console.print(head + Text(f", {report.skipped_because}"))
        return
    if report.dry_run and not will:
        head += Text(" (dry run: nothing was sent)")
    console.print(head)
    counts = report.counts.as_json()
    if report.status not in {"failed", "stopped"} or counts["profiles"]:
        console.print(table("", ("", "#people", ""), _people(counts, will=will)))
    for title, reasons in (
        ("rejected", report.rejected_reasons), ("suppressed", report.suppressed_reasons),
        ("refused", report.refused_reasons), ("left", report.exit_reasons),
    ):  # fmt: skip
        if reasons:
            told = ", ".join(f"{reason} {people:,}" for reason, people in sorted(reasons.items()))
            console.print(Text(f"{title}: {told}"))
    for guard in report.guards:
        if guard.stopped:
            console.print(Text(_limit(guard), style="red"))
    for warning in report.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))
    if report.requests:
        console.print(Text(_effort(report, will=will), style="dim"))
    if report.error is not None:
        print_error(report.error)


def _people(counts: Mapping[str, int], *, will: bool) -> list[tuple[str, str, str]]:
    says = {
        "profiles": "in the chosen segments",
        "accepted": "distinct addresses wanted",
        "added": "new in the audience",
        "updated": "merge fields or tags change" if will else "merge fields or tags changed",
        "moved": "the address changes, the history stays"
        if will
        else "the address changed, the history stayed",
        "unchanged": "nothing to send",
        "suppressed": "opted out, bounced or archived by someone else: never written",
        "refused": "Mailchimp said no",
        "rejected": "unfit to be sent",
        "merged": "another profile of the same address is kept",
        "excluded": "dropped by require",
        "no_profile": "in a segment, without a profile",
        "exited": "no longer wanted",
        "archived": "of these, archived",
        "tags_added": "(member, tag) pairs on members that were there",
        "tags_removed": "(member, tag) pairs on members that were there",
    }
    always = {"profiles", "accepted", "added", "updated", "unchanged", "suppressed"}
    return [
        (name.replace("_", " "), f"{counts[name]:,}", text)
        for name, text in says.items()
        if counts[name] or name in always
    ]


def _effort(report: "Report", *, will: bool) -> str:
    if will or report.dry_run:
        minutes = "less than a minute" if report.minutes < 1 else f"about {report.minutes:.0f} minutes"
        return f"needs {report.requests:,} requests, {report.writes:,} of them writing: {minutes}; plan {report.plan_id}"
    return f"{report.requests:,} requests in {report.seconds:.1f} s; plan {report.plan_id}"


def _limit(guard: "Guard") -> str:
    limit = "off" if guard.limit is None else f"{guard.limit:,.10g}"
    return f"guard {guard.guard}: {guard.value:,.10g}, the limit is {limit}"


def _console(*, stderr: bool) -> Console:
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        stderr=stderr,
        highlight=False,
        markup=False,
        soft_wrap=False,
        width=None if terminal else WIDTH_OF_A_FILE,
    )
