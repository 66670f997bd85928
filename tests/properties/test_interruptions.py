"""Interrupted at every request and run again, the end is the same as if nothing had happened (P7)."""

import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from harness import AUDIENCE, Project, address
from ledgers import copy_of_ledger, drop_ledger
from properties.crashes import Crash, CrashAt


def story_of_a_busy_day(project: Project) -> list[Callable[[], None]]:
    """Three refreshes: a first one, one in which everything changes, and one in which people come back."""

    def first() -> None:
        project.emulator.reset()
        project.emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME", "CITY"])
        project.emulator.add_members(
            AUDIENCE,
            [
                {
                    "email_address": address(3),
                    "tags": ["Vip", "Theirs"],
                    "opted": 1_000,
                    "source": "API - Generic",
                },
                {"email_address": address(4), "status": "unsubscribed", "cause": "contact"},
                {"email_address": "taken@contoso-mail.internal", "tags": ["Theirs"], "opted": 1_000},
            ],
        )
        project.export("vip", segments=["Vip", "News"], on_exit="archive", merge_fields={"CITY": "City"})
        project.customers(range(8), "Vip")
        project.customers(range(8, 12), "Vip", "News")
        project.customer("fake", "somebody@contoso", "Vip")

    def changes() -> None:
        project.customer("c00000", address(0), "Vip", City="Ghent")
        project.customer("c00001", "moved1@contoso-mail.internal", "Vip")
        project.customer("c00002", "taken@contoso-mail.internal", "Vip")
        project.leave("c00003")
        project.leave("c00005")
        project.leave("c00006")
        project.leave("c00008", "News")
        project.customer("c00007", address(7), "Vip", "News")
        project.customers(range(20, 23), "Vip")

    def returns() -> None:
        project.customers([5, 6], "Vip")
        project.customer("c00001", "moved2@contoso-mail.internal", "News")
        project.customer("c00000", address(0), "Vip", City="")

    return [first, changes, returns]


def end_of(project: Project) -> dict[str, Any]:
    return {mail: dict(member) for mail, member in sorted(project.members().items())}


def held_by(project: Project, tmp_path: Any) -> list[Any]:
    import polars as pl

    with project.ledger() as ledger:
        number = ledger.audience(ledger_account(project), AUDIENCE)
        files = ledger.export_state(number, tmp_path)
        members = pl.read_parquet(files.members).select(
            "subscriber_hash", "customer_id", "state", "created_by_us"
        )
        holds = pl.read_parquet(files.holds).select("export", "subscriber_hash", "tags", "filled")
    return [sorted(members.rows()), sorted(holds.rows(), key=str)]


def ledger_account(project: Project) -> str:
    from ci_mailchimp_pipeline.mailchimp import endpoints
    from ci_mailchimp_pipeline.pipeline.planning import connect

    config = project.write()
    with connect(config, config.exports["vip"], project.environ) as client:
        return endpoints.account(client).account_id


@dataclass
class Saved:
    """A moment to go back to: the project's folder and Mailchimp's whole world."""

    folder: Path
    world: dict[str, Any]
    people: dict[str, dict[str, str]]
    segments: dict[str, list[str]]
    ledger: dict[str, str]

    @classmethod
    def of(cls, project: Project, into: Path) -> "Saved":
        shutil.copytree(project.folder, into)
        return cls(
            into, project.emulator.state(), deepcopy(project.people), deepcopy(project.segments),
            copy_of_ledger(project.environ),
        )  # fmt: skip

    def restore(self, project: Project) -> None:
        shutil.rmtree(project.folder)
        shutil.copytree(self.folder, project.folder)
        drop_ledger(project.environ)
        project.environ |= copy_of_ledger(self.ledger)
        project.people, project.segments = deepcopy(self.people), deepcopy(self.segments)
        project.emulator.reset(self.world["audiences"])


@pytest.mark.parametrize(
    ("connections", "watched"),
    [(1, 0), (1, 1), (1, 2), (3, 1)],
    ids=["first run", "busy day", "returns", "busy day, three at once"],
)
def test_interrupted_anywhere_then_run_again_ends_the_same(
    tmp_path, mailchimp_emulator, monkeypatch, connections, watched
):
    """Before a request, and after it before the ledger heard of it: the audience and the ledger end equal."""
    monkeypatch.setattr("ci_mailchimp_pipeline.plan.economy.BATCH", 3)
    monkeypatch.setattr("ci_mailchimp_pipeline.sync.batches.batches_of.__defaults__", (3,))
    if connections > 1:
        monkeypatch.setattr("ci_mailchimp_pipeline.plan.inputs.RANGE_ROWS", 5)
    project = Project(tmp_path / "project", mailchimp_emulator)
    project.folder.mkdir()
    project.connection["max_connections"] = connections
    days = story_of_a_busy_day(project)
    days[0]()
    for day, change in enumerate(days[: watched + 1]):
        if day:
            change()
        framed = project.frame()
        before = Saved.of(project, tmp_path / f"before{day}")
        mailchimp_emulator.forget_requests()
        calm = project.run(of=framed)
        assert (calm.status, calm.counts.is_balanced()) == ("success", True), calm.error
        requests = project.writes()
        assert requests >= 3
        members, held = end_of(project), held_by(project, tmp_path / f"calm{day}")
        after = Saved.of(project, tmp_path / f"after{day}")
        for number in range(1, requests + 1) if day == watched else ():
            # of several at once, the one or the other in turn
            for sent in (False, True) if connections == 1 else (number % 2 == 0,):
                before.restore(project)
                with pytest.raises(Crash):
                    project.run(of=framed, client=CrashAt(number, after_sending=sent))
                again = project.run(of=framed)
                where = f"day {day}, request {number}, {'after' if sent else 'before'} it was sent"
                assert (again.status, again.counts.is_balanced()) == ("success", True), where
                assert end_of(project) == members, where
                assert held_by(project, tmp_path / f"look{day}-{number}-{sent}") == held, where
        after.restore(project)
        assert project.plan().writes == 0
