"""A project of one export, run through Dagster."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from harness import API_KEY, AUDIENCE, Project, address
from orchestration.looks import Page

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.orchestration.launch import open_instance, run_export
from ci_mailchimp_pipeline.orchestration.session import Session, attended
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = 25


def new_project(folder: Path, emulator: Emulator) -> Project:
    """25 customers, two more that cannot be sent, one of the 25 unsubscribed; the key is in a file."""
    emulator.add_audience(AUDIENCE)
    emulator.add_member(AUDIENCE, address(0), status="unsubscribed", cause="contact")
    project = Project(folder, emulator)
    (folder / "mailchimp.key").write_text(API_KEY)
    project.connection["api_key"] = {"file": "mailchimp.key"}
    project.customers(range(PEOPLE))
    project.customer("x1", "not.an.address")
    project.customer("x2", "")
    project.segments["Vip"].append("ghost")
    return project


@dataclass
class Run:
    """How a job ended that ran on an instance of its own."""

    result: dg.ExecuteInProcessResult
    session: Session

    @property
    def report(self) -> Report:
        """What the session was told."""
        assert self.session.report is not None
        return self.session.report

    def checks(self) -> dict[str, bool]:
        """Verdicts by check."""
        found = self.result.get_asset_check_evaluations()
        return {each.check_name: each.passed for each in found}

    def failure(self) -> str:
        """What Dagster shows of the step that failed."""
        (event,) = (each for each in self.result.all_events if each.is_step_failure)
        data = event.step_failure_data
        assert data.user_failure_data is not None
        return str(data.user_failure_data.description)

    def stored(self) -> str:
        """Every event as text, stacks and causes included."""
        return "\n".join(repr(each) for each in self.result.all_events)


@dataclass
class Bench:
    """Runs of a project on an instance in memory."""

    project: Project
    instance: dg.DagsterInstance
    loaded: list[Config] = field(default_factory=list)

    def run(self, *keys: list[str], **chosen: Any) -> Run:
        """Run the job of export vip, or only the assets of *keys*."""
        config = self.project.write()
        session = Session()
        job = build_definitions(config).resolve_job_def("vip")
        with attended(session):
            result = job.execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(key) for key in keys] or None,
                run_config=dg.RunConfig(
                    ops={"vip__mailchimp_sync": SyncConfig(**chosen)}
                    if not keys or ["vip", "mailchimp_sync"] in keys
                    else {},
                    loggers={"console": {"config": {"log_level": "CRITICAL"}}},
                ),
            )
        return Run(result, session)


@pytest.fixture
def bench(tmp_path: Path, mailchimp_emulator: Emulator) -> Iterator[Bench]:
    """A project whose runs are kept in memory."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        yield Bench(new_project(tmp_path, mailchimp_emulator), instance)


@dataclass
class Finished:
    """A project after two runs in its own home, as the command line makes them."""

    project: Project
    config: Config
    instance: dg.DagsterInstance
    first: Report
    second: Report
    steps: list[str]
    progress: list[tuple[int, int]]
    members: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, mailchimp_emulator_server: Emulator
) -> Iterator[Finished]:
    """Two runs of one export on a persistent instance; nothing changed between them."""
    mailchimp_emulator_server.reset()
    project = new_project(tmp_path_factory.mktemp("project"), mailchimp_emulator_server)
    steps: list[str] = []
    progress: list[tuple[int, int]] = []
    config = project.write()
    with open_instance(config.home) as instance:
        reports = [
            run_export(
                config,
                config.exports["vip"],
                SyncConfig(),
                instance=instance,
                session=Session(on_step=steps.append, on_progress=lambda *done: progress.append(done)),
            )
            for _ in range(2)
        ]
        yield Finished(
            project=project,
            config=config,
            instance=instance,
            first=reports[0],
            second=reports[1],
            steps=steps,
            progress=progress,
            members=mailchimp_emulator_server.members(AUDIENCE),
        )


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A project of two exports whose source holds its first refresh."""
    monkeypatch.setenv("MAILCHIMP_API_KEY", API_KEY)
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path / "dagster")) as instance:
        page = Page(tmp_path, instance)
        page.refresh(1)
        yield page


@pytest.fixture
def pending(page):
    """The second refresh is read, and vip has not run for it."""
    page.look()
    page.version = page.refresh(2)
    page.read(page.version)
    return page
