"""``plan``: says everything, writes nothing."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

COUNTS = [
    "profiles", "excluded", "rejected", "merged", "accepted", "added", "updated", "moved", "unchanged", "suppressed",
    "refused", "exited", "archived", "tags_added", "tags_removed", "no_profile",
]  # fmt: skip


def test_document_is_as_promised(terminal: Any) -> None:
    """Status planned, every count, the requests and minutes needed, the guards with value and limit."""
    said = terminal.say("plan", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 0
    assert entry["status"] == "planned"
    assert entry["dry_run"] is True
    assert entry["error"] is None
    assert list(entry["counts"]) == COUNTS
    assert entry["counts"]["added"] == 29
    assert entry["rejected_reasons"] == {"malformed_email": 1, "no_email": 1}
    assert entry["suppressed_reasons"] == {"unsubscribed": 1}
    assert entry["plan_id"]
    assert entry["requests"] > 0
    assert entry["minutes"] >= 0
    guards = {each["guard"]: each for each in entry["guards"]}
    assert set(guards["max_exit_percent"]) == {"guard", "value", "limit", "stopped"}


def test_plan_leaves_nothing_anywhere(terminal: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request that writes, no state folder, no temporary folder."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    before = sorted(tmp_path.rglob("*"))

    terminal.say("plan")

    assert terminal.project.writes() == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_guard_that_would_stop_ends_with_5(terminal: Any) -> None:
    """The plan is told all the same, with the guard and what to do."""
    terminal.project.export("vip", max_profiles=10)
    terminal.project.write()

    said = terminal.say("plan", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 5
    assert entry["status"] == "planned"
    assert entry["error"]["code"] == "max_profiles"
    assert [each["guard"] for each in entry["guards"] if each["stopped"]] == ["max_profiles"]


def test_one_broken_export_does_not_hide_the_others(terminal: Any) -> None:
    """Each export is told by itself; the gravest error decides the exit code."""
    terminal.project.export("broken", segments=["Vip"], audience_id="0000000000")
    terminal.project.write()

    said = terminal.say("plan", "--json")

    entries = {each["export"]: each for each in said.document["exports"]}
    assert said.code == 2
    assert entries["vip"]["status"] == "planned"
    assert entries["broken"]["status"] == "failed"
    assert entries["broken"]["error"]["code"] == "unknown_audience"


def test_unreadable_source_fails_every_export(terminal: Any) -> None:
    """Without a source there is no plan; the message says which file."""
    (terminal.project.folder / "data" / "profiles.csv").unlink()

    said = terminal.say("plan", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 2
    assert entry["status"] == "failed"
    assert "profiles.csv" in entry["error"]["message"]


def test_people_get_a_table_and_the_next_step(terminal: Any) -> None:
    """The table names the buckets, the hint carries the plan's id."""
    said = terminal.say("plan", "vip")

    plan_id = terminal.say("plan", "--json").document["exports"][0]["plan_id"]
    assert "added" in said.out
    assert "suppressed: unsubscribed 1" in said.out
    assert f"next: ci-mailchimp run vip --plan-id {plan_id}" in said.err


def test_disabled_export_is_skipped(terminal: Any) -> None:
    """What never runs has no plan, and that is no error."""
    terminal.project.export("vip", enabled=False)
    terminal.project.write()

    said = terminal.say("plan", "--json")

    (entry,) = said.document["exports"]
    assert said.code == 0
    assert entry["status"] == "skipped"
    assert "enabled: false" in entry["skipped_because"]


def test_no_address_is_printed(terminal: Any) -> None:
    """A plan on screen holds numbers, never people."""
    said = terminal.say("plan")

    assert "@" not in said.out + said.err
