"""A desk at which somebody asks why a person is, or is not, in the audience."""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project
from kept_frame import keep_frame

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.testing import Emulator


@dataclass
class Desk:
    """A project whose runs leave their frame as Dagster's do, and the questions about it."""

    project: Project

    def run(self, export: str = "vip", **more: Any) -> Report:
        """Run an export; its frame is the newest afterwards."""
        report = self.project.run(export, **more)
        keep_frame(self.project, export)
        return report

    def say(self, *arguments: str, typed: str | None = None) -> Any:
        """What the command prints, and how it ends."""
        config = str(self.project.folder / "exports.yaml")
        done = CliRunner().invoke(
            app, ["--config", config, "explain", *arguments], env=self.project.environ, input=typed
        )
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def ask(self, address: str, export: str = "vip") -> dict[str, Any]:
        """The document about one person."""
        done = self.say(export, address, "--json")
        assert done.exit_code == 0, done.output
        document: dict[str, Any] = json.loads(done.stdout)
        assert document["error"] is None
        assert [step["step"] for step in document["steps"]] == [
            "source", "segment", "frame", "ledger", "mailchimp",
        ]  # fmt: skip
        return document

    def verdict(self, address: str, export: str = "vip") -> tuple[str, str | None]:
        """The verdict and its reason."""
        document = self.ask(address, export)
        return document["verdict"], document["reason"]

    def step(self, address: str, name: str) -> tuple[bool, str]:
        """What one step says."""
        (step,) = (each for each in self.ask(address)["steps"] if each["step"] == name)
        return step["found"], step["says"]


@pytest.fixture
def desk(tmp_path: Path, mailchimp_emulator: Emulator) -> Desk:
    """A project without people, and an empty audience."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.write()
    return Desk(project)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], str]:
    """Everything that any logger of the program said so far; the local Mailchimp's own server is none of it."""
    caplog.set_level(logging.DEBUG)
    return lambda: "\n".join(
        record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")
    )
