"""Dagster as it is deployed: its programs as processes of their own, over a project of two exports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import dagster as dg
import yaml
from harness import API_KEY, Project

from ci_mailchimp_pipeline.config import Config, load_config

SENSORS = {"upstream_refresh", "vip_on_refresh", "news_on_refresh"}
LOCATION = "ci_mailchimp_pipeline"
FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
Found = TypeVar("Found")


class DeployedProject(Project):
    """A project whose files are complete a second after they were written."""

    def write(self) -> Config:
        """Write the refresh and the declaration, and load it."""
        super().write()
        return self.declare()

    def declare(self) -> Config:
        """Write the declaration alone."""
        path = self.folder / "exports.yaml"
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        document["source"]["settle_seconds"] = 1
        document["exports"] = self.exports
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return load_config(path, environ=self.environ)


@dataclass
class Deployment:
    """The project, the processes, and what they did.

    Attributes:
        programs: The command of each program, after ``python -m``; they start in this order.
    """

    project: DeployedProject
    config: Config
    instance: dg.DagsterInstance
    environment: dict[str, str]
    programs: dict[str, list[str]]
    port: int
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a program; signals as a shell gives them, else Dagster ignores SIGTERM."""
        with (self.project.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *self.programs[name]],
                cwd=self.project.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_default_signals,  # noqa: PLW1509  (it only sets two handlers)
            )

    def kill(self, name: str) -> None:
        """End it and all its children at once."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def ask(self, query: str, **variables: Any) -> Any:
        """Ask the page, as a browser does."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/graphql", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def is_up(self) -> bool:
        """Whether the page answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=5):
                return True
        except OSError:
            return False

    def reload(self) -> Any:
        """Press Reload."""
        query = """mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) {
            __typename ... on WorkspaceLocationEntry { locationOrLoadError { __typename ... on PythonError {
            message cause { message } } } } } }"""
        return self.ask(query, name=LOCATION)["reloadRepositoryLocation"]["locationOrLoadError"]

    def terminate(self, run: dg.DagsterRun) -> None:
        """Press Terminate."""
        query = """mutation($id: String!) { terminateRun(runId: $id) { __typename } }"""
        assert self.ask(query, id=run.run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"

    def say(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Type a command beside the open page."""
        return subprocess.run(
            [sys.executable, "-m", "ci_mailchimp_pipeline", *words],
            cwd=self.project.folder,
            env=self.environment | {"MAILCHIMP_API_KEY": API_KEY},
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    def refresh(self, *numbers: int) -> None:
        """Write a refresh with these customers more, for both exports."""
        self.project.customers(numbers, "Vip", "News")
        self.config = self.project.write()

    def slowly(self, milliseconds: int) -> None:
        """Let Mailchimp take so long for each answer."""
        self.project.emulator.switch(latency_ms=milliseconds)

    def runs(self, job: str | None = None, **tags: str) -> list[dg.DagsterRun]:
        """Runs of a job, the oldest first; tags without their prefix."""
        wanted = {f"ci_mailchimp/{name}": value for name, value in tags.items()}
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job, tags=wanted)))[::-1]

    def writing(self, job: str) -> dg.DagsterRun | None:
        """A run of *job* that is in the middle of its sync."""
        step = f"{job}__mailchimp_sync"
        for run in self.runs(job):
            if run.status != dg.DagsterRunStatus.STARTED:
                continue
            stats = self.instance.get_run_step_stats(run.run_id, [step])
            if any(each.start_time and not each.end_time for each in stats):
                return run
        return None

    def ticks(self, sensor: str) -> list[Any]:
        """What the sensor did at its looks, the newest first."""
        states = [each for each in self.instance.all_instigator_state() if each.name == sensor]
        return [
            tick
            for state in states
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=20)
        ]

    def skips(self, sensor: str) -> list[str]:
        """Why the sensor started nothing, the newest first."""
        return [tick.tick_data.skip_reason for tick in self.ticks(sensor) if tick.tick_data.skip_reason]

    def looked(self, times: int = 2) -> None:
        """Wait until every sensor looked so many times more."""
        before = {name: max([0, *(int(tick.tick_id) for tick in self.ticks(name))]) for name in SENSORS}
        self.until(
            lambda: all(
                sum(int(tick.tick_id) > before[name] for tick in self.ticks(name)) >= times
                for name in SENSORS
            ),
            f"every sensor looked {times} times",
        )

    def quiet(self) -> None:
        """Wait until nothing runs and no sensor wants to start anything."""

        def is_quiet() -> bool:
            states = [run.status for run in self.instance.get_runs()]
            if any(state not in FINISHED for state in states):
                return False
            last = [self.skips(name)[:1] for name in SENSORS]
            return all(skip and ("nothing new" in skip[0] or skip[0].endswith("done")) for skip in last)

        self.until(is_quiet, "nothing runs and all is done")

    def until(self, holds: Callable[[], Found], what: str, seconds: float = 300) -> Found:
        """Wait until something holds, and return it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := holds():
                return found
            time.sleep(0.3)
        told = {name: self.skips(name)[:2] for name in SENSORS}
        states = [(run.job_name, run.status.value, run.tags) for run in self.runs()][-6:]
        raise AssertionError(f"waited {seconds} s in vain: {what}; sensors: {told}; runs: {states}")


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens at."""
    trials = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(trial.getsockname()[1]) for trial in trials]
    for trial in trials:
        trial.close()
    return ports


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
