"""The program itself, in this process or in one of its own."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project, address

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.testing import Emulator

PROGRAM = [str(Path(sys.executable).with_name("ci-mailchimp"))]


@dataclass
class Said:
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """Stdout, all of it, as the JSON document it has to be."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Terminal:
    """A user's terminal in the folder of a project."""

    project: Project
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> str:
        """The path of exports.yaml."""
        return str(self.project.folder / "exports.yaml")

    def say(self, *arguments: str) -> Said:
        """Run a command in this process, with the project's configuration: for what needs no signals."""
        return self.say_bare("--config", self.config, *arguments)

    def say_bare(self, *arguments: str) -> Said:
        """The same of exactly these arguments."""
        done = CliRunner().invoke(app, arguments, env=self.environ)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Said(done.exit_code, done.stdout, done.stderr)

    def start(self, *arguments: str, **more: Any) -> subprocess.Popen[str]:
        """Start the installed program."""
        return subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=self.project.folder,
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )

    def run(self, *arguments: str) -> Said:
        """Run the installed program to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=180)
        return Said(process.returncode, out, err)


@pytest.fixture
def bare_environment(machine_environment: dict[str, str]) -> dict[str, str]:
    """The machine's environment without anything of ours, and without proxies."""
    ours = ("CI_MAILCHIMP_", "MAILCHIMP_", "DAGSTER_HOME")
    return {
        name: value
        for name, value in machine_environment.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }


@pytest.fixture
def terminal(tmp_path: Path, mailchimp_emulator: Emulator, bare_environment: dict[str, str]) -> Terminal:
    """A project of 30 customers, two of them unfit, one unsubscribed; the key is in the environment."""
    mailchimp_emulator.add_audience(AUDIENCE)
    mailchimp_emulator.add_member(AUDIENCE, address(0), status="unsubscribed", cause="contact")
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(30))
    project.customer("x1", "not.an.address")
    project.customer("x2", "")
    project.write()
    return Terminal(project, {**bare_environment, **project.environ})


@pytest.fixture
def background() -> Iterator[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
    """Processes that are ended with the test, however it ends."""
    started: list[subprocess.Popen[str]] = []

    def keep(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
        started.append(process)
        return process

    yield keep
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
