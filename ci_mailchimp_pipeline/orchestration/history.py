"""What Dagster remembers of refreshes, syncs and runs. The triggers keep no record of their own beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.orchestration.attempts import Ended, Past
from ci_mailchimp_pipeline.orchestration.metadata import reads_all
from ci_mailchimp_pipeline.orchestration.tags import CONFIG_HASH, OUTCOME, STOPPED, UNATTENDED
from ci_mailchimp_pipeline.orchestration.upstream import UPSTREAM, Upstream

SYNCS_LOOKED_AT = 50  # dry runs by hand may lie above the last sync that counts
_ENDED: dict[dg.DagsterRunStatus, Ended] = {
    dg.DagsterRunStatus.FAILURE: "failed",
    dg.DagsterRunStatus.CANCELED: "canceled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A refresh that was read or sent, and when, in seconds since 1970."""

    version: str
    at: float


def latest_refresh(instance: dg.DagsterInstance, upstream: Upstream = UPSTREAM) -> Seen | None:
    """The refresh that both upstream assets of ours were made from last; None while they differ or are missing."""
    found = []
    for key in upstream.keys:
        event = instance.get_latest_materialization_event(key)
        made = event.asset_materialization if event else None
        if event is None or made is None or "version" not in made.metadata:
            return None
        found.append(Seen(version=str(made.metadata["version"].value), at=event.timestamp))
    return found[0] if len({each.version for each in found}) == 1 else None


def was_read_for(instance: dg.DagsterInstance, upstream: Upstream, export: Export) -> bool:
    """Whether the newest snapshot holds all that *export* names: it was not edited since, or asks for no more.

    Always so where somebody else makes the upstream, for each frame then reads the source itself.
    """
    if not upstream.ours:
        return True
    event = instance.get_latest_materialization_event(upstream.keys[0])
    made = event.asset_materialization if event else None
    return made is not None and reads_all(made.metadata, export)


def last_sync(instance: dg.DagsterInstance, key: dg.AssetKey) -> Seen | None:
    """The refresh of the last successful sync that counts, whoever started it."""
    for limit in (1, SYNCS_LOOKED_AT):
        for record in instance.fetch_materializations(key, limit=limit).records:
            if sync := sync_of(record.event_log_entry):
                return sync
    return None


def sync_of(event: dg.EventLogEntry) -> Seen | None:
    """The refresh that a sync sent; None for one that does not count.

    A dry run by hand does not. One that started by itself does: in a sandbox there are no others, and the day
    the sandbox ends nothing may run that was not new then.
    """
    made = event.asset_materialization
    if made is None or "refresh" not in made.metadata:
        return None
    told = {name: made.metadata[name].value for name in ("refresh", "trigger", "dry_run")}
    if told["dry_run"] and told["trigger"] not in UNATTENDED:
        return None
    return Seen(version=str(told["refresh"]), at=event.timestamp)


def past_of(records: Sequence[dg.RunRecord]) -> list[Past]:
    """Earlier runs as attempts; those that succeeded or are not finished are none."""
    return [
        Past(
            ended="stopped" if run.tags.get(OUTCOME) == STOPPED else _ENDED[run.status],
            at=record.end_time or record.update_timestamp.timestamp(),
            config_hash=run.tags.get(CONFIG_HASH, ""),
        )
        for record in records
        if (run := record.dagster_run).status in _ENDED
    ]
