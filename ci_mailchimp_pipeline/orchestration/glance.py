"""One look at what was done that all sensors share.

Dagster opens its records anew for each look of each sensor that asks for them, which takes longer than anything
that is read there. Most of the time there is nothing to do: a sensor asks here first, and looks for itself only
when it may have to start something.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import dagster as dg

from ci_mailchimp_pipeline.orchestration.history import Seen, sync_of
from ci_mailchimp_pipeline.orchestration.processes import UNFINISHED
from ci_mailchimp_pipeline.orchestration.tags import EXPORT, SEVERAL

SHARED_SECONDS = 5
SETTLED_SECONDS = 600  # somebody may delete a run on the page, to have it done again


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What was done at one moment.

    Attributes:
        refresh: What the exports are to be made from; None while there is none.
        syncs: By export: the refresh of its newest sync, where that is one that counts.
        busy: The exports that unfinished runs are about.
    """

    refresh: Seen | None
    syncs: Mapping[str, Seen]
    busy: frozenset[str]


class Glance:
    """The newest overview, and what was settled for good; for the sensors of one process.

    Args:
        syncs: The sync of each export.
        latest: Finds the refresh that is there for the exports.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        syncs: Mapping[str, dg.AssetKey],
        latest: Callable[[dg.DagsterInstance], Seen | None],
        now: Callable[[], float],
    ) -> None:
        self._syncs = syncs
        self._latest = latest
        self._now = now
        self._lock = threading.Lock()
        self._taken: tuple[float, Overview] | None = None
        self._settled: dict[str, tuple[float, Seen, str]] = {}

    def overview(self, context: dg.SensorEvaluationContext) -> Overview:
        """What was done, at most `SHARED_SECONDS` ago.

        Raises:
            PipelineError: The source cannot be asked which refresh there is.
        """
        with self._lock:
            if self._taken is None or not 0 <= self._now() - self._taken[0] < SHARED_SECONDS:
                self._taken = self._now(), self._look(context.instance)
            return self._taken[1]

    def settle(self, export: str, refresh: Seen, why: str) -> None:
        """Remember *why* nothing more is started for *export* and *refresh*."""
        self._settled[export] = self._now(), refresh, why

    def nothing_to_do(self, seen: Overview, export: str, refresh: Seen) -> str | None:
        """Why nothing is to be started for *export* and *refresh*; None when it needs a closer look."""
        sync = seen.syncs.get(export)
        if sync is not None and sync.version == refresh.version:
            return "done"
        if not seen.busy.isdisjoint((export, SEVERAL)):
            return "a run is in progress"
        at, of, why = self._settled.get(export, (0.0, None, ""))
        return why if of == refresh and 0 <= self._now() - at < SETTLED_SECONDS else None

    def _look(self, instance: dg.DagsterInstance) -> Overview:
        runs = instance.get_runs(dg.RunsFilter(statuses=list(UNFINISHED)))
        return Overview(
            refresh=self._latest(instance),
            syncs=_syncs(instance, self._syncs),
            busy=frozenset(run.tags.get(EXPORT, "") for run in runs),
        )


def _syncs(instance: dg.DagsterInstance, keys: Mapping[str, dg.AssetKey]) -> dict[str, Seen]:
    names = {key: export for export, key in keys.items()}
    found = {}
    for record in instance.get_asset_records(list(names)) if names else ():
        event = record.asset_entry.last_materialization
        sync = sync_of(event) if event else None
        if sync is not None:
            found[names[record.asset_entry.asset_key]] = sync
    return found
