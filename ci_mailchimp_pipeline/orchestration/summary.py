"""What a run did, in Markdown, for the page: people first, then requests and time, then where to look."""

from collections.abc import Mapping, Sequence

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.orchestration.flow import picture
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.guards import Guard

_MEANING = {
    "added": "new in the audience",
    "updated": "merge fields or tags changed",
    "moved": "new address, same person",
    "unchanged": "nothing to send",
    "suppressed": "opted out or bounced: not written",
    "refused": "Mailchimp said no",
    "rejected": "unfit to be sent",
    "merged": "same address as another profile",
    "excluded": "dropped by `require`",
    "exited": "no longer wanted",
    "archived": "of these, taken out of the audience",
    "no_profile": "in a segment, without a profile",
}
_STEPS = {"upstream": "reading the source", "frame": "validating", "plan": "planning", "apply": "sending"}


def summary(report: Report, export: Export, *, audience: str | None = None) -> str:
    """What happened to how many people, or on a dry run would.

    Args:
        report: How the run ended.
        export: Whose run.
        audience: Address of the audience in Mailchimp, if it has one.
    """
    counts = report.counts.as_json()
    people = [(name, f"{counts[name]:,}", says) for name, says in _MEANING.items() if counts[name]]
    reasons = [
        (what, f"`{reason}`", f"{number:,}")
        for what, found in (
            ("rejected", report.rejected_reasons),
            ("suppressed", report.suppressed_reasons),
            ("refused", report.refused_reasons),
            ("left", report.exit_reasons),
        )
        for reason, number in sorted(found.items())
    ]
    parts = [
        f"**{_headline(report)}**",
        picture(report.counts),
        table(("would be" if report.dry_run else "", "people", "because"), people, right=1),
        table(("who", "reason", "people"), reasons, right=2),
        "\n".join(f"- warning: {warning}" for warning in report.warnings),
        _cost(report),
        _judged(report.guards) if report.dry_run else "",
        _further(report, export, audience),
    ]
    return "\n\n".join(part for part in parts if part)


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
            f"{guard.value:,g}",
            "off" if guard.limit is None else f"{guard.limit:,g}",
            "**stops**" if guard.stopped else "passes",
        )
        for guard in guards
    ]
    return table(("guard", "value", "limit", ""), rows, right=1)


def _further(report: Report, export: Export, audience: str | None) -> str:
    """Where to look next."""
    schedule = export.schedule
    when = {
        "refresh": "after the next refresh of the source",
        "off": "on demand",
        "cron": f"`{schedule.cron}` ({schedule.timezone})",
    }[schedule.kind]
    lines = [f"- next run: {when}"]
    if report.counts.rejected or report.counts.no_profile:
        lines.append(f"- whom it could not send: `ci-mailchimp rejected {export.id}`")
    if report.dry_run and report.plan_id:
        lines.append(f"- to do just this: `ci-mailchimp run {export.id} --plan-id {report.plan_id}`")
    if audience:
        lines.append(f"- [the audience in Mailchimp]({audience})")
    return "\n".join(lines)
