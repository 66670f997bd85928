"""Where the unified profiles and the segment membership are among Dagster's assets."""

from dataclasses import dataclass

import dagster as dg

NAMES = ("unified_profiles", "segment_membership")
GROUP = "customer_insights"
REFRESH_ID = "refresh_id"  # metadata by which somebody else's assets say which refresh they are of


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The two assets that every export is made from.

    Attributes:
        keys: Profiles, membership.
        ours: Whether we make them, by reading the source. Otherwise they are somebody else's, who writes the
            source by them, and each frame reads the source itself.
        prefix: Before the names of what all exports of a file share, so that two files fit into one project.
    """

    keys: tuple[dg.AssetKey, dg.AssetKey] = (dg.AssetKey(NAMES[0]), dg.AssetKey(NAMES[1]))
    ours: bool = True
    prefix: str = ""

    @classmethod
    def made_here(cls, prefix: str = "") -> "Upstream":
        """Two assets of ours, below *prefix* if there is one."""
        profiles, membership = (dg.AssetKey([*filter(None, [prefix]), name]) for name in NAMES)
        return cls(keys=(profiles, membership), prefix=prefix)

    @property
    def made(self) -> list[dg.AssetKey]:
        """Those of the two that a job of ours has to make first."""
        return list(self.keys) if self.ours else []

    def named(self, name: str) -> str:
        """The name of something that all exports of the file share."""
        return f"{self.prefix}_{name}" if self.prefix else name

    def completed_at(self, instance: dg.DagsterInstance) -> float | None:
        """When both were last made of one refresh, in seconds since 1970; None while they differ or are missing.

        They are of one refresh if their metadata ``refresh_id`` say so, or if one run made both.
        """
        events = [instance.get_latest_materialization_event(key) for key in self.keys]
        refreshes = {_refresh(event) if event else None for event in events}
        if None in refreshes or len(refreshes) != 1:
            return None
        return max(event.timestamp for event in events if event)


UPSTREAM = Upstream()


def _refresh(event: dg.EventLogEntry) -> str:
    made = event.asset_materialization
    told = made.metadata.get(REFRESH_ID) if made else None
    return f"{REFRESH_ID} {told.value}" if told is not None else f"run {event.run_id}"
