"""Steering: the world, people, switches, the recording, the clock, and the plugin for users."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from ci_mailchimp_pipeline.emulator.people import ACTIONS
from ci_mailchimp_pipeline.testing import Emulator, EmulatorError

ANN = "ann@contoso-mail.internal"
BEN = "ben@contoso-mail.internal"


def test_a_reset_forgets_everything(api: Any) -> None:
    """World, switches, faults, clock and recording begin anew."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.switch(role="viewer")
    api.emulator.fail("500")
    api.emulator.advance_clock(1000)
    api.call("GET", "/nowhere")

    api.emulator.reset()

    assert api.emulator.state() == {}
    assert api.emulator.requests() == []
    assert api.get("/")["role"] == "owner"


def test_a_reset_can_begin_with_a_world(api: Any) -> None:
    """Audiences with members, and switches."""
    members = [{"email_address": ANN, "status": "pending", "tags": ["VIP"], "merge_fields": {"FNAME": "Ann"}}]
    world = [{"id": "ffff000000", "merge_fields": ["FNAME"], "members": members}]

    api.emulator.reset(world, switches={"role": "admin"})

    assert api.emulator.members("ffff000000") == {
        ANN: {"status": "pending", "tags": ["VIP"], "merge_fields": {"FNAME": "Ann"}}
    }
    assert api.get("/")["role"] == "admin"


def test_the_state_of_a_world_makes_the_same_world(api: Any) -> None:
    """What `state` tells is what a reset takes, ids included."""
    api.upsert({"email_address": ANN, "status": "subscribed", "tags": ["VIP"], "vip": True})
    saved = {"name": "Saved", "options": {"match": "any", "conditions": []}}
    api.call("POST", f"/lists/{api.audience}/segments", saved)
    for person in (BEN, "cy@contoso-mail.internal", "di@contoso-mail.internal"):
        api.emulator.add_member(api.audience, person)
    api.emulator.people("unsubscribe", api.audience, BEN)
    api.emulator.people("delete_permanent", api.audience, "cy@contoso-mail.internal")
    api.emulator.switch(max_text_bytes=100)
    before = api.emulator.state()
    shown = api.members(count=100), api.get(f"/lists/{api.audience}/segments")

    api.emulator.reset(before["audiences"], switches=before["switches"])

    assert api.emulator.state() == before
    assert (api.members(count=100), api.get(f"/lists/{api.audience}/segments")) == shown


@pytest.mark.parametrize(
    ("action", "more", "status", "source"),
    [
        ("unsubscribe", {}, "unsubscribed", "Admin Add"),
        ("complain", {}, "unsubscribed", "Admin Add"),
        ("admin_unsubscribe", {}, "unsubscribed", "Admin Add"),
        ("bounce", {}, "cleaned", "Admin Add"),
        ("archive", {}, "archived", "Admin Add"),
        ("confirm", {}, "subscribed", "Admin Add"),
        ("resubscribe", {}, "subscribed", "Admin Add"),
        ("sign_up", {}, "subscribed", "Hosted Signup Form"),
        ("change_field", {"merge_fields": {"FNAME": "New"}}, "pending", "Admin Add"),
        ("tag", {"tags": ["New"]}, "pending", "Admin Add"),
        ("untag", {"tags": ["Old"]}, "pending", "Admin Add"),
        ("change_address", {"new_address": BEN}, "pending", "Admin Add"),
        ("delete_permanent", {}, None, None),
    ],
)
def test_what_people_do_by_themselves(
    api: Any, action: str, more: dict[str, Any], status: str | None, source: str | None
) -> None:
    """Each action changes the member, and it shows as a change."""
    api.emulator.add_member(api.audience, ANN, status="pending", tags=["Old"], changed=1000)

    api.emulator.people(action, api.audience, ANN, **more)

    found = api.members(status=status or "subscribed")["members"]
    assert [(m["status"], m["source"]) for m in found] == ([(status, source)] if status else [])
    assert all(member["last_changed"] > "2000" for member in found)


def test_every_action_is_tested_above() -> None:
    """A new action needs a row in the table."""
    rows = test_what_people_do_by_themselves.pytestmark[0].args[1]

    assert {row[0] for row in rows} == set(ACTIONS)


def test_a_sign_up_of_somebody_new(api: Any) -> None:
    """With double opt-in it waits for the confirmation."""
    audience = api.emulator.add_audience(merge_fields=["FNAME"], double_optin=True)
    api.audience = audience

    api.emulator.people("sign_up", audience, ANN, merge_fields={"FNAME": "Ann"}, tags=["Form"])
    before = api.members()["members"][0]
    api.emulator.people("confirm", audience, ANN)
    after = api.members()["members"][0]

    assert (before["status"], before["timestamp_opt"], after["status"]) == ("pending", "", "subscribed")
    assert after["timestamp_opt"]
    assert api.person(ANN)["tags"] == ["Form"]


def test_a_person_who_came_by_themselves_is_protected_after_leaving(api: Any) -> None:
    """The one who unsubscribes is in a compliance state, whoever added them."""
    api.emulator.people("sign_up", api.audience, ANN)
    api.emulator.people("unsubscribe", api.audience, ANN)

    assert api.upsert({"email_address": ANN, "status": "subscribed"})["error_count"] == 1


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (lambda e, a: e.people("vanish", a, ANN), "One of sign_up"),
        (lambda e, a: e.people("unsubscribe", a, ANN), "could not be found"),
        (lambda e, _a: e.people("unsubscribe", "none", ANN), "could not be found"),
        (lambda e, a: e.add_member(a, ANN, status="gone"), "One of subscribed"),
        (lambda e, a: e.add_member(a, ANN, stauts="gone"), "unknown field `stauts`"),
        (lambda e, a: e.add_members(a, [{"email_address": ANN}] * 2), "already a list member"),
        (lambda e, a: e.add_member(a, ANN, merge_fields={"AGE": "x"}), "Please enter a number"),
        (lambda e, a: e.add_audience(a), "is there already"),
        (lambda e, _a: e.switch(no_such=True), "unknown field `no_such`"),
        (lambda e, _a: e.switch(duplicate_in_batch="second"), "duplicate_in_batch"),
        (lambda e, _a: e.members("none"), "could not be found"),
    ],
)
def test_a_test_that_asks_for_nonsense_fails(api: Any, what: Any, text: str) -> None:
    """The text says what was wrong."""
    with pytest.raises(EmulatorError, match=text):
        what(api.emulator, api.audience)


def test_requests_are_recorded(api: Any) -> None:
    """What was asked and answered, without bodies unless wanted."""
    api.emulator.forget_requests()
    api.upsert({"email_address": ANN, "status": "subscribed"}, query={"skip_duplicate_check": "true"})
    api.emulator.switch(record_bodies=True)
    api.call("DELETE", f"/lists/{api.audience}/members/{ANN}")
    api.upsert({"email_address": BEN, "status": "subscribed"}, query={"fields": "total_created"})

    first, second, third = api.emulator.requests()

    assert (first["method"], first["path"]) == ("POST", f"/lists/{api.audience}")
    assert (first["query"], first["route"]) == ("skip_duplicate_check=true", "/lists/{id}")
    assert (first["status"], first["body"], first["answer"]) == (200, None, None)
    assert first["request_bytes"] > 50
    assert first["response_bytes"] > 1000
    assert (second["status"], second["response_bytes"]) == (204, 0)
    assert third["body"]["members"][0]["email_address"] == BEN
    assert third["answer"] == {"total_created": 1}
    assert [request["method"] for request in api.emulator.writes()] == ["POST", "DELETE", "POST"]


def test_a_body_that_is_not_json_is_recorded_as_text(api: Any) -> None:
    """Whatever a client sends can be looked at."""
    api.emulator.switch(record_bodies=True)

    api.session.post(f"{api.emulator.url}/lists/{api.audience}", data=b"\xff{", timeout=10)

    assert api.emulator.requests()[-1]["body"] == "\ufffd{"


def test_only_the_newest_requests_are_kept_but_all_are_counted(api: Any) -> None:
    """Memory is bounded, the counts are whole."""
    api.emulator.switch(record_limit=3)
    for _ in range(5):
        api.get("/ping")
    api.call("GET", "/nowhere")
    api.emulator.forget_requests()
    for _ in range(4):
        api.get("/ping")

    stats = api.emulator.stats()

    assert len(api.emulator.requests()) == 3
    assert (stats["total"], stats["by_route"], stats["by_status"]) == (4, {"GET /ping": 4}, {"200": 4})


def test_unknown_calls_are_told(api: Any) -> None:
    """What no endpoint answers is 404 for the client, and listed for the test."""
    api.call("POST", "/campaigns", {})

    assert [(call["method"], call["path"]) for call in api.emulator.unknown()] == [("POST", "/campaigns")]
    api.emulator.forget_requests()


def test_latency_delays_every_answer(api: Any) -> None:
    """As long as the switch says; the recording shows it."""
    api.emulator.switch(latency_ms=30)

    api.get("/ping")

    assert 0.03 <= api.emulator.requests()[-1]["seconds"] < 5


@pytest.mark.parametrize("path", ["", "nothing", "reset/"])
def test_an_unknown_control_path_is_404(api: Any, path: str) -> None:
    """And nothing outside the two prefixes answers."""
    root = api.emulator.url.removesuffix("3.0")

    assert requests.put(f"{root}_emulator/{path}", timeout=10).status_code == 404
    assert requests.get(f"{root}{path}", timeout=10).status_code == 404


def test_the_endpoints_are_listed(api: Any) -> None:
    """For people who wonder what is there."""
    root = api.emulator.url.removesuffix("3.0")

    listed = requests.get(f"{root}_emulator/endpoints", timeout=10).json()

    assert ["POST", "/lists/{id}"] in listed
    assert len(listed) == 30


def test_a_process_of_its_own_keeps_its_world_in_a_file(tmp_path: Path, api_key: str) -> None:
    """It prints its address when ready, saves on SIGTERM, and goes on from there."""
    state = tmp_path / "world.json"
    command = [sys.executable, "-m", "ci_mailchimp_pipeline.emulator", "--port", "0", "--state", str(state)]

    def run(act: Any) -> None:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                act(Emulator(process.stdout.readline().strip(), lambda: None))
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(20)

    def first(emulator: Emulator) -> None:
        audience = emulator.add_audience("ffff000000")
        emulator.add_member(audience, ANN, tags=["VIP"])

    def second(emulator: Emulator) -> None:
        assert emulator.members("ffff000000")[ANN]["tags"] == ["VIP"]
        url = f"{emulator.url}/lists/ffff000000/segments"
        assert requests.get(url, auth=("x", api_key), timeout=10).json()["segments"][0]["member_count"] == 1

    run(first)
    assert state.stat().st_mode & 0o777 == 0o600
    assert json.loads(state.read_text())["audiences"][0]["id"] == "ffff000000"
    run(second)


def test_a_process_can_be_started_from_a_test(api_key: str) -> None:
    """For benchmarks, which must not share the interpreter's lock with it."""
    with Emulator.start(in_process=False) as emulator:
        assert requests.get(f"{emulator.url}/ping", auth=("x", api_key), timeout=10).status_code == 200


def test_a_process_that_cannot_start_is_told(mailchimp_emulator: Emulator) -> None:
    """The port is taken: no hang, no silence."""
    port = int(mailchimp_emulator.url.rpartition(":")[2].removesuffix("/3.0"))

    with pytest.raises(EmulatorError, match="ended with exit code 2"):
        Emulator.start(port=port, in_process=False)


def test_it_listens_on_loopback_only(mailchimp_emulator: Emulator) -> None:
    """Nobody else on the network can see the people in it."""
    assert mailchimp_emulator.url.startswith("http://127.0.0.1:")
