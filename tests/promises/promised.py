"""What the tests of the promises have in common: a patient clock, a look at every request, and the laws."""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from harness import AUDIENCE, Project

from ci_mailchimp_pipeline.config import Config, Export
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.planning import authorization_of, connection_of
from ci_mailchimp_pipeline.pipeline.report import Report

DAY = 86_400.0


@dataclass
class Hurried:
    """A clock on which waiting is over at once; the time that was waited counts."""

    waited: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic() + self.waited

    def random(self) -> float:
        return 0.5

    def wait(self, stopped: threading.Event, seconds: float) -> None:  # noqa: ARG002
        with self._lock:
            self.waited += seconds


def hurried(config: Config, export: Export, environ: Mapping[str, str]) -> MailchimpClient:
    """A client of the real kind that waits on a hurried clock."""
    connection = connection_of(config, export)
    return MailchimpClient(
        api_root=connection.api_root or "",
        authorization=authorization_of(config, connection, environ),
        max_connections=connection.max_connections,
        clock=Hurried(),
    )


def meanwhile(
    method: str, path: str, deed: Callable[[], None]
) -> Callable[[MailchimpClient], MailchimpClient]:
    """Somebody does something once, just before the first request of *method* whose path holds *path*."""

    def wrap(client: MailchimpClient) -> MailchimpClient:
        call, lock, left = client.call, threading.Lock(), [deed]

        def watched(verb: str, where: str, **more: Any) -> Any:
            with lock, contextlib.suppress(IndexError):
                if verb == method and path in where:
                    left.pop()()
            return call(verb, where, **more)

        client.call = watched  # type: ignore[method-assign]
        return client

    return wrap


def kept(report: Report) -> Report:
    """The report of a finished run, after looking at its laws."""
    assert report.error is None, report.error
    assert report.status == "success"
    assert report.counts.is_balanced(), report.counts
    assert report.counts.suppressed == sum(report.suppressed_reasons.values())
    assert report.counts.refused == sum(report.refused_reasons.values())
    assert report.counts.rejected == sum(report.rejected_reasons.values())
    assert report.counts.archived <= report.counts.exited
    return report


def run(project: Project, export: str = "vip", **more: Any) -> Report:
    """Run, and look at the laws."""
    return kept(project.run(export, **more))


def quiet(project: Project, export: str = "vip") -> Report:
    """A run that finds nothing to do, and does nothing."""
    before = len(project.emulator.writes())
    report = run(project, export)
    assert len(project.emulator.writes()) == before, "a refresh that changed nothing sent something"
    assert report.writes == 0
    return report


def member(project: Project, address: str, audience: str = AUDIENCE) -> Mapping[str, Any]:
    """One member of the audience, by address as written."""
    return project.members(audience)[address]


def bodies(project: Project) -> list[Mapping[str, Any]]:
    """Every member object that was sent, in whatever request."""
    sent: list[Mapping[str, Any]] = []
    for request in project.emulator.writes():
        body = request.get("body") or {}
        sent.extend(body.get("members") or ())
        if "email_address" in body:
            sent.append(body)
    return sent


def returned(project: Project) -> list[str]:
    """The addresses of the members that were sent with a status."""
    return [body["email_address"] for body in bodies(project) if "status" in body]
