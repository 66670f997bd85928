"""Dagster's records in PostgreSQL: a run of ours, and page, daemon and code server as separate programs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg
import psycopg2
import pytest
from harness import API_KEY, AUDIENCE, Project, address
from house.pages import ROOT, blocks

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.orchestration.launch import open_instance, run_export
from ci_mailchimp_pipeline.orchestration.session import Session
from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = 12
PATIENCE = 240  # seconds; a tenth of it where nothing else runs
LAUNCH = """mutation($selector: JobOrPipelineSelector!) {
  launchRun(executionParams: {selector: $selector, runConfigData: {}}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
STATUS = "query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


def _settings() -> str:
    """The dagster.yaml that docs/deployment.md shows."""
    (shown,) = (
        block.text
        for block in blocks(ROOT / "docs" / "deployment.md", "yaml")
        if "postgres_url" in block.text
    )
    return shown


@pytest.fixture
def config(
    tmp_path: Path, mailchimp_emulator: Emulator, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> Config:
    """A project whose home says that Dagster's records are in PostgreSQL."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(PEOPLE))
    (tmp_path / "mailchimp.key").write_text(API_KEY)
    project.connection["api_key"] = {"file": "mailchimp.key"}
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres)
    config = project.write()
    (config.home / "dagster").mkdir(parents=True)
    (config.home / "dagster" / "dagster.yaml").write_text(_settings())
    return config


def test_export_runs_on_postgres_as_on_sqlite(config: Config, mailchimp_emulator: Emulator) -> None:
    """Everybody arrives; a second run sends nothing; one sync at a time; no SQLite file of Dagster's."""
    with open_instance(config.home) as instance:
        first, second = (
            run_export(config, config.exports["vip"], SyncConfig(), instance=instance, session=Session())
            for _ in range(2)
        )
        pools = {pool.name: pool.limit for pool in instance.event_log_storage.get_pool_limits()}
        runs = instance.get_runs()

    assert (first.status, first.counts.added) == ("success", PEOPLE)
    assert (second.status, second.counts.unchanged) == ("success", PEOPLE)
    assert set(mailchimp_emulator.members(AUDIENCE)) == {address(number) for number in range(PEOPLE)}
    assert pools == {"mailchimp_main": 1}
    assert len(runs) == 2
    assert list((config.home / "dagster").rglob("*.db")) == []


def test_no_table_of_dagsters_holds_an_address(config: Config, postgres: str) -> None:
    """What Dagster keeps in PostgreSQL has nobody's address in it, and no key."""
    with open_instance(config.home) as instance:
        run_export(config, config.exports["vip"], SyncConfig(), instance=instance, session=Session())

    connection = psycopg2.connect(postgres)
    with connection.cursor() as cursor:
        cursor.execute("select tablename from pg_tables where schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
        stored = ""
        for table in tables:
            cursor.execute(f'select t::text from "{table}" t')
            stored += "\n".join(row for (row,) in cursor.fetchall())
    connection.close()

    assert "mailchimp_sync" in stored
    assert 'contoso-mail.internal"' not in stored.replace("ben@contoso-mail.internal", "")
    assert [number for number in range(PEOPLE) if address(number) in stored] == []
    assert API_KEY not in stored


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(config: Config, postgres: str, machine_environment: dict[str, str]) -> Iterator[Start]:
    """Start a program of Dagster's as a service manager does; it ends with the test."""
    clean = {
        name: value for name, value in machine_environment.items() if not name.lower().endswith("_proxy")
    }
    environment = clean | {
        "DAGSTER_HOME": str(config.home / "dagster"),
        "CI_MAILCHIMP_CONFIG": str(config.path),
        "DAGSTER_POSTGRES_URL": postgres,
        "CI_MAILCHIMP_LEDGER": config.ledger_url or "",
    }
    started: list[subprocess.Popen[bytes]] = []

    def begin(*arguments: str) -> "subprocess.Popen[bytes]":
        with (config.folder / f"{len(started)}.txt").open("wb") as log:
            program = Path(sys.executable).with_name(arguments[0])
            process = subprocess.Popen(
                [program, *arguments[1:]], cwd=config.folder, env=environment, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=_heeding_signals,  # noqa: PLW1509
            )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.terminate()
    for process in started:
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _heeding_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.deployment
def test_page_daemon_and_code_server_are_separate_programs(
    config: Config, start: Start, mailchimp_emulator: Emulator
) -> None:
    """A run asked for on the page goes through the daemon's queue to the code server, and people arrive."""
    code, page = _free_ports(2)
    commands, shown = _shown(code, page, workspace := config.folder / "workspace.yaml")
    workspace.write_text(shown)
    start(*commands[0])
    _wait(lambda: _listens(code))
    start(*commands[1])
    start(*commands[2])
    url = f"http://127.0.0.1:{page}/graphql"
    _wait(lambda: _answers(url))

    selector = {
        "repositoryLocationName": "ci_mailchimp_pipeline", "repositoryName": "__repository__", "jobName": "vip",
    }  # fmt: skip
    launched = _ask(url, LAUNCH, selector=selector)["launchRun"]
    run = launched["run"]["runId"]
    ended = _wait(lambda: _ended(_ask(url, STATUS, id=run)["runOrError"]["status"]))

    with dg.DagsterInstance.from_config(str(config.home / "dagster")) as instance:
        said = [record.event_log_entry.user_message for record in instance.get_records_for_run(run).records]
    assert ended == "SUCCESS", said[-5:]
    assert set(mailchimp_emulator.members(AUDIENCE)) == {address(number) for number in range(PEOPLE)}


def _shown(code: int, page: int, workspace: Path) -> tuple[list[list[str]], str]:
    """The commands of the three units in docs/deployment.md, on these ports, and their workspace.yaml."""
    shown = ROOT / "docs" / "deployment.md"
    here = {"4266": str(code), "3000": str(page), "/etc/ci-mailchimp/workspace.yaml": str(workspace)}
    commands = [
        [here.get(word, word) for word in line.split()]
        for block in blocks(shown, "ini")
        for line in re.findall(r"^ExecStart=/opt/ci-mailchimp/bin/(.+)$", block.text, re.MULTILINE)
    ]
    (found,) = (block.text for block in blocks(shown, "yaml") if "grpc_server" in block.text)
    return commands, found.replace("4266", str(code))


def _ended(status: str) -> str | None:
    return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None


def _wait(look: Callable[[], Any]) -> Any:
    """What *look* returns as soon as that is something."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while time.monotonic() < deadline:
        if found := look():
            return found
        pause.wait(0.5)
    raise AssertionError("nothing came of it")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        _ask(url, "{ version }")
    except (URLError, ConnectionError):
        return False
    return True


def _ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    with urlopen(Request(url, body, {"Content-Type": "application/json"}), timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)["data"]
    return found


def _free_ports(number: int) -> list[int]:
    trials = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [trial.getsockname()[1] for trial in trials]
    for trial in trials:
        trial.close()
    return ports
