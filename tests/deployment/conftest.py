"""Dagster as it is deployed: page and daemon as processes of their own, over a project of two exports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import dagster as dg
import pytest
import yaml
from harness import API_KEY, AUDIENCE, Project

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.orchestration.home import SETTINGS, dagster_home, prepare_home
from ci_mailchimp_pipeline.testing import Emulator

OTHER = "b1b2c3d4e5"
SENSORS = {"upstream_refresh", "vip_on_refresh", "news_on_refresh"}
QUICK = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: op}
run_monitoring:
  {enabled: true, start_timeout_seconds: 60, cancel_timeout_seconds: 20, poll_interval_seconds: 2,
   free_slots_after_run_end_seconds: 2}
run_retries: {enabled: false}
"""
LOCATION = "ci_mailchimp_pipeline.definitions"
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
    """The project, the processes, and what they did."""

    project: DeployedProject
    config: Config
    instance: dg.DagsterInstance
    environment: dict[str, str]
    port: int
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start ``webserver`` or ``daemon``; signals as a shell gives them, else Dagster ignores SIGTERM."""
        words = {
            "webserver": ["dagster_webserver", "-h", "127.0.0.1", "-p", str(self.port), "-m", LOCATION],
            "daemon": ["dagster._daemon", "run", "-m", LOCATION],
        }[name]
        with (self.project.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *words],
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
        return self.ask(query, name=LOCATION)["reloadRepositoryLocation"]

    def materialize(self, export: str) -> None:
        """Press Materialize on the job of *export*."""
        query = """mutation($params: ExecutionParams!) { launchPipelineExecution(executionParams: $params) {
            __typename } }"""
        selector = {
            "repositoryLocationName": LOCATION, "repositoryName": "__repository__", "pipelineName": export,
        }  # fmt: skip
        answer = self.ask(query, params={"selector": selector, "runConfigData": {}, "mode": "default"})
        assert answer["launchPipelineExecution"]["__typename"] == "LaunchRunSuccess"

    def terminate(self, run: dg.DagsterRun) -> None:
        """Press Terminate."""
        query = """mutation($id: String!) { terminateRun(runId: $id) { __typename } }"""
        assert self.ask(query, id=run.run_id)["terminateRun"]["__typename"] == "TerminateRunSuccess"

    def refresh(self, *numbers: int) -> None:
        """Write a refresh with these customers more, for both exports."""
        self.project.customers(numbers, "Vip", "News")
        self.config = self.project.write()

    def runs(self, job: str | None = None, **tags: str) -> list[dg.DagsterRun]:
        """Runs of a job, the oldest first; tags without their prefix."""
        wanted = {f"ci_mailchimp/{name}": value for name, value in tags.items()}
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job, tags=wanted)))[::-1]

    def ticks(self, sensor: str) -> list[Any]:
        """What the sensor did at its looks, the newest first."""
        states = [each for each in self.instance.all_instigator_state() if each.name == sensor]
        return [
            tick
            for state in states
            for tick in self.instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=50)
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
        raise AssertionError(f"waited {seconds} s in vain: {what}; sensors: {told}")


FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


def _default_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, machine_environment: dict[str, str]
) -> Iterator[Deployment]:
    """Page and daemon over two exports of one account, before any refresh; ended with all their children."""
    folder = tmp_path_factory.mktemp("deployment")
    with Emulator.start(in_process=False) as emulator:
        for audience in (AUDIENCE, OTHER):
            emulator.add_audience(audience)
        project = DeployedProject(folder, emulator)
        (folder / "mailchimp.key").write_text(API_KEY)
        project.connection["api_key"] = {"file": "mailchimp.key"}
        project.segments["News"] = []
        project.export("news", audience_id=OTHER, segments=["News"])
        project.customers(range(20), "Vip", "News")
        config = project.write()
        home = prepare_home(config.home)
        (home / SETTINGS).write_text(QUICK, encoding="utf-8")
        ours = ("CI_MAILCHIMP_", "MAILCHIMP_", "DAGSTER_")
        environment = {key: value for key, value in machine_environment.items() if not key.startswith(ours)}
        environment |= {
            "DAGSTER_HOME": str(home),
            "CI_MAILCHIMP_CONFIG": str(config.path),
            "CI_MAILCHIMP_SENSOR_SECONDS": "1",
            "CI_MAILCHIMP_RETRY_SECONDS": "1",
        }
        with dg.DagsterInstance.from_config(str(dagster_home(config.home))) as instance:
            deployment = Deployment(project, config, instance, environment, _free_port())
            deployment.start("webserver")
            deployment.start("daemon")
            try:
                deployment.until(deployment.is_up, "the page answers")
                deployment.looked(1)
                yield deployment
            finally:
                for name in list(deployment.processes):
                    deployment.kill(name)
