"""Every answer is compared with what was asked: one about something else is an error, never a fact."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits

Call = Callable[[MailchimpClient], Any]
ADDRESS, OTHER = "alan.turing@contoso-mail.internal", "somebody.else@contoso-mail.internal"


def key(address: str) -> bytes:
    return hashlib.md5(address.encode()).digest()


def answered(answer: Any, call: Call, client_of: Any, raw_server: Any, http_answer: Any) -> Any:
    """What *call* returns when Mailchimp gives this answer to whatever it is asked."""
    server = raw_server(http_answer(json.dumps(answer).encode()))
    return call(client_of(server.url, limits=RetryLimits(tries=1, read_seconds=5)))


@pytest.mark.parametrize(
    ("answer", "call"),
    [
        ({"id": "b2"}, lambda client: endpoints.audience(client, "a1")),
        ({"merge_fields": [], "list_id": "b2"}, lambda client: endpoints.merge_fields(client, "a1")),
        ({"segments": [], "list_id": "b2"}, lambda client: endpoints.tags(client, "a1")),
        ({"members": [], "list_id": "b2"}, lambda client: list(endpoints.members(client, "a1", "cleaned"))),
        ({"id": 7, "name": "Other"}, lambda client: endpoints.create_tag(client, "a1", "Vip")),
        (
            {"id": key(OTHER).hex(), "email_address": OTHER, "status": "subscribed"},
            lambda client: endpoints.member_status(client, "a1", key(ADDRESS)),
        ),
    ],
    ids=["audience", "merge fields", "tags", "members", "new tag", "member"],
)
def test_an_answer_about_something_else_is_not_used(
    answer: Any, call: Call, client_of: Any, raw_server: Any, http_answer: Any
) -> None:
    """Exit 4 with what to look at; whom the answer named is not in the message."""
    with pytest.raises(RunLaterError) as caught:
        answered(answer, call, client_of, raw_server, http_answer)

    assert caught.value.code == "foreign_answer"
    assert caught.value.fix
    assert OTHER not in str(caught.value)


@pytest.mark.parametrize("list_id", ["a1", "A1", "", None])
def test_an_answer_that_names_the_audience_or_none_is_used(
    list_id: str | None, client_of: Any, raw_server: Any, http_answer: Any
) -> None:
    """Mailchimp may leave the id out, or write it otherwise."""
    answer = {"segments": [{"id": 1, "name": "Vip"}], "list_id": list_id}

    found = answered(answer, lambda client: endpoints.tags(client, "a1"), client_of, raw_server, http_answer)

    assert list(found) == ["vip"]


def test_a_segment_with_conditions_is_no_tag(client_of: Any, raw_server: Any, http_answer: Any) -> None:
    """Should the filter not be heeded, nobody is put into somebody's saved segment of the same name."""
    segments = [{"id": 1, "name": "Vip", "type": "saved"}, {"id": 2, "name": "Gold", "type": "static"}]

    found = answered(
        {"segments": segments},
        lambda client: endpoints.tags(client, "a1"),
        client_of,
        raw_server,
        http_answer,
    )

    assert list(found) == ["gold"]


def test_a_tag_of_the_same_name_in_other_letters_is_the_tag(
    client_of: Any, raw_server: Any, http_answer: Any
) -> None:
    """Mailchimp ignores case, and may tidy white space."""
    answer = {"id": 7, "name": "VIP  people"}

    made = answered(
        answer,
        lambda client: endpoints.create_tag(client, "a1", "Vip people"),
        client_of,
        raw_server,
        http_answer,
    )

    assert made.id == "7"


def test_a_merge_field_that_was_cut_is_not_taken_for_ours(
    client_of: Any, raw_server: Any, http_answer: Any
) -> None:
    """Values for a tag that the audience lacks are dropped without a word."""
    answer = {"tag": "LONGESTTAG", "type": "text"}

    def create(client: MailchimpClient) -> Any:
        return endpoints.create_merge_field(client, "a1", tag="LONGESTTAGOFALL", name="x", type="text")

    with pytest.raises(FixConfigError) as caught:
        answered(answer, create, client_of, raw_server, http_answer)

    assert caught.value.code == "merge_field_refused"


@pytest.mark.parametrize("count", ["9" * 5_000, 10**30, -3, "-3", "", None, "many"])
def test_a_count_that_cannot_be_is_bounded(
    count: Any, client_of: Any, raw_server: Any, http_answer: Any
) -> None:
    """No number of an answer can break what is made of it."""
    answer = {"id": "a1", "stats": {"member_count": count}, "web_id": count}

    found = answered(
        answer, lambda client: endpoints.audience(client, "a1"), client_of, raw_server, http_answer
    )

    assert 0 <= found.member_count == found.web_id <= 2**53
