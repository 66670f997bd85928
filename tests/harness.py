"""A project as a user has it: a folder with exports.yaml and two CSV files, and the local Mailchimp.

Runs the steps in this process without Dagster, so that a test of a promise takes a fraction of a second.
"""

import csv
import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from ledgers import ledger_rows, new_ledger

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.frame.build import Frame
from ci_mailchimp_pipeline.ledger import Ledger, open_ledger
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.planning import (
    connect,
    connection_of,
    make_frame,
    plan_export,
    planned_report,
)
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.pipeline.running import ExportRun, Occasion
from ci_mailchimp_pipeline.pipeline.upstream import take_upstream
from ci_mailchimp_pipeline.plan.guards import Allowances
from ci_mailchimp_pipeline.sources.snapshots import Snapshot
from ci_mailchimp_pipeline.testing import Emulator

API_KEY = "0123456789abcdef0123456789abcdef-us1"
AUDIENCE = "a1b2c3d4e5"
COLUMNS = ["CustomerId", "FirstName", "LastName", "EMail", "City", "Income", "EmailSubscriber"]


@dataclass(frozen=True)
class Framed:
    """What a run carries out: the declaration, one refresh, and who is wanted of it."""

    config: Config
    snapshot: Snapshot
    frame: Frame


@dataclass
class Project:
    """The customers and segments upstream, the declaration, and what to do with them.

    Attributes:
        connect: Makes the clients; another one may wait on a clock of its own.
        more_connections: Beside ``main``, as in exports.yaml.
    """

    folder: Path
    emulator: Emulator
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    segments: dict[str, list[str]] = field(default_factory=lambda: {"Vip": []})
    connection: dict[str, Any] = field(default_factory=dict)
    exports: dict[str, dict[str, Any]] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=lambda: {"MAILCHIMP_API_KEY": API_KEY, **new_ledger()})
    refreshes: int = 0
    connect: Callable[..., MailchimpClient] = connect
    more_connections: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connection = {
            "type": "mailchimp", "display_name": "Test account", "api_key": {"env": "MAILCHIMP_API_KEY"},
            "consent": {"agreed_by": "ana@contoso-mail.internal", "agreed_on": "2026-11-23"},
            "api_root": self.emulator.url, "max_connections": 4,
        }  # fmt: skip
        self.export("vip", segments=["Vip"])

    def export(self, name: str, **keys: Any) -> None:
        """Declare an export, or change one: keys as in exports.yaml."""
        base = self.exports.get(name) or {
            "display_name": name, "connection": "main", "audience_id": AUDIENCE, "email": "EMail",
            "first_name": "FirstName", "last_name": "LastName",
            "owner": {"name": "ben@contoso-mail.internal", "role": "administrator"},
            "guards": {"max_exit_percent": None, "max_rejected_percent": None},
        }  # fmt: skip
        self.exports[name] = {**base, **keys}

    def customer(self, customer_id: str, email: str, *segments: str, **columns: str) -> None:
        """Put a customer into the source, and into *segments* (default: Vip)."""
        row = {"FirstName": f"First{customer_id}", "LastName": f"Last{customer_id}", "City": "", "Income": ""}
        self.people[customer_id] = {**row, "EmailSubscriber": "true", "EMail": email, **columns}
        for members in self.segments.values():
            if customer_id in members:
                members.remove(customer_id)
        for segment in segments or ("Vip",):
            self.segments.setdefault(segment, []).append(customer_id)

    def customers(self, numbers: Iterable[int], *segments: str) -> None:
        """Many customers, with addresses made of their numbers."""
        for number in numbers:
            self.customer(f"c{number:05}", address(number), *segments)

    def leave(self, customer_id: str, segment: str = "Vip") -> None:
        """Take a customer out of a segment; the profile stays."""
        self.segments[segment].remove(customer_id)

    def write(self) -> Config:
        """Write the refresh and the declaration, and load it."""
        self.refreshes += 1
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        with (data / "profiles.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows({"CustomerId": key, **row} for key, row in self.people.items())
        with (data / "membership.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["CustomerId", "Segment"])
            rows.writerows((key, name) for name, members in self.segments.items() for key in members)
        document = {
            "version": 1,
            "source": {"type": "files", "profiles": "data/profiles.csv", "membership": "data/membership.csv"},
            "connections": {"main": self.connection, **self.more_connections},
            "exports": self.exports,
        }
        path = self.folder / "exports.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return load_config(path, environ=self.environ)

    def plan(self, export: str = "vip", **allowances: Any) -> Report:
        """What ``ci-mailchimp plan`` does, with its files in a folder of their own."""
        config = self.write()
        into = self._folder("plans")
        with self.connect(config, config.exports[export], self.environ) as client:
            snapshot = take_upstream(config, into / "snapshots")
            frame = make_frame(config, config.exports[export], snapshot, client, into / "frame")
            with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
                planned = plan_export(
                    config, config.exports[export], snapshot=snapshot, frame=frame, client=client,
                    ledger=ledger, into=into, allowances=Allowances(**allowances),
                )  # fmt: skip
        return planned_report(config.exports[export], connection_of(config, config.exports[export]), planned)

    def frame(self, export: str = "vip", config: Config | None = None) -> Framed:
        """The first half of a run: the refresh is read, and the rows are validated; *config* if it is written."""
        config = config or self.write()
        into = self._folder("frames", export)
        with self.connect(config, config.exports[export], self.environ) as reader:
            snapshot = take_upstream(config, config.home / "snapshots")
            return Framed(
                config, snapshot, make_frame(config, config.exports[export], snapshot, reader, into)
            )

    def run(
        self,
        export: str = "vip",
        *,
        of: Framed | None = None,
        dry_run: bool = False,
        plan_id: str | None = None,
        client: Callable[[MailchimpClient], MailchimpClient] = lambda client: client,
        now: Callable[[], float] | None = None,
        **allowances: Any,
    ) -> Report:
        """What ``ci-mailchimp run`` does, less Dagster; *client* may wrap the client, to hurt it.

        *of* is a frame that was made before, as when somebody runs the sync alone.
        """
        framed = of or self.frame(export)
        config = framed.config
        into = self._folder("frames", export) if of else framed.frame.folder
        more = {"now": now} if now else {}
        with client(self.connect(config, config.exports[export], self.environ)) as writer:
            occasion = Occasion(
                run_id=into.name, dry_run=dry_run, plan_id=plan_id, allowances=Allowances(**allowances)
            )
            run = ExportRun(
                config=config, export=config.exports[export], occasion=occasion, client=writer,
                into=self._made(into / "plan"), **more,
            )  # fmt: skip
            return run.carry_out(framed.snapshot, framed.frame)

    def ledger(self) -> Ledger:
        """The project's ledger, to look into."""
        config = self.write()
        return open_ledger(config.home, config.ledger_url)

    def ledger_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Every row of every table of the ledger, read without our code; no table when there is no ledger."""
        return ledger_rows(self.folder, self.environ)

    def members(self, audience: str = AUDIENCE) -> Mapping[str, Mapping[str, Any]]:
        """The audience as Mailchimp has it now, by address."""
        return self.emulator.members(audience)

    def writes(self) -> int:
        """Requests that write, since the last ``forget_requests``."""
        return len(self.emulator.writes())

    def _folder(self, *names: str) -> Path:
        return self._made(self.folder.joinpath(".ci_mailchimp", *names, str(uuid.uuid4())))

    @staticmethod
    def _made(path: Path) -> Path:
        for folder in (*reversed(path.parents), path):  # ``parents=True`` would make them readable to others
            folder.mkdir(mode=0o700, exist_ok=True)
        return path


def address(number: int) -> str:
    """The address of the customer with this number."""
    return f"person{number:05}@contoso-mail.internal"


def key(text: str) -> bytes:
    """The subscriber hash of an address."""
    return hashlib.md5(text.strip().lower().encode()).digest()
