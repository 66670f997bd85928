"""Dagster's door: what loads, and what the page says when it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.definitions import BrokenConfigError, defs

ROOT = Path(__file__).parents[2]


def test_broken_file_tells_every_problem_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One exception holds all problems, and nothing of the library that found them."""
    (tmp_path / "exports.yaml").write_text(
        "version: 2\nsource: {type: nowhere}\nexprts: {}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)

    with pytest.raises(BrokenConfigError) as caught:
        defs()

    text = str(caught.value)
    assert "exports.yaml:1:" in text
    assert "exports.yaml:2:" in text
    assert "exports.yaml:3:" in text
    assert caught.value.__context__ is None


def test_fresh_clone_loads_and_touches_nothing(tmp_path: Path, machine_environment: dict[str, str]) -> None:
    """``workspace.yaml`` with the sample exports.yaml validates, in a process of its own, without a home of ours."""
    environ = {
        name: value for name, value in machine_environment.items() if not name.startswith("CI_MAILCHIMP")
    }
    environ |= {"DAGSTER_HOME": str(tmp_path), "CI_MAILCHIMP_HOME": str(tmp_path / "home")}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]

    done = subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location ci_mailchimp_pipeline" in done.stdout + done.stderr
    assert not (tmp_path / "home").exists()
