"""Programs that tests start beside themselves: ``holder HOME URL`` and ``runner FOLDER EMULATOR URL``."""

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness import Project

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.ledger import Acknowledged, open_ledger
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.process import this_process

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


class Written(Project):
    """A project that somebody else writes."""

    def write(self) -> Config:
        """Load what is there."""
        return load_config(self.folder / "exports.yaml", environ=self.environ)


def run(folder: str, emulator: str, url: str) -> None:
    """For each line of the input run the export and print how it ended; killed after that many writes, if any."""
    project = Written(Path(folder), SimpleNamespace(url=emulator))  # type: ignore[arg-type]
    if url:
        project.environ["CI_MAILCHIMP_LEDGER"] = url
    print("ready", flush=True)
    for line in sys.stdin:
        dying = AfterWrite(int(line), lambda: os.kill(os.getpid(), signal.SIGKILL))
        report = project.run(client=dying)
        print(json.dumps({"status": report.status, "code": report.error and report.error.code}), flush=True)


if __name__ == "__main__":
    {"holder": hold, "runner": run}[sys.argv[1]](*sys.argv[2:])
