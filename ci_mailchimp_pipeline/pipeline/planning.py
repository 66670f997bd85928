"""From a refresh to a plan: connect, make the frame, decide. Reads Mailchimp and the ledger, writes to neither."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ci_mailchimp_pipeline.config import Config, Connection, Export
from ci_mailchimp_pipeline.config.seconds import CALL_SECONDS, seconds_of
from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError, PipelineError
from ci_mailchimp_pipeline.forgotten import known_key
from ci_mailchimp_pipeline.frame.build import Frame, build_frame
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.ledger import Ledger
from ci_mailchimp_pipeline.mailchimp.answers import Tag
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization, api_root_for
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import DEFAULT_LIMITS, RetryLimits
from ci_mailchimp_pipeline.pipeline.known import Known, look
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.pipeline.upstream import unknown_columns, unknown_segments
from ci_mailchimp_pipeline.plan.build import build_plan
from ci_mailchimp_pipeline.plan.guards import (
    NO_ALLOWANCES,
    Allowances,
    Guard,
    Upstream,
    all_guards,
    stop_of,
)
from ci_mailchimp_pipeline.plan.model import Counts, Plan, PlanInputs, PlanSettings
from ci_mailchimp_pipeline.sources.base import open_source
from ci_mailchimp_pipeline.sources.snapshots import Snapshot
from ci_mailchimp_pipeline.sync.apply import adoption_reads
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts, count_contacts, read_audience
from ci_mailchimp_pipeline.sync.seen import Seen

FACTS = "audience.json"
# What a request is expected to take. Mailchimp's latency for 500 members was never published: Customer
# Insights' "1,000,000 profiles in up to three hours" is 5.4 s per 500 on one connection; single-member
# calls took 0.36 s in recorded traffic (grouparoo, 2021).
SECONDS_PER_BATCH = 5.4
SECONDS_PER_MEMBER_CALL = 0.36


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A plan with what a person, a guard or the next step needs beside it.

    Attributes:
        reads: Requests that reading took, the frame's included.
        more_reads: Requests that a run will need to read besides: whose key it is, members of tags it uses for the
            first time, and who is archived, each just before.
    """

    plan: Plan
    frame: Frame
    facts: AudienceFacts
    tags: Mapping[str, Tag]
    guards: tuple[Guard, ...]
    reads: int
    more_reads: int

    @property
    def writes(self) -> int:
        """Requests that write, merge fields to create included."""
        return self.plan.calls.total + (0 if self.plan.writes_nothing else len(self.facts.missing_fields))

    def minutes(self, max_connections: int) -> float:
        """How long carrying it out is expected to take."""
        calls = self.plan.calls
        batches = (calls.posts + calls.tag_calls) * SECONDS_PER_BATCH
        single = (calls.moves + calls.archives + calls.tags_created) * SECONDS_PER_MEMBER_CALL
        return (batches + single) / max_connections / 60

    def warnings(self, export: Export, extra: Mapping[str, int] | None = None) -> tuple[str, ...]:
        """What a person should know although nothing is wrong."""
        found = self.facts.warnings(export)
        if self.frame.cut_values:
            found.append(f"{self.frame.cut_values:,} values over 255 bytes are cut at a character")
        found.extend(f"{code}: {people:,}" for code, people in (extra or {}).items() if people)
        return tuple(found)


def connection_of(config: Config, export: Export) -> Connection:
    """The connection of an export that runs."""
    connection = config.connection_of(export)
    if connection is None:
        raise FixConfigError(
            "detached",
            f"export '{export.id}' is detached (connection: null)",
            fix=f"set exports.{export.id}.connection",
            place=config.place("exports", export.id, "connection"),
        )
    return connection


def authorization_of(
    config: Config, connection: Connection, environ: Mapping[str, str] = os.environ
) -> Authorization:
    """The connection's credentials as they are now, so that a rotated secret works at once."""
    if connection.api_key is not None:
        secret = connection.api_key.resolve(folder=config.folder, environ=environ)
        return Authorization.from_api_key(secret)
    assert connection.token is not None  # noqa: S101 (a loaded connection has exactly one of the two)
    return Authorization.from_token(connection.token.resolve(folder=config.folder, environ=environ))


def connect_to(
    config: Config,
    connection: Connection,
    environ: Mapping[str, str] = os.environ,
    *,
    limits: RetryLimits = DEFAULT_LIMITS,
) -> MailchimpClient:
    """A client for *connection*; the secret is read now, and so is how long one call may take in all."""
    authorization = authorization_of(config, connection, environ)
    patience = seconds_of(environ, CALL_SECONDS)
    return MailchimpClient(
        api_root=connection.api_root or api_root_for(authorization),
        authorization=authorization,
        max_connections=connection.max_connections,
        limits=limits if patience is None else replace(limits, seconds=min(limits.seconds, patience)),
    )


def connect(config: Config, export: Export, environ: Mapping[str, str] = os.environ) -> MailchimpClient:
    """A client for the export's connection; the secret is read now."""
    return connect_to(config, connection_of(config, export), environ)


def make_frame(
    config: Config, export: Export, snapshot: Snapshot, client: MailchimpClient, into: Path
) -> Frame:
    """Validate the rows of *export* against its audience and write them below *into*; sends nothing.

    Raises:
        FixConfigError: A column that the source lacks, or a merge field that the audience lacks.
        FixDataError: ``stale_snapshot``: the snapshot is older than the declaration.
    """
    if unknown_columns(config, export, snapshot.columns):
        raise _missing_columns(config, export)
    facts = read_audience(client, config, export)
    frame = build_frame(export, snapshot, facts.by_tag, into)
    facts.save(into / FACTS)
    return frame


def _missing_columns(config: Config, export: Export) -> PipelineError:
    """Why a snapshot lacks columns: the source lacks them, or they were declared after it was taken."""
    source = open_source(config.source_type, config.source_options, folder=config.folder)
    problems = unknown_columns(config, export, source.describe().columns)
    if problems:
        return FixConfigError("unknown_column", problems[0].message, problems=problems)
    return FixDataError(
        "stale_snapshot",
        f"the snapshot is older than the declaration of export '{export.id}', and lacks columns that it names",
        fix="materialize unified_profiles and segment_membership, then run again",
    )


def counts_of(frame: Frame) -> Counts:
    """The frame's part of the counts."""
    return Counts(
        profiles=frame.profiles,
        excluded=frame.excluded,
        rejected=frame.rejected,
        merged=frame.merged,
        accepted=frame.accepted,
        no_profile=frame.no_profile,
    )


def plan_export(
    config: Config,
    export: Export,
    *,
    snapshot: Snapshot,
    frame: Frame,
    client: MailchimpClient,
    ledger: Ledger,
    into: Path,
    facts: AudienceFacts | None = None,
    allowances: Allowances = NO_ALLOWANCES,
    now: Callable[[], float] = time.time,
    known: Known | None = None,
) -> Planned:
    """Decide what to send, with the plan's files below *into*.

    Args:
        facts: What the audience is like now; None when the frame was made a moment ago.
        known: What to start from; None to read it from the ledger and from Mailchimp.

    Raises:
        FixConfigError: A segment that the source does not have and whose tag was never used;
            ``forget_key_missing``.
    """
    before = client.requests
    used = ledger.forgotten_keys()
    forget_key = known_key(config.home, config.forget_key, used) if used else None
    connection = connection_of(config, export)
    facts = facts or AudienceFacts.load(frame.folder / FACTS)
    audience = ledger.audience(facts.account_id, facts.audience_id)
    if known is None:
        known = look(
            client,
            export.audience_id,
            ledger.export_state(audience, into / "ledger"),
            frame=frame.frame_path,
            into=into,
            needs_count=connection.contact_limit is not None,
        )
    state, tags = known.state, known.tags
    plan = build_plan(
        PlanInputs(
            frame=frame.frame_path,
            rejected=frame.rejected_path,
            customers=snapshot.customers_path,
            members=state.members,
            holds=state.holds,
            refusals=state.refusals,
            foreign_tags=state.foreign_tags,
            forgotten=state.forgotten,
            seen=known.seen.folder,
        ),
        PlanSettings(
            export=export.id,
            scope=f"{facts.account_id}/{facts.audience_id}",
            on_exit=export.on_exit,
            new_members=export.new_members,
            merge_tags=tuple(export.fields),
            known_tags=frozenset(tags),
            now=now(),
            unfinished_since=ledger.unfinished_writing(audience, export.id),
            forget_key=forget_key,
        ),
        counts_of(frame),
        into,
    )
    adopted = ledger.adopted_tags(audience)
    _refuse_slips(config, export, snapshot, adopted)
    contacts = _contacts(client, connection, export, known.seen)
    upstream = Upstream(customers=snapshot.customers, segments=snapshot.segments, found=frame.segments)
    return Planned(
        plan=plan,
        frame=frame,
        facts=facts,
        tags=tags,
        guards=all_guards(export, connection, upstream, plan, allowances, contacts=contacts),
        reads=facts.requests + client.requests - before,
        more_reads=1
        + (0 if plan.writes_nothing else adoption_reads(adopted, export, tags) + plan.calls.archives),
    )


def _contacts(client: MailchimpClient, connection: Connection, export: Export, seen: Seen) -> int | None:
    if connection.contact_limit is None:
        return None
    return count_contacts(client, export.audience_id, seen.billed)


def _refuse_slips(config: Config, export: Export, snapshot: Snapshot, adopted: frozenset[str]) -> None:
    """A segment that is not upstream and whose tag was never used is a slip of the pen, not a mass exit."""
    used = {segment.name for segment in export.segments if tag_key(segment.tag) in adopted}
    if snapshot.customers and (
        problems := unknown_segments(config, export, {**snapshot.segments, **dict.fromkeys(used, 0)})
    ):
        raise FixConfigError("unknown_segment", problems[0].message, problems=problems)


def planned_report(export: Export, connection: Connection, planned: Planned) -> Report:
    """The report of a plan: what a run would end with, what it would need, and the guard that would stop it."""
    plan = planned.plan
    return Report(
        export=export.id,
        status="planned",
        dry_run=True,
        plan_id=plan.plan_id,
        counts=plan.counts,
        rejected_reasons=planned.frame.rejected_reasons,
        suppressed_reasons=plan.suppressed_reasons,
        refused_reasons=plan.refused_reasons,
        exit_reasons=plan.exit_reasons,
        warnings=planned.warnings(export),
        guards=planned.guards,
        requests=planned.reads + planned.more_reads + planned.writes,
        writes=planned.writes,
        minutes=planned.minutes(connection.max_connections),
        members=plan.held,
        error=stop_of(planned.guards),
    )
