"""Programs that tests start beside themselves.

``holder HOME URL``, ``taker HOME URL`` and ``runner FOLDER EMULATOR URL``; an empty URL is SQLite.
"""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
from harness import Project, address, key

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.ledger import Acknowledged, open_ledger
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.process import this_process

ROOT = Path(__file__).parents[2]
ACCOUNT, AUDIENCE = "account-1", "a1b2c3d4e5"
SHORT = 0.5  # seconds a lease of the holder lives


@dataclass
class AfterWrite:
    """A client that does something when the answer of its *number*-th write is there, but not yet recorded."""

    number: int
    then: Callable[[], None]
    seen: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, client: MailchimpClient) -> MailchimpClient:
        call = client.call

        def watched(method: str, path: str, **more: Any) -> Any:
            answer = call(method, path, **more)
            if method != "GET":
                with self.lock:
                    self.seen += 1
                    if self.seen == self.number:
                        self.then()
            return answer

        client.call = watched  # type: ignore[method-assign]
        return client


def start(*arguments: object) -> "subprocess.Popen[str]":
    """Start one of these programs."""
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )  # fmt: skip


def start_ready(*arguments: object) -> "subprocess.Popen[str]":
    """Start one that reads lines, and wait until it does."""
    process = start(*arguments)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def runner(project: Project) -> "subprocess.Popen[str]":
    """Start a runner of *project*, which is written."""
    url = project.environ.get("CI_MAILCHIMP_LEDGER", "")
    return start_ready("runner", project.folder, project.emulator.url, url)


def held(project: Project, into: Path) -> set[tuple[Any, ...]]:
    """Hash, customer and tags of everybody whom the ledger holds, of all exports together."""
    with project.ledger() as ledger:
        (audience,) = ledger.audiences()
        files = ledger.export_state(audience.id, into)
    holds = pl.read_parquet(files.holds).join(pl.read_parquet(files.members), on="subscriber_hash")
    return {(row["subscriber_hash"], row["customer_id"], *row["tags"]) for row in holds.iter_rows(named=True)}


def change(project: Project, turn: int) -> None:
    """Refresh the source for a turn: five people come, and from the second turn on one leaves and one moves."""
    project.customers([10 * turn + number for number in range(5)])
    if turn:
        project.leave(f"c{10 * (turn - 1):05}")
        project.customer(f"c{10 * turn - 6:05}", address(10 * turn - 6), City=f"City {turn}")
    project.write()


def assert_exact(project: Project, into: Path) -> None:
    """Who is wanted is in the audience and in the ledger, once, nobody else is tagged, and a plan is empty."""
    wanted = project.segments["Vip"]
    tagged = {name for name, member in project.members().items() if member["tags"]}
    assert tagged == {project.people[customer]["EMail"] for customer in wanted}
    assert held(project, into) == {
        (key(project.people[customer]["EMail"]), customer, "Vip") for customer in wanted
    }
    assert project.plan().writes == 0


def person(number: int) -> Acknowledged:
    """Somebody whom Mailchimp took."""
    return Acknowledged(
        subscriber_hash=bytes([number]) * 16, address=f"person{number}@contoso-mail.internal",
        customer_id=f"C{number}", created_by_us=True, tags=("A",), fingerprint=b"f", filled="",
    )  # fmt: skip


def hold(home: str, url: str) -> None:
    """Take the lease, record, stop as a machine does that is put to sleep; once awake, try to go on."""
    with (
        open_ledger(Path(home), url or None) as ledger,
        ledger.lease(ledger.audience(ACCOUNT, AUDIENCE), this_process(), ttl=SHORT) as lease,
    ):
        ledger.record(lease, [person(1)], export="vip")
        with ledger._database._one_writer:  # no heartbeat is in a transaction at that moment
            os.kill(os.getpid(), signal.SIGSTOP)
        for attempt in (
            lambda: ledger.record(lease, [person(2)], export="vip"),
            lambda: ledger.adopt_tag(lease, "A", [[bytes(16)]]),
            lambda: ledger.begin_writing("run", "vip", lease, 1.0),
            lease.renew,
            lease.check,
        ):
            try:
                attempt()
            except RunLaterError as error:
                print(error.code)
            else:
                print("wrote")


def take(home: str, url: str) -> None:
    """For each line of the input take the lease, record, and print the fence and how many more are held then."""
    with open_ledger(Path(home), url or None) as ledger:
        audience = ledger.audience(ACCOUNT, AUDIENCE)
        print("ready", flush=True)
        for line in sys.stdin:
            done = None
            while done is None:
                with suppress(RunLaterError), ledger.lease(audience, this_process()) as lease:
                    before = ledger.held(audience, "vip")
                    ledger.record(lease, [person(int(line))], export="vip")
                    done = lease.fence, ledger.held(audience, "vip") - before
            print(*done, flush=True)


class Written(Project):
    """A project that somebody else writes."""

    def write(self) -> Config:
        """Load what is there."""
        return load_config(self.folder / "exports.yaml", environ=self.environ)


def run(folder: str, emulator: str, url: str) -> None:
    """For each line of the input run the export, and print how it ended.

    The line says what happens after which write: ``0`` nothing, ``die 2`` SIGKILL, ``wait 2`` a word on the
    output, and the run goes on with the next line of the input.
    """
    project = Written(Path(folder), SimpleNamespace(url=emulator))  # type: ignore[arg-type]
    if url:
        project.environ["CI_MAILCHIMP_LEDGER"] = url

    def wait() -> None:
        print("waiting", flush=True)
        sys.stdin.readline()

    print("ready", flush=True)
    while line := sys.stdin.readline():
        what, _, number = line.strip().rpartition(" ")
        then = wait if what == "wait" else lambda: os.kill(os.getpid(), signal.SIGKILL)
        report = project.run(client=AfterWrite(int(number), then))
        code, exit_code = (report.error.code, report.error.exit_code) if report.error else (None, 0)
        print(json.dumps({"status": report.status, "code": code, "exit_code": exit_code}), flush=True)


if __name__ == "__main__":
    {"holder": hold, "taker": take, "runner": run}[sys.argv[1]](*sys.argv[2:])
