"""Where exports.yaml is found, what the environment adds to it, and what reading it costs."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.config import (
    Config,
    Consent,
    Segment,
    find_config,
    load_config,
)
from ci_mailchimp_pipeline.errors import FixConfigError, Place

LoadText = Callable[..., Config]


def test_places_outside_the_current_folder_have_the_whole_path(
    load_text: LoadText, valid: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins: dict[str, type]
) -> None:
    """A file elsewhere is shown by its absolute path."""
    load_text(valid)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    config = load_config("../exports.yaml", environ={}, plugins=plugins)

    assert config.place("version") == Place(str(tmp_path / "exports.yaml"), 1, 10)


def test_the_environment_moves_home_and_ledger_and_forces_the_sandbox(
    load_text: LoadText, valid: str, tmp_path: Path
) -> None:
    """The three variables do what they say, and nothing is created."""
    environ = {
        "CI_MAILCHIMP_HOME": "state",
        "CI_MAILCHIMP_LEDGER": "postgresql://ledger",
        "CI_MAILCHIMP_SANDBOX": "1",
    }

    config = load_text(valid, environ)

    assert config.home == tmp_path / "state"
    assert config.ledger_url == "postgresql://ledger"
    assert config.sandbox
    assert sorted(tmp_path.iterdir()) == [tmp_path / "exports.yaml"]


def test_without_environment_state_lives_beside_the_file(
    load_text: LoadText, valid: str, tmp_path: Path
) -> None:
    """Home is `.ci_mailchimp` beside the file; there is no other ledger."""
    config = load_text(valid, {"CI_MAILCHIMP_LEDGER": "", "CI_MAILCHIMP_HOME": ""})

    assert (config.path, config.folder) == (tmp_path / "exports.yaml", tmp_path)
    assert config.home == tmp_path / ".ci_mailchimp"
    assert config.ledger_url is None


@pytest.mark.parametrize("value", ["0", "", "false", "No"])
def test_the_sandbox_variable_can_be_off(load_text: LoadText, valid: str, value: str) -> None:
    """0 is not 1."""
    assert not load_text(valid, {"CI_MAILCHIMP_SANDBOX": value}).sandbox


def test_a_doubtful_sandbox_variable_stops_everything(load_text: LoadText, valid: str) -> None:
    """Nobody is to find out later that `maybe` meant no."""
    with pytest.raises(FixConfigError, match="CI_MAILCHIMP_SANDBOX is 'maybe' in the environment"):
        load_text(valid, {"CI_MAILCHIMP_SANDBOX": "maybe"})


def test_the_digest_is_of_the_bytes(load_text: LoadText, valid: str) -> None:
    """A comment changes it."""
    assert load_text(valid).digest == hashlib.sha256(valid.encode()).hexdigest()
    assert load_text(valid + "# a word\n").digest != load_text(valid).digest


def test_the_repr_of_the_configuration_shows_no_database_password(load_text: LoadText, valid: str) -> None:
    """The ledger's URL may hold one."""
    config = load_text(valid, {"CI_MAILCHIMP_LEDGER": "postgresql://u:hunter2@db/ledger"})

    assert "hunter2" not in repr(config)


def test_models_are_frozen(load_text: LoadText, valid: str) -> None:
    """Nobody changes the configuration after it was checked."""
    export = load_text(valid).exports["vip"]

    with pytest.raises(Exception, match="frozen"):
        export.email = "Other"  # type: ignore[misc]


def test_models_can_be_made_without_a_file() -> None:
    """Code and tests may build the parts by themselves."""
    assert Segment(name="A") == Segment(name="A", tag="A")
    assert Consent(agreed_by="Ana", agreed_on=date(2026, 1, 2)).agreed_on == date(2026, 1, 2)


def test_the_file_is_found_by_option_then_variable_then_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config beats CI_MAILCHIMP_CONFIG, which beats ./exports.yaml."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.yaml", "b.yaml", "exports.yaml"):
        (tmp_path / name).touch()
    environ = {"CI_MAILCHIMP_CONFIG": "b.yaml"}

    assert find_config("a.yaml", environ) == tmp_path / "a.yaml"
    assert find_config(None, environ) == tmp_path / "b.yaml"
    assert find_config(None, {}) == tmp_path / "exports.yaml"


@pytest.mark.parametrize(
    ("path", "environ", "said"),
    [
        ("a.yaml", {}, "no configuration file a.yaml (--config)"),
        (None, {"CI_MAILCHIMP_CONFIG": "b.yaml"}, "no configuration file b.yaml (CI_MAILCHIMP_CONFIG)"),
        (None, {}, "no configuration file exports.yaml (the default, because neither --config nor"),
        ("a\0b", {}, "(--config)"),
        ("~nobody-of-that-name/x", {}, "(--config)"),
    ],
)
def test_a_file_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str | None, environ: dict[str, str], said: str
) -> None:
    """The message has the path and who named it."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(FixConfigError) as caught:
        find_config(path, environ)

    assert caught.value.code == "config_not_found"
    assert said in caught.value.message
    assert caught.value.fix


def test_reading_needs_no_engine_and_no_network_library() -> None:
    """Importing and calling the configuration loads none of the heavy libraries."""
    heavy = "{'duckdb', 'polars', 'dagster', 'requests', 'sqlalchemy', 'pandera'}"
    code = f"import sys, ci_mailchimp_pipeline.config; print({heavy} & set(sys.modules))"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "set()"


def test_a_thousand_exports_load_in_seconds(load_text: LoadText, valid: str) -> None:
    """The size of a file is no surprise (measured: 0.6 s on 2 cores)."""
    head, export = valid.split("exports:\n")
    exports = "".join(
        export.replace("vip:", f"vip_{number}:").replace("a1b2c3d4e5", f"a{number:09}")
        for number in range(1000)
    )
    start = time.perf_counter()

    config = load_text(f"{head}exports:\n{exports}")

    assert len(config.exports) == 1000
    assert time.perf_counter() - start < 10
