"""What a source of profiles and membership is, and what is asked of it."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.config.plugins import installed_plugins
from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.sources.names import column_problems, segment_problems

__all__ = [
    "MAX_SEGMENT_NAMES",
    "Needs",
    "NotReady",
    "Source",
    "SourceSchema",
    "column_problems",
    "needs_of",
    "open_source",
    "refresh_of",
    "segment_problems",
]

MAX_SEGMENT_NAMES = 10_000  # more are no segments: the column with the names is probably another one


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """The profile columns and segments that the exports want; a source reads nothing else of a person.

    Attributes:
        holder: (column, text): only profiles with this text there, trimmed and in lower case, whatever their
            segments, and all membership of their customers. A source may give others, too.
    """

    columns: tuple[str, ...]
    segments: tuple[str, ...]
    holder: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceSchema:
    """What a source offers at one version.

    Attributes:
        version: The source's own name for its content.
        columns: Of the profiles.
        segments: Name → membership rows; the biggest `MAX_SEGMENT_NAMES`.
    """

    version: str
    columns: tuple[str, ...]
    segments: dict[str, int]


class NotReady(RunLaterError):  # noqa: N818  (reads as what it says: `except NotReady`)
    """The source is being refreshed; nothing was read."""

    def __init__(self, message: str, *, fix: str = "run again when the refresh is complete") -> None:
        super().__init__("source_not_ready", message, fix=fix)


class Source(Protocol):
    """A place where profiles and membership come from; registered under the entry point group of `installed_plugins`."""

    Options: ClassVar[type]
    """A frozen pydantic model of the keys of ``source:`` besides ``type``."""

    def __init__(self, options: Any, *, folder: Path) -> None:
        """Reads nothing. Relative paths are relative to *folder*."""

    def version(self, *, settle: bool = True) -> str:
        """A name for the content as it is now: another content has another. Cheap.

        With *settle* it refuses while the content might still be changing.

        Raises:
            NotReady: A refresh is under way.
        """

    def describe(self) -> SourceSchema:
        """What there is to choose from. May read all membership."""

    def read(self, needs: Needs, into: Path, *, memory_limit: str) -> None:
        """Write what *needs* asks for into the private folder *into*; other files there are discarded.

        ``profiles.parquet``, ``membership.parquet`` and ``customers.parquet`` are as `Snapshot` says, every
        value text or NULL; ``segments.parquet`` has ``segment`` and ``customers`` (BIGINT) for every
        segment upstream. Customer ids and segment names are trimmed, rows without them are left out. A
        needed segment that does not exist is no error here.

        Raises:
            FixConfigError: ``unknown_column``; a needed column does not exist.
        """


def refresh_of(version: str) -> str:
    """A short name for a refresh of the source: that of its snapshots, before the dash."""
    return hashlib.sha256(version.encode()).hexdigest()[:16]


def needs_of(exports: Iterable[Export]) -> Needs:
    """The columns and segments of all *exports*, distinct and sorted."""
    exports = tuple(exports)
    columns = {column for export in exports for column in export.columns}
    segments = {segment.name for export in exports for segment in export.segments}
    return Needs(columns=tuple(sorted(columns)), segments=tuple(sorted(segments)))


def open_source(source_type: str, options: Any, *, folder: Path) -> Source:
    """The source registered as *source_type*, with *options* of its own ``Options`` class; reads nothing yet.

    Raises:
        FixConfigError: ``unknown_source``; none is installed under that name.
    """
    found = installed_plugins()
    if source_type not in found:
        raise FixConfigError(
            "unknown_source",
            f"source type '{source_type}' is not installed; installed: {', '.join(sorted(found))}",
            fix="choose an installed type, or install the package that brings this one",
        )
    source: Source = found[source_type]()(options, folder=folder)
    return source
