"""A marked person and a marked key go through every command, and turn up nowhere they do not belong (P9)."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project

from ci_mailchimp_pipeline.cli.app import app

SURNAME = "Zzyzxqwortel"
LOCAL = "marked.zzyzx"
KEY = "feedc0defeedc0defeedc0defeedc0de-us1"
MARKS = [SURNAME.encode(), LOCAL.encode(), KEY.encode(), KEY[:32].encode()]
# What an export works with: its own copies of the rows, and the ledger's addresses. Private, and named here.
WORKING_FILES = (".parquet", "ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


@pytest.fixture
def project(tmp_path, mailchimp_emulator):
    """Marked people who are accepted, rejected, refused by Mailchimp, opted out, moved and gone."""
    mailchimp_emulator.add_audience(
        AUDIENCE, merge_fields=["FNAME", "LNAME", {"tag": "INCOME", "type": "number"}]
    )
    mailchimp_emulator.add_member(
        AUDIENCE, f"{LOCAL}+out@contoso-mail.internal", status="unsubscribed", cause="contact"
    )
    project = Project(tmp_path, mailchimp_emulator)
    project.environ["MAILCHIMP_API_KEY"] = KEY
    project.export("vip", merge_fields={"INCOME": "Income"})
    for number in range(5):
        project.customer(
            f"c{number}", f"{LOCAL}{number}@contoso-mail.internal", LastName=SURNAME, FirstName=SURNAME
        )
    project.customer("bad", f"{LOCAL}@@nowhere", LastName=SURNAME)
    project.customer("word", f"{LOCAL}5@contoso-mail.internal", LastName=SURNAME, Income=SURNAME)
    project.customer("out", f"{LOCAL}+out@contoso-mail.internal", LastName=SURNAME)
    return project


@pytest.fixture
def say(project, capfdbinary):
    """Runs a command in this process: how it ended, and what reached the terminal, by whatever way."""

    def command(*words: str) -> tuple[int, bytes]:
        config = str(project.folder / "exports.yaml")
        done = CliRunner().invoke(app, ["--config", config, *words], env=project.environ)
        return done.exit_code, done.output_bytes + b"".join(capfdbinary.readouterr())

    return command


def found_in(content: bytes) -> list[bytes]:
    return [mark for mark in MARKS if mark.lower() in content.lower()]


@pytest.mark.slow
def test_a_marked_person_is_on_no_screen_and_in_no_file_of_dagster(project, say):
    """Success, refusals, a wrong key and a stopped run: only the working files know who it was, and are private."""
    project.write()
    said = [say(command, "vip") for command in ("check", "plan", "run", "rejected")]
    said += [say(command) for command in ("exports", "connections")]
    said += [say(command, "vip", "--json") for command in ("check", "plan", "rejected")]
    assert [code for code, _ in said] == [0] * len(said)

    project.customer("c0", f"{LOCAL}.moved@contoso-mail.internal", LastName=SURNAME)
    project.leave("c1")
    project.write()
    project.emulator.fail("403_html", on="writes", times=2)
    said.append(say("run", "vip"))
    project.export("vip", guards={"max_exit_percent": 0, "max_rejected_percent": 0})
    project.write()
    said.append(say("run", "vip", "--json"))
    project.environ["MAILCHIMP_API_KEY"] = KEY.replace("-us1", "!")
    said.append(say("run", "vip"))

    assert [code for code, _ in said[-3:]] == [0, 5, 2]
    assert [found_in(output) for _, output in said] == [[]] * len(said)
    home = project.folder / ".ci_mailchimp"
    leaks = {
        str(path.relative_to(home)): found
        for path in sorted(home.rglob("*"))
        if path.is_file() and not path.name.endswith(WORKING_FILES) and (found := found_in(path.read_bytes()))
    }
    assert leaks == {}
    keys = [path for path in home.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert keys == []
    assert open_to_others(home) == []


def open_to_others(home: Path) -> list[str]:
    return [str(path) for path in [home, *home.rglob("*")] if stat.S_IMODE(path.lstat().st_mode) & 0o077]
