"""This machine's clock jumps, or runs in another time zone: nobody is lost, and nothing is sent twice."""

import json
import os
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project, address
from promises.promised import quiet, run

from ci_mailchimp_pipeline.cli.app import app

YEAR = 365 * 86_400.0


@pytest.fixture(params=["Pacific/Kiritimati", "America/St_Johns"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A time zone 14 hours ahead, and one of half hours behind."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def at(moment: float) -> dict[str, Any]:
    """What makes a run think that it is *moment*."""
    return {"now": lambda: moment}


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
def test_a_clock_that_jumps_changes_nothing(project: Project, jump: float) -> None:
    """What Mailchimp's own clock stamped decides, not ours: added, moved, left and brought back all the same."""
    project.export("vip", on_exit="archive")
    project.customers(range(4))
    run(project)
    project.customer("c00001", "moved@contoso-mail.internal")
    project.leave("c00002")
    project.customers([9])

    changed = run(project, **at(time.time() + jump))
    project.customers([2])
    back = run(project, **at(time.time() - jump))

    assert (changed.counts.moved, changed.counts.archived, changed.counts.added) == (1, 1, 1)
    assert back.counts.added == 1
    assert {each["status"] for each in project.members().values()} == {"subscribed"}
    quiet(project)


def test_a_refusal_of_a_wrong_clock_does_not_last(project: Project) -> None:
    """Refused for now while the clock was a year ahead: tried again when it is right, not a year later."""
    project.customers(range(2))
    project.emulator.switch(too_many_signups="person00001")
    refused = run(project, **at(time.time() + YEAR))
    project.emulator.switch(too_many_signups="")

    report = run(project)

    assert (refused.counts.refused, report.counts.added) == (1, 1)
    assert address(1) in project.members(AUDIENCE)


def test_times_are_told_with_their_zone(project: Project, zone: str) -> None:
    """Wherever the machine stands, the moment that is shown is the right one, and dates do not move by a day."""
    project.export("vip", merge_fields={"CITY": "City"})
    project.customer("c1", address(1), City="2026-11-23")
    run(project)
    arguments = ["--config", str(project.folder / "exports.yaml"), "exports", "--json"]

    done = CliRunner().invoke(app, arguments, env=project.environ)

    (entry,) = json.loads(done.stdout)["exports"]
    shown = datetime.fromisoformat(entry["last_run"])
    assert os.environ["TZ"] == zone
    assert shown.tzinfo is not None
    assert abs(shown.timestamp() - time.time()) < 600
    assert project.members()[address(1)]["merge_fields"]["CITY"] == "2026-11-23"
    quiet(project)
