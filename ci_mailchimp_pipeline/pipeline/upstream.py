"""One consistent refresh of the source, reduced to what the exports need, and what they name in vain."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import Place, Problem
from ci_mailchimp_pipeline.sources.base import (
    Needs,
    NotReady,
    column_problems,
    needs_of,
    open_source,
    segment_problems,
)
from ci_mailchimp_pipeline.sources.snapshots import Snapshot, take_snapshot

PATIENCE_SECONDS = 600  # a refresh that takes longer is waited for by whoever starts runs, not by a run
POLL_SECONDS = 2


def why_not(config: Config, export: Export) -> str | None:
    """Why *export* does not run, or None when it does."""
    if not export.enabled:
        return "the export is disabled (enabled: false)"
    if config.connection_of(export) is None:
        return "the export is detached (connection: null)"
    return None


def take_upstream(config: Config, base: Path, *, settle: bool = False) -> Snapshot:
    """Copy one consistent refresh of what the exports need below *base*; an unchanged one is reused.

    Columns that the source lacks are left out here: the export that names them says so (``upstream_problems``).
    """
    source = open_source(config.source_type, config.source_options, folder=config.folder)
    schema = source.describe()
    wanted = needs_of([export for export in config.exports.values() if why_not(config, export) is None])
    needs = Needs(
        columns=tuple(column for column in wanted.columns if column in schema.columns),
        segments=wanted.segments,
    )
    return take_snapshot(source, needs, base, settle=settle)


def take_settled_upstream(
    config: Config,
    base: Path,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Snapshot:
    """Like `take_upstream` where nobody waits: a refresh that is under way is completed first.

    Raises:
        NotReady: It was not complete within `PATIENCE_SECONDS`.
    """
    began = now()
    while True:
        try:
            return take_upstream(config, base, settle=True)
        except NotReady:
            if now() - began > PATIENCE_SECONDS:
                raise
        sleep(POLL_SECONDS)


def unknown_columns(config: Config, export: Export, columns: tuple[str, ...]) -> list[Problem]:
    """The columns that *export* names and the source lacks, each with its place and the near miss."""
    return column_problems(columns, _column_places(config, export))


def unknown_segments(config: Config, export: Export, segments: Mapping[str, int]) -> list[Problem]:
    """The segments that *export* names and the source lacks, each with its place and the near miss."""
    named = {
        segment.name: config.place("exports", export.id, "segments", number)
        for number, segment in enumerate(export.segments)
    }
    return segment_problems(tuple(segments), named)


def _column_places(config: Config, export: Export) -> dict[str, Place]:
    at = ("exports", export.id)
    places = {export.email: config.place(*at, "email")}
    for key in ("first_name", "last_name"):
        if column := getattr(export, key):
            places.setdefault(column, config.place(*at, key))
    for tag, source in export.merge_fields.items():
        for column in source.columns:
            places.setdefault(column, config.place(*at, "merge_fields", tag))
    for column in export.require:
        places.setdefault(column, config.place(*at, "require", column))
    for number, prefer in enumerate(export.prefer):
        places.setdefault(prefer.column, config.place(*at, "prefer", number))
    return places
