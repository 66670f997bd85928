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

    def why_not(self, export: str) -> str | None:
        """Why nothing is to be started for *export* and the refresh; None when it needs a closer look."""
        sync = self.syncs.get(export)
        if sync is not None and self.refresh is not None and sync.version == self.refresh.version:
            return "done"
        return None if self.busy.isdisjoint((export, SEVERAL)) else "a run is in progress"


class Settled:
    """The occasion for which one sensor starts nothing more; for a while, so that it need not look again."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._noted: tuple[float, object, str] = 0.0, None, ""

    def note(self, occasion: object, why: str) -> None:
        """Remember *why* nothing more is started on this *occasion*, instead of an earlier one."""
        self._noted = self._now(), occasion, why

    def why(self, occasion: object) -> str | None:
        """What was noted less than `SETTLED_SECONDS` ago."""
        at, of, why = self._noted
        return why if of == occasion and 0 <= self._now() - at < SETTLED_SECONDS else None


class Glance:
    """The newest overview, for the sensors of one process.

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

    def overview(self, context: dg.SensorEvaluationContext) -> Overview:
        """What was done, at most `SHARED_SECONDS` ago.

        Raises:
            PipelineError: The source cannot be asked which refresh there is.
        """
        with self._lock:
            if self._taken is None or not 0 <= self._now() - self._taken[0] < SHARED_SECONDS:
                self._taken = self._now(), self._look(context.instance)
            return self._taken[1]

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
