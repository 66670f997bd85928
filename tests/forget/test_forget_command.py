"""``ci-mailchimp forget``: asks before it erases, prints the proof, and ends with the right code."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from forget.conftest import ANN, NEWS, PARTNERS, SPELLED
from harness import AUDIENCE, key

from ci_mailchimp_pipeline.cli.app import app

PROGRAM = str(Path(sys.executable).with_name("ci-mailchimp"))


@pytest.fixture
def environment(world: Any, machine_environment: dict[str, str]) -> dict[str, str]:
    """The machine's, less what is ours, and the project's."""
    ours = ("CI_MAILCHIMP_", "MAILCHIMP_", "DAGSTER_HOME")
    kept = {
        name: value
        for name, value in machine_environment.items()
        if not name.startswith(ours) and not name.lower().endswith("_proxy")
    }
    return {**kept, **world.project.environ, "COLUMNS": "200"}


def said(world: Any, *words: str, text: str | None = None, **environ: str) -> Result:
    """Run the command in this process."""
    world.project.write()
    path = str(world.project.folder / "exports.yaml")
    environ = {**world.project.environ, **environ}
    return CliRunner().invoke(app, ["--config", path, "forget", *words], env=environ, input=text)


def _heeding_ctrl_c() -> None:
    """Whoever runs the tests in the background has switched it off."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Until it is heard: between the question and the wait for its answer it may not be."""
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)


def typed(world: Any, environment: dict[str, str], answer: bytes) -> tuple[int, str, str]:
    """Run the program on a terminal; when it asks, type *answer*, or press Ctrl-C. Exit code, stdout, the terminal."""
    world.project.write()
    here, there = pty.openpty()
    with subprocess.Popen(
        [PROGRAM, "forget", ANN], cwd=world.project.folder, env=environment, stdin=there, stderr=there,
        stdout=subprocess.PIPE, text=True, preexec_fn=_heeding_ctrl_c,  # noqa: PLW1509  (it sets a handler)
    ) as process:  # fmt: skip
        os.close(there)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(here, 4_096)
        if answer:
            os.write(here, answer)
        else:
            press_ctrl_c(process)
        out, _ = process.communicate(timeout=120)
    while True:
        try:
            shown += os.read(here, 4_096)
        except OSError:  # the terminal is closed with its last program
            break
    os.close(here)
    return process.returncode, out, shown.decode()


def test_on_a_terminal_it_says_what_it_will_do_and_asks(world: Any, environment: dict[str, str]) -> None:
    """Which audiences, that nothing undoes it, and that the source is for others to mend; yes does it."""
    code, out, shown = typed(world, environment, b"y\n")

    assert code == 0, shown
    for word in (AUDIENCE, NEWS, PARTNERS, "for good", "by whomever added", "at the source", "a***@***"):
        assert word in shown
    assert "audience a1b2c3d4e5 (connection main)" in out
    assert "forgotten, 20" in out
    assert ANN not in (shown + out).lower()
    assert key(ANN).hex() not in shown + out
    assert ANN not in world.project.members()
    assert world.traces() == []


@pytest.mark.parametrize("answer", [b"\n", b""], ids=["return", "Ctrl-C"])
def test_anything_but_yes_leaves_everything_as_it_is(
    world: Any, environment: dict[str, str], answer: bytes
) -> None:
    """Return alone and Ctrl-C end with 130 before anything was asked of anybody."""
    before = world.traces()
    world.forget_requests()

    code, out, _ = typed(world, environment, answer)

    assert (code, out) == (130, "")
    assert world.project.emulator.requests() == world.partners.requests() == []
    assert world.traces() == before


def test_without_a_terminal_it_needs_yes(world: Any) -> None:
    """A script that did not say so erases nobody: exit 2, with what to add."""
    done = said(world, ANN)

    assert done.exit_code == 2
    assert "fix: add --yes" in done.stderr
    assert ANN in world.project.members()


def test_the_proof_as_a_document(world: Any) -> None:
    """Stdout is one JSON document: each place with what was found and done, Mailchimp's request ids, and no name."""
    done = said(world, SPELLED, "--yes", "--json")

    document = json.loads(done.stdout)
    assert done.exit_code == 0, done.stderr
    assert set(document) == {"forgotten", "at", "digest", "places", "error"}
    assert (document["forgotten"], document["error"]) == (True, None)
    assert {tuple(place) for place in document["places"]} == {("place", "found", "done", "request_id")}
    assert sum(place["request_id"] is not None for place in document["places"]) == 3
    assert len(document["digest"]) == 8
    assert ANN not in (done.stdout + done.stderr).lower()


def test_the_address_may_come_from_standard_input(world: Any) -> None:
    """Where a command line is seen by others, or kept in a history."""
    done = said(world, "-", "--yes", text=f"{ANN}\n")

    assert done.exit_code == 0, done.stderr
    assert ANN not in world.project.members()


@pytest.mark.parametrize(
    ("words", "environ", "code"),
    [
        (("nobody", "--yes"), {}, "not_an_address"),
        ((ANN, "--yes"), {"CI_MAILCHIMP_SANDBOX": "1"}, "sandbox"),
        ((ANN, "--yes"), {"CI_MAILCHIMP_FORGET_KEY": "short"}, "bad_forget_key"),
        ((ANN,), {}, "not_confirmed"),
    ],
)
def test_a_refusal_is_a_document_too(
    world: Any, words: tuple[str, ...], environ: dict[str, str], code: str
) -> None:
    """Exit 2, nothing done, and the error with its fix in the document."""
    done = said(world, *words, "--json", **environ)

    document = json.loads(done.stdout)
    assert done.exit_code == 2
    assert document["forgotten"] is False
    assert (document["error"]["code"], document["places"]) == (code, [])
    assert document["error"]["fix"]
    assert ANN in world.project.members()


def test_what_was_done_before_it_failed_is_in_the_document(world: Any) -> None:
    """One account refuses the key: the other one's erasure is told, the error decides the exit code, again finishes."""
    world.partners.switch(accepted_keys=["another-us1"])

    first = said(world, ANN, "--yes", "--json")
    world.partners.switch(accepted_keys=[])
    second = said(world, ANN, "--yes", "--json")

    document = json.loads(first.stdout)
    assert first.exit_code == 2
    assert (document["forgotten"], document["error"]["code"]) == (False, "mailchimp_auth")
    assert ("connection partners", "failed (mailchimp_auth)") in {
        (place["place"], place["done"]) for place in document["places"]
    }
    assert ANN not in world.project.members()
    assert second.exit_code == 0, second.stderr
    assert ANN not in world.partners.members(PARTNERS)
