"""Busy is not broken (P8): whatever goes wrong on the way, the call ends done, or in an error that says what to do."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization
from ci_mailchimp_pipeline.mailchimp.bodies import upsert
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits
from ci_mailchimp_pipeline.testing import Emulator

Clients = Callable[..., MailchimpClient]

BUSY = ["429", "429_no_body", "403_html", "500", "502_html", "503", "504_html", "reset_before", "reset_after", "500_after",
        "cut", "empty", "not_json", "other_json"]  # fmt: skip


def ada() -> Any:
    """One new member."""
    return upsert(
        email_address="ada@contoso-mail.internal",
        status_if_new="subscribed",
        merge_fields={"FNAME": "Ada"},
        tags=["VIP"],
    )


@pytest.mark.parametrize("kind", BUSY)
def test_a_write_survives_trouble_once(
    kind: str, client_of: Clients, still_clock: Any, mailchimp_emulator: Emulator
) -> None:
    """Each kind of trouble is waited out and the write repeated; the member is there once, the answer is whole."""
    mailchimp_emulator.add_audience("a1")
    mailchimp_emulator.fail(kind)
    client = client_of(mailchimp_emulator.url)
    answer = endpoints.upsert_members(client, "a1", [ada()])
    assert len(answer.created) + len(answer.updated) == 1
    assert answer.repeated
    assert client.requests == 2
    assert still_clock.waits == [0.5]
    assert list(mailchimp_emulator.members("a1")) == ["ada@contoso-mail.internal"]


def test_an_answer_that_never_comes_is_asked_for_again(
    client_of: Clients, mailchimp_emulator: Emulator
) -> None:
    """A write whose answer is lost to a timeout is repeated, and finds itself done."""
    mailchimp_emulator.add_audience("a1")
    mailchimp_emulator.fail("timeout_after", seconds=1.5)
    client = client_of(mailchimp_emulator.url, limits=RetryLimits(read_seconds=0.2, tries=3))
    answer = endpoints.upsert_members(client, "a1", [ada()])
    assert [len(answer.created), len(answer.updated), answer.repeated] == [0, 1, True]


@pytest.mark.parametrize("kind", BUSY)
def test_trouble_that_stays_ends_in_run_later(
    kind: str, client_of: Clients, still_clock: Any, mailchimp_emulator: Emulator
) -> None:
    """After the tries are spent the error says how many, how long and what came last; waits doubled meanwhile."""
    mailchimp_emulator.fail(kind, times=None)
    client = client_of(mailchimp_emulator.url)
    with pytest.raises(RunLaterError) as caught:
        endpoints.account(client)
    assert caught.value.code == "mailchimp_busy"
    assert "4 tries" in str(caught.value)
    assert client.requests == 4
    assert still_clock.waits == [0.5, 1.0, 2.0]
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_budget_of_seconds_ends_a_call_before_its_tries(
    client_of: Clients, mailchimp_emulator: Emulator
) -> None:
    """A call that waited for too long gives up, however many tries are left."""
    mailchimp_emulator.fail("503", times=None)
    client = client_of(mailchimp_emulator.url, limits=RetryLimits(tries=100, seconds=10))
    with pytest.raises(RunLaterError) as caught:
        endpoints.account(client)
    assert client.requests == 5  # waits of 0.5, 1, 2 and 4 s; the next of 8 would pass 10
    assert "5 tries in 8 s" in str(caught.value)


@pytest.mark.parametrize(("header", "first"), [("17", 17.5), ("100000", 300.5), ("soon", 0.5)])
def test_retry_after_is_heeded_and_clamped(
    header: str, first: float, client_of: Clients, still_clock: Any, mailchimp_emulator: Emulator
) -> None:
    """What the server asks for is waited, plus a random part so that not all come back at once."""
    mailchimp_emulator.fail("429", retry_after=header)
    endpoints.account(client_of(mailchimp_emulator.url))
    assert still_clock.waits == [first]


def test_a_retry_after_holds_the_next_call_too(
    client_of: Clients, still_clock: Any, mailchimp_emulator: Emulator
) -> None:
    """What Mailchimp asks of one request it asks of the account."""
    mailchimp_emulator.fail("429", retry_after="30")
    client = client_of(mailchimp_emulator.url, limits=RetryLimits(tries=1))
    with pytest.raises(RunLaterError):
        endpoints.account(client)
    endpoints.account(client)
    assert still_clock.waits == [30]


def test_a_busy_answer_halves_the_connections(client_of: Clients, mailchimp_emulator: Emulator) -> None:
    """The number of connections adapts: half on trouble, more again with successes."""
    client = client_of(mailchimp_emulator.url, max_connections=8)
    for _ in range(40):
        endpoints.account(client)
    assert client.permits == 8
    mailchimp_emulator.fail("429")
    endpoints.account(client)
    assert client.permits == 4
    for _ in range(40):
        endpoints.account(client)
    assert client.permits == 8


def test_threads_together_stay_below_the_limit(client_of: Clients, mailchimp_emulator: Emulator) -> None:
    """Sixteen threads through four connections: never more than four requests at once, none refused."""
    client = client_of(mailchimp_emulator.url, max_connections=4)
    mailchimp_emulator.fail("slow", times=None, seconds=0.01)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                endpoints.account(client)
        except PipelineError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert client.requests == 80
    assert 1 < mailchimp_emulator.stats()["peak_concurrency"] <= 4


@pytest.mark.parametrize(
    ("key", "code"), [("ffffffff-us1", "mailchimp_auth"), ("ffffffff-us9", "mailchimp_auth")]
)
def test_a_wrong_key_stops_at_once(
    key: str, code: str, still_clock: Any, mailchimp_emulator: Emulator
) -> None:
    """No number of tries makes a wrong key right."""
    authorization = Authorization.from_api_key(key)
    with MailchimpClient(
        api_root=mailchimp_emulator.url, authorization=authorization, clock=still_clock
    ) as client:
        with pytest.raises(FixConfigError) as caught:
            endpoints.account(client)
        assert caught.value.code == code
        assert client.requests == 1
    assert still_clock.waits == []


def test_stopping_ends_the_waiting_between_tries(
    client_of: Clients, still_clock: Any, mailchimp_emulator: Emulator
) -> None:
    """A call that waits for better times leaves with "interrupted", and no further one is sent."""
    mailchimp_emulator.fail("503", times=None)
    client = client_of(mailchimp_emulator.url)
    still_clock.on_wait = client.stop
    for _ in range(2):
        with pytest.raises(RunLaterError) as caught:
            endpoints.account(client)
        assert caught.value.code == "interrupted"
    assert client.requests == 1


def test_the_server_s_time_is_known_after_an_answer(client_of: Clients, mailchimp_emulator: Emulator) -> None:
    """What is proved by time is proved by Mailchimp's clock, not by ours."""
    client = client_of(mailchimp_emulator.url)
    assert endpoints.server_time(client) is None
    endpoints.account(client)
    before = endpoints.server_time(client)
    mailchimp_emulator.advance_clock(86_400)
    endpoints.account(client)
    after = endpoints.server_time(client)
    assert before is not None
    assert after is not None
    assert 86_400 <= after - before <= 86_460


def test_a_client_refuses_an_unsafe_address(api_key: str) -> None:
    """The check cannot be forgotten by who makes the client."""
    with pytest.raises(FixConfigError) as caught:
        MailchimpClient(
            api_root="http://mailchimp.test/3.0", authorization=Authorization.from_api_key(api_key)
        )
    assert caught.value.code == "bad_api_root"
