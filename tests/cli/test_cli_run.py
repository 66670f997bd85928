"""``run``: through Dagster, in a process of its own; and what ``exports`` and ``rejected`` say afterwards."""

import signal
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from harness import AUDIENCE, address

from ci_mailchimp_pipeline.cli.listing import BEFORE_LEASE_SECONDS, list_exports
from ci_mailchimp_pipeline.ledger import RunRow


def test_plan_then_run_does_just_that(terminal: Any) -> None:
    """The plan's id is honoured, stdout is one document, the counts are those of the plan."""
    planned = terminal.say("plan", "--json").document["exports"][0]

    said = terminal.run("run", "--json", "--plan-id", planned["plan_id"])

    (entry,) = said.document["exports"]
    assert said.code == 0, said.err
    assert entry["status"] == "success"
    assert entry["error"] is None
    assert entry["dry_run"] is False
    assert entry["counts"] == planned["counts"]
    assert entry["run_id"]
    assert entry["requests"] == planned["requests"]
    assert terminal.project.members()[address(5)]["tags"] == ["Vip"]

    listed = terminal.say("exports", "--json").document["exports"][0]
    assert listed["status"] == "success"
    assert listed["run_id"] == entry["run_id"]
    assert listed["members"] == 29
    assert datetime.fromisoformat(listed["last_success"]).tzinfo is not None
    connection = terminal.say("connections", "--json").document["connections"][0]
    assert connection["status"] == "success"
    assert connection["exports"] == ["vip"]

    rejected = terminal.say("rejected", "vip", "--json").document
    assert rejected["run_id"] == entry["run_id"]
    assert {(row["customer_id"], row["reason"], row["address"]) for row in rejected["rejected"]} == {
        ("x1", "malformed_email", "n***@***"),
        ("x2", "no_email", ""),
    }
    shown = terminal.say("rejected", "vip", "--show-addresses")
    assert "not.an.address" in shown.out
    assert "not.an.address" not in terminal.say("rejected", "vip").out


def test_progress_goes_to_stderr_and_the_table_to_stdout(terminal: Any) -> None:
    """Where there is no terminal a few plain lines tell how far it is; the result is a table, and where the run is."""
    terminal.environ["CI_MAILCHIMP_PAGE"] = "https://dagster.internal"
    said = terminal.say("run", "vip")

    assert said.code == 0
    assert "vip: 1 of 1 requests" in said.err
    assert "next: ci-mailchimp rejected vip" in said.err
    assert "in Dagster's page: https://dagster.internal/runs/" in said.err
    assert "added" in said.out
    assert "@" not in said.out + said.err


def test_dry_run_is_no_run(terminal: Any) -> None:
    """Nothing is sent, and the lists say that it never ran."""
    said = terminal.say("run", "--dry-run", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 0
    assert entry["dry_run"] is True
    assert terminal.project.writes() == 0
    assert terminal.say("exports", "--json").document["exports"][0]["status"] == "never run"


def test_stopped_run_ends_with_5_and_is_remembered(terminal: Any) -> None:
    """A guard's stop is in the document, on stderr and in the list."""
    terminal.project.export("vip", guards={"max_rejected_percent": 1})
    terminal.project.write()

    said = terminal.say("run", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 5
    assert entry["status"] == "stopped"
    assert entry["error"]["code"] == "max_rejected_percent"
    assert entry["counts"]["rejected"] == 2
    assert "Traceback" not in said.err
    assert terminal.project.writes() == 0
    assert terminal.say("exports", "--json").document["exports"][0]["status"] == "stopped"


def test_several_exports_need_to_be_named(terminal: Any) -> None:
    """Nothing runs by guess."""
    terminal.project.export("other", segments=["Other"])
    terminal.project.write()

    said = terminal.say("run", "--json")

    assert said.code == 2
    assert said.document["error"]["code"] == "which_export"
    assert "vip, other" in said.document["error"]["message"]


def test_all_runs_those_with_a_schedule(terminal: Any) -> None:
    """``--all`` leaves out what is off, disabled or detached."""
    terminal.project.export("off", segments=["Other"], schedule="off")
    terminal.project.export("disabled", segments=["Third"], enabled=False)
    terminal.project.export("loose", segments=["Fourth"], connection=None)
    terminal.project.customer("other", address(500), "Other")
    terminal.project.write()

    said = terminal.say("run", "--all", "--json")

    assert said.code == 0
    assert [each["export"] for each in said.document["exports"]] == ["vip"]


def test_named_export_that_never_runs_is_skipped(terminal: Any) -> None:
    """Skipping is no failure, and starts nothing."""
    terminal.project.export("vip", enabled=False)
    terminal.project.write()

    said = terminal.say("run", "vip", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 0
    assert entry["status"] == "skipped"
    assert not (terminal.project.folder / ".ci_mailchimp").exists()


def test_plan_id_belongs_to_one_export(terminal: Any) -> None:
    """A plan cannot be carried out for several exports."""
    terminal.project.export("other", segments=["Other"])
    terminal.project.write()

    assert terminal.say("run", "vip", "other", "--plan-id", "x").code == 2


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 4)])
def test_stopped_by_a_signal_records_what_was_done(
    terminal: Any, background: Callable[[Any], Any], number: signal.Signals, code: int
) -> None:
    """What Mailchimp acknowledged is in the ledger, the rest is sent by the next run."""
    terminal.project.customers(range(30, 3_000))
    terminal.project.connection["max_connections"] = 1
    terminal.project.write()
    terminal.project.emulator.fail("slow", on="writes", times=None, seconds=1.0)
    process = background(terminal.start("run", "--json"))
    for line in process.stderr:
        if " of " in line:
            break

    process.send_signal(number)
    out, err = process.communicate(timeout=120)

    assert process.returncode == code, err
    assert '"code": "interrupted"' in out
    assert "Traceback" not in err
    acknowledged = len(terminal.project.members()) - 1
    assert 0 < acknowledged < 2_900
    with terminal.project.ledger() as ledger:
        assert ledger.held(1, "vip") == acknowledged
        assert [row.status for row in ledger.runs("vip")] == ["failed"]
    terminal.project.emulator.heal()
    (entry,) = terminal.say("run", "--json").document["exports"]
    assert entry["status"] == "success"
    assert len(terminal.project.members()) == 3_000


def test_run_that_was_killed_does_not_run_for_ever(terminal: Any) -> None:
    """A run that never said how it ended is running while its audience is held, and failed afterwards."""
    config, began = terminal.project.write(), time.time()
    row = RunRow(
        run_id="r", export="vip", connection="main", trigger="cli", config_digest="", started_at=began
    )

    def status(now: float = began) -> str:
        (listed,) = list_exports(config, now=now)
        return listed.history.status

    with terminal.project.ledger() as ledger:
        audience = ledger.audience("account", "a1b2c3d4e5")
        ledger.start_run(row)
        begins, never_began = status(began + 60), status(began + BEFORE_LEASE_SECONDS + 60)
        with ledger.lease(audience, "elsewhere:1:") as lease:
            ledger.begin_writing("r", "vip", lease, began)
            writing = status(began + 24 * 3600)
        killed = status(began + 1)

    assert (begins, never_began, writing, killed) == ("running", "failed", "running", "failed")


def test_rejected_before_any_frame_says_what_to_do(terminal: Any) -> None:
    """There is nothing to list yet."""
    said = terminal.say("rejected", "vip", "--json")

    assert said.code == 3
    assert said.document["error"]["code"] == "no_frame"
    assert said.document["rejected"] == []


def test_lists_before_any_run(terminal: Any) -> None:
    """Everything declared is listed with what is known of it."""
    (entry,) = terminal.say("exports", "--json").document["exports"]

    assert entry == {
        "export": "vip",
        "display_name": "vip",
        "connection": "main",
        "audience_id": AUDIENCE,
        "segments": ["Vip"],
        "schedule": "refresh",
        "enabled": True,
        "owner": "ben@contoso-mail.internal",
        "status": "never run",
        "last_run": None,
        "last_success": None,
        "run_id": None,
        "members": 0,
        "updated_by": "",
    }
