"""Whether whoever holds a lease is still there: a killed run does not keep the next one waiting."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.process import is_gone, this_process

HOLDER = """
import sys
from pathlib import Path
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.process import this_process
with open_ledger(Path(sys.argv[1])) as ledger:
    with ledger.lease(ledger.audience("account-1", "a1b2c3d4e5"), this_process(), ttl=3600):
        print(this_process(), flush=True)
        sys.stdin.read()
"""


def test_a_killed_run_of_this_host_is_replaced_at_once(home):
    """A living process keeps its lease; killed, even before anybody reaped it, it holds nothing."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    owner = process.stdout.readline().decode().strip()
    with open_ledger(home) as ledger:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        assert not is_gone(owner)
        with pytest.raises(RunLaterError) as caught, ledger.lease(audience, this_process()):
            pass
        assert f":{process.pid}, last sign" in caught.value.message

        process.kill()
        process.stdout.read()  # ends when the process does; it is not reaped yet
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(owner)
        with ledger.lease(audience, this_process()) as held:
            assert held.fence == 2
    process.communicate()
    assert is_gone(owner)


def test_we_are_there_ourselves():
    """A process never takes its own lease, or another thread's, for a dead one's."""
    assert not is_gone(this_process())


def test_a_number_that_was_given_again_is_another_process():
    """The same process number with another start is not the holder."""
    host, pid, namespace, started = this_process().split(":")

    assert is_gone(f"{host}:{pid}:{namespace}:{int(started) - 1}")


@pytest.mark.parametrize("changed", [0, 2])
def test_only_time_tells_about_other_hosts_and_containers(changed):
    """A process number means nothing on another host or in another namespace of processes."""
    parts = this_process().split(":")
    parts[1], parts[changed] = "999999999", "other"

    assert not is_gone(":".join(parts))


@pytest.mark.parametrize("owner", ["", ":", "host", "host:1", ":::", "host:-1:x:y", "a:b:c:d:e:f"])
def test_unknown_forms_are_left_to_time(owner):
    """An owner that says nothing about a process is neither an error nor gone."""
    assert not is_gone(owner)
