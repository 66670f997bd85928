"""``check``: every part of a run, each by itself."""

from typing import Any

import pytest
from harness import AUDIENCE


def _rows(said: Any) -> dict[str, dict[str, str]]:
    return {row["check"]: row for row in said.document["checks"]}


def test_good_project_passes_every_check(terminal: Any) -> None:
    """All checks are ok, each says what it found and where."""
    said = terminal.say("check", "--json")

    rows = _rows(said)
    assert said.code == 0
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert set(rows) == {
        "config_valid", "source_readable", "columns_exist", "segments_exist", "ledger_readable", "consent",
        "role_allowed", "secret_present", "connection_works", "audience_exists", "merge_fields",
        "marketing_permissions", "double_optin",
    }  # fmt: skip
    assert all(set(row) == {"export", "check", "status", "message", "fix", "at"} for row in rows.values())
    assert "exports.yaml:" in rows["audience_exists"]["at"]


def test_check_writes_nothing(terminal: Any) -> None:
    """Neither Mailchimp nor the disk is any different afterwards."""
    before = sorted(terminal.project.folder.rglob("*"))

    terminal.say("check")

    assert terminal.project.writes() == 0
    assert sorted(terminal.project.folder.rglob("*")) == before


def test_offline_asks_nobody(terminal: Any) -> None:
    """``--offline`` checks what is on this machine."""
    said = terminal.say("check", "--offline", "--json")

    assert said.code == 0
    assert "connection_works" not in _rows(said)
    assert "secret_present" in _rows(said)
    assert terminal.project.emulator.requests() == []


def test_one_failing_check_does_not_hide_the_others(terminal: Any) -> None:
    """A wrong segment, a wrong column and a wrong audience are told at once, each with its place."""
    terminal.project.export("vip", segments=["Vpi"], first_name="Firstname", audience_id="0000000000")
    terminal.project.write()

    said = terminal.say("check", "--json")

    rows = _rows(said)
    assert said.code == 2
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {
        "segments_exist", "columns_exist", "audience_exists",
    }  # fmt: skip
    assert "Did you mean 'Vip'?" in rows["segments_exist"]["message"]
    assert rows["segments_exist"]["fix"] == "write 'Vip'"
    assert "exports.yaml:" in rows["columns_exist"]["at"]


def test_every_problem_of_the_file_is_a_row(terminal: Any) -> None:
    """A broken file is told as the checks it fails, with the error beside."""
    terminal.project.export("vip", emial="EMail", on_exit="forget")
    document = terminal.project.folder / "exports.yaml"
    with pytest.raises(Exception, match="emial"):
        terminal.project.write()

    said = terminal.say("check", "--json")

    rows = said.document["checks"]
    assert said.code == 2
    assert document.exists()
    assert {row["check"] for row in rows} == {"config_valid"}
    assert {row["status"] for row in rows} == {"failed"}
    assert len(rows) == 2
    assert said.document["error"]["code"] == "invalid_config"


def test_missing_consent_fails_with_5(terminal: Any) -> None:
    """A guard that would stop the run is told before the run."""
    del terminal.project.connection["consent"]
    terminal.project.write()

    said = terminal.say("check", "--json")

    assert said.code == 5
    assert _rows(said)["consent"]["status"] == "failed"
    assert _rows(said)["audience_exists"]["status"] == "ok"


def test_missing_secret_is_told_without_asking_mailchimp(terminal: Any) -> None:
    """No key, no call; the variable is named."""
    terminal.environ["MAILCHIMP_API_KEY"] = ""

    said = terminal.say("check", "--json")

    assert said.code == 2
    assert "MAILCHIMP_API_KEY" in _rows(said)["secret_present"]["message"]
    assert terminal.project.emulator.requests() == []


def test_key_is_never_repeated(terminal: Any) -> None:
    """A key of the wrong shape is called wrong, not quoted."""
    terminal.environ["MAILCHIMP_API_KEY"] = "secret-value-of-somebody"

    said = terminal.say("check", "--json")

    assert said.code == 2
    assert "secret-value" not in said.out + said.err


def test_broken_connection_fails_only_its_own_checks(terminal: Any) -> None:
    """A connection that does not work is one failed check; the source is fine all the same."""
    terminal.project.emulator.switch(accepted_keys=["f" * 32 + "-us9"])

    said = terminal.say("check", "--json")

    assert _rows(said)["connection_works"]["status"] == "failed"
    assert _rows(said)["segments_exist"]["status"] == "ok"


def test_settings_of_the_audience_are_warnings(terminal: Any) -> None:
    """Double opt-in and marketing permissions are told, and are no failure."""
    terminal.project.emulator.add_audience("ffffffffff", double_optin=True, marketing_permissions=True)
    terminal.project.export("vip", audience_id="ffffffffff")
    terminal.project.write()

    said = terminal.say("check", "--json")

    rows = _rows(said)
    assert said.code == 0
    assert rows["double_optin"]["status"] == rows["marketing_permissions"]["status"] == "warning"
    assert "pending" in rows["double_optin"]["message"]


def test_merge_tag_that_the_audience_lacks_is_told(terminal: Any) -> None:
    """The merge fields are compared with the audience's."""
    terminal.project.export("vip", merge_fields={"TOWN": "City"})
    terminal.project.write()

    said = terminal.say("check", "--json")

    assert said.code == 2
    assert "TOWN" in _rows(said)["merge_fields"]["message"]


def test_detached_export_is_a_warning(terminal: Any) -> None:
    """A detached export keeps its configuration and is checked as far as that goes."""
    terminal.project.export("vip", connection=None)
    terminal.project.write()

    said = terminal.say("check", "--json")

    assert said.code == 0
    assert _rows(said)["runs"]["status"] == "warning"
    assert AUDIENCE not in {row["message"] for row in said.document["checks"]}


def test_people_get_a_table(terminal: Any) -> None:
    """Without ``--json`` there is a row for each check, and the fix where one is needed."""
    terminal.project.export("vip", segments=["Vpi"])
    terminal.project.write()

    said = terminal.say("check")

    assert said.code == 2
    assert "segments_exist" in said.out
    assert "fix: write 'Vip'" in said.out
