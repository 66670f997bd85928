"""Writing members: what the calls ask, and what becomes of each person, against a Mailchimp that keeps its rules."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.bodies import Move, Upsert, returning, upsert
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.endpoints.writing import _UPSERTED
from ci_mailchimp_pipeline.mailchimp.refusals import Refusal
from ci_mailchimp_pipeline.testing import Emulator

Clients = Callable[..., MailchimpClient]
ADA, BEA, CYD = (f"{name}@contoso-mail.internal" for name in ("Ada", "bea", "cyd"))


@dataclass(frozen=True)
class Proof:
    """What the plan makes from a row of the ledger."""

    subscriber_hash: bytes
    archived_by_us_at: float = 1_790_000_000.0
    status_before: Literal["subscribed"] = "subscribed"


def wanted(address: str, *, tags: tuple[str, ...] = (), **fields: Any) -> Upsert:
    """A member to upsert."""
    return upsert(email_address=address, status_if_new="subscribed", merge_fields=fields, tags=tags)


def test_more_than_500_are_never_sent() -> None:
    """Mailchimp refuses the whole call; the mistake is caught before it."""
    many = [f"p{number}@contoso-mail.internal" for number in range(501)]
    with pytest.raises(ValueError, match="500"):
        endpoints.update_tag(None, "a1", "1", add=many, remove=[])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="500"):
        endpoints.upsert_members(None, "a1", [wanted(address) for address in many])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="distinct"):
        endpoints.upsert_members(None, "a1", [wanted(ADA), wanted(ADA.lower())])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1 to 500"):
        endpoints.upsert_members(None, "a1", [])  # type: ignore[arg-type]


def test_each_of_a_batch_is_in_one_place(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Created, updated, refused: read row by row, with what the ledger needs of each."""
    mailchimp_emulator.add_member(audience_id, BEA, status="unsubscribed", cause="contact", tags=["Theirs"])
    batch = [
        wanted(ADA, tags=("VIP",), FNAME="Ada", LTV=3),
        wanted(BEA, FNAME="Bea"),
        wanted(CYD, LTV="many"),
    ]
    answer = endpoints.upsert_members(client, audience_id, batch)
    (created,), (updated,), (refused,) = answer.created, answer.updated, answer.refused
    assert (created.subscriber_hash, created.status) == (subscriber_hash(ADA), "subscribed")
    assert created.source.startswith("API")
    assert created.timestamp_opt == pytest.approx(time.time(), abs=60)
    assert (updated.subscriber_hash, updated.status) == (subscriber_hash(BEA), "unsubscribed")
    assert refused == Refusal(
        subscriber_hash=subscriber_hash(CYD), kind="permanent", code="invalid_merge_value", field="LTV"
    )
    assert (answer.missing, answer.repeated) == ([], False)
    members = mailchimp_emulator.members(audience_id)
    assert set(members) == {ADA, BEA}
    assert members[BEA]["tags"] == ["Theirs"]


def test_the_batch_call_asks_only_for_what_it_needs(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """No sync_tags, no status; existing members are updated, duplicates left to Mailchimp's first."""
    mailchimp_emulator.switch(record_bodies=True)
    endpoints.upsert_members(client, audience_id, [wanted(ADA)])
    (sent,) = mailchimp_emulator.writes()
    body = sent["body"] if isinstance(sent["body"], dict) else json.loads(sent["body"])
    assert body["update_existing"] is True
    assert "sync_tags" not in body
    assert "status" not in body["members"][0]
    assert "skip_duplicate_check=true" in sent["query"]
    assert "fields=" in sent["query"]


def test_a_member_archived_by_us_comes_back(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """With the proof; without it an archived member stays archived."""
    for address in (ADA, BEA):
        mailchimp_emulator.add_member(audience_id, address, status="archived")
    back = returning(Proof(subscriber_hash(ADA)), email_address=ADA, merge_fields={}, tags=[])
    endpoints.upsert_members(client, audience_id, [back, wanted(BEA)])
    members = mailchimp_emulator.members(audience_id)
    assert (members[ADA]["status"], members[BEA]["status"]) == ("subscribed", "archived")


def test_an_answer_without_members_is_asked_for_whole(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Should Mailchimp echo nobody when fields are asked for, the batch is repeated, once, without."""
    batch = [wanted(ADA), wanted(BEA)]
    mailchimp_emulator.switch(echo_members=False)
    answer = endpoints.upsert_members(client, audience_id, batch)
    assert sorted(answer.missing) == sorted(subscriber_hash(address) for address in (ADA, BEA))
    assert (client.requests, answer.repeated, client.narrow_answers) == (2, True, False)
    mailchimp_emulator.switch(echo_members=True)
    answer = endpoints.upsert_members(client, audience_id, batch)
    assert (len(answer.updated), client.requests) == (2, 3)


def test_fields_that_are_refused_are_not_asked_for_again(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """422 "Requested Fields Invalid" wrote nothing: the batch goes out again, and is not a repetition."""
    whole = {"new_members": [{"email_address": ADA, "status": "subscribed"}], "updated_members": [], "errors": [],
             "total_created": 1, "total_updated": 0, "error_count": 0}  # fmt: skip
    server = raw_server(
        http_answer(b'{"title":"Requested Fields Invalid","status":422}', status=422),
        http_answer(json.dumps(whole).encode()),
    )
    answer = endpoints.upsert_members(client_of(server.url), "a1", [wanted(ADA)])
    assert (len(answer.created), answer.repeated) == (1, False)
    assert b"fields=" in server.received[0]
    assert b"fields=" not in server.received[1]
    assert len(server.received) == 2


def answered(raw_server: Any, http_answer: Any, client_of: Clients, document: Any) -> Any:
    """What a batch of Ada and Bea becomes when Mailchimp answers this."""
    server = raw_server(http_answer(json.dumps(document).encode()))
    return endpoints.upsert_members(client_of(server.url), "a1", [wanted(ADA), wanted(BEA)])


def test_an_answer_is_read_however_it_is_shaped(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """Missing, null and empty parts, numbers as texts, ids in capitals, strangers, the same person twice."""
    ada = subscriber_hash(ADA)
    document: dict[str, Any] = {
        "new_members": [
            {"id": ada.hex().upper(), "status": None, "timestamp_opt": "", "merge_fields": {"ADDRESS": ""}, "tags": [{}]},
            {"id": "", "email_address": ADA, "status": "pending"},
            {"id": None, "email_address": None},
            {"email_address": "stranger@contoso-mail.internal", "status": "subscribed"},
        ],
        "updated_members": None,
        "errors": [
            {"email_address": f" {BEA.upper()} ", "error": f"{BEA} looks fake or invalid", "error_code": None},
            {"email_address": "stranger@contoso-mail.internal", "error": "x"},
            {"email_address": "", "error": "Something went wrong", "field": None},
        ],
        "total_created": "1", "total_updated": 0, "error_count": "3", "of a later Mailchimp": {},
    }  # fmt: skip
    answer = answered(raw_server, http_answer, client_of, document)
    assert [(row.subscriber_hash, row.status, row.timestamp_opt, row.source) for row in answer.created] == [
        (ada, "", None, "")
    ]
    assert [(row.subscriber_hash, row.code) for row in answer.refused] == [
        (subscriber_hash(BEA), "fake_address"), (None, "unknown_refusal"),
    ]  # fmt: skip
    assert (answer.updated, answer.missing) == ([], [])


def test_who_is_mentioned_twice_counts_as_refused(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """A person is in one place; a refusal outweighs."""
    document = {
        "new_members": [{"email_address": ADA, "status": "subscribed"}],
        "errors": [{"email_address": ADA, "error": "x", "error_code": "ERROR_GENERIC"}],
        "total_created": 1,
        "total_updated": 0,
        "error_count": 1,
    }
    answer = answered(raw_server, http_answer, client_of, document)
    assert (answer.created, len(answer.refused), answer.missing) == ([], 1, [subscriber_hash(BEA)])


@pytest.mark.parametrize(
    "document",
    [{}, [], None, "ok", {"total_created": 2}, {"ok": True}, {"new_members": {}, "total_created": 1, "total_updated": 0,
     "error_count": 0}, {"title": "x", "status": 500}],
)  # fmt: skip
def test_json_of_somebody_else_is_not_done(
    document: Any, client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """An answer that is not the batch call's own is never read as "nobody refused"."""
    with pytest.raises(RunLaterError) as caught:
        answered(raw_server, http_answer, client_of, document)
    assert caught.value.code == "mailchimp_busy"


def test_a_malformed_request_is_a_bug_with_an_id(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """400 for the whole batch is not about a person: it stops with Mailchimp's title and request id."""
    document = {"title": "Invalid Resource", "status": 400, "detail": f"{ADA}: Schema describes object, array found",
                "instance": "0b4d2f1e-5a3c-4f6d-9d0c-7c1d2e3f4a5b"}  # fmt: skip
    server = raw_server(http_answer(json.dumps(document).encode(), status=400))
    with pytest.raises(PipelineError) as caught:
        endpoints.upsert_members(client_of(server.url), "a1", [wanted(ADA)])
    assert (caught.value.code, caught.value.exit_code) == ("mailchimp_refused_request", 1)
    assert "0b4d2f1e-5a3c-4f6d-9d0c-7c1d2e3f4a5b" in str(caught.value)
    assert ADA not in str(caught.value)


# moving and archiving


def move(client: MailchimpClient, audience_id: str, old: str, new: str) -> Any:
    """Gives a member another address."""
    return endpoints.move_member(
        client, audience_id, subscriber_hash(old), Move(email_address=new, merge_fields={})
    )


def test_a_move_keeps_the_person(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Status and tags stay; there is one member, at the new address."""
    mailchimp_emulator.add_member(audience_id, ADA, tags=["VIP"])
    answer = move(client, audience_id, ADA, BEA)
    assert (answer.kind, answer.status) == ("moved", "subscribed")
    members = mailchimp_emulator.members(audience_id)
    assert list(members) == [BEA]
    assert members[BEA]["tags"] == ["VIP"]


def test_a_move_whose_answer_was_lost_is_moved(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """The repetition finds nobody at the old address; a look at the members tells why."""
    mailchimp_emulator.add_member(audience_id, ADA)
    mailchimp_emulator.fail("500_after", on="writes")
    answer = move(client, audience_id, ADA, BEA)
    assert (answer.kind, answer.status) == ("moved", "subscribed")
    assert list(mailchimp_emulator.members(audience_id)) == [BEA]


def test_a_move_that_an_earlier_run_may_have_sent_is_moved(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """When it is uncertain, the first refusal already sends a look at the members."""
    mailchimp_emulator.add_member(audience_id, BEA)
    body = Move(email_address=BEA, merge_fields={})
    answer = endpoints.move_member(client, audience_id, subscriber_hash(ADA), body, uncertain=True)
    assert (answer.kind, answer.status) == ("moved", "subscribed")


def test_a_move_to_a_taken_address_changes_nobody(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Also when the request had to be repeated: the old member is still there."""
    for address in (ADA, BEA):
        mailchimp_emulator.add_member(audience_id, address)
    assert move(client, audience_id, ADA, BEA).kind == "address_taken"
    mailchimp_emulator.fail("503", on="writes")
    assert move(client, audience_id, ADA, BEA).kind == "address_taken"
    assert set(mailchimp_emulator.members(audience_id)) == {ADA, BEA}


def test_a_move_of_nobody_creates_nobody(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Without status_if_new the call cannot create a member."""
    answer = move(client, audience_id, ADA, BEA)
    assert answer.kind in {"gone", "refused"}
    assert mailchimp_emulator.members(audience_id) == {}


def test_a_refused_move_says_why(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """The new address may be one that Mailchimp does not take."""
    mailchimp_emulator.add_member(audience_id, ADA)
    answer = move(client, audience_id, ADA, "ada@example.com")
    assert (answer.kind, answer.refusal.kind, answer.refusal.code) == ("refused", "permanent", "fake_address")


@pytest.mark.parametrize("document", [{"ok": True}, {}, []])
def test_a_move_is_not_done_by_json_of_somebody_else(
    document: Any, client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """Only a member in the answer proves it."""
    server = raw_server(http_answer(json.dumps(document).encode()))
    with pytest.raises(RunLaterError):
        move(client_of(server.url), "a1", ADA, BEA)


def test_a_move_that_left_the_address_is_refused(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """A 200 that shows the old address did not move anybody."""
    document = {"id": subscriber_hash(ADA).hex(), "email_address": ADA, "status": "subscribed"}
    server = raw_server(http_answer(json.dumps(document).encode()))
    answer = move(client_of(server.url), "a1", ADA, BEA)
    assert (answer.kind, answer.refusal.kind, answer.refusal.code) == (
        "refused",
        "temporary",
        "address_unchanged",
    )


def test_archiving_is_proved_by_mailchimp_s_clock(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Once it is archived with a time; a second time, and for nobody, it is already."""
    mailchimp_emulator.add_member(audience_id, ADA)
    first = endpoints.archive_member(client, audience_id, subscriber_hash(ADA))
    assert first.kind == "archived"
    assert first.at == pytest.approx(time.time(), abs=60)
    assert endpoints.archive_member(client, audience_id, subscriber_hash(ADA)).kind == "already"
    assert endpoints.archive_member(client, audience_id, subscriber_hash(BEA)).kind == "already"
    assert mailchimp_emulator.members(audience_id)[ADA]["status"] == "archived"


def test_an_archiving_whose_answer_was_lost_says_that_it_was_repeated(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """So that the caller can tell "ours" from "somebody else's"."""
    mailchimp_emulator.add_member(audience_id, ADA)
    mailchimp_emulator.fail("reset_after", on="writes")
    answer = endpoints.archive_member(client, audience_id, subscriber_hash(ADA))
    assert (answer.kind, answer.repeated) == ("already", True)


def test_a_page_of_somebody_else_archives_nobody(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """200 with a page of a hotel's network is not 204."""
    server = raw_server(http_answer(b"<html>Welcome</html>"))
    with pytest.raises(RunLaterError):
        endpoints.archive_member(client_of(server.url), "a1", subscriber_hash(ADA))


def test_no_answer_prints_whom_it_is_about(client: MailchimpClient, audience_id: str) -> None:
    """Answers may be logged by mistake; they hold counts and codes, no hashes."""
    answer = endpoints.upsert_members(client, audience_id, [wanted(ADA), wanted(BEA, LTV="x")])
    (page,) = endpoints.members(client, audience_id, "subscribed")
    shown = repr([answer, answer.created, answer.refused, page, page.members])
    for secret in (ADA, subscriber_hash(ADA).hex(), repr(subscriber_hash(ADA)), repr(subscriber_hash(BEA))):
        assert secret not in shown


def test_reading_an_answer_of_500_takes_less_than_two_milliseconds() -> None:
    """A million members are 2,000 answers; reading them must not be what takes the time."""
    row = {"id": "0" * 32, "email_address": ADA, "status": "subscribed", "timestamp_opt": "2021-11-10T18:37:46Z",
           "merge_fields": {"FNAME": "Ada", "ADDRESS": ""}, "stats": {"avg_open_rate": 0}, "location": {"latitude": 0},
           "tags": [{"id": 1, "name": "VIP"}], "_links": [{"rel": "self", "href": "x" * 70}] * 10}  # fmt: skip
    answer = {"new_members": [row] * 500, "total_created": 500, "total_updated": 0, "error_count": 0}
    content = json.dumps(answer).encode()
    assert len(content) > 500_000

    def once() -> float:
        started = time.thread_time()
        _UPSERTED.decode(content)
        return time.thread_time() - started

    assert min(once() for _ in range(20)) < 0.002
