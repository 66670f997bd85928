"""How one consistent snapshot of a source is taken, kept, found again and thrown away."""

import hashlib
import json
import os
import re
import shutil
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.artifacts import CUT, MANIFEST, PARTIAL, draft, load_manifest, publish
from ci_mailchimp_pipeline.engine import MEMORY_LIMIT, identifier, open_engine, quoted
from ci_mailchimp_pipeline.errors import FixDataError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.sources.base import MAX_SEGMENT_NAMES, Needs, NotReady, Source, refresh_of

ABANDONED_SECONDS = 24 * 3600  # a draft this old belongs to a process that was killed

_NAME = re.compile(r"[0-9a-f]{16}-[0-9a-f]{8}")
_DRAFT = re.compile(rf"\.{_NAME.pattern}\.[0-9a-f]{{8}}{re.escape(PARTIAL)}")


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
