"""The real process killed at random moments, run again until it is through: the end is exact (P7)."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from harness import AUDIENCE, Project, address

from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = 10_000
BATCHES = PEOPLE // 500
CONNECTIONS = 4
KILLS = 5


@pytest.mark.lengthy
def test_five_kills_at_random_moments_end_exactly(tmp_path):
    """SIGKILL five times: everyone arrives once, and only batches in flight were sent twice."""
    chance = random.Random(20261124)
    with Emulator.start(in_process=False) as emulator:
        emulator.add_audience(AUDIENCE)
        project = Project(tmp_path, emulator)
        project.connection["max_connections"] = CONNECTIONS
        project.customers(range(PEOPLE))
        project.write()
        emulator.fail("slow", on="writes", times=None, seconds=0.15)

        for _ in range(KILLS):
            wanted = chance.randrange(BATCHES // KILLS + 1)
            process = start(project)
            before = len(emulator.writes())
            while process.poll() is None and len(emulator.writes()) - before < wanted:
                time.sleep(0.02)
            time.sleep(chance.random() * 0.3)
            process.send_signal(signal.SIGKILL)
            process.communicate()

        done = start(project)
        out, _ = done.communicate()

        assert done.returncode == 0
        export = json.loads(out)["exports"][0]
        found = project.members()
        assert found.keys() == {address(number) for number in range(PEOPLE)}
        assert {(member["status"], *member["tags"]) for member in found.values()} == {("subscribed", "Vip")}
        assert export["counts"]["accepted"] == PEOPLE
        assert len(emulator.writes()) <= BATCHES + KILLS * CONNECTIONS
        emulator.heal()
        assert project.plan().writes == 0
        with project.ledger() as ledger:
            assert ledger.held(1, "vip") == PEOPLE


def start(project: Project) -> "subprocess.Popen[str]":
    environment = {**os.environ, **project.environ}
    command = [sys.executable, "-m", "ci_mailchimp_pipeline", "run", "vip", "--json"]
    return subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
