"""Two of the real program and one ledger, as on two machines: started together, stopped, and without its server."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest
from harness import AUDIENCE, Project
from ledger.programs import assert_exact, change

PAIRS = 20
PEOPLE = 1_600  # four requests
PATIENCE = 600  # seconds; a tenth of it where nothing else runs

pytestmark = pytest.mark.lengthy


class Program:
    """``ci-mailchimp run`` on a machine of its own, or, over a file, on the same one."""

    def __init__(self, project: Project, machine: str) -> None:
        shared = "CI_MAILCHIMP_LEDGER" not in project.environ
        home = project.folder / (".ci_mailchimp" if shared else machine)
        environment = {**os.environ, **project.environ, "CI_MAILCHIMP_HOME": str(home)}
        self.process = subprocess.Popen(
            ["ci-mailchimp", "run", "vip", "--json"], cwd=project.folder, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def ended(self) -> tuple[int, str | None]:
        """Exit code, and the error's."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        (export,) = json.loads(out)["exports"]
        return self.process.returncode, export["error"] and export["error"]["code"]


@pytest.fixture
def project(tmp_path, mailchimp_emulator):
    """A project without people."""
    mailchimp_emulator.add_audience(AUDIENCE)
    return Project(tmp_path, mailchimp_emulator)


def until(condition, *, every=0.05):
    """Return when *condition* holds; ask for it every so many seconds."""
    deadline, pause = time.monotonic() + PATIENCE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline
        pause.wait(every)


def halfway(project):
    """A program that writes for everybody, one slow request after the other, and has begun the second."""
    project.customers(range(PEOPLE))
    project.connection["max_connections"] = 1
    project.write()
    project.emulator.fail("slow", on="writes", times=None, seconds=1.0)
    program = Program(project, "one")
    until(lambda: project.writes() >= 2)
    return program


@pytest.mark.both_ledgers
def test_two_programs_started_together_twenty_times_end_exact(project, tmp_path, capsys):
    """Each time one does it; the other waits its turn and finds nothing to do, or is told to come later."""
    ends = []
    for turn in range(PAIRS):
        change(project, turn)

        pair = [program.ended() for program in [Program(project, "one"), Program(project, "two")]]

        assert (0, None) in pair, pair
        assert set(pair) <= {(0, None), (4, "audience_busy")}, pair
        ends += pair
    with capsys.disabled():
        print(
            f"\n{PAIRS} pairs: {sum(code == 4 for code, _ in ends)} of {len(ends)} programs were told to come later"
        )
    assert_exact(project, tmp_path / "held")


@pytest.mark.both_ledgers
def test_a_program_stopped_past_its_lease_and_woken_does_no_harm(project, tmp_path):
    """SIGSTOP in the middle; another one takes over when the lease is over; awake, the first ends with exit 4."""
    asleep = halfway(project)
    asleep.process.send_signal(signal.SIGSTOP)
    project.emulator.heal()

    ends = []
    until(lambda: ends.append(project.run()) or ends[-1].error is None, every=5)
    asleep.process.send_signal(signal.SIGCONT)
    code = asleep.ended()

    # Stopped inside a transaction it keeps the audience's row locked, until PostgreSQL ends the transaction.
    assert {end.error.code for end in ends[:-1]} <= {"audience_busy", "ledger_busy"}
    assert len(ends) > 1
    assert (ends[-1].status, ends[-1].counts.accepted) == ("success", PEOPLE)
    assert code in {(4, "lease_lost"), (4, "ledger_unreachable")}
    assert_exact(project, tmp_path / "held")


def test_a_program_whose_server_is_killed_is_told_and_the_next_one_ends_exact(
    project, own_postgres, tmp_path
):
    """SIGKILL of PostgreSQL in the middle of a run: exit 4; started again, the next run does the rest."""
    project.environ["CI_MAILCHIMP_LEDGER"] = own_postgres.url
    running = halfway(project)

    own_postgres.kill()
    told = running.ended()
    down = Program(project, "one").ended()
    own_postgres.start()
    project.emulator.heal()
    again = Program(project, "two").ended()

    assert told == down == (4, "ledger_unreachable")
    assert again == (0, None)
    assert_exact(project, tmp_path / "held")
