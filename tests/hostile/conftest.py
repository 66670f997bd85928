"""A project whose clients do not wait, and the installed program beside it."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import AUDIENCE, Project
from promises.promised import hurried

from ci_mailchimp_pipeline.testing import Emulator

PROGRAM = str(Path(sys.executable).with_name("ci-mailchimp"))


@pytest.fixture
def project(tmp_path: Path, mailchimp_emulator: Emulator) -> Project:
    """An empty audience and an empty source."""
    mailchimp_emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME", "CITY"])
    return Project(folder=tmp_path, emulator=mailchimp_emulator, connect=hurried)


@pytest.fixture
def start(
    project: Project, machine_environment: dict[str, str]
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the program in the project's folder; whatever still runs afterwards is ended."""
    ours = ("CI_MAILCHIMP_", "MAILCHIMP_", "DAGSTER_HOME")
    environ = {
        name: value
        for name, value in machine_environment.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }
    started: list[subprocess.Popen[str]] = []

    def program(*arguments: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [PROGRAM, *arguments],
            cwd=project.folder,
            env={**environ, **project.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **more,
        )
        started.append(process)
        return process

    yield program
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
