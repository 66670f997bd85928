"""``emulator`` and ``demo``: everything on this machine."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from ci_mailchimp_pipeline.cli.sample import sample_file

ROOT = Path(__file__).parents[2]


def test_emulator_says_where_it_is_and_ends_with_0(terminal: Any, background: Callable[[Any], Any]) -> None:
    """It answers at the address it prints, with the audience it prints, until SIGTERM."""
    process = background(terminal.start("emulator", "--port", "0"))
    url, key, audience = (process.stdout.readline().split(maxsplit=-1) for _ in range(3))

    request = Request(f"{url[1]}/lists/{audience[1]}", headers={"Authorization": "Basic " + _basic(key[-1])})
    with urlopen(request, timeout=10) as answer:
        assert json.load(answer)["name"] == "Contoso newsletter"
    process.send_signal(signal.SIGTERM)

    assert process.wait(30) == 0


def _basic(shown: str) -> str:
    import base64

    return base64.b64encode(f"any:{shown.partition('=')[2]}".encode()).decode()


def test_emulator_starts_from_a_file(terminal: Any, tmp_path: Path, background: Callable[[Any], Any]) -> None:
    """``--seed`` names the audiences to start with."""
    (tmp_path / "world.json").write_text('{"audiences": [{"id": "ffffffffff", "name": "Mine"}]}')
    process = background(terminal.start("emulator", "--port", "0", "--seed", str(tmp_path / "world.json")))

    lines = [process.stdout.readline() for _ in range(3)]

    assert lines[2] == "audience_id: ffffffffff (Mine)\n"


def test_port_that_is_taken_is_no_crash(terminal: Any) -> None:
    """The message says which port, and how to get another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = terminal.say_bare("emulator", "--port", str(taken.getsockname()[1]))

    assert said.code == 2
    assert "fix: choose another --port" in said.err


@pytest.mark.parametrize("text", ["not json", "[]", '{"audiences": [{"colour": "red"}]}'])
def test_seed_that_describes_no_audience_is_refused(terminal: Any, tmp_path: Path, text: str) -> None:
    """A wrong file is a message, not a crash."""
    (tmp_path / "world.json").write_text(text)

    said = terminal.say_bare("emulator", "--port", "0", "--seed", str(tmp_path / "world.json"))

    assert said.code == 2
    assert "Traceback" not in said.err


@pytest.mark.sqlite_only
@pytest.mark.slow
def test_demo_comes_true(terminal: Any, tmp_path: Path) -> None:
    """The demo ends with 0 only if Mailchimp holds what the reports say; the folder can be looked at."""
    said = terminal.say_bare("demo", "--folder", str(tmp_path / "demo"))

    assert said.code == 0, said.out + said.err
    assert "Mailchimp holds what the reports say" in said.out
    assert "@" not in said.out
    rows = [line.split() for line in said.out.splitlines() if line.startswith("nothing new")]
    assert [row[-1] for row in rows] == ["0", "0"]
    listed = terminal.say_bare(
        "exports", "--json", "--config", str(tmp_path / "demo" / "exports.yaml")
    ).document
    assert [each["status"] for each in listed["exports"]] == ["success", "success"]


def test_demo_overwrites_nothing(terminal: Any, tmp_path: Path) -> None:
    """A folder that holds something is refused."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "mine.txt").write_text("mine")

    said = terminal.say_bare("demo", "--folder", str(tmp_path / "demo"))

    assert said.code == 2
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("name", ["unified_profiles.csv", "segment_membership.csv"])
def test_demo_shows_the_same_people_as_the_examples(name: str) -> None:
    """There is one sample: the packaged files are those of examples/data."""
    assert sample_file(name) == (ROOT / "examples" / "data" / name).read_bytes()
