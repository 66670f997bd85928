"""Snapshots: complete or absent, of one version, reused, private, pruned."""

import errno
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ci_mailchimp_pipeline import artifacts
from ci_mailchimp_pipeline.artifacts import unwritable
from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.sources.base import Needs, NotReady
from ci_mailchimp_pipeline.sources.files import FilesSource
from ci_mailchimp_pipeline.sources.snapshots import load_snapshot, prune, take_snapshot

Make = Callable[..., FilesSource]
NEEDS = Needs(columns=("EMail",), segments=("Vip",))


class Changing(FilesSource):
    """The files source, upstream of which somebody writes whenever it is read."""

    changes = 1
    reads = 0

    def read(self, needs: Needs, into: Path, *, memory_limit: str = "400MB") -> None:
        """Read, and be changed meanwhile, as long as there are changes."""
        self.reads += 1
        super().read(needs, into, memory_limit=memory_limit)
        if self.changes:
            self.changes -= 1
            os.utime(self._folder / "profiles.csv", (self.changes, self.changes))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Where snapshots go."""
    return tmp_path / "home" / "snapshots"


@pytest.fixture
def changing(make_source: Make) -> Callable[[int], Changing]:
    """A source that changes so many times while it is read."""

    def make(changes: int) -> Changing:
        plain = make_source()
        source = Changing(plain._options, folder=plain._folder, clock=plain._clock)
        source.changes = changes
        return source

    return make


def test_snapshot_counts_what_it_holds(make_source: Make, base: Path) -> None:
    """Rows kept, customers upstream, and the distinct customers of every segment."""
    source = make_source()

    snapshot = take_snapshot(source, NEEDS, base)

    assert (snapshot.profiles, snapshot.customers) == (2, 3)
    assert snapshot.columns == ("EMail",)
    assert snapshot.segments == {"News": 1, "Vip": 3}
    assert snapshot.version == source.version()
    assert load_snapshot(snapshot.folder) == snapshot


def test_snapshot_is_private(make_source: Make, base: Path) -> None:
    """Nobody but the owner can read people's data."""
    snapshot = take_snapshot(make_source(), NEEDS, base)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in snapshot.folder.iterdir()}

    assert stat.S_IMODE(snapshot.folder.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        ["profiles.parquet", "membership.parquet", "customers.parquet", "manifest.json"], 0o600
    )


def test_the_same_refresh_is_read_once(changing: Callable[[int], Changing], base: Path) -> None:
    """A second run on the same version and needs reuses the snapshot."""
    source = changing(0)

    first, second = (take_snapshot(source, NEEDS, base) for _ in range(2))

    assert first == second
    assert source.reads == 1


def test_other_needs_are_another_snapshot(make_source: Make, base: Path) -> None:
    """A snapshot that lacks a column that is needed now is not reused."""
    first = take_snapshot(make_source(), NEEDS, base)

    second = take_snapshot(make_source(), Needs(columns=("EMail", "FirstName"), segments=("Vip",)), base)

    assert second.folder != first.folder
    assert second.version == first.version


def test_a_source_that_changes_is_read_again(changing: Callable[[int], Changing], base: Path) -> None:
    """What was read while the source changed is thrown away."""
    source = changing(2)

    snapshot = take_snapshot(source, NEEDS, base)

    assert source.reads == 3
    assert snapshot.version == source.version()
    assert list(base.iterdir()) == [snapshot.folder]


def test_a_source_that_never_rests_is_left_for_later(changing: Callable[[int], Changing], base: Path) -> None:
    """After the last attempt the run ends with exit 4 and nothing is left behind."""
    with pytest.raises(RunLaterError, match="3 times in a row") as caught:
        take_snapshot(changing(99), NEEDS, base)

    assert (caught.value.code, caught.value.exit_code) == ("source_changing", 4)
    assert list(base.iterdir()) == []


def test_a_failure_while_the_source_changes_is_tried_again(
    make_source: Make, base: Path, folder: Path
) -> None:
    """Half a refresh may look like a broken file; it is read again when it is whole."""
    whole = (folder / "membership.csv").read_bytes()
    source = make_source()

    class Mending(FilesSource):
        def read(self, needs: Needs, into: Path, *, memory_limit: str = "400MB") -> None:
            try:
                super().read(needs, into, memory_limit=memory_limit)
            except FixDataError:
                (folder / "membership.csv").write_bytes(whole)
                raise

    (folder / "membership.csv").write_bytes(whole[:-5])

    snapshot = take_snapshot(Mending(source._options, folder=folder, clock=source._clock), NEEDS, base)

    assert snapshot.segments == {"News": 1, "Vip": 3}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        pytest.param("CustomerId,EMail\nc1\n", FixDataError, id="malformed"),
        pytest.param("CustomerId,Mail\n", FixConfigError, id="column missing"),
    ],
)
def test_a_failed_read_leaves_nothing(
    make_source: Make, base: Path, folder: Path, content: str, error: type[PipelineError]
) -> None:
    """A source that cannot be read leaves no folder, complete or not."""
    (folder / "profiles.csv").write_text(content, encoding="utf-8")

    with pytest.raises(error):
        take_snapshot(make_source(), NEEDS, base)

    assert list(base.iterdir()) == []


def test_a_source_that_is_not_ready_is_not_read(make_source: Make, base: Path, folder: Path) -> None:
    """The refusal comes before anything is written; a person may override it."""
    now = (folder / "profiles.csv").stat().st_mtime + 1

    with pytest.raises(NotReady):
        take_snapshot(make_source(clock=lambda: now), NEEDS, base)

    assert not base.exists()
    assert take_snapshot(make_source(clock=lambda: now), NEEDS, base, settle=False).profiles == 2


@pytest.mark.parametrize("damage", ["delete", "change", "no manifest", "other format"])
def test_damaged_snapshots_are_not_used(make_source: Make, base: Path, damage: str) -> None:
    """A file that is missing or not the one the manifest describes is an error, and the next run makes a new one."""
    snapshot = take_snapshot(make_source(), NEEDS, base)
    manifest = snapshot.folder / "manifest.json"
    if damage == "delete":
        snapshot.customers_path.unlink()
    elif damage == "change":
        snapshot.profiles_path.write_bytes(snapshot.profiles_path.read_bytes() + b"x")
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 0}))

    with pytest.raises(FixDataError) as caught:
        load_snapshot(snapshot.folder)

    assert caught.value.code == "snapshot_not_good"
    assert take_snapshot(make_source(), NEEDS, base) == snapshot


def test_prune_keeps_the_newest_and_what_is_not_ours(make_source: Make, base: Path) -> None:
    """Only complete snapshots and the drafts of killed processes are ever deleted."""
    needs = [Needs(columns=(column,), segments=("Vip",)) for column in ("CustomerId", "EMail", "FirstName")]
    snapshots = [take_snapshot(make_source(), need, base) for need in needs]
    for age, snapshot in enumerate(snapshots):
        os.utime(snapshot.folder / "manifest.json", (1000 - age, 1000 - age))
    take_snapshot(make_source(), needs[2], base)  # used again: the newest now
    foreign = [base / "notes", base / f"{snapshots[0].folder.name}-copy", base / ".something.partial"]
    old, young = (base / f".{snapshots[0].folder.name}.0000000{n}.partial" for n in (1, 2))
    for path in (*foreign, old, young):
        path.mkdir()
    os.utime(old, (time.time() - 2 * 86400,) * 2)

    prune(base, 2)

    kept = {snapshots[0].folder, snapshots[2].folder, *foreign, young}
    assert set(base.iterdir()) == kept


def test_pruning_nothing_is_fine(base: Path) -> None:
    """A home without snapshots is not an error."""
    prune(base, 3)

    assert not base.exists()


def test_errors_hold_nothing_of_a_person(make_source: Make, base: Path, folder: Path) -> None:
    """No address or name from a bad row is in the error, its context or its text."""
    (folder / "profiles.csv").write_text(
        "CustomerId,EMail\nc1,ada@contoso-mail.internal,Lovelace\n", encoding="utf-8"
    )

    with pytest.raises(FixDataError) as caught:
        take_snapshot(make_source(), NEEDS, base)

    chain: list[Any] = [caught.value]
    while chain[-1] is not None:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    assert all(
        "Lovelace" not in f"{error} {error!r}" and "ada@" not in f"{error} {error!r}" for error in chain
    )


def test_a_home_that_cannot_be_written_is_named(make_source: Make, tmp_path: Path) -> None:
    """The folder, the reason and the variable that changes it."""
    (tmp_path / "home").write_text("a file, not a folder")

    with pytest.raises(FixConfigError, match="snapshots cannot be written") as caught:
        take_snapshot(make_source(), NEEDS, tmp_path / "home" / "snapshots")

    assert caught.value.code == "home_not_writable"
    assert "CI_MAILCHIMP_HOME" in caught.value.fix


def test_a_full_disk_means_run_later(tmp_path: Path) -> None:
    """Nothing is wrong with the configuration when the disk is full."""
    error = unwritable(OSError(errno.ENOSPC, "No space left on device"), tmp_path)

    assert (error.code, error.exit_code) == ("disk_full", 4)


def test_snapshot_of_a_faster_process_is_used_and_left_alone(
    make_source: Make, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two processes that read one refresh at once, the second neither touches nor unmakes the first's files."""
    sha256, begun = artifacts._sha256, []
    others: list[tuple[Path, int]] = []

    def slow(path: Path) -> str:
        if not begun:  # about to publish: the other process reads and publishes all of it now
            begun.append(path)
            others.extend(files(take_snapshot(make_source(), NEEDS, base).folder))
        return sha256(path)

    def files(folder: Path) -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_ino) for path in folder.iterdir())

    monkeypatch.setattr(artifacts, "_sha256", slow)
    snapshot = take_snapshot(make_source(), NEEDS, base)

    assert others
    assert files(snapshot.folder) == others
