"""``ci-mailchimp reconcile``: what it says, how it ends, and that it says nothing of anybody."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project, address

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.testing import Emulator

SURNAME = "Quellenreiter"
MARKED = "x.quellenreiter+7@contoso-mail.internal"


def say(project: Project, *words: str) -> tuple[int, str, str]:
    """Run the command in this process."""
    config = str(project.folder / "exports.yaml")
    done = CliRunner().invoke(app, ["--config", config, *words], env=project.environ)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, mailchimp_emulator_server: Emulator) -> Any:
    """A project as a user has it, run through Dagster once: ten people and a marked one."""
    emulator = mailchimp_emulator_server
    emulator.reset()
    emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME"])
    project = Project(tmp_path_factory.mktemp("exported"), emulator)
    project.customers(range(10))
    project.customer("marked", MARKED, FirstName=SURNAME, LastName=SURNAME)
    project.export("off", segments=["Vip"], audience_id="0000000000", enabled=False)
    project.write()
    code, out, err = say(project, "run", "vip", "--json")
    assert code == 0, out + err
    return project


def test_the_command_from_look_to_repair(exported: Project) -> None:
    """The documented object, the table and the next step, the repair by its plan's id, and then nothing."""
    project, who = exported, {address(3): {"tags": ["Vip"]}, MARKED: {"tags": ["Vip"]}}
    for address_of, more in who.items():
        project.emulator.people("untag", AUDIENCE, address_of, **more)
    project.emulator.people("delete_permanent", AUDIENCE, address(4))
    project.emulator.people("unsubscribe", AUDIENCE, address(5))
    before = project.writes()

    code, out, err = say(project, "reconcile", "--json")

    (entry,) = json.loads(out)["exports"]
    assert (code, err, project.writes()) == (0, "", before)
    assert list(entry)[:6] == ["export", "read", "drift", "repaired", "plan_id", "error"]
    assert entry["drift"] == {
        "missing": 1, "tag_missing": 2, "tag_extra": 0, "field_differs": 0, "opted_out": 1, "cleaned": 0,
        "archived_elsewhere": 0, "address_changed": 0,
    }  # fmt: skip
    assert (entry["read"], entry["repaired"], entry["error"]) == (10, 0, None)

    code, table, hints = say(project, "reconcile", "vip")
    assert code == 0
    assert "tag missing" in table
    assert f"ci-mailchimp reconcile vip --repair --plan-id {entry['plan_id']}" in hints

    code, other, _ = say(project, "reconcile", "vip", "--repair", "--plan-id", "0" * 16, "--json")
    assert (code, json.loads(other)["exports"][0]["error"]["code"]) == (5, "plan_changed")

    code, done, shown = say(project, "reconcile", "vip", "--repair", "--plan-id", entry["plan_id"])
    assert code == 0
    assert "repaired: 2 of 3" in done  # who was erased cannot come back
    assert "vip: comparing" in shown
    assert "nothing differs" in say(project, "reconcile", "vip")[1]
    everything = "".join((out, table, hints, other, done, shown)).lower()
    assert "@" not in everything
    assert SURNAME.lower() not in everything
    config = project.write()
    with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
        assert [row.trigger for row in ledger.runs("vip")] == ["repair", "cli"]
    left = [path.name for path in config.home.rglob("*") if path.name in ("drift", "whole", "people")]
    assert left == []


def test_nobody_is_named_in_what_dagster_keeps(exported: Project) -> None:
    """Neither in the events of a repair, nor in its metadata."""
    home = exported.write().home / "dagster"

    held = [path for path in home.rglob("*") if path.is_file() and SURNAME.encode() in path.read_bytes()]
    assert held == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--repair"], "which_export"),
        (["vip", "--plan-id", "x"], "which_export"),
        (["vip", "off", "--repair", "--plan-id", "x"], "which_export"),
        (["vop"], "unknown_export"),
    ],
)
def test_what_cannot_be_meant_is_said(exported: Project, words: list[str], code: str) -> None:
    """Exit 2, with what to type instead, before anything is read."""
    ended, out, _ = say(exported, "reconcile", *words, "--json")

    error = json.loads(out)["error"]
    assert (ended, error["code"]) == (2, code)
    assert error["fix"]


@pytest.mark.parametrize("words", [[], ["--repair"]])
def test_an_export_that_never_runs_is_skipped(exported: Project, words: list[str]) -> None:
    """Named, it says why; nothing else happens."""
    ended, out, _ = say(exported, "reconcile", "off", *words, "--json")

    (entry,) = json.loads(out)["exports"]
    assert ended == 0
    assert "enabled: false" in entry["skipped_because"]


def test_without_a_frame_it_says_what_to_do(tmp_path: Path, mailchimp_emulator: Emulator) -> None:
    """An export that never ran has nothing to be compared: exit 3, through the program itself."""
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(2))
    project.write()
    environment = {**os.environ, **project.environ}
    command = [sys.executable, "-m", "ci_mailchimp_pipeline", "reconcile", "--json"]

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )

    (entry,) = json.loads(done.stdout)["exports"]
    assert (done.returncode, entry["error"]["code"]) == (3, "no_frame")
    assert "Traceback" not in done.stderr
