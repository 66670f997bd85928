"""``up``: Dagster's page and daemon, from the first line to the last process."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest
import yaml

PROGRAM = str(Path(sys.executable).with_name("ci-mailchimp"))
ROOT = Path(__file__).parents[2]
LOCATION = "ci_mailchimp_pipeline"
STOPS_WITHIN = 60  # seconds; a few where nothing else runs
LOCATION_ENTRY = """{ workspaceOrError { ... on Workspace { locationEntries { name locationOrLoadError {
    __typename ... on PythonError { message cause { message } }
    ... on RepositoryLocation { repositories { pipelines { name } } } } } } } }"""
RELOAD = (
    """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"""
)


@dataclass
class Up:
    """``ci-mailchimp up`` in a folder, its terminal in two files' stead."""

    process: "subprocess.Popen[str]"
    errors: Path
    seen: dict[int, psutil.Process] = field(default_factory=dict)

    def url(self) -> str:
        """Where the page is; the line comes when it answers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.look()
        assert line.startswith("Dagster's page: "), self.errors.read_text()
        return line.split()[-1]

    def look(self) -> list[psutil.Process]:
        """Remember every process that it has started so far."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.seen |= {child.pid: child for child in children}
        return children

    def left(self) -> list[str]:
        """The processes that outlived it."""
        outlived = []
        for each in self.seen.values():
            with suppress(psutil.NoSuchProcess):  # ended, or a zombie, while it was asked
                if each.is_running() and each.status() != psutil.STATUS_ZOMBIE:
                    outlived.append(" ".join(each.cmdline()))
        return outlived


def _ask(url: str, query: str, **variables: str) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"{url}/graphql", body, {"Content-Type": "application/json"})
    with urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)["data"]
    return found


def _location(url: str) -> dict[str, Any]:
    (entry,) = _ask(url, LOCATION_ENTRY)["workspaceOrError"]["locationEntries"]
    assert entry["name"] == LOCATION
    found: dict[str, Any] = entry["locationOrLoadError"]
    return found


@pytest.fixture
def start(terminal: Any, tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start it in the project's folder; whatever is left of it goes with the test."""
    started: list[Up] = []

    def begin(**more: Any) -> Up:
        errors = tmp_path / "terminal.txt"
        with errors.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [PROGRAM, "up", "--port", "0"], cwd=terminal.project.folder, env=terminal.environ,
                stdout=subprocess.PIPE, stderr=file, text=True, **more,
            )  # fmt: skip
        started.append(Up(process, errors))
        return started[-1]

    yield begin
    for each in started:
        if each.process.poll() is None:
            each.look()
            each.process.kill()
        each.process.communicate()
        for child in each.seen.values():
            if child.is_running():
                child.kill()


@pytest.mark.slow
def test_up_brings_the_page_up_and_sigterm_ends_all_of_it(terminal: Any, start: Callable[..., Up]) -> None:
    """The page knows the export's job, and runs know the page; afterwards no process is left, the home is private."""
    up = start()
    url = up.url()

    location = _location(url)
    with urlopen(f"{url}/server_info", timeout=30) as answer:
        assert "dagster_version" in json.load(answer)
    up.look()
    told = {child.environ().get("CI_MAILCHIMP_PAGE") for child in up.seen.values()}
    up.process.send_signal(signal.SIGTERM)
    code = up.process.wait(STOPS_WITHIN)

    assert location["__typename"] == "RepositoryLocation"
    assert told == {url}
    assert "Warning" not in up.errors.read_text()
    assert "vip" in {job["name"] for job in location["repositories"][0]["pipelines"]}
    assert (code, up.left()) == (0, [])
    assert len(up.seen) >= 4
    home = terminal.project.folder / ".ci_mailchimp"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home, home / "dagster")] == [0o700, 0o700]
    private = [path for path in (home / "dagster").rglob("*") if path.is_file()]
    assert private
    assert [path for path in private if path.stat().st_mode & 0o077] == []


@pytest.mark.deployment
def test_broken_file_keeps_no_page_from_coming_up_and_a_dead_part_ends_all(
    terminal: Any, start: Callable[..., Up]
) -> None:
    """The mistake is on the terminal and on the page; mended and reloaded, it is gone. Dead daemon: exit 4."""
    path = terminal.project.folder / "exports.yaml"
    sound = path.read_text(encoding="utf-8")
    path.write_text(sound.replace("audience_id", "audience_idd"), encoding="utf-8")
    settings = terminal.project.folder / ".ci_mailchimp" / "dagster" / "dagster.yaml"
    settings.parent.mkdir(parents=True)
    settings.write_text("telemetry: {enabled: false}  # mine\n", encoding="utf-8")
    up = start()
    url = up.url()

    broken = _location(url)
    path.write_text(sound, encoding="utf-8")
    _ask(url, RELOAD, name=LOCATION)
    mended = _location(url)
    (daemon,) = (child for child in up.look() if "dagster._daemon" in child.cmdline())
    daemon.kill()
    code = up.process.wait(STOPS_WITHIN)

    assert "Did you mean 'audience_id'?" in up.errors.read_text()
    assert broken["__typename"] == "PythonError"
    assert "Did you mean 'audience_id'?" in broken["cause"]["message"]
    assert mended["__typename"] == "RepositoryLocation"
    assert (code, up.left()) == (4, [])
    assert "ended by itself" in up.errors.read_text()
    assert settings.read_text(encoding="utf-8") == "telemetry: {enabled: false}  # mine\n"


@pytest.mark.deployment
def test_killed_up_leaves_nothing_behind(start: Callable[..., Up]) -> None:
    """SIGKILL lets it end nothing itself: page, daemon and code server notice, and end by themselves."""
    up = start()
    up.url()

    up.process.kill()
    deadline = time.monotonic() + STOPS_WITHIN
    while up.left() and time.monotonic() < deadline:
        os.sched_yield()

    assert len(up.seen) >= 4
    assert up.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_before_the_page_is_there_ends_all_of_it(
    start: Callable[..., Up], number: signal.Signals
) -> None:
    """Also as a background job of a shell that lets its jobs ignore Ctrl-C."""
    up = start(preexec_fn=_ignoring_ctrl_c)
    deadline = time.monotonic() + STOPS_WITHIN
    while not up.look() and time.monotonic() < deadline:
        os.sched_yield()

    up.process.send_signal(number)
    code = up.process.wait(STOPS_WITHIN)

    assert up.seen
    assert (code, up.left()) == (0, [])


def _ignoring_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_port_that_is_taken_is_said_at_once(terminal: Any) -> None:
    """Exit 2 with the port and a way out; nothing is started or written."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        said = terminal.say("up", "--port", str(port))

    assert said.code == 2
    assert f"cannot listen on 127.0.0.1 port {port}" in said.err
    assert "fix: choose another --port" in said.err
    assert not (terminal.project.folder / ".ci_mailchimp").exists()


def test_file_that_is_not_there_is_no_page(terminal: Any) -> None:
    """Without exports.yaml there is nothing to show: exit 2, and how to name the file."""
    (terminal.project.folder / "exports.yaml").unlink()

    said = terminal.say("up", "--port", "0")

    assert said.code == 2
    assert "--config FILE" in said.err


def test_home_that_cannot_be_made_is_said(terminal: Any, tmp_path: Path) -> None:
    """A file where the state folder should be: exit 2, and which variable names another."""
    (tmp_path / "file").write_text("")
    terminal.environ["CI_MAILCHIMP_HOME"] = str(tmp_path / "file" / "home")

    said = terminal.run("up", "--port", "0")

    assert said.code == 2
    assert "CI_MAILCHIMP_HOME" in said.err


def test_up_loads_what_the_workspace_of_the_repository_loads() -> None:
    """Page and sensors know the code location by one name, however Dagster was started."""
    from ci_mailchimp_pipeline.orchestration.home import WORKSPACE

    shipped, ours = (yaml.safe_load(path.read_bytes()) for path in (WORKSPACE, ROOT / "workspace.yaml"))
    dg = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]

    assert shipped == ours
    (module,) = (each["python_module"] for each in ours["load_from"])
    assert module == {
        "module_name": dg["code_location_target_module"], "location_name": dg["code_location_name"],
    }  # fmt: skip
