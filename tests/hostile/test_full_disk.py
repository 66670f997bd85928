"""A disk that fills at any moment: said in words, nothing lost, and the next run ends exactly."""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from harness import Project
from hostile.filling import PEOPLE

from ci_mailchimp_pipeline.artifacts import room_in
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError

BATCHES = -(-PEOPLE // 500)
CONNECTIONS = 4
FILLING = Path(__file__).with_name("filling.py")
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]
# KiB: measured so that the snapshot, the frame, the ledger itself, and the record of an early
# and of a late batch are what finds no room.
SIZES = (100, 460, 520, 820, 1_100)


def failure(project: Project) -> PipelineError | None:
    """The error of a run, wherever it comes out."""
    try:
        return project.run().error
    except PipelineError as error:
        return error


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    trial = [*ALONE, "sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """No file of this process may grow beyond *size* bytes, as with ``ulimit -f``."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
@pytest.mark.sqlite_only
@pytest.mark.skipif(not _may_mount(), reason="no mount namespace here: limited file sizes stand in for it")
def test_a_disk_that_fills_at_any_moment_loses_nothing(tmp_path: Path, project: Project) -> None:
    """On disks of five sizes a run ends with exit 4; with room the next one finishes, in flight repeated at most."""
    emulator = project.emulator
    for size in SIZES:
        emulator.add_audience(f"a{size:09}")
    runs = " && ".join(f'"$0" {FILLING} {phase} "$@"' for phase in ("fill", "again"))

    done = subprocess.run(
        [*ALONE, "sh", "-c", runs, sys.executable, emulator.url, str(tmp_path), *map(str, SIZES)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    first, again = map(json.loads, done.stdout.splitlines())
    assert {(end["code"], end["exit_code"]) for end in first} == {("disk_full", 4), ("ledger_disk_full", 4)}
    assert [(end["code"], end["balanced"]) for end in again] == [("", True)] * len(SIZES)
    for size in SIZES:
        assert len(project.members(f"a{size:09}")) == PEOPLE
        sent = [each for each in emulator.writes() if each["path"].endswith(f"/lists/a{size:09}")]
        assert len(sent) <= BATCHES + CONNECTIONS, size
    assert any(end["unchanged"] for end in again), "no disk was full in the middle of sending"


@pytest.mark.parametrize(
    "size", [500, 25_000, *(pytest.param(size, marks=pytest.mark.sqlite_only) for size in (120_000, 200_000))]
)
def test_limited_file_sizes_lose_nothing(project: Project, size: int) -> None:
    """``ulimit -f`` is a full disk to whoever writes: exit 4, and the next run does the rest."""
    project.customers(range(1_200))
    config = project.write()
    project.write = lambda: config  # type: ignore[method-assign]

    with small_files(size):
        error = failure(project)

    assert error is not None
    assert error.exit_code == 4
    assert error.fix
    again = project.run()
    assert again.status == "success"
    assert len(project.members()) == again.counts.accepted == 1_200
    assert project.writes() <= 3 + CONNECTIONS


def test_a_plan_without_a_temporary_folder_says_which_variable_to_set(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full /tmp is the environment's fault, not ours."""
    project.customers([1])
    config = project.write()
    project.write = lambda: config  # type: ignore[method-assign]
    monkeypatch.setattr(tempfile, "tempdir", None)

    with small_files(0), pytest.raises(FixConfigError) as caught:
        project.plan()

    assert caught.value.code == "no_temporary_folder"
    assert "TMPDIR" in caught.value.fix


def test_a_full_disk_is_known_by_what_each_library_says(tmp_path: Path) -> None:
    """The data frames' library raises an error of its own; it quotes the system's number."""
    with pytest.raises(RunLaterError) as caught, room_in(tmp_path):
        pl.DataFrame({"number": range(100_000)}).write_parquet("/dev/full")

    assert caught.value.code == "disk_full"
    assert caught.value.__suppress_context__
    with pytest.raises(ZeroDivisionError), room_in(tmp_path):
        raise ZeroDivisionError


def test_dagsters_records_without_room_are_no_traceback(
    project: Project, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """What Dagster writes for itself may find no room either: exit 4, in one document, and nothing was sent."""
    project.customers([1])
    project.write()

    process = start(
        "run", "--json", preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
    )
    out, err = process.communicate(timeout=300)

    assert process.returncode == 4, err
    assert json.loads(out)["error"]["code"] in {"dagster_busy", "disk_full"}
    assert "Traceback" not in err
    assert project.writes() == 0
    assert project.run().counts.added == 1
