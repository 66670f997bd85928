"""One run at a time on an audience: exclusion, takeover, fences, heartbeats, clocks that jump."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.ledger import open_ledger, sqlite

TTL = 60


@pytest.fixture
def second(ledger, open_it, clock):
    """The same ledger, opened by somebody else."""
    with open_it(clock=clock) as opened:
        yield opened


def test_a_living_lease_keeps_others_out(ledger, second, audience, clock):
    """Whoever comes second is told who holds the audience, since when, and when it would be free."""
    with ledger.lease(audience, "host:1", ttl=TTL):
        clock.now += 15
        with pytest.raises(RunLaterError) as caught, second.lease(audience, "host:2", ttl=TTL):
            pass

    assert caught.value.code == "audience_busy"
    assert "host:1" in caught.value.message
    assert "15 s" in caught.value.message
    assert "45 s" in caught.value.fix


def test_a_released_lease_is_free_at_once(ledger, second, audience):
    """Leaving the block frees the audience without waiting; the fence has grown."""
    with ledger.lease(audience, "host:1", ttl=TTL) as first:
        pass
    with second.lease(audience, "host:2", ttl=TTL) as held:
        assert held.fence > first.fence
        held.check()


def test_leases_of_other_audiences_are_independent(ledger, second, audience):
    """Two audiences can be written to at once."""
    other = second.audience("account-1", "f6g7h8i9j0")
    with ledger.lease(audience, "host:1"), second.lease(other, "host:2") as held:
        held.check()


def test_after_a_takeover_the_former_holder_records_nothing(ledger, second, audience, clock, people):
    """A run that gave no sign of life for its ttl is replaced, and its late batch is refused whole."""
    with ledger.lease(audience, "host:1", ttl=TTL) as stale:
        ledger.record(stale, [people.acknowledged(1)], export="vip")
        clock.now += TTL
        with second.lease(audience, "host:2", ttl=TTL) as held:
            assert held.fence == stale.fence + 1
            with pytest.raises(RunLaterError) as caught:
                ledger.record(stale, [people.acknowledged(2), people.acknowledged(3)], export="vip")
            assert caught.value.code == "lease_lost"
            for late in (
                lambda: ledger.adopt_tag(stale, "Newsletter", []),
                lambda: ledger.begin_writing("run", "vip", stale, 1.0),
                stale.renew,
                stale.check,
            ):
                with pytest.raises(RunLaterError, match="took over"):
                    late()
            assert second.held(audience, "vip") == 1
            second.record(held, [people.acknowledged(4)], export="vip")
            assert second.held(audience, "vip") == 2


def test_a_former_holder_does_not_end_the_new_lease(ledger, second, audience, clock, people):
    """Leaving a lost lease leaves the new holder's alone."""
    stale = ledger.lease(audience, "host:1", ttl=TTL)
    with stale:
        clock.now += TTL
        held = second.lease(audience, "host:2", ttl=TTL)
        held.__enter__()
    try:
        second.record(held, [people.acknowledged(1)], export="vip")
        with pytest.raises(RunLaterError, match="host:2"), ledger.lease(audience, "host:3", ttl=TTL):
            pass
    finally:
        held.__exit__(None, None, None)


def test_a_lease_that_ended_but_was_not_taken_still_writes(ledger, audience, clock, people, read):
    """A machine that slept does not lose its acknowledged batch when nobody else came."""
    with ledger.lease(audience, "host:1", ttl=TTL) as lease:
        clock.now += 10 * TTL
        lease.check()
        ledger.record(lease, [people.acknowledged(1)], export="vip")

    assert len(read(ledger, audience, "members")) == 1


def test_a_lease_does_not_write_after_its_block(ledger, audience, people):
    """A sender that outlives its run records nothing, even if nobody else came."""
    with ledger.lease(audience, "host:1") as lease:
        pass
    with pytest.raises(RunLaterError, match="took over"):
        ledger.record(lease, [people.acknowledged(1)], export="vip")


def test_the_heartbeat_prolongs_the_lease(ledger, second, audience, clock):
    """A lease lives on as long as its process does: its own thread renews it."""
    beats = threading.Semaphore(0)

    def ticking():
        beats.release()
        return clock.now

    with ledger.lease(audience, "host:1", ttl=0.06, clock=ticking):
        clock.now += 1000  # ended long ago, if nobody renews it
        for _ in range(4):
            assert beats.acquire(timeout=30)
        with pytest.raises(RunLaterError, match="host:1"), second.lease(audience, "host:2", ttl=TTL):
            pass


def test_the_heartbeat_notices_a_takeover(ledger, second, audience, clock):
    """A run that was replaced learns it from its own heartbeat, before its next batch; the thread ends."""
    with ledger.lease(audience, "host:1", ttl=0.3) as stale:
        clock.now += 1
        with second.lease(audience, "host:2", ttl=TTL):
            (thread,) = [
                t for t in threading.enumerate() if t.name == f"lease-{audience}" and t is stale._thread
            ]
            thread.join(30)
            assert not thread.is_alive()
            with pytest.raises(RunLaterError, match="took over"):
                stale.check()


def test_a_failing_heartbeat_tries_again(home, clock, monkeypatch, caplog):
    """A ledger that is locked for a moment costs a warning that names nobody, not the run."""
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.001)
    warned = threading.Semaphore(0)
    write = caplog.handler.emit
    renewed = threading.Event()
    monkeypatch.setattr(caplog.handler, "emit", lambda record: (write(record), warned.release()))

    def ticking():
        if not locker.in_transaction:
            renewed.set()
        return clock.now

    with (
        open_ledger(home, clock=ticking) as ledger,
        closing(
            sqlite3.connect(home / "ledger.sqlite", isolation_level=None, check_same_thread=False)
        ) as locker,
    ):
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        with ledger.lease(audience, "host:1", ttl=0.03) as lease:
            locker.execute("BEGIN IMMEDIATE")
            assert warned.acquire(timeout=30)
            assert warned.acquire(timeout=30)
            renewed.clear()
            locker.execute("COMMIT")
            assert renewed.wait(30)
            lease.check()

    assert "trying again: ledger_busy" in caplog.text
    assert "host:1" not in caplog.text


def test_a_clock_set_back_does_not_make_a_lease_eternal(ledger, second, audience, clock):
    """A dead run's lease from a future clock holds for two ttl at most, whatever its end says."""
    left = ledger.lease(audience, "host:1", ttl=TTL)
    left._acquire()  # a run that died: no heartbeat, no release
    clock.now -= TTL / 2
    with pytest.raises(RunLaterError, match="host:1"), second.lease(audience, "host:2", ttl=TTL):
        pass

    clock.now -= 86_400
    with second.lease(audience, "host:3", ttl=TTL) as held:
        assert held.fence == left.fence + 1


HOLDER = """
import sys, time
from pathlib import Path
from ci_mailchimp_pipeline.ledger import open_ledger
with open_ledger(Path(sys.argv[1])) as ledger:
    with ledger.lease(ledger.audience("account-1", "a1b2c3d4e5"), "otherhost:4711", ttl=3600):
        print("held", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def holder(home):
    """Another process that holds the audience until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_another_process_keeps_us_out_until_it_ends(holder, home):
    """Exclusion works between processes, and an orderly end frees the audience."""
    with open_ledger(home) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        with pytest.raises(RunLaterError, match="otherhost:4711"), ledger.lease(audience, "host:2"):
            pass
        holder.stdin.close()
        holder.stdin = None
        assert holder.wait(30) == 0
        with ledger.lease(audience, "host:2") as held:
            held.check()


def test_a_killed_process_is_taken_over_when_its_lease_ends(holder, home, clock):
    """A run that was killed holds the audience for its ttl and not longer; the fence grows by one."""
    holder.kill()
    holder.wait(30)
    with open_ledger(home) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        with pytest.raises(RunLaterError, match="otherhost:4711"), ledger.lease(audience, "host:2"):
            pass
        clock.now += 10 * 365 * 86_400
        with ledger.lease(audience, "host:2", clock=clock) as held:
            assert held.fence == 2
