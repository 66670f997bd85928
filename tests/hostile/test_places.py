"""A state folder that is not what it should be: said in words, nothing is sent, and mended it goes on exactly."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness import Project

from ci_mailchimp_pipeline.cli.app import app

SQLITE = pytest.mark.sqlite_only
# What root may not write to does not exist: it becomes somebody else, once all is loaded that only root can read.
AS_NOBODY = """
import os, sys
import ci_mailchimp_pipeline.cli.running
from ci_mailchimp_pipeline.cli import main
from ci_mailchimp_pipeline.config import load_config
load_config("exports.yaml")
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
sys.argv = ["ci-mailchimp", "run", "--json"]
main()
"""


def run_program(project: Project) -> tuple[int, dict[str, Any], str]:
    """Run the command in this process: exit code, the error of its document, everything it printed."""
    arguments = ["--config", str(project.folder / "exports.yaml"), "run", "--json"]
    done = CliRunner().invoke(app, arguments, env=project.environ)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    document = json.loads(done.stdout)
    error = document.get("error") or document["exports"][0]["error"]
    return done.exit_code, error or {}, done.output


def a_file_for(name: str) -> Callable[[Path], Callable[[], None]]:
    """Puts a file where the folder *name* should be."""

    def put(home: Path) -> Callable[[], None]:
        place = home / name
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place.write_text("not a folder", encoding="utf-8")
        return place.unlink

    return put


def a_folder_for_the_ledger(home: Path) -> Callable[[], None]:
    (home / "ledger.sqlite").mkdir(parents=True)
    return (home / "ledger.sqlite").rmdir


def a_ledger_of_somebody_else(home: Path) -> Callable[[], None]:
    home.mkdir(mode=0o700)
    (home / "ledger.sqlite").write_bytes(b"person@contoso-mail.internal\n" * 400)
    return (home / "ledger.sqlite").unlink


def a_ledger_of_the_future(home: Path) -> Callable[[], None]:
    from ci_mailchimp_pipeline.ledger import open_ledger

    def set_version(text: str) -> None:
        with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
            database.execute(f"UPDATE schema_version SET version = {text}")
            database.commit()

    open_ledger(home).close()
    set_version("version + 900")
    return lambda: set_version("version - 900")


def damaged_records_of_dagster(home: Path) -> Callable[[], None]:
    runs = home / "dagster" / "history" / "runs.db"
    runs.parent.mkdir(mode=0o700, parents=True)
    runs.write_bytes(b"person@contoso-mail.internal\n" * 400)
    return lambda: shutil.rmtree(home / "dagster")


@pytest.mark.parametrize(
    ("spoil", "code", "named"),
    [
        (a_file_for("snapshots"), "home_not_writable", "CI_MAILCHIMP_HOME"),
        (a_file_for("dagster"), "home_not_writable", "CI_MAILCHIMP_HOME"),
        pytest.param(a_folder_for_the_ledger, "ledger_not_writable", "CI_MAILCHIMP_HOME", marks=SQLITE),
        pytest.param(a_ledger_of_somebody_else, "ledger_damaged", "backup", marks=SQLITE),
        pytest.param(a_ledger_of_the_future, "ledger_too_new", "install", marks=SQLITE),
        (damaged_records_of_dagster, "dagster_damaged", "move"),
    ],
    ids=lambda value: getattr(value, "__qualname__", value).split(".")[0],
)
def test_what_is_in_the_way_is_named_and_nothing_is_sent(
    project: Project, spoil: Callable[[Path], Callable[[], None]], code: str, named: str
) -> None:
    """Exit 2 with what to do, no word of anybody, and once it is mended a run ends as if nothing had been."""
    project.customers(range(3))
    project.write()
    mend = spoil(project.folder / ".ci_mailchimp")

    exit_code, error, printed = run_program(project)

    assert (exit_code, error["code"]) == (2, code)
    assert named in error["fix"]
    assert "contoso-mail" not in printed
    assert "Traceback" not in printed
    assert project.writes() == 0
    mend()
    assert project.run().counts.added == 3


def test_a_snapshot_that_was_damaged_is_read_again(project: Project) -> None:
    """A cut file is not what its manifest says: it is dropped, and the source is read anew."""
    project.customers(range(3))
    project.run()
    (folder,) = (project.folder / ".ci_mailchimp" / "snapshots").iterdir()
    config = project.write()
    project.write = lambda: config  # type: ignore[method-assign]
    project.run()
    for file in (project.folder / ".ci_mailchimp" / "snapshots").glob("*/profiles.parquet"):
        file.write_bytes(file.read_bytes()[:-40])

    report = project.run()

    assert (report.status, report.counts.unchanged) == ("success", 3)
    assert folder.exists()


def test_a_folder_that_may_not_be_written_is_named(project: Project) -> None:
    """Another user's read-only folder: exit 2 with the folder and the fix, without a traceback."""
    project.customers([1])
    project.write()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        shutil.copytree(project.folder / "data", folder / "data")
        shutil.copy(project.folder / "exports.yaml", folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            done = subprocess.run(
                [sys.executable, "-c", AS_NOBODY], cwd=folder, env={**project.environ, "PATH": os.defpath},
                capture_output=True, text=True, timeout=300, check=False,
            )  # fmt: skip
        finally:
            folder.chmod(0o755)
            (folder / "data").chmod(0o755)

    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["error"]["code"] == "home_not_writable"
    assert "Traceback" not in done.stderr
    assert project.writes() == 0
