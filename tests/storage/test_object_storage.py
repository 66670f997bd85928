"""Frames and snapshots in a place that machines share: nothing else goes from one step to the next."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from harness import API_KEY, AUDIENCE, Project, address

from ci_mailchimp_pipeline.artifacts import MANIFEST
from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.orchestration import folders
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.storage import EXTRAS, Store, open_store
from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = 15
UPSTREAM = ("unified_profiles", "segment_membership")
FRAME, SYNC = "vip/export_frame", "vip/mailchimp_sync"
SILENT = dg.RunConfig(loggers={"console": {"config": {"log_level": "CRITICAL"}}})
STEP = """
import sys
import dagster as dg
from ci_mailchimp_pipeline.definitions import defs

with dg.DagsterInstance.ephemeral() as instance:
    done = defs().resolve_job_def("vip").execute_in_process(
        instance=instance, raise_on_error=False,
        asset_selection=[dg.AssetKey(key.split("/")) for key in sys.argv[1:]],
    )
sys.exit(not done.success)
"""


@pytest.fixture
def project(tmp_path: Path, mailchimp_emulator: Emulator) -> Project:
    """Fifteen customers; the key is in a file beside the declaration."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(PEOPLE))
    (tmp_path / "mailchimp.key").write_text(API_KEY)
    project.connection["api_key"] = {"file": "mailchimp.key"}
    project.write()
    return project


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Dagster's records, in memory."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Another folder, or a place in memory."""
    if request.param == "file":
        yield (tmp_path / "shared").as_uri()
        return
    yield f"memory://{tmp_path.name}"
    MemoryFileSystem.store.clear()


def _on(machine: str, project: Project, url: str) -> Config:
    """The configuration as it is on a machine with a home of its own."""
    environ = {
        "CI_MAILCHIMP_LEDGER": f"sqlite:///{project.folder / 'ledger.sqlite'}",
        **project.environ,
        "CI_MAILCHIMP_HOME": str(project.folder / machine),
        "CI_MAILCHIMP_FRAMES": url,
    }
    return load_config(project.folder / "exports.yaml", environ=environ)


def _run(config: Config, instance: dg.DagsterInstance, *keys: str) -> bool:
    job = build_definitions(config).resolve_job_def("vip")
    done = job.execute_in_process(
        instance=instance, raise_on_error=False, run_config=SILENT,
        asset_selection=[dg.AssetKey(key.split("/")) for key in keys] or None,
    )  # fmt: skip
    return done.success


def _shared(url: str, *names: str) -> set[str]:
    return set(open_store(url).names("/".join(names)))


def test_sync_on_another_machine_finds_frame_and_snapshot(
    project: Project, url: str, instance: dg.DagsterInstance
) -> None:
    """The first machine is gone, the source is gone: the second one sends what the first one made."""
    made = _run(_on("one", project, url), instance, *UPSTREAM, FRAME)
    shutil.rmtree(project.folder / "one")
    shutil.rmtree(project.folder / "data")

    sent = _run(_on("two", project, url), instance, SYNC)

    assert (made, sent) == (True, True)
    assert set(project.members()) == {address(number) for number in range(PEOPLE)}
    brought = [path for path in (project.folder / "two").rglob("*") if path.is_file()]
    assert brought
    assert [path for path in brought if path.stat().st_mode & 0o077] == []


def test_frame_on_another_machine_finds_the_snapshot(
    project: Project, url: str, instance: dg.DagsterInstance
) -> None:
    """Upstream on one machine, frame and sync on another."""
    read = _run(_on("one", project, url), instance, *UPSTREAM)
    shutil.rmtree(project.folder / "one")
    shutil.rmtree(project.folder / "data")

    sent = _run(_on("two", project, url), instance, FRAME, SYNC)

    assert (read, sent) == (True, True)
    assert len(project.members()) == PEOPLE


def test_newest_shared_frame_is_sent_not_the_newest_here(
    project: Project, url: str, instance: dg.DagsterInstance
) -> None:
    """A machine with a frame of its own takes the newer one of another machine."""
    assert _run(_on("one", project, url), instance, *UPSTREAM, FRAME)
    project.customer("late", "late@contoso-mail.internal")
    project.write()
    assert _run(_on("two", project, url), instance, *UPSTREAM, FRAME)

    assert _run(_on("one", project, url), instance, SYNC)

    assert "late@contoso-mail.internal" in project.members()


def test_frame_that_is_not_shared_whole_is_not_there(
    project: Project, url: str, instance: dg.DagsterInstance
) -> None:
    """Without its verdict, which is written last, a shared frame counts as absent."""
    config = _on("one", project, url)
    assert _run(config, instance, *UPSTREAM, FRAME)
    (run,) = _shared(url, "frames", "vip")
    store = open_store(url)
    store.files.rm(f"{store.root}/frames/vip/{run}/{folders.VERDICT}")

    sent = _run(_on("two", project, url), instance, SYNC)

    assert not sent
    assert project.members() == {}


def test_old_frames_and_snapshots_go_the_rest_stays(
    project: Project, url: str, instance: dg.DagsterInstance
) -> None:
    """Three frames stay, with the snapshots they were made from; what is none of ours is not touched."""
    store = open_store(url)
    (project.folder / "mine").mkdir()
    (project.folder / "mine" / "notes.txt").write_text("mine")
    store.put(project.folder / "mine", "frames/vip/mine", last="notes.txt")
    for number in range(5):
        project.customer(f"n{number}", f"n{number}@contoso-mail.internal")
        project.write()
        assert _run(_on("one", project, url), instance)

    runs = _shared(url, "frames", "vip") - {"mine"}
    assert len(runs) == folders.KEEP
    assert store.read("frames/vip/mine", "notes.txt") == b"mine"
    snapshots = _shared(url, "snapshots")
    assert len(snapshots) == folders.KEEP
    used = {json.loads(store.read(f"frames/vip/{run}", folders.VERDICT) or b"")["snapshot"] for run in runs}
    assert used == snapshots


def test_same_content_is_shared_once(project: Project, url: str, instance: dg.DagsterInstance) -> None:
    """A second machine that reads the same refresh leaves the shared snapshot as it is."""
    assert _run(_on("one", project, url), instance, *UPSTREAM)
    (name,) = _shared(url, "snapshots")
    before = open_store(url).age_key(f"snapshots/{name}", MANIFEST)

    assert _run(_on("two", project, url), instance, *UPSTREAM)

    assert _shared(url, "snapshots") == {name}
    assert open_store(url).age_key(f"snapshots/{name}", MANIFEST) == before


class _Failing(MemoryFileSystem):
    """Storage that fails at the n-th file, in words that quote a secret."""

    cachable = False
    left = 0

    def put_file(self, lpath: str, rpath: str, **more: Any) -> None:
        """Store a file, unless it is the n-th."""
        self.left -= 1
        if self.left < 0:
            raise OSError("https://key:hunter2@storage answered no")
        super().put_file(lpath, rpath, **more)


@pytest.mark.parametrize("whole", [0, 1, 2])
def test_interrupted_upload_is_absent_and_its_error_says_nothing_secret(tmp_path: Path, whole: int) -> None:
    """However many files arrived: the folder is not there, and the error is one to run again for."""
    for name in ("a", "b", "last"):
        (tmp_path / name).write_text(name)
    files = _Failing()
    files.left = whole
    store = Store(protocol="s3", root=f"/{tmp_path.name}", files=files)

    with pytest.raises(RunLaterError) as caught:
        store.put(tmp_path, "frames/x", last="last")

    assert caught.value.code == "storage_unreachable"
    assert "hunter2" not in str(caught.value) + repr(store)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert not store.get("frames/x", tmp_path / "here", last="last")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("protocol", ["s3", "abfs", "gs"])
def test_missing_library_names_the_extra(protocol: str) -> None:
    """Exit 2, and what to install."""

    def find(_url: str) -> tuple[Any, str]:
        raise ImportError("Install something")

    with pytest.raises(FixConfigError) as caught:
        open_store(f"{protocol}://key:hunter2@bucket/path", find=find)

    assert caught.value.code == "storage_needs_extra"
    assert caught.value.fix == f"pip install 'ci-mailchimp-pipeline[{EXTRAS[protocol]}]'"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["nowhere://key:hunter2@x", "just/a/path", "://", "s4:"])
def test_url_that_nobody_knows_is_refused(url: str) -> None:
    """Exit 2, and the URLs that are known; the URL itself may hold a password."""
    with pytest.raises(FixConfigError) as caught:
        open_store(url)

    assert caught.value.code == "unknown_storage"
    assert "hunter2" not in str(caught.value)


def test_storage_that_forbids_is_a_matter_of_configuration(tmp_path: Path) -> None:
    """Exit 2: again would fail the same way."""

    class Forbidding(MemoryFileSystem):
        cachable = False

        def ls(self, *_path: str, **_more: Any) -> Any:
            raise PermissionError("no")

    with pytest.raises(FixConfigError) as caught:
        Store(protocol="s3", root=f"/{tmp_path.name}", files=Forbidding()).names("frames")

    assert caught.value.code == "storage_not_permitted"


def test_extras_exist() -> None:
    """Every extra that a message names is one of the package."""
    import tomllib

    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")

    assert set(EXTRAS.values()) <= set(tomllib.loads(text)["project"]["optional-dependencies"])


@pytest.fixture
def bucket() -> Iterator[dict[str, str]]:
    """An S3 server on this machine with a bucket, as the environment that finds it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    make = "import fsspec; fsspec.filesystem('s3').mkdir('frames-of-contoso')"
    subprocess.run([sys.executable, "-c", make], env={**os.environ, **found}, check=True, timeout=120)
    yield found
    server.stop()


@pytest.mark.slow
def test_steps_in_two_processes_share_the_url_and_the_ledger_alone(
    project: Project, machine_environment: dict[str, str], bucket: dict[str, str]
) -> None:
    """Different homes, different Dagster records, the first home deleted before the second process starts."""
    clean = {
        name: value for name, value in machine_environment.items() if not name.lower().endswith("_proxy")
    }
    environ = clean | {
        "CI_MAILCHIMP_CONFIG": str(project.folder / "exports.yaml"),
        "CI_MAILCHIMP_LEDGER": f"sqlite:///{project.folder / 'ledger.sqlite'}",
        "CI_MAILCHIMP_FRAMES": "s3://frames-of-contoso/prod",
        **project.environ,
        **bucket,
    }

    def step(machine: str, *keys: str) -> "subprocess.CompletedProcess[str]":
        home = {"CI_MAILCHIMP_HOME": str(project.folder / machine)}
        return subprocess.run(
            [sys.executable, "-c", STEP, *keys], env=environ | home, cwd=project.folder, capture_output=True,
            text=True, timeout=240, check=False,
        )  # fmt: skip

    made = step("one", *UPSTREAM, FRAME)
    assert made.returncode == 0, made.stderr[-3000:]
    shutil.rmtree(project.folder / "one")
    shutil.rmtree(project.folder / "data")
    sent = step("two", SYNC)

    assert sent.returncode == 0, sent.stderr[-3000:]
    assert set(project.members()) == {address(number) for number in range(PEOPLE)}
    assert "contoso-mail.internal" not in (made.stderr + sent.stderr).replace("ben@contoso-mail.internal", "")
