"""The checks, one row each: what can be known without writing anything."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from ci_mailchimp_pipeline.alerts.incident import name_of
from ci_mailchimp_pipeline.alerts.receivers import alert_problems
from ci_mailchimp_pipeline.config import Config, Connection, Export
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, Place, Problem, SafetyStopError
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.answers import Account
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import SOMEBODY_WAITS
from ci_mailchimp_pipeline.orchestration.home import private_files
from ci_mailchimp_pipeline.pipeline.planning import authorization_of, connect_to
from ci_mailchimp_pipeline.pipeline.upstream import unknown_columns, unknown_segments, why_not
from ci_mailchimp_pipeline.plan.guards import permission_guards
from ci_mailchimp_pipeline.sources.base import SourceSchema, open_source
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts, read_audience

Status = Literal["ok", "warning", "failed"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One check of one export. ``exit_code`` is 0 unless it failed."""

    export: str
    check: str
    status: Status
    message: str
    fix: str = ""
    at: str = ""
    exit_code: int = 0

    @property
    def told(self) -> str:
        """Place, message and fix in one cell."""
        head = f"{self.at}: {self.message}" if self.at and self.status != "ok" else self.message
        return f"{head}\nfix: {self.fix}" if self.fix else head

    def as_json(self) -> dict[str, str]:
        """The documented object."""
        return {
            "export": self.export,
            "check": self.check,
            "status": self.status,
            "message": self.message,
            "fix": self.fix,
            "at": self.at,
        }


def broken_config(error: FixConfigError) -> list[Row]:
    """A row for each problem of a file that cannot be used."""
    return [_failed("", "config_valid", problem, error) for problem in error.problems]


def check_exports(config: Config, exports: list[Export], *, offline: bool) -> tuple[list[Row], int]:
    """Check *exports*; return the rows and the exit code of the gravest failure."""
    with private_files():  # reading CSV files spills
        checks = _Checks(config=config, offline=offline)
        for export in exports:
            checks.all_of(export)
        checks.receivers()
    codes = {row.exit_code for row in checks.rows}
    return checks.rows, next((code for code in (1, 2, 3, 5, 4) if code in codes), 0)


@dataclass(slots=True, kw_only=True)
class _Checks:
    config: Config
    offline: bool
    rows: list[Row] = field(default_factory=list)
    _source: SourceSchema | PipelineError | None = None
    _accounts: dict[str, Account | PipelineError] = field(default_factory=dict)

    def all_of(self, export: Export) -> None:
        """Every check of *export*; one that needs what an earlier failed one would have found is left out."""
        self._ok(export, "config_valid", f"{self.config.path.name} is valid", ("exports", export.id))
        if reason := why_not(self.config, export):
            self._warn(export, "runs", reason, "", ("exports", export.id))
        self._source_of(export)
        self._attempt(export, "ledger_readable", (), self._read_ledger, lambda told: told)
        connection = self.config.connection_of(export)
        if connection is None:
            return
        self._permissions(export, connection)
        at = ("connections", connection.id)
        ready = self._attempt(
            export,
            "secret_present",
            at,
            lambda: authorization_of(self.config, connection),
            lambda _: "the credential is there and looks like one",
        )
        if ready is not None and not self.offline:
            self._mailchimp(export, connection)

    def receivers(self) -> None:
        """Whether each alert's address is there and one that can be used; nobody is sent anything."""
        for number, problem in enumerate(alert_problems(self.config)):
            place = self.config.place("alerts", number, "to")
            name = name_of(self.config.alerts[number])
            if problem is None:
                told = f"{name} holds an address that Apprise knows"
                row = Row(export="", check="alert_receiver", status="ok", message=told, at=str(place))
            else:
                row = _failed("", "alert_receiver", problem.problems[0], problem, place)
            self.rows.append(row)

    def _source_of(self, export: Export) -> None:
        schema = self._attempt(
            export,
            "source_readable",
            ("source",),
            self._describe,
            lambda found: f"{len(found.columns)} columns, {len(found.segments)} segments",
        )
        if schema is None:
            return
        columns = unknown_columns(self.config, export, schema.columns)
        segments = unknown_segments(self.config, export, schema.segments)
        for name, problems, told in (
            ("columns_exist", columns, f"{len(export.columns)} columns"),
            ("segments_exist", segments, _rows_by_segment(export, schema.segments)),
        ):
            for problem in problems:
                self.rows.append(_failed(export.id, name, problem, FixConfigError(name, problem.message)))
            if not problems:
                self._ok(export, name, told, ("exports", export.id))

    def _permissions(self, export: Export, connection: Connection) -> None:
        names = {"consent": "consent", "allowed_roles": "role_allowed"}
        for guard in permission_guards(export, connection):
            at = ("connections", connection.id, guard.guard)
            if guard.stopped:
                problem = Problem(guard.message, guard.fix, self.config.place(*at))
                error = SafetyStopError(guard.guard, guard.message)
                self.rows.append(_failed(export.id, names[guard.guard], problem, error))
            else:
                self._ok(
                    export, names[guard.guard], "given" if guard.guard == "consent" else export.owner.role, at
                )

    def _mailchimp(self, export: Export, connection: Connection) -> None:
        def with_client(read: Callable[[MailchimpClient], T]) -> Callable[[], T]:
            def reading() -> T:
                client: AbstractContextManager[MailchimpClient] = connect_to(
                    self.config, connection, limits=SOMEBODY_WAITS
                )
                with client as opened:
                    return read(opened)

            return reading

        account = self._attempt(
            export,
            "connection_works",
            ("connections", connection.id),
            lambda: self._account(connection, with_client(endpoints.account)),
            lambda found: f"account {found.account_name}, role {found.role}, plan {found.pricing_plan_type}",
        )
        at = ("exports", export.id, "audience_id")
        audience = account and self._attempt(
            export,
            "audience_exists",
            at,
            with_client(lambda client: endpoints.audience(client, export.audience_id)),
            lambda found: f"{found.name}, {found.member_count:,} members",
        )
        facts = audience and self._attempt(
            export,
            "merge_fields",
            ("exports", export.id, "merge_fields"),
            with_client(lambda client: read_audience(client, self.config, export)),
            lambda found: _fields_told(export, found),
        )
        if facts:
            self._consent_settings(export, facts)

    def _consent_settings(self, export: Export, facts: AudienceFacts) -> None:
        at = ("exports", export.id, "new_members")
        warnings = facts.warnings(export)
        for name, on in (
            ("marketing_permissions", facts.marketing_permissions),
            ("double_optin", facts.double_optin),
        ):
            about = [told for told in warnings if name.split("_")[0] in told]
            if on and about:
                self._warn(export, name, about[0], "", at)
            else:
                self._ok(export, name, "on, and new members are asked first" if on else "off", at)

    def _describe(self) -> SourceSchema:
        """The source, read once for all exports; its error, once more."""
        if self._source is None:
            try:
                options = self.config.source_options
                self._source = open_source(
                    self.config.source_type, options, folder=self.config.folder
                ).describe()
            except PipelineError as error:
                self._source = error
        if isinstance(self._source, PipelineError):
            raise self._source
        return self._source

    def _account(self, connection: Connection, read: Callable[[], Account]) -> Account:
        """The account of a connection, asked for once."""
        if connection.id not in self._accounts:
            try:
                self._accounts[connection.id] = read()
            except PipelineError as error:
                self._accounts[connection.id] = error
        found = self._accounts[connection.id]
        if isinstance(found, PipelineError):
            raise found
        return found

    def _read_ledger(self) -> str:
        with open_ledger(self.config.home, self.config.ledger_url, read_only=True) as ledger:
            return "there" if ledger.runs(limit=1) else "empty: nothing was ever sent from here"

    def _attempt(
        self,
        export: Export,
        check: str,
        at: tuple[str | int, ...],
        read: Callable[[], T],
        told: Callable[[T], str],
    ) -> T | None:
        """What *read* found, and a row that says so; None, and a row for each problem, when it failed."""
        try:
            found = read()
        except PipelineError as error:
            place = self.config.place(*at) if at else None
            self.rows += [_failed(export.id, check, problem, error, place) for problem in error.problems]
            return None
        self._ok(export, check, told(found), at)
        return found

    def _ok(self, export: Export, check: str, message: str, at: tuple[str | int, ...]) -> None:
        self.rows.append(Row(export=export.id, check=check, status="ok", message=message, at=self._at(at)))

    def _warn(self, export: Export, check: str, message: str, fix: str, at: tuple[str | int, ...]) -> None:
        row = Row(export=export.id, check=check, status="warning", message=message, fix=fix, at=self._at(at))
        self.rows.append(row)

    def _at(self, at: tuple[str | int, ...]) -> str:
        return str(self.config.place(*at)) if at else ""


def _failed(
    export: str, check: str, problem: Problem, error: PipelineError, place: Place | None = None
) -> Row:
    at = problem.place or place
    return Row(
        export=export,
        check=check,
        status="failed",
        message=problem.message,
        fix=problem.fix or error.fix,
        at=str(at) if at else "",
        exit_code=error.exit_code,
    )


def _rows_by_segment(export: Export, segments: Mapping[str, int]) -> str:
    return ", ".join(f"{each.name} {segments.get(each.name, 0):,}" for each in export.segments)


def _fields_told(export: Export, facts: AudienceFacts) -> str:
    mapped = ", ".join(export.fields) or "none mapped"
    return f"{mapped}; will be created: {', '.join(facts.missing_fields)}" if facts.missing_fields else mapped
