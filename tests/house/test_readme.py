"""What the pages tell people to type works as it stands: each shell block runs, page by page, in a fresh copy."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from house.pages import PAGES, ROOT, Block, blocks

from ci_mailchimp_pipeline.cli.audience import AUDIENCE, FIELDS
from ci_mailchimp_pipeline.testing import API_KEY, Emulator

EMULATOR_PORT = "http://127.0.0.1:8899"  # where exports.yaml expects the local Mailchimp
RUN = {page: run for page in PAGES if (run := [block for block in blocks(page, "sh") if not block.excused])}

Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path, mailchimp_emulator: Emulator, machine_environment: dict[str, str]) -> Shell:
    """A shell in a copy of what a newcomer has, whose Mailchimp is the emulator."""
    mailchimp_emulator.add_audience(AUDIENCE, name="Contoso newsletter", merge_fields=FIELDS)
    declared = (ROOT / "exports.yaml").read_text(encoding="utf-8")
    here = mailchimp_emulator.url.removesuffix("/3.0")
    (tmp_path / "exports.yaml").write_text(declared.replace(EMULATOR_PORT, here), encoding="utf-8")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "workspace.yaml", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "uv").write_text('#!/bin/sh\n[ "$1" = run ] && shift\nexec "$@"\n', encoding="utf-8")
    (programs / "uv").chmod(0o755)  # `uv run` in this environment: nothing is to be installed by a test
    ours = {name: value for name, value in machine_environment.items() if "MAILCHIMP" not in name}
    search = os.pathsep.join([str(programs), str(Path(sys.executable).parent), ours["PATH"]])
    environment = ours | {"PATH": search, "MAILCHIMP_API_KEY": API_KEY, "HOME": str(tmp_path)}

    def run(script: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["sh", "-e", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True,
            timeout=300, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    return run


def _script(parts: list[Block]) -> str:
    """The blocks in one shell, one after the other, each announced."""
    return "\n".join(f"echo '--- {block}'\n{block.text}" for block in parts)


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_what_a_page_tells_people_to_type_works(
    page: Path, shell: Shell, mailchimp_emulator: Emulator
) -> None:
    """Every shell block that a test can run ends with 0, in the order of the page, and a run exports people."""
    script = _script(RUN[page])
    exported = {"HighValueSegment", "Newsletter"} if "ci-mailchimp run" in script else set()

    done = shell(script)

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.count("--- ") >= len(RUN[page])
    tags = {tag for member in mailchimp_emulator.members(AUDIENCE).values() for tag in member["tags"]}
    assert tags == exported


def test_dagster_loads_the_workspace(shell: Shell) -> None:
    """The workspace that the README starts Dagster with loads, in an empty home."""
    done = shell(
        'mkdir -p .ci_mailchimp/dagster && DAGSTER_HOME="$PWD/.ci_mailchimp/dagster" '
        "dagster definitions validate -w workspace.yaml"
    )

    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]


def test_ci_types_what_the_readme_says() -> None:
    """The README's first two commands stand in ``.ci/run`` word for word."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")

    commands = [block.text.strip() for block in blocks(ROOT / "README.md", "sh")[:2]]

    assert len(commands) == 2
    assert all(f"  {command}\n" in script for command in commands)
