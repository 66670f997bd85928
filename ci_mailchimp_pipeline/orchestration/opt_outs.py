"""The asset ``<export>/opt_outs``: who may no longer be mailed, by customer id.

It is made when somebody asks, or at the times that ``opt_outs`` declares. Never part of an export's own job: a
source leaves people out when it makes its segments, which is before a run, not after it; and a list that cannot be
read must not make a run that sent everything a failed one.
"""

from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.orchestration import folders
from ci_mailchimp_pipeline.orchestration.describe import owners
from ci_mailchimp_pipeline.orchestration.failures import Step, guarded
from ci_mailchimp_pipeline.orchestration.pools import pool_of
from ci_mailchimp_pipeline.orchestration.processes import claim
from ci_mailchimp_pipeline.orchestration.tags import (
    PAGE,
    TRIGGER,
    complete_tags,
    outcome_told,
)
from ci_mailchimp_pipeline.pipeline.opt_outs import COLUMNS, OptOuts, list_opt_outs
from ci_mailchimp_pipeline.pipeline.planning import connect, connection_of
from ci_mailchimp_pipeline.pipeline.telling import told_time

ASSET = "opt_outs"


def opt_outs_name(export: Export) -> str:
    """What the job and the schedule of the asset are called."""
    return f"{export.id}_opt_outs"


def opt_outs_key(export: Export) -> dg.AssetKey:
    """The asset's key."""
    return dg.AssetKey([export.id, ASSET])


def opt_outs_asset(config: Config, export: Export) -> dg.AssetsDefinition:
    """Who of *export* may no longer be mailed; reads Mailchimp, and writes nothing to it."""
    connection = connection_of(config, export)

    @dg.asset(
        key=opt_outs_key(export),
        group_name=export.id,
        deps=[[export.id, "mailchimp_sync"]],
        kinds={"mailchimp", "parquet"},
        owners=owners(export),
        description=f"Customers whom audience `{export.audience_id}` may no longer mail: unsubscribed, bounced, or "
        "archived by somebody else. For the source to leave out of its segments. No address is in it.",
        pool=pool_of(connection.id),
    )
    def opt_outs(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        claim(context)
        step = Step(
            config=config,
            export=None,  # it is no run of the export: neither the ledger nor the receivers of alerts hear of it
            name=ASSET,
            run_id=context.run.run_id,
            trigger=context.run.tags.get(TRIGGER, PAGE),
            dry_run=config.sandbox,
        )
        with outcome_told(context), guarded(step):
            complete_tags(context, config, dry_run=step.dry_run)
            metadata = _metadata(config, _listed(config, export))
        return dg.MaterializeResult(metadata=metadata)

    return opt_outs


def _listed(config: Config, export: Export) -> OptOuts:
    newest = folders.newest_frame(config, export.id)
    with (
        connect(config, export) as client,
        open_ledger(config.home, config.ledger_url, read_only=True) as ledger,
    ):
        return list_opt_outs(
            config, export, client=client, ledger=ledger, frame=newest[0] if newest else None
        )


def _metadata(config: Config, found: OptOuts) -> dict[str, Any]:
    return {
        "dagster/row_count": sum(found.counts.values()),
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, "String", description=says) for name, says in COLUMNS.items()]
        ),
        "path": dg.MetadataValue.path(str(found.path.relative_to(config.home))),
        **found.counts,
        "unknown": found.unknown,
        "requests": found.requests,
        "read_whole": ", ".join(found.whole),
        "read_at": "" if found.read_at is None else told_time(found.read_at),
    }
