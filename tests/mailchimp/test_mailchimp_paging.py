"""All of a list is read although it changes meanwhile, and a list that never ends is an error, not a hang."""

import json
import socket
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.endpoints.identity import MemberRow, hash_of, seconds

Clients = Callable[..., MailchimpClient]
Served = Callable[[int, int], dict[str, Any]]


def address(number: int) -> str:
    """The address of the n-th person."""
    return f"p{number}@contoso-mail.internal"


def rows(numbers: Any) -> list[dict[str, str]]:
    """Members in an answer."""
    return [{"email_address": address(number), "status": "unsubscribed"} for number in numbers]


@pytest.fixture
def read_from(client_of: Clients, raw_server: Any, http_answer: Any) -> Callable[[Served], list[bytes]]:
    """Reads all opt-outs from a list that is computed for each request from its number and offset."""

    def read(served: Served) -> list[bytes]:
        servers: list[Any] = []

        def answer(connection: socket.socket) -> None:
            target = servers[0].received[-1].split()[1].decode()
            offset = int(parse_qs(urlsplit(target).query)["offset"][0])
            connection.sendall(http_answer(json.dumps(served(len(servers[0].received), offset)).encode()))

        servers.append(raw_server(answer))
        pages = endpoints.members(client_of(servers[0].url), "a1", "unsubscribed")
        return [member.subscriber_hash for page in pages for member in page.members]

    return read


@pytest.mark.parametrize(
    ("people", "offsets"), [(0, [0]), (999, [0]), (1000, [0]), (1001, [0, 999]), (3000, [0, 999, 1998, 2997])]
)
def test_a_list_that_holds_still_costs_no_more_than_its_pages(
    people: int, offsets: list[int], read_from: Callable[[Served], list[bytes]]
) -> None:
    """Each page begins with the last one of the page before, and a list that is read ends the reading."""
    asked: list[int] = []

    def served(_: int, offset: int) -> dict[str, Any]:
        asked.append(offset)
        return {"members": rows(range(offset, min(people, offset + 1000))), "total_items": people}

    assert len(read_from(served)) == people + len(offsets) - 1
    assert asked == offsets


@pytest.mark.parametrize("left", [1, 7, 400, 999, 1500])
def test_nobody_is_missed_when_others_leave_meanwhile(
    left: int, read_from: Callable[[Served], list[bytes]]
) -> None:
    """After the first page some of its people are no opt-outs any more: the others slide forward, and are read."""
    people = list(range(3000))

    def served(number: int, offset: int) -> dict[str, Any]:
        now = people if number == 1 else people[left:]
        return {"members": rows(now[offset : offset + 1000]), "total_items": len(now)}

    read = set(read_from(served))
    assert read >= {subscriber_hash(address(number)) for number in people[left:]}


def test_nobody_is_missed_when_somebody_leaves_between_all_pages(
    read_from: Callable[[Served], list[bytes]],
) -> None:
    """A list that never holds still is read to its end all the same."""
    people = list(range(5000))

    def served(number: int, offset: int) -> dict[str, Any]:
        now = people[number * 3 :]
        return {"members": rows(now[offset : offset + 1000]), "total_items": len(now)}

    read = set(read_from(served))
    assert read >= {subscriber_hash(address(number)) for number in range(100, 5000)}


@pytest.mark.parametrize("cap", [1, 2, 100])
def test_a_server_that_gives_less_than_asked_for_is_read_to_the_end(
    cap: int, read_from: Callable[[Served], list[bytes]]
) -> None:
    """A short page is not the end when the total says otherwise."""
    people = list(range(5 * cap))

    def served(number: int, offset: int) -> dict[str, Any]:
        return {"members": rows(people[offset : offset + cap]), "total_items": str(len(people))}

    assert set(read_from(served)) == {subscriber_hash(address(number)) for number in people}


@pytest.mark.parametrize("total", [1990, None, "", 0])
def test_a_total_that_is_wrong_or_absent_ends_no_reading(
    total: Any, read_from: Callable[[Served], list[bytes]]
) -> None:
    """Only a total that is reached, or a short page, is the end."""
    people = list(range(1900))

    def served(number: int, offset: int) -> dict[str, Any]:
        return {"members": rows(people[offset : offset + 1000]), "total_items": total}

    assert len(set(read_from(served))) == 1900


@pytest.mark.parametrize("people", [1, 2, 1000])
def test_the_same_page_again_and_again_is_an_error(
    people: int, read_from: Callable[[Served], list[bytes]]
) -> None:
    """A server, or a cache, that ignores the offset would be read for ever."""
    with pytest.raises(RunLaterError) as caught:
        read_from(lambda *_: {"members": rows(range(people)), "total_items": 10**30})
    assert caught.value.code == "mailchimp_page_repeated"


def test_a_list_that_is_never_the_same_is_an_error(read_from: Callable[[Served], list[bytes]]) -> None:
    """Other people on each page, whatever the offset: it gives up instead of stepping back for ever."""
    with pytest.raises(RunLaterError) as caught:
        read_from(
            lambda number, _: {
                "members": rows(range(number * 1000, number * 1000 + 1000)),
                "total_items": 9000,
            }
        )
    assert caught.value.code == "mailchimp_pages_moved"


def test_nobody_where_somebody_is_counted_is_an_error(read_from: Callable[[Served], list[bytes]]) -> None:
    """Taken for "no opt-outs", it would hide them all."""
    with pytest.raises(RunLaterError) as caught:
        read_from(lambda *_: {"members": [], "total_items": 12})
    assert caught.value.code == "mailchimp_page_empty"


def test_an_old_id_of_mixed_case_is_still_this_person() -> None:
    """Old audiences hold the MD5 of the address as it was typed; the opt-out must meet its profile."""
    typed = subscriber_hash("x").hex()
    row = MemberRow(id=typed, email_address="Ada@contoso-mail.internal")
    assert hash_of(row) == subscriber_hash("ada@contoso-mail.internal")


def test_without_an_ascii_address_the_id_decides() -> None:
    """An unambiguous lower case exists only for ASCII."""
    known = subscriber_hash("x")
    assert hash_of(MemberRow(id=known.hex().upper(), email_address="Ä@contoso-mail.internal")) == known
    assert hash_of(MemberRow(id=known.hex())) == known
    assert hash_of(MemberRow(id="not a hash", email_address="")) is None
    assert hash_of(MemberRow(email_address="ä@contoso-mail.internal")) == subscriber_hash(
        "ä@contoso-mail.internal"
    )


@given(text=st.text(max_size=40) | st.none())
def test_any_timestamp_is_a_time_or_nothing(text: str | None) -> None:
    """Mailchimp sends "" where its description says date-time."""
    assert seconds(text) is None or isinstance(seconds(text), float)


def test_timestamps_are_seconds_utc() -> None:
    """With Z, with an offset, and with neither."""
    assert seconds("2021-11-10T18:37:46+00:00") == seconds("2021-11-10T18:37:46Z") == 1_636_569_466.0
    assert seconds("2021-11-10 18:37:46") == 1_636_569_466.0
    assert seconds("") is None
