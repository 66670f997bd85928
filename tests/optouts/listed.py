"""A list of opt-outs, read again and again, by the command and without it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from click.testing import CliRunner
from harness import Project
from kept_frame import keep_frame

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.pipeline.opt_outs import OptOuts, list_opt_outs


@dataclass
class Listed:
    """A project, and who of its customers may no longer be mailed."""

    project: Project

    def run(self) -> None:
        """Run the export, and leave its frame as Dagster's runs do."""
        self.project.run()
        keep_frame(self.project)

    def read(self, *, full: bool = False, frame: Path | None = None) -> OptOuts:
        """Read the list, without the command line; by default from the ledger alone."""
        config = self.project.write()
        with (
            self.project.connect(config, config.exports["vip"], self.project.environ) as client,
            open_ledger(config.home, config.ledger_url, read_only=True) as ledger,
        ):
            return list_opt_outs(
                config, config.exports["vip"], client=client, ledger=ledger, frame=frame, full=full
            )

    def say(self, *arguments: str) -> Any:
        """What the command prints, and how it ends."""
        config = str(self.project.folder / "exports.yaml")
        done = CliRunner().invoke(app, ["--config", config, "optouts", *arguments], env=self.project.environ)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    def document(self, *arguments: str) -> dict[str, Any]:
        """The JSON document."""
        done = self.say("vip", "--json", *arguments)
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def requests(self) -> list[dict[str, Any]]:
        """Requests since the last question, all of them reads."""
        found = self.project.emulator.requests()
        assert {each["method"] for each in found} <= {"GET"}
        self.project.emulator.forget_requests()
        return found


def rows(found: OptOuts) -> list[tuple[Any, ...]]:
    """The list as it is in its file."""
    return pl.read_parquet(found.path).rows()
