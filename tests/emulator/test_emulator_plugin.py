"""What users' tests import, and the guards of our own."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

USERS_TEST = """
import requests

pytest_plugins = ["ci_mailchimp_pipeline.testing.plugin"]
AUTH = ("anystring", "0123456789abcdef0123456789abcdef-us1")


def test_one(mailchimp_emulator):
    audience = mailchimp_emulator.add_audience("a1b2c3d4e5")
    rows = [{"email_address": "ann@contoso-mail.internal", "status": "subscribed"}]
    requests.post(f"{mailchimp_emulator.url}/lists/{audience}", json={"members": rows}, auth=AUTH)
    assert list(mailchimp_emulator.members(audience)) == ["ann@contoso-mail.internal"]


def test_two(mailchimp_emulator):
    assert mailchimp_emulator.requests() == []
    assert mailchimp_emulator.state() == {}


def test_three(mailchimp_emulator):
    requests.get(f"{mailchimp_emulator.url}/campaigns", auth=AUTH)
"""


def test_users_get_an_empty_emulator_per_test(pytester: pytest.Pytester) -> None:
    """One server, nothing of one test in the next, and an unknown endpoint fails its test."""
    pytester.makepyfile(USERS_TEST)

    result = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")

    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*the emulator has no such endpoint: *GET /campaigns*"])


def test_tests_cannot_reach_other_machines() -> None:
    """A test that forgets the emulator fails instead of writing to the world."""
    with socket.socket() as line, pytest.raises(RuntimeError, match="this machine only"):
        line.connect(("192.0.2.1", 443))
    with socket.socket() as line, pytest.raises(RuntimeError, match="this machine only"):
        line.connect_ex(("mailchimp.com", 443))


def test_tests_see_a_clean_environment(machine_environment: dict[str, str]) -> None:
    """No proxy, key or setting of the machine; what locates shared material stays."""
    names = {name.lower() for name in os.environ}

    assert not names & {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "dagster_home"}
    assert not [name for name in os.environ if name.startswith("MAILCHIMP_")]
    kept = "CI_MAILCHIMP_SHARED"
    assert os.environ.get(kept) == machine_environment.get(kept)


def test_the_document_lists_every_switch_fault_and_action(api: Any) -> None:
    """Documentation that forgets one is wrong."""
    text = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()
    from typing import get_args

    from ci_mailchimp_pipeline.emulator.faults import Kind
    from ci_mailchimp_pipeline.emulator.people import ACTIONS
    from ci_mailchimp_pipeline.emulator.switches import Switches

    for name in (*Switches.__struct_fields__, *get_args(Kind), *ACTIONS):
        assert f"`{name}`" in text, name
