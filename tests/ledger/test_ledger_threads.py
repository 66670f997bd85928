"""Many senders, one writer: each call is on disk when it returns."""

import threading
from concurrent.futures import ThreadPoolExecutor

from ci_mailchimp_pipeline.ledger import open_ledger

THREADS = 8


def test_threads_record_at_once_and_each_returns_after_its_commit(open_it, ledger, audience, lease, people):
    """Eight senders lose nothing, and each finds its own batch through another connection at once."""
    start = threading.Barrier(THREADS)

    def send(sender):
        start.wait(30)
        seen = []
        with open_it(read_only=True) as other:
            for batch in range(5):
                first = (sender * 5 + batch) * 10
                rows = [people.acknowledged(first + row) for row in range(10)]
                ledger.record(lease, rows, export=f"export{sender}")
                seen.append(other.held(audience, f"export{sender}"))
        return seen

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(send, range(THREADS))) == [[10, 20, 30, 40, 50]] * THREADS


def test_two_open_ledgers_wait_for_each_other(open_it, ledger, audience, clock, people):
    """Runs of different audiences write to one ledger without ever finding it locked."""
    other_audience = ledger.audience("account-1", "f6g7h8i9j0")
    start = threading.Barrier(2)

    def run(target):
        with open_it(clock=clock) as own, own.lease(target, f"host:{target}") as held:
            start.wait(30)
            for number in range(100):
                own.record(held, [people.acknowledged(number)], export="vip")
            return own.held(target, "vip")

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(run, [audience, other_audience])) == [100, 100]


def test_a_new_ledger_may_be_opened_by_many_at_once(home, new_url, clock):
    """Whoever comes first creates the tables, and everybody gets the same audience."""
    start = threading.Barrier(THREADS)

    def open_it(_):
        start.wait(30)
        with open_ledger(home, new_url, clock=clock) as opened:
            return opened.audience("account-1", "a1b2c3d4e5")

    with ThreadPoolExecutor(THREADS) as pool:
        assert len(set(pool.map(open_it, range(THREADS)))) == 1  # a server's numbers may have gaps
