"""The real program stopped in the middle: once it finishes what is in flight, twice it ends at once."""

import json
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from harness import Project, address

Start = Callable[..., "subprocess.Popen[str]"]
BATCH = 500
PROMPT_SECONDS = 60  # what a loaded machine takes to wind up; the waits below are far longer


def until(condition: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Return when *condition* holds, while the process is there."""
    deadline = time.monotonic() + 240
    while not condition():
        assert time.monotonic() < deadline
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)


@pytest.mark.slow
def test_sigterm_ends_a_backoff(project: Project, start: Start) -> None:
    """Somebody who waits five minutes for Mailchimp is told to stop: exit 4 at once, what was acknowledged is kept."""
    project.customers(range(2 * BATCH))
    project.connection["max_connections"] = 1
    project.write()
    project.emulator.fail("429", match="^POST", nth=2, times=None, retry_after="300")
    process = start("run", "--json", env={"TZ": "Pacific/Kiritimati"})
    until(lambda: project.writes() == 2, process)

    process.send_signal(signal.SIGTERM)
    told = time.monotonic()
    out, err = process.communicate(timeout=280)

    assert time.monotonic() - told < PROMPT_SECONDS
    assert process.returncode == 4, err
    (report,) = json.loads(out)["exports"]
    assert (report["error"]["code"], report["counts"]["added"]) == ("interrupted", BATCH)
    assert "Traceback" not in err
    project.emulator.heal()
    again = project.run()
    assert (again.counts.unchanged, again.counts.added) == (BATCH, BATCH)
    assert project.writes() == 3  # two that were taken, and the one that was refused


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_an_answer(project: Project, start: Start) -> None:
    """Ctrl-C twice ends a program whose requests hang: 130, and the next run finds out what became of them."""
    project.customers(range(3 * BATCH))
    project.connection["max_connections"] = 2
    project.write()
    project.emulator.fail("slow", match="^POST", nth=2, times=None, seconds=PROMPT_SECONDS * 3)
    process = start("run", "--json")
    until(lambda: len(project.members()) > BATCH, process)

    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)  # the first signal lets requests in flight finish
    process.send_signal(signal.SIGINT)
    told = time.monotonic()
    _, err = process.communicate(timeout=280)

    assert time.monotonic() - told < PROMPT_SECONDS
    assert process.returncode == 130, err
    assert "run it again" in err
    assert "Traceback" not in err
    project.emulator.heal()
    again = project.run()
    assert again.status == "success"
    assert again.counts.is_balanced()
    found = project.members()
    assert found.keys() == {address(number) for number in range(3 * BATCH)}
    assert {(each["status"], *each["tags"]) for each in found.values()} == {("subscribed", "Vip")}
