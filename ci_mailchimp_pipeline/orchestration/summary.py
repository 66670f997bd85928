"""What a run did, in Markdown, for the page: people first, then requests and time, then where to look."""

from collections.abc import Mapping, Sequence

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.orchestration.flow import picture
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.guards import Guard

_BAR = 10  # letters that all profiles together are long
_MEANING = {
    "profiles": "in the chosen segments",
    "added": "new in the audience",
    "updated": "merge fields or tags changed",
    "moved": "new address, same person",
    "unchanged": "nothing to send",
    "suppressed": "opted out or bounced",
    "refused": "Mailchimp said no",
    "rejected": "unfit to be sent",
    "merged": "shares an address",
    "excluded": "dropped by `require`",
    "exited": "no longer wanted",
    "archived": "of these, archived",
    "no_profile": "in a segment only",
}
_STEPS = {"upstream": "reading the source", "frame": "validating", "plan": "planning", "apply": "sending"}


def told(report: Report, export: Export) -> dict[str, str]:
    """What happened, or on a dry run would, as pieces of Markdown by their names on the page.

    Dagster shows a piece at once if it is short, and else behind a link; so each is about one thing, and only
    the picture is long.
    """
    found = {
        "summary": f"**{_headline(report)}**\n\n{_people(report)}".rstrip(),
        "picture": picture(report.counts),
        "reasons": _reasons(report),
        "warnings": "\n".join(f"- {warning}" for warning in report.warnings),
        "cost": _cost(report),
        "guards": _judged(report.guards) if report.dry_run else "",
        "next": _further(report, export),
    }
    return {name: text for name, text in found.items() if text}


def _people(report: Report) -> str:
    """How many people and why, each with a bar in proportion to the profiles."""
    counts = report.counts.as_json()
    rows = [
        (name, f"{counts[name]:,}", _bar(counts[name], report.counts.profiles), says)
        for name, says in _MEANING.items()
        if counts[name]
    ]
    return table(("would be" if report.dry_run else "", "people", "", ""), rows, right=1)


def _bar(people: int, profiles: int) -> str:
    return "█" * round(_BAR * min(1.0, people / max(profiles, 1))) or "▏"


def _reasons(report: Report) -> str:
    rows = [
        (what, f"`{reason}`", f"{number:,}")
        for what, found in (
            ("rejected", report.rejected_reasons),
            ("suppressed", report.suppressed_reasons),
            ("refused", report.refused_reasons),
            ("left", report.exit_reasons),
        )
        for reason, number in sorted(found.items())
    ]
    return table(("", "reason", "people"), rows, right=2)


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: int) -> str:
    """A Markdown table with column *right* (from 0) on the right; empty without rows."""
    if not rows:
        return ""
    marks = ["---:" if number == right else "---" for number in range(len(head))]
    lines = [[*head], marks, *([cell(each) for each in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def numbers_table(head: tuple[str, str], numbers: Mapping[str, int]) -> str:
    """Names and numbers; the word none without any."""
    rows = [(name, f"{number:,}") for name, number in sorted(numbers.items())]
    return table(head, rows, right=1) or "none"


def cell(text: str) -> str:
    """*text* as it may stand in a table."""
    return text.replace("|", "\\|")


def _headline(report: Report) -> str:
    if report.dry_run:
        return f"Dry run: nothing was sent. This is plan {report.plan_id}"
    return f"{report.members:,} members under this export's tags now"


def _cost(report: Report) -> str:
    """Requests beside the fewest that can do it, and seconds by step."""
    if report.dry_run:
        least = f"{report.writes:,} of them write: the fewest that can do it"
        takes = f"about {report.minutes:.0f} minutes" if report.minutes > 1 else "less than a minute"
        return f"A run would need {report.requests:,} requests ({least}) and {takes}."
    reads = max(report.requests - report.writes, 0)
    wrote = f"{report.writes:,} to write (the fewest that can do it)" if report.writes else "none to write"
    steps = ", ".join(f"{_STEPS.get(name, name)} {spent:.1f} s" for name, spent in report.steps.items())
    return (
        f"{report.requests:,} requests: {wrote}, {reads:,} to read or to try again.\n\n"
        f"{report.seconds:.1f} s: {steps}."
    )


def _judged(guards: Sequence[Guard]) -> str:
    rows = [
        (
            f"`{guard.guard}`",
            _plain(guard.value),
            "off" if guard.limit is None else _plain(guard.limit),
            "**stops**" if guard.stopped else "passes",
        )
        for guard in guards
    ]
    return table(("guard", "value", "limit", ""), rows, right=1)


def _further(report: Report, export: Export) -> str:
    """Where to look next."""
    schedule = export.schedule
    when = {
        "refresh": "after the next refresh of the source",
        "off": "on demand",
        "cron": f"`{schedule.cron}` ({schedule.timezone})",
    }[schedule.kind]
    lines = [f"- {when}"]
    if report.counts.rejected or report.counts.no_profile:
        lines.append(f"- who could not be sent: `ci-mailchimp rejected {export.id}`")
    if report.dry_run and report.plan_id:
        lines.append(f"- to do just this: `ci-mailchimp run {export.id} --plan-id {report.plan_id}`")
    return "\n".join(lines)


def _plain(number: float) -> str:
    """People as a whole number, percent with what follows the point."""
    return f"{number:,.2f}".rstrip("0").rstrip(".")
