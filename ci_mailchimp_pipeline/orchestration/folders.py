"""The folders of runs: which frame belongs to which run, and which may go.

They are below the state folder. Where CI_MAILCHIMP_FRAMES names a place that machines share, each is also there,
under the same relative path, and that place decides which frame is the newest.
"""

import hashlib
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ci_mailchimp_pipeline.artifacts import MANIFEST
from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.errors import FixDataError
from ci_mailchimp_pipeline.frame.build import Frame, load_frame
from ci_mailchimp_pipeline.pipeline.copies import SharedFolder
from ci_mailchimp_pipeline.pipeline.running import remake_frame
from ci_mailchimp_pipeline.sources.snapshots import Snapshot, load_snapshot
from ci_mailchimp_pipeline.storage import Store, open_store

VERDICT = "verdict.json"
# What no frame depends on: when something is done, and how people call it.
BESIDE_FRAMES = {"display_name", "schedule", "fresh_within_hours", "drift", "opt_outs", "enabled"}
KEEP = 3  # frames of an export, and snapshots


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the frame beside it may be sent, from which snapshot it was made and for which declaration.

    Attributes:
        declaration: Hash of the export as it was declared.
        at: Seconds since 1970.
    """

    passed: bool
    snapshot: str
    declaration: str
    at: float
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A frame that passed its checks, with the snapshot it was made from."""

    frame: Frame
    snapshot: Snapshot
    seconds: dict[str, float]


def snapshots_base(config: Config) -> Path:
    """Where snapshots of the upstream are."""
    return config.home / "snapshots"


def frames_base(config: Config, export: str) -> Path:
    """Where the frames of an export are, one folder a run."""
    return config.home / "frames" / export


def run_folder(config: Config, export: str, run_id: str) -> Path:
    """The folder of one run of one export."""
    return frames_base(config, export) / run_id


def declaration_of(export: Export) -> str:
    """A hash that changes with anything that is declared for *export* and may matter to its frame."""
    return hashlib.sha256(export.model_dump_json(exclude=BESIDE_FRAMES).encode()).hexdigest()


def save_verdict(config: Config, folder: Path, verdict: Verdict) -> None:
    """Write *verdict* beside the frame in *folder*, whole or not at all; then share the folder."""
    written = folder / f"{VERDICT}.new"
    written.write_bytes(msgspec.json.encode(verdict))
    written.replace(folder / VERDICT)
    if store := _store(config):
        store.put(folder, _name(config, folder), last=VERDICT)


def share_snapshot(config: Config, snapshot: Snapshot) -> None:
    """Put *snapshot* where other machines find it; the same content is there once."""
    store, name = _store(config), _name(config, snapshot.folder)
    if store and not store.has(name, MANIFEST):
        store.put(snapshot.folder, name, last=MANIFEST)


def find_snapshot(config: Config, folder: Path) -> Snapshot:
    """The snapshot whose place is *folder*, brought here from where machines share it if need be.

    Raises:
        FixDataError: ``snapshot_not_good``.
    """
    if (store := _store(config)) and not folder.exists():
        store.get(_name(config, folder), folder, last=MANIFEST)
    return load_snapshot(folder)


def read_verdict(folder: Path) -> Verdict | None:
    """The verdict on the frame in *folder*; None when there is none that can be read."""
    try:
        return _decoded((folder / VERDICT).read_bytes())
    except OSError:
        return None


def run_folders(config: Config, export: str) -> list[Path]:
    """The run folders of *export*, the newest first; other names are none of ours."""
    base = frames_base(config, export)
    if not base.is_dir():
        return []
    return sorted((each for each in base.iterdir() if _is_run(each.name)), key=_age, reverse=True)


def newest_frame(config: Config, export: str) -> tuple[Path, Verdict] | None:
    """The folder of the newest frame of *export* with its verdict, whether it passed or not."""
    if store := _store(config):
        for run in _shared_runs(store, config, export)[:1]:
            folder = run_folder(config, export, run)
            return (folder, verdict) if (verdict := _brought(config, folder)) else None
        return None
    for folder in run_folders(config, export):
        if verdict := read_verdict(folder):
            return folder, verdict
    return None


def frame_to_send(config: Config, export: Export, run_id: str) -> Judged:
    """The frame of this run, or, for a sync that runs alone, the newest one of the export.

    Raises:
        FixDataError: ``no_frame``; ``frame_not_good``: it did not pass its checks, or is not what was written;
            ``stale_frame``: the declaration changed since; ``snapshot_not_good``.
    """
    again = remake_frame(export)
    own = run_folder(config, export.id, run_id)
    verdict = _brought(config, own)
    found = (own, verdict) if verdict else newest_frame(config, export.id)
    if found is None:
        raise FixDataError("no_frame", f"export '{export.id}' has no frame yet", fix=again)
    folder, verdict = found
    if verdict.declaration != declaration_of(export):
        raise FixDataError(
            "stale_frame",
            f"the declaration of export '{export.id}' changed after its frame was made",
            fix=again,
        )
    if not verdict.passed:
        raise FixDataError(
            "frame_not_good",
            f"the newest frame of export '{export.id}' did not pass its checks; nothing was sent",
            fix=f"see its checks, mend what they say, then {again}",
        )
    return _judged(config, folder, verdict)


def good_frame(config: Config, export: Export) -> Judged:
    """The newest frame of *export* that passed its checks, of the declaration as it is now.

    Raises:
        FixDataError: As ``frame_to_send`` says it of the newest frame.
    """
    store = _store(config)
    runs = _shared_runs(store, config, export.id) if store else []
    shared = [run_folder(config, export.id, run) for run in runs]
    for folder in shared or run_folders(config, export.id):
        verdict = _brought(config, folder)
        if verdict and verdict.passed and verdict.declaration == declaration_of(export):
            return _judged(config, folder, verdict)
    return frame_to_send(config, export, str(uuid.UUID(int=0)))  # no run is called so


def prune_frames(config: Config, export: str, keep: int = KEEP) -> None:
    """Delete all but the newest *keep* run folders of *export*; only what looks like one is touched."""
    for folder in run_folders(config, export)[keep:]:
        shutil.rmtree(folder, ignore_errors=True)
    if store := _store(config):
        for run in _shared_runs(store, config, export)[keep:]:
            store.remove(_name(config, run_folder(config, export, run)), last=VERDICT)


def prune_shared_snapshots(config: Config, keep: int = KEEP) -> None:
    """Delete shared snapshots but the newest *keep* and those that a shared frame was made from."""
    store = _store(config)
    if store is None:
        return
    base = _name(config, snapshots_base(config))
    used = {
        verdict.snapshot
        for export in config.exports
        for run in store.names(_name(config, frames_base(config, export)))
        if _is_run(run) and (verdict := _shared_verdict(store, config, export, run))
    }
    names = [name for name in store.names(base) if store.has(f"{base}/{name}", MANIFEST)]
    names.sort(key=lambda name: store.age_key(f"{base}/{name}", MANIFEST), reverse=True)
    for name in names[keep:]:
        if name not in used:
            store.remove(f"{base}/{name}", last=MANIFEST)


def shared_folders(config: Config) -> list[SharedFolder]:
    """Every folder that machines share, of exports that are no longer declared too; none if they share none."""
    store = _store(config)
    if store is None:
        return []
    snapshots, frames = _name(config, snapshots_base(config)), _name(config, frames_base(config, ""))
    runs = [
        f"{frames}/{export}/{run}"
        for export in store.names(frames)
        for run in store.names(f"{frames}/{export}")
    ]
    return [
        *(SharedFolder(name=f"{snapshots}/{each}", last=MANIFEST) for each in store.names(snapshots)),
        *(SharedFolder(name=run, last=VERDICT) for run in runs),
    ]


def _judged(config: Config, folder: Path, verdict: Verdict) -> Judged:
    return Judged(
        frame=load_frame(folder),
        snapshot=find_snapshot(config, snapshots_base(config) / verdict.snapshot),
        seconds=verdict.seconds,
    )


def _store(config: Config) -> Store | None:
    return open_store(config.frames_url) if config.frames_url else None


def _name(config: Config, folder: Path) -> str:
    return folder.relative_to(config.home).as_posix()


def _brought(config: Config, folder: Path) -> Verdict | None:
    """The verdict in *folder*, which is brought here from where machines share it if it is not here."""
    verdict = read_verdict(folder)
    if verdict is None and (store := _store(config)):
        store.get(_name(config, folder), folder, last=VERDICT)
        verdict = read_verdict(folder)
    return verdict


def _shared_runs(store: Store, config: Config, export: str) -> list[str]:
    """The runs of *export* whose frame is shared, the newest first."""
    names = store.names(_name(config, frames_base(config, export)))
    ages = {
        name: verdict.at
        for name in names
        if _is_run(name) and (verdict := _shared_verdict(store, config, export, name))
    }
    return sorted(ages, key=lambda name: (ages[name], name), reverse=True)


def _shared_verdict(store: Store, config: Config, export: str, run: str) -> Verdict | None:
    text = store.read(_name(config, run_folder(config, export, run)), VERDICT)
    return _decoded(text) if text is not None else None


def _decoded(text: bytes) -> Verdict | None:
    try:
        return msgspec.json.decode(text, type=Verdict)
    except msgspec.DecodeError:
        return None


def _age(folder: Path) -> tuple[float, str]:
    verdict = read_verdict(folder)
    return (verdict.at if verdict else folder.stat().st_mtime, folder.name)


def _is_run(name: str) -> bool:
    try:
        return str(uuid.UUID(name)) == name
    except ValueError:
        return False
