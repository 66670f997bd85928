"""What is declared, with what the ledger remembers of it. Neither Dagster nor Mailchimp is asked."""

import subprocess
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.config import Config, Connection, Export
from ci_mailchimp_pipeline.ledger import Ledger, RunRow, open_ledger

# A run says that it is running until it says how it ended; one that was killed never does. Before it holds its
# audience it asks Mailchimp for the account, which takes no longer than this, with all tries.
BEFORE_LEASE_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """How the last runs went. Times are ISO 8601 in UTC; None when there was none."""

    status: str = "never run"
    last_run: str | None = None
    last_success: str | None = None
    run_id: str | None = None
    members: int = 0

    @property
    def last_success_told(self) -> str:
        """The time of the last success for a table."""
        return self.last_success.replace("T", " ") if self.last_success else "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedExport:
    """One row of ``exports``."""

    export: Export
    history: History
    updated_by: str

    @property
    def schedule(self) -> str:
        """The schedule in a word, or as it is in the file."""
        schedule = self.export.schedule
        return f"{schedule.cron} {schedule.timezone}" if schedule.kind == "cron" else schedule.kind

    def as_json(self) -> dict[str, Any]:
        """The documented object."""
        return {
            "export": self.export.id,
            "display_name": self.export.display_name,
            "connection": self.export.connection,
            "audience_id": self.export.audience_id,
            "segments": [segment.name for segment in self.export.segments],
            "schedule": self.schedule,
            "enabled": self.export.enabled,
            "owner": self.export.owner.name,
            "status": self.history.status,
            "last_run": self.history.last_run,
            "last_success": self.history.last_success,
            "run_id": self.history.run_id,
            "members": self.history.members,
            "updated_by": self.updated_by,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedConnection:
    """One row of ``connections``; ``exports`` are those that use it."""

    connection: Connection
    exports: tuple[str, ...]
    history: History
    updated_by: str

    @property
    def consent_told(self) -> str:
        """Who agreed and when, for a table."""
        consent = self.connection.consent
        return f"{consent.agreed_by}, {consent.agreed_on.isoformat()}" if consent else "none: nothing is sent"

    def as_json(self) -> dict[str, Any]:
        """Like an export's object."""
        consent = self.connection.consent
        agreed = (
            {"agreed_by": consent.agreed_by, "agreed_on": consent.agreed_on.isoformat()} if consent else None
        )
        return {
            "connection": self.connection.id,
            "display_name": self.connection.display_name,
            "type": self.connection.type,
            "status": self.history.status,
            "last_run": self.history.last_run,
            "last_success": self.history.last_success,
            "run_id": self.history.run_id,
            "allowed_roles": list(self.connection.allowed_roles),
            "consent": agreed,
            "contact_limit": self.connection.contact_limit,
            "max_connections": self.connection.max_connections,
            "exports": list(self.exports),
            "updated_by": self.updated_by,
        }


def list_exports(config: Config, *, now: float | None = None) -> list[ListedExport]:
    """Every declared export in the order of the file."""
    author = last_author(config.path)
    moment = time.time() if now is None else now
    with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
        return [
            ListedExport(export=export, history=_history(ledger, export.id, moment), updated_by=author)
            for export in config.exports.values()
        ]


def list_connections(config: Config, *, now: float | None = None) -> list[ListedConnection]:
    """Every declared connection in the order of the file; its history is that of its exports, the newest first."""
    listed = list_exports(config, now=now)
    rows = []
    for connection in config.connections.values():
        mine = [each for each in listed if each.export.connection == connection.id]
        newest = max(mine, key=lambda each: each.history.last_run or "", default=None)
        successes = [each.history.last_success for each in mine if each.history.last_success]
        history = newest.history if newest else History()
        rows.append(
            ListedConnection(
                connection=connection,
                exports=tuple(each.export.id for each in mine),
                history=History(
                    status=history.status,
                    last_run=history.last_run,
                    last_success=max(successes, default=None),
                    run_id=history.run_id,
                ),
                updated_by=last_author(config.path),
            )
        )
    return rows


def last_author(file: Path) -> str:
    """Who changed *file* last according to git; empty when it is in no repository, or git is not there."""
    try:
        found = subprocess.run(  # noqa: S603  (no part of it is anybody's input but the file's name)
            ["git", "log", "-1", "--format=%an", "--", file.name],  # noqa: S607  (the git that the user has)
            cwd=file.parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


def _history(ledger: Ledger, export: str, now: float) -> History:
    last, success = ledger.last_run(export), ledger.last_success(export)
    if last is None:
        return History()
    return History(
        status=_status(ledger, last, now),
        last_run=_iso(last.started_at),
        last_success=_iso(success.finished_at or success.started_at) if success else None,
        run_id=last.run_id,
        members=(success.members or 0) if success else 0,
    )


def _status(ledger: Ledger, row: RunRow, now: float) -> str:
    """How a run ended; one that never said is running while somebody holds its audience, and failed afterwards."""
    if row.status != "running" or ledger.is_in_progress(row):
        return row.status
    begins = row.audience is None and now - row.started_at < BEFORE_LEASE_SECONDS
    return "running" if begins else "failed"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
