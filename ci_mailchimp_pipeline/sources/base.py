"""What a source of profiles and membership is, and how one consistent snapshot of it is taken and kept."""

import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ci_mailchimp_pipeline.artifacts import CUT, MANIFEST, PARTIAL, draft, load_manifest, publish
from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.engine import MEMORY_LIMIT, identifier, open_engine, quoted
from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.sources.names import column_problems, segment_problems

__all__ = [
    "MAX_SEGMENT_NAMES",
    "Needs",
    "NotReady",
    "Snapshot",
    "Source",
    "SourceSchema",
    "column_problems",
    "load_snapshot",
    "needs_of",
    "open_source",
    "prune",
    "refresh_of",
    "segment_problems",
    "take_snapshot",
]

GROUP = "ci_mailchimp_pipeline.sources"
MAX_SEGMENT_NAMES = 10_000  # more are no segments: the column with the names is probably another one
ABANDONED_SECONDS = 24 * 3600  # a draft this old belongs to a process that was killed

_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
_DRAFT = re.compile(rf"\.{_NAME.pattern}\.[0-9a-f]{{8}}{re.escape(PARTIAL)}")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One complete, consistent refresh of the source, reduced to what some export needs, as Parquet.

    Attributes:
        folder: Private; complete or absent.
        version: The source's own; the same content has the same.
        profiles: Rows kept: profiles of customers in some needed segment.
        customers: Customers among all profiles upstream.
        columns: Profile columns kept.
        segments: Every segment upstream → its customers; the needed ones and the biggest `MAX_SEGMENT_NAMES`.
        cut: Somebody was erased from it since: it may be used, but says less than the source.
    """

    folder: Path
    version: str
    profiles: int
    customers: int
    columns: tuple[str, ...]
    segments: dict[str, int]
    cut: bool = False

    @property
    def profiles_path(self) -> Path:
        """``row``, ``customer_id`` and ``p_<Column>`` for each column kept."""
        return self.folder / "profiles.parquet"

    @property
    def membership_path(self) -> Path:
        """``customer_id`` and ``segment``, distinct; customers without a profile included."""
        return self.folder / "membership.parquet"

    @property
    def customers_path(self) -> Path:
        """``customer_key``: the MD5 of every customer id among the profiles upstream."""
        return self.folder / "customers.parquet"


class NotReady(RunLaterError):  # noqa: N818  (reads as what it says: `except NotReady`)
    """The source is being refreshed; nothing was read."""

    def __init__(self, message: str, *, fix: str = "run again when the refresh is complete") -> None:
        super().__init__("source_not_ready", message, fix=fix)


class Source(Protocol):
    """A place where profiles and membership come from; registered under the entry point group `GROUP`."""

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
    found = {point.name: point for point in entry_points(group=GROUP)}
    if source_type not in found:
        raise FixConfigError(
            "unknown_source",
            f"source type '{source_type}' is not installed; installed: {', '.join(sorted(found))}",
            fix="choose an installed type, or install the package that brings this one",
        )
    source: Source = found[source_type].load()(options, folder=folder)
    return source


def take_snapshot(
    source: Source,
    needs: Needs,
    base: Path,
    *,
    attempts: int = 3,
    memory_limit: str = MEMORY_LIMIT,
    settle: bool = True,
) -> Snapshot:
    """Read one consistent refresh of *source* into a new folder below *base*, or reuse the one that is there.

    The version is asked before and after reading; a source that changed meanwhile is read again, *attempts*
    times in all. With *settle*, a source that has just changed is refused; a person who waits does not want
    that.

    Raises:
        RunLaterError: ``source_not_ready``, or ``source_changing`` after the last attempt.
        FixConfigError: ``unknown_column``; a needed column does not exist.
        FixDataError: The source cannot be read.
    """
    for _ in range(attempts):
        version = source.version(settle=settle)
        final = base / _name(version, needs)
        if snapshot := _existing(final):
            return snapshot
        with draft(final) as work:
            try:
                source.read(needs, work, memory_limit=memory_limit)
            except PipelineError:
                if _is_still(source, version):
                    raise
                continue  # what it stumbled over may be half of a refresh
            if not _is_still(source, version):
                continue
            facts, rows = _facts(work, version, needs, memory_limit)
            publish(work, final, rows=rows, facts=facts, done=partial(_existing, final))
            return load_snapshot(final)
    raise RunLaterError(
        "source_changing",
        f"the source changed while it was read, {attempts} times in a row",
        fix="run again when its refresh is complete",
    )


def load_snapshot(folder: Path) -> Snapshot:
    """The snapshot in *folder*, after comparing every file with its manifest.

    Raises:
        FixDataError: ``snapshot_not_good``.
    """
    manifest = load_manifest(folder, code="snapshot_not_good")
    return Snapshot(
        folder=folder,
        version=manifest["version"],
        profiles=manifest["files"]["profiles.parquet"]["rows"],
        customers=manifest["files"]["customers.parquet"]["rows"],
        columns=tuple(manifest["columns"]),
        segments=manifest["segments"],
        cut=CUT in manifest,
    )


def prune(base: Path, keep: int) -> None:
    """Delete all but the *keep* snapshots in *base* used last, and drafts of killed processes; nothing else."""
    if not base.is_dir():
        return
    snapshots, now = [], time.time()
    for path in base.iterdir():
        if _NAME.fullmatch(path.name) and (path / MANIFEST).exists():
            snapshots.append(((path / MANIFEST).stat().st_mtime_ns, path))
        elif _DRAFT.fullmatch(path.name) and now - path.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
    for _, path in sorted(snapshots, reverse=True)[keep:]:
        shutil.rmtree(path, ignore_errors=True)


def _name(version: str, needs: Needs) -> str:
    wanted = json.dumps([needs.columns, needs.segments])
    return f"{refresh_of(version)}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


def _existing(folder: Path) -> Snapshot | None:
    if not folder.exists():
        return None
    try:
        snapshot = load_snapshot(folder)
    except FixDataError:
        snapshot = None
    if snapshot is None or snapshot.cut:
        shutil.rmtree(folder)
        return None
    os.utime(folder / MANIFEST)  # pruning keeps what was used last
    return snapshot


def _is_still(source: Source, version: str) -> bool:
    try:
        return source.version(settle=False) == version
    except NotReady:
        return False


def _facts(
    work: Path, version: str, needs: Needs, memory_limit: str
) -> tuple[dict[str, Any], dict[str, int]]:
    def table(name: str) -> str:
        return f"read_parquet({quoted(work / f'{name}.parquet')})"

    with open_engine(work, memory_limit=memory_limit) as engine:
        # A source that forgets a column fails here, where it is known which source it was.
        columns = ", ".join(identifier(f"p_{name}") for name in needs.columns)
        engine.execute(f"SELECT row, customer_id, {columns} FROM {table('profiles')} LIMIT 0")
        rows = {
            f"{name}.parquet": engine.one(f"SELECT count(*) FROM {table(name)}")
            for name in ("profiles", "membership", "customers")
        }
        wanted = ", ".join(["NULL", *(quoted(name) for name in needs.segments)])
        segments = engine.execute(
            f"""SELECT segment, customers FROM {table("segments")}
            ORDER BY segment IN ({wanted}) IS NOT true, customers DESC, segment
            LIMIT {MAX_SEGMENT_NAMES + len(needs.segments)}"""
        )
    return {"version": version, "columns": list(needs.columns), "segments": dict(sorted(segments))}, rows
