"""The words of a message: which export, what happened with the number, what to do, where to look. No person."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.config.models import AlertKind
from ci_mailchimp_pipeline.pipeline.report import Report

PAGE = "CI_MAILCHIMP_PAGE"
_TITLES: dict[AlertKind, str] = {
    "failed": "failed",
    "stopped": "was stopped by a guard",
    "warning": "finished with warnings",
    "recovered": "works again",
}
_TONES: dict[AlertKind, str] = {
    "failed": "failure",
    "stopped": "failure",
    "warning": "warning",
    "recovered": "success",
}  # Apprise's words for the colour or icon that a service shows
_QUIET = "No further message about it until it works again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What a receiver gets. ``tone``: failure, warning or success."""

    title: str
    body: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What a message is about: in its title, and in its first line."""

    title: str
    called: str

    @classmethod
    def of(cls, export: Export) -> "Subject":
        """An export."""
        return cls(title=f"Mailchimp export {export.id}", called=f"{export.display_name} ({export.id})")


SOURCE = Subject(
    title="Mailchimp exports: reading the source", called="Reading the source of the Mailchimp exports"
)


def message(kind: AlertKind, about: Subject, report: Report, *, page: str | None) -> Message:
    """The message about a finished run; *page* is the address of Dagster's page, if known."""
    lines: list[str] = []
    if report.error is not None:
        lines += [report.error.message, *_fix(report.error.fix), f"code: {report.error.code}"]
    elif kind == "warning":
        lines += [f"- {warning}" for warning in report.warnings]
    elif report.export:
        counts = report.counts
        lines.append(
            f"{report.members:,} members now: {counts.added:,} added, {counts.updated:,} updated, "
            f"{counts.exited:,} left, {counts.rejected:,} rejected, {counts.refused:,} refused."
        )
    if report.run_id:
        lines.append(f"run: {run_link(page, report.run_id) or report.run_id}")
    if kind in ("failed", "stopped"):
        lines += ["", _QUIET]
    return _about(kind, about, lines)


def stale_message(stale: Sequence[tuple[Export, str]], *, page: str | None) -> Message:
    """One message about all exports that had no success for too long; each with what there is to say."""
    base = _base(page)
    lines = []
    for export, says in stale:
        lines += [f"{export.display_name} ({export.id}): {says}"]
        lines += [f"page: {base}/assets/{export.id}/mailchimp_sync?view=checks"] if base else []
    names = ", ".join(export.id for export, _ in stale)
    title = f"Mailchimp export{'s' if len(stale) > 1 else ''} not fresh: {names}"
    fix = "fix: see on the page what should have started a run, or start one: ci-mailchimp run EXPORT"
    return Message(title=title, body="\n".join([*lines, fix, "", _QUIET]), tone="failure")


def run_link(page: str | None, run_id: str) -> str | None:
    """Where the run is on Dagster's page, if that has an address."""
    base = _base(page)
    return f"{base}/runs/{run_id}" if base else None


def _about(kind: AlertKind, about: Subject, lines: list[str]) -> Message:
    body = "\n".join([f"{about.called} {_TITLES[kind]}.", "", *lines])
    return Message(title=f"{about.title} {_TITLES[kind]}", body=body, tone=_TONES[kind])


def _fix(fix: str) -> list[str]:
    return [f"fix: {fix}"] if fix else []


def _base(page: str | None) -> str | None:
    """*page* without its last slash and without what may be secret in an address; None when it is no web address."""
    try:
        parts = urlsplit((page or "").strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not host:
        return None
    named = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{named}{f':{port}' if port else ''}{parts.path.rstrip('/')}"
