"""The program as a whole: what it loads, its reference, its usage errors."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ci_mailchimp_pipeline.cli.reference import reference
from ci_mailchimp_pipeline.config import json_schema

ROOT = Path(__file__).parents[2]
HEAVY = ("dagster", "duckdb", "polars", "pandera", "pydantic", "sqlalchemy", "requests", "rich")


def _loaded(code: str, environ: dict[str, str]) -> set[str]:
    script = f"import sys\n{code}\nprint('|'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stdout.splitlines()[-1].split("|"))


def test_help_loads_nothing_heavy(bare_environment: dict[str, str]) -> None:
    """Whoever asks for help does not wait for Dagster, an engine or a validator."""
    code = (
        "from ci_mailchimp_pipeline.cli.app import app\n"
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    app.main(['--help'], standalone_mode=False)\n"
        "    app.main(['run', '--help'], standalone_mode=False)"
    )

    assert _loaded(code, bare_environment).isdisjoint(HEAVY)


def test_lists_load_neither_dagster_nor_an_engine(terminal: Any) -> None:
    """``exports`` reads the declaration and the ledger, and is quick."""
    code = (
        "from ci_mailchimp_pipeline.cli.app import app\n"
        "import contextlib, io\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    app.main(['--config', {terminal.config!r}, 'exports', '--json'], standalone_mode=False)"
    )

    assert _loaded(code, terminal.environ).isdisjoint({"dagster", "duckdb", "pandera", "requests"})


def test_reference_is_current() -> None:
    """docs/cli.md is what the program says of itself."""
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference()


def test_schema_prints_the_json_schema(terminal: Any) -> None:
    """``schema`` prints what editors need, and nothing else."""
    assert terminal.say("schema").document == json_schema()


def test_usage_error_is_a_document_too(terminal: Any) -> None:
    """An option that does not exist leaves one JSON document on stdout, exit 2."""
    said = terminal.run("plan", "--jsn", "--json")

    assert said.code == 2
    assert said.document["error"]["code"] == "usage"
    assert "--jsn" in said.err


@pytest.mark.parametrize("arguments", [("--config", "{}", "exports"), ("exports", "--config", "{}")])
def test_config_may_stand_before_or_after_the_command(
    terminal: Any, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """``--config`` works on both sides of the command."""
    said = terminal.say_bare(*(word.format(tmp_path / "exports.yaml") for word in arguments), "--json")

    assert said.code == 0
    assert said.document["exports"][0]["export"] == "vip"


def test_config_after_the_command_wins(terminal: Any, tmp_path: Path) -> None:
    """The nearer one counts."""
    said = terminal.say_bare("--config", "nowhere.yaml", "exports", "--json", "--config", terminal.config)

    assert said.code == 0


@pytest.mark.parametrize("command", ["check", "plan", "run", "exports", "connections"])
def test_missing_file_is_a_document_and_exit_2(terminal: Any, command: str) -> None:
    """Without a configuration every command says so in its own document."""
    said = terminal.say("--config", "/nowhere/exports.yaml", command, "--json")

    key = {"check": "checks", "connections": "connections"}.get(command, "exports")
    assert said.code == 2
    assert said.document["error"]["code"] == "config_not_found"
    assert key in said.document
    assert said.document["error"]["message"] in said.err or command == "check"


@pytest.mark.parametrize("command", ["plan", "run", "check"])
def test_unknown_export_names_the_near_miss(terminal: Any, command: str) -> None:
    """A slip of the pen is answered with the name that was meant."""
    said = terminal.say(command, "vpi", "--json")

    assert said.code == 2
    assert said.document["error"]["code"] == "unknown_export"
    assert "Did you mean 'vip'?" in said.document["error"]["message"]
    assert said.document["error"]["fix"] == "write vip"


def test_output_may_be_cut(terminal: Any) -> None:
    """A reader that has seen enough is no crash."""
    process = terminal.start("schema")
    assert process.stdout is not None
    process.stdout.read(10)
    process.stdout.close()

    assert process.wait(60) == 0
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


def test_json_is_ascii(terminal: Any) -> None:
    """Any terminal and any pipe takes the document."""
    terminal.project.export("vip", display_name="Größe")
    terminal.project.write()

    said = terminal.say("exports", "--json")

    assert said.out.isascii()
    assert json.loads(said.out)["exports"][0]["display_name"] == "Größe"
