"""Several processes and one ledger: who was asleep writes nothing, and whoever comes at once takes turns."""

import json
import os
import signal
import threading
import time

import pytest
from harness import AUDIENCE, Project
from ledger.programs import SHORT, assert_exact, change, person, runner, start, start_ready

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.ledger import open_ledger

PATIENCE = 60  # seconds; a hundredth of it where nothing else runs
ROUNDS = 20
RUNS = 4


def taken_over(ledger, audience):
    """The lease of *audience*, as soon as its holder gave no sign of life for long enough."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while time.monotonic() < deadline:
        lease = ledger.lease(audience, "host:2")
        try:
            return lease.__enter__()
        except RunLaterError as busy:
            assert busy.code == "audience_busy"  # noqa: PT017  # and nothing else
        pause.wait(SHORT / 10)
    raise AssertionError("the lease never ended")


def test_a_holder_that_was_asleep_writes_nothing_over_its_successor(home, new_url, people, read):
    """A process stopped past its lease is replaced; awake again, every write of it is refused."""
    holder = start("holder", home, new_url or "")
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    with open_ledger(home, new_url) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        lease = taken_over(ledger, audience)
        try:
            ledger.record(lease, [person(3)], export="vip")
            os.kill(holder.pid, signal.SIGCONT)
            said, _ = holder.communicate(timeout=PATIENCE)
            ledger.record(lease, [person(4)], export="vip")
        finally:
            lease.__exit__(None, None, None)

        assert said.split() == ["lease_lost"] * 5
        assert holder.returncode == 0
        found = [row["customer_id"] for row in read(ledger, audience, "members")]
        assert found == ["C1", "C3", "C4"]
        assert read(ledger, audience, "tags") == []


def tell(processes, line):
    """Give *line* to all at once and return what each says when it is done."""
    for process in processes:
        process.stdin.write(f"{line}\n")
        process.stdin.flush()
    return [process.stdout.readline() for process in processes]


def end(processes):
    """End programs that wait for a line."""
    for process in processes:
        process.kill()
        process.communicate()


def test_two_processes_started_together_take_turns(home, new_url):
    """Twenty times two at once: each gets the audience, alone, under a fence of its own."""
    open_ledger(home, new_url).close()
    pair = [start_ready("taker", home, new_url or "") for _ in range(2)]

    said = [tuple(map(int, line.split())) for turn in range(ROUNDS) for line in tell(pair, turn)]

    end(pair)
    fences = [fence for fence, _ in said]
    assert len(set(fences)) == 2 * ROUNDS
    # The first of a turn brings one person, the second, alone with the audience, finds them there.
    assert sorted(more for _, more in said) == [0] * ROUNDS + [1] * ROUNDS


@pytest.fixture
def project(tmp_path, mailchimp_emulator, new_url):
    """A project whose ledger is on either database."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    if new_url:
        project.environ["CI_MAILCHIMP_LEDGER"] = new_url
    return project


@pytest.fixture
def pair(project):
    """Two processes that run the project's export when they are told to."""
    project.write()
    runners = [runner(project) for _ in range(2)]
    yield runners
    end(runners)


@pytest.mark.slow
def test_two_runs_started_together_end_exact(project, pair, tmp_path):
    """Time and again two runs at once: one comes after the other or is told to, and nothing is wrong at the end."""
    codes = []
    for turn in range(RUNS):
        change(project, turn)
        ends = [json.loads(line) for line in tell(pair, 0)]
        codes += [end["code"] for end in ends if end["code"]]
        assert "success" in [end["status"] for end in ends], ends

    assert set(codes) <= {"audience_busy"}
    assert_exact(project, tmp_path / "held")
