"""Faults on demand, over a real socket, and the connection limit."""

import base64
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, get_args

import pytest
import requests

from ci_mailchimp_pipeline.emulator.faults import Kind
from ci_mailchimp_pipeline.testing import Emulator

ANN = "ann@contoso-mail.internal"

ANSWERS = {
    "429": (429, "application/problem+json", "Too Many Requests"),
    "429_no_body": (429, "application/json", ""),
    "403_html": (403, "text/html", "Access Denied"),
    "500": (500, "application/problem+json", "Internal Server Error"),
    "502_html": (502, "text/html", "502 Bad Gateway"),
    "503": (503, "text/plain", ""),
    "504_html": (504, "text/html", "504 Gateway Time-out"),
    "500_after": (500, "application/problem+json", "Internal Server Error"),
    "empty": (200, "application/json", ""),
    "not_json": (200, "application/json", "this is not JSON"),
    "other_json": (200, "application/json", '{"ok":true'),
    "other_people": (200, "application/json", "somebody.else@"),
    "slow": (200, "application/json", "new_members"),
}
BROKEN = ("reset_before", "reset_after", "timeout_after", "cut")
UNWRITTEN = ("429", "429_no_body", "403_html", "500", "502_html", "503", "504_html", "reset_before")


def write(api: Any, **more: Any) -> requests.Response:
    """One write, in a connection of its own."""
    rows = {"members": [{"email_address": ANN, "status": "subscribed"}]}
    url = f"{api.emulator.url}/lists/{api.audience}"
    answer: requests.Response = requests.post(
        url, json=rows, auth=api.session.auth, **{"timeout": 10, **more}
    )
    return answer


def written(api: Any) -> bool:
    """Whether the write arrived."""
    return ANN in api.emulator.members(api.audience)


def test_every_kind_is_tested_here() -> None:
    """A new kind of fault needs a row above."""
    assert set(get_args(Kind)) == {*ANSWERS, *BROKEN}


@pytest.mark.parametrize("kind", ANSWERS)
def test_a_fault_that_answers(api: Any, kind: str) -> None:
    """Status, content type and body are those of the real thing; the next request is well."""
    api.emulator.fail(kind, seconds=0.01)
    status, content_type, text = ANSWERS[kind]

    answer = write(api)

    assert answer.status_code == status
    assert answer.headers["Content-Type"].startswith(content_type)
    assert text in answer.text
    assert written(api) == (kind not in UNWRITTEN)
    assert write(api).status_code == 200
    assert [request["fault"] for request in api.emulator.writes()] == [kind, ""]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_fault_that_breaks_the_connection(api: Any, kind: str) -> None:
    """The client sees an error of the line; the write is done, but for `reset_before`."""
    api.emulator.fail(kind, seconds=0.01)

    with pytest.raises(requests.RequestException) as caught:
        write(api)

    assert ("reset" in str(caught.value).lower()) == kind.startswith("reset")
    assert written(api) == (kind != "reset_before")
    assert write(api).status_code == 200


def test_a_cut_answer_announces_more_than_it_sends(api: Any) -> None:
    """The length header is true, half of the body is missing."""
    api.emulator.fail("cut")

    answer = write(api, stream=True)

    announced = int(answer.headers["Content-Length"])
    with pytest.raises(requests.RequestException):
        _ = answer.content
    assert announced > 1000


def test_an_answer_may_be_withheld_until_the_client_gives_up(api: Any) -> None:
    """The client's own timeout comes first; the write is done."""
    api.emulator.fail("timeout_after", seconds=60)

    with pytest.raises(requests.ReadTimeout):
        write(api, timeout=0.2)

    assert written(api)


def test_a_refusal_may_say_when_to_come_again(api: Any) -> None:
    """`retry_after` becomes the header, as it is."""
    api.emulator.fail("429", retry_after="7")

    assert write(api).headers["Retry-After"] == "7"


def statuses(api: Any, count: int, method: str = "GET", path: str = "/ping") -> list[int]:
    """The statuses of some calls."""
    return [api.call(method, path).status_code for _ in range(count)]


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        ({}, [500, 200, 200, 200]),
        ({"nth": 3}, [200, 200, 500, 200]),
        ({"times": 2}, [500, 500, 200, 200]),
        ({"times": None}, [500, 500, 500, 500]),
        ({"nth": 2, "times": None}, [200, 500, 500, 500]),
        ({"probability": 1.0}, [500, 500, 500, 500]),
        ({"probability": 0.0}, [200, 200, 200, 200]),
        ({"on": "writes"}, [200, 200, 200, 200]),
        ({"on": "reads"}, [500, 200, 200, 200]),
        ({"match": "^GET /3.0/pi"}, [500, 200, 200, 200]),
        ({"match": "/lists"}, [200, 200, 200, 200]),
    ],
)
def test_which_requests_are_hit(api: Any, fault: dict[str, Any], hit: list[int]) -> None:
    """By position, by how often, by chance, by method and path."""
    api.emulator.fail("500", **fault)

    assert statuses(api, 4) == hit


def test_chance_repeats_with_its_seed(api: Any) -> None:
    """The same seed hits the same requests, another seed others."""
    runs = []
    for seed in (1, 1, 2):
        api.emulator.heal()
        api.emulator.fail("500", probability=0.5, seed=seed)
        runs.append(statuses(api, 30))

    assert runs[0] == runs[1] != runs[2]
    assert 5 < runs[0].count(500) < 25


def test_faults_wait_for_their_turn(api: Any) -> None:
    """Two at once: the first one hits, the second stays armed and counts on."""
    api.emulator.fail("500")
    api.emulator.fail("503", nth=2)

    assert statuses(api, 3) == [500, 503, 200]


def test_writes_and_reads_are_told_apart_by_the_method(api: Any) -> None:
    """A fault on writes hits the POST that follows a GET."""
    api.emulator.fail("500", on="writes")

    assert statuses(api, 1) == [200]
    assert write(api).status_code == 500


def test_an_unknown_kind_is_told(api: Any) -> None:
    """A misspelt fault must not pass for a good test."""
    with pytest.raises(AssertionError, match="Invalid enum value"):
        api.emulator.fail("50O")


def waiting(api: Any, stack: ExitStack) -> None:
    """A request of the usual key that waits for its answer until the stack closes its connection."""
    host, _, port = api.emulator.url.removeprefix("http://").removesuffix("/3.0").partition(":")
    line = stack.enter_context(socket.create_connection((host, int(port))))
    key = base64.b64encode(":".join(api.session.auth).encode()).decode()
    line.sendall(f"GET /3.0/ping HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {key}\r\n\r\n".encode())


@pytest.mark.parametrize(("with_body", "text"), [(True, "simultaneous connections"), (False, "")])
def test_more_than_ten_at_once_are_refused(api: Any, with_body: bool, text: str) -> None:
    """With ten requests of a key in flight the eleventh is 429; another key is not concerned."""
    api.emulator.switch(latency_ms=60_000, limit_answers_with_body=with_body)
    with ExitStack() as stack:
        for _ in range(10):
            waiting(api, stack)
        while api.emulator.stats()["peak_concurrency"] < 10:
            pass
        api.emulator.switch(latency_ms=0)

        refused = api.call("GET", "/ping")
        other = requests.get(f"{api.emulator.url}/ping", auth=("x", "f" * 32 + "-us1"), timeout=10)

    assert (refused.status_code, other.status_code) == (429, 200)
    assert (text in refused.text) if text else not refused.content
    while len(api.emulator.requests()) < 12:
        pass
    assert api.call("GET", "/ping").status_code == 200


def test_a_stop_does_not_wait_for_withheld_answers(api_key: str) -> None:
    """A test that ends early leaves no server behind."""
    with Emulator.start() as emulator, ThreadPoolExecutor(1) as pool:
        emulator.fail("timeout_after", seconds=600)
        future = pool.submit(requests.get, f"{emulator.url}/ping", auth=("x", api_key), timeout=20)
        while not emulator.stats()["peak_concurrency"]:
            pass
        emulator.stop()

        with pytest.raises(requests.ConnectionError):
            future.result(20)
