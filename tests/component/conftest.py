"""Dagster projects of somebody's own, loaded in this process."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from harness import API_KEY, AUDIENCE

from ci_mailchimp_pipeline.testing import Emulator

EXAMPLE = Path(__file__).parents[2] / "examples" / "project"

Loaded = Callable[[], Any]


@pytest.fixture
def importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose packages can be imported, and are forgotten with the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("MAILCHIMP_API_KEY", API_KEY)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"contoso", "mine"}:
            del sys.modules[name]


@pytest.fixture
def example(importable: Path, mailchimp_emulator: Emulator) -> Path:
    """A copy of examples/project whose Mailchimp is the emulator."""
    mailchimp_emulator.add_audience(AUDIENCE)
    shutil.copytree(EXAMPLE, importable, dirs_exist_ok=True, ignore=shutil.ignore_patterns("data", ".*"))
    declared = importable / "contoso" / "defs" / "newsletter" / "exports.yaml"
    text = declared.read_text(encoding="utf-8")
    declared.write_text(text.replace("http://127.0.0.1:8899/3.0", mailchimp_emulator.url), encoding="utf-8")
    return importable


@pytest.fixture
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """Dagster's records, in memory."""
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance
