"""The assets: the upstream's two, and a frame and a sync for each export that runs."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import dagster as dg
from pydantic import Field

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError, RunLaterError
from ci_mailchimp_pipeline.orchestration import checks, folders, metadata
from ci_mailchimp_pipeline.orchestration.describe import frame_description, owners, sync_description
from ci_mailchimp_pipeline.orchestration.failures import Step, as_failure, failed, guarded
from ci_mailchimp_pipeline.orchestration.pools import pool_of
from ci_mailchimp_pipeline.orchestration.processes import claim
from ci_mailchimp_pipeline.orchestration.session import current_session
from ci_mailchimp_pipeline.orchestration.tags import UNATTENDED, complete_tags, outcome_told
from ci_mailchimp_pipeline.orchestration.upstream import GROUP as UPSTREAM_GROUP
from ci_mailchimp_pipeline.orchestration.upstream import UPSTREAM, Upstream
from ci_mailchimp_pipeline.pipeline.planning import FACTS, connect, connection_of, counts_of, make_frame
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.pipeline.running import ExportRun, Occasion
from ci_mailchimp_pipeline.pipeline.upstream import take_settled_upstream, take_upstream, why_not
from ci_mailchimp_pipeline.plan.guards import (
    Allowances,
    frame_guards,
    permission_guards,
    stop_if_any,
    stop_of,
)
from ci_mailchimp_pipeline.sources.snapshots import Snapshot, prune
from ci_mailchimp_pipeline.sync.preflight import AudienceFacts

FOUND = "seconds"  # metadata of the upstream: what reading took
Made = dg.MaterializeResult[None] | dg.AssetCheckResult


class SyncConfig(dg.Config):
    """What a person may choose for one run."""

    dry_run: bool = False
    plan_id: str | None = None
    allow_exit_percent: float | None = None
    allow_empty: list[str] = Field(default_factory=list)


def runnable(config: Config) -> list[Export]:
    """The exports that run: enabled and attached."""
    return [export for export in config.exports.values() if why_not(config, export) is None]


def upstream_assets(config: Config, upstream: Upstream = UPSTREAM) -> dg.AssetsDefinition:
    """One consistent refresh of the source, as two assets that are always made together."""
    profiles, membership = upstream.keys
    group = upstream.named(UPSTREAM_GROUP)
    needed = tuple(sorted({segment.name for export in runnable(config) for segment in export.segments}))

    @dg.multi_asset(
        name=group,
        specs=[
            dg.AssetSpec(
                profiles,
                group_name=group,
                kinds={"parquet"},
                description="The unified profiles of the customers in some chosen segment: only the columns that "
                "an export reads.",
            ),
            dg.AssetSpec(
                membership,
                group_name=group,
                kinds={"parquet"},
                description="Who is in which of the chosen segments; of the same refresh as the profiles.",
            ),
        ],
    )
    def customer_insights(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        claim(context)
        step = Step.of(context, config, None, "upstream")
        with outcome_told(context), guarded(step):
            snapshot, seconds = _read_upstream(step)
            complete_tags(context, config, dry_run=step.dry_run, refresh=snapshot.version)
            step.tell(Report(export="", status="success", run_id=step.run_id))
            took = {FOUND: round(seconds, 3)}
            shared = metadata.snapshot_metadata(config, snapshot, needed) | took
            found = [
                (profiles, metadata.profiles_metadata(snapshot)),
                (membership, metadata.membership_metadata(snapshot, needed)),
            ]
        for key, own in found:
            yield dg.MaterializeResult(
                asset_key=key, metadata={**own, **shared}, data_version=dg.DataVersion(snapshot.version)
            )

    return customer_insights


def export_assets(config: Config, export: Export, upstream: Upstream = UPSTREAM) -> list[dg.AssetsDefinition]:
    """The frame and the sync of one export."""
    connection = connection_of(config, export)

    @dg.asset(
        key=[export.id, "export_frame"],
        group_name=export.id,
        deps=upstream.keys,
        kinds={"parquet", "pandera"},
        owners=owners(export),
        description=frame_description(export),
        check_specs=checks.frame_check_specs(export),
    )
    def export_frame(context: dg.AssetExecutionContext) -> Iterator[Made]:
        claim(context)
        step = Step.of(context, config, export, "frame")
        permitted = permission_guards(export, connection)
        yield from checks.permission_results(export, permitted)
        results: list[Made] = []
        failure: dg.Failure | None = None
        complete_tags(context, config, dry_run=step.dry_run)
        with outcome_told(context), guarded(step):
            stop_if_any(permitted)
            try:
                results, failure = _frame(context, step, export, upstream)
            except FixConfigError as error:
                if _lacks_email(error, export):
                    results, failure = [checks.no_email_column(export)], failed(step, error)
                else:
                    raise
        yield from results
        if failure is not None:
            with outcome_told(context):
                raise failure

    @dg.asset(
        key=[export.id, "mailchimp_sync"],
        group_name=export.id,
        deps=[[export.id, "export_frame"]],
        kinds={"mailchimp"},
        owners=owners(export),
        description=sync_description(config, export),
        check_specs=checks.sync_check_specs(export),
        pool=pool_of(connection.id),
    )
    def mailchimp_sync(context: dg.AssetExecutionContext, config: SyncConfig) -> Iterator[Made]:
        claim(context)
        step = Step.of(context, declared, export, "sync")
        with outcome_told(context), guarded(step):
            judged = folders.frame_to_send(declared, export, step.run_id)
            refresh = judged.snapshot.version
            complete_tags(context, declared, dry_run=step.dry_run, refresh=refresh)
            report = _sync(step, export, config, judged)
            current_session().report = report
            shown = metadata.sync_metadata(declared, export, report, judged.frame)
            if report.status == "success" and not report.dry_run:
                folders.prune_frames(declared, export.id)
                folders.prune_shared_snapshots(declared)
            step.tell(report)
        yield from checks.sync_results(export, report)
        with outcome_told(context):
            if report.error is not None:
                raise as_failure(report.error)
        yield dg.MaterializeResult(metadata={**shown, "refresh": refresh, "trigger": step.trigger})

    declared = config  # a Dagster function's own `config` is what the person chose for the run
    return [export_frame, mailchimp_sync]


def _frame(
    context: dg.AssetExecutionContext, step: Step, export: Export, upstream: Upstream
) -> tuple[list[Made], dg.Failure | None]:
    config, began = step.config, time.monotonic()
    if upstream.ours:
        snapshot, read_seconds = _latest_snapshot(context, config, export, upstream)
    else:
        snapshot, read_seconds = _read_upstream(step)
        began += read_seconds
    complete_tags(context, config, dry_run=step.dry_run, refresh=snapshot.version)
    folder = folders.run_folder(config, export.id, step.run_id)
    with connect(config, export) as client:
        frame = make_frame(config, export, snapshot, client, folder)
    facts = AudienceFacts.load(folder / FACTS)
    guards = frame_guards(export, counts_of(frame))
    seconds = {"upstream": read_seconds, "frame": time.monotonic() - began}
    folders.save_verdict(
        config,
        folder,
        folders.Verdict(
            passed=frame.good and not any(guard.stopped for guard in guards),
            snapshot=snapshot.folder.name,
            declaration=folders.declaration_of(export),
            at=time.time(),
            seconds=seconds,
        ),
    )
    made: dg.MaterializeResult[None] = dg.MaterializeResult(
        metadata=metadata.frame_metadata(config, export, frame, facts.by_tag, snapshot),
        data_version=dg.DataVersion(frame.digest),
    )
    results: list[Made] = [made, *checks.frame_results(export, frame, guards)]
    known = Report(
        export=export.id,
        status="stopped",
        counts=counts_of(frame),
        rejected_reasons=frame.rejected_reasons,
        guards=tuple(guards),
        requests=facts.requests,
        seconds=sum(seconds.values()),
        steps=seconds,
    )
    return results, _stopped(step, known)


def _stopped(step: Step, known: Report) -> dg.Failure | None:
    """The failure to raise when one of the guards in *known* stopped."""
    stop = stop_of(known.guards)
    return failed(step, stop, known) if stop else None


def _sync(step: Step, export: Export, chosen: SyncConfig, judged: folders.Judged) -> Report:
    session = current_session()
    occasion = Occasion(
        run_id=step.run_id,
        trigger=step.trigger,
        dry_run=chosen.dry_run,
        plan_id=chosen.plan_id,
        allowances=Allowances(
            exit_percent=chosen.allow_exit_percent, empty_segments=frozenset(chosen.allow_empty)
        ),
        frame_seconds=judged.seconds if judged.frame.folder.name == step.run_id else {},
    )
    with ExitStack() as stack:
        client = stack.enter_context(connect(step.config, export))
        stack.enter_context(session.writing_through(client))
        into = folders.run_folder(step.config, export.id, step.run_id) / "plan"
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        run = ExportRun(
            config=step.config,
            export=export,
            occasion=occasion,
            client=client,
            into=into,
            progress=session.progressed,
        )
        return run.carry_out(judged.snapshot, judged.frame)


def _read_upstream(step: Step) -> tuple[Snapshot, float]:
    """A snapshot of the source as it is now, and what taking it took."""
    began, base = time.monotonic(), folders.snapshots_base(step.config)
    take = take_settled_upstream if step.trigger in UNATTENDED else take_upstream
    snapshot = take(step.config, base)
    folders.share_snapshot(step.config, snapshot)
    prune(base, folders.KEEP)
    return snapshot, time.monotonic() - began


def _latest_snapshot(
    context: dg.AssetExecutionContext, config: Config, export: Export, upstream: Upstream
) -> tuple[Snapshot, float]:
    """The snapshot that was materialized last, and what reading it took if this run did.

    Raises:
        RunLaterError: ``no_snapshot``: there is none.
        FixDataError: ``stale_snapshot``: it holds nobody of a segment that was declared later.
    """
    event = context.instance.get_latest_materialization_event(upstream.keys[0])
    found = event.asset_materialization.metadata if event and event.asset_materialization else {}
    again = "materialize unified_profiles and segment_membership, then run again"
    if event is None or "path" not in found:
        raise RunLaterError("no_snapshot", "the upstream was never materialized", fix=again)
    if not metadata.reads_segments(found, export):
        raise FixDataError(
            "stale_snapshot",
            f"the snapshot is older than the declaration of export '{export.id}', and lacks a segment of it",
            fix=again,
        )
    try:
        snapshot = folders.find_snapshot(config, config.home / str(found["path"].value))
    except FixDataError:
        failure = RunLaterError("no_snapshot", "the newest snapshot is not there any more", fix=again)
    else:
        own = event.run_id == context.run.run_id
        return snapshot, float(str(found[FOUND].value)) if own else 0.0
    raise failure


def _lacks_email(error: FixConfigError, export: Export) -> bool:
    return error.code == "unknown_column" and any(
        f"'{export.email}'" in each.message for each in error.problems
    )
