"""Killed anywhere, the ledger is whole and holds every batch that was acknowledged to its caller."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

ROUNDS = 6
BATCH = 200

WRITER = """
import hashlib, os, sys, threading
from pathlib import Path
from ci_mailchimp_pipeline.ledger import Acknowledged, open_ledger

home, first = Path(sys.argv[1]), int(sys.argv[2])
numbers = iter(range(first, first + 1_000_000))
turn = threading.Lock()

def send(ledger, lease):
    while True:
        with turn:
            number = next(numbers)
        hashes = sorted(hashlib.md5(f"{number}/{row}".encode()).digest() for row in range(int(sys.argv[3])))
        rows = [
            Acknowledged(subscriber_hash=key, address=f"{number}@contoso-mail.internal", customer_id=str(number),
                         created_by_us=True, tags=("A",), fingerprint=b"f", filled="")
            for key in hashes
        ]
        ledger.record(lease, rows, export="vip")
        os.write(1, f"{number}\\n".encode())

with open_ledger(home, clock=lambda: 1e9 + 1e4 * first) as ledger:
    with ledger.lease(ledger.audience("account-1", "a1b2c3d4e5"), "host:1") as lease:
        senders = [threading.Thread(target=send, args=(ledger, lease)) for _ in range(3)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
"""


@pytest.mark.slow
def test_a_killed_run_lost_nothing_it_had_recorded(home):
    """SIGKILL in mid-record, many times: the file is sound, acknowledged batches are there, and none is in part."""
    acknowledged = set()
    for turn in range(ROUNDS):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(home), str(turn * 1_000_000), str(BATCH)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        for _ in range(1 + 3 * turn):
            acknowledged.add(int(process.stdout.readline()))
        process.kill()
        rest, _ = process.communicate()
        acknowledged.update(int(line) for line in rest.split(b"\n")[:-1])

        with closing(sqlite3.connect(home / "ledger.sqlite")) as database:
            assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            batches = dict(database.execute("SELECT customer_id, count(*) FROM member GROUP BY 1").fetchall())
            assert database.execute("SELECT count(*) FROM hold").fetchone() == (BATCH * len(batches),)
        assert set(batches.values()) == {BATCH}
        assert {str(number) for number in acknowledged} <= set(batches)
        assert len(batches) - len(acknowledged) <= 3 * (turn + 1)  # at most those in flight

    assert len(acknowledged) >= ROUNDS
