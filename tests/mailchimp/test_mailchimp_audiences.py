"""Account, audiences, fields and tags: what the calls ask, and what they make of the answers."""

from collections.abc import Callable
from typing import Any

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.bodies import upsert
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.testing import Emulator

Clients = Callable[..., MailchimpClient]
ADA, BEA, CYD = (f"{name}@contoso-mail.internal" for name in ("Ada", "bea", "cyd"))
NEW = upsert(email_address=ADA, status_if_new="subscribed", merge_fields={}, tags=())


def test_the_account_is_read(client: MailchimpClient) -> None:
    """The connection test: one request that proves address, key and role."""
    account = endpoints.account(client)
    assert account.account_id
    assert account.role
    assert account.account_name not in repr(account)


def test_an_audience_is_read(client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator) -> None:
    """What the pre-flight needs, and nothing more is asked for."""
    mailchimp_emulator.add_member(audience_id, ADA)
    audience = endpoints.audience(client, audience_id)
    assert (audience.id, audience.name, audience.member_count, audience.double_optin) == (
        "a1",
        "Contoso",
        1,
        False,
    )
    assert audience.web_id > 0
    assert [found.id for found in endpoints.audiences(client)] == ["a1"]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: endpoints.audience(client, "none"),
        lambda client: endpoints.merge_fields(client, "none"),
        lambda client: endpoints.tags(client, "none"),
        lambda client: list(endpoints.members(client, "none", "subscribed")),
        lambda client: endpoints.upsert_members(client, "none", [NEW]),
        lambda client: endpoints.create_tag(client, "none", "VIP"),
    ],
)
def test_an_unknown_audience_is_a_configuration_error(
    call: Callable[[MailchimpClient], object], client: MailchimpClient
) -> None:
    """Whatever is asked of it, the message names the id and says where to find the right one."""
    with pytest.raises(FixConfigError) as caught:
        call(client)
    assert caught.value.code == "unknown_audience"
    assert "'none'" in str(caught.value)


def test_an_odd_audience_id_reaches_no_other_path(
    client_of: Clients, raw_server: Any, http_answer: Any
) -> None:
    """An id is one segment of the path, whatever it holds."""
    server = raw_server(http_answer(b'{"title":"Resource Not Found","status":404}', status=404))
    with pytest.raises(FixConfigError):
        endpoints.audience(client_of(server.url), "../a b/members?x#y")
    assert server.received[0].startswith(b"GET /3.0/lists/..%2Fa%20b%2Fmembers%3Fx%23y?fields=")


def test_all_merge_fields_are_read(client: MailchimpClient, mailchimp_emulator: Emulator) -> None:
    """Thirty fields are thirty, although Mailchimp gives ten unless asked; choices and formats come along."""
    fields: list[dict[str, Any]] = [
        {"tag": f"F{number}", "name": f"Field {number}", "type": "text"} for number in range(27)
    ]
    fields.append(
        {
            "tag": "SIZE",
            "name": "Size",
            "type": "dropdown",
            "required": True,
            "options": {"choices": ["S", "M"]},
        }
    )
    fields.append({"tag": "DAY", "name": "Day", "type": "date", "options": {"date_format": "DD/MM/YYYY"}})
    mailchimp_emulator.add_audience("a2", merge_fields=fields, merge_field_limit=80)
    found = endpoints.merge_fields(client, "a2")
    by_tag = {entry.tag: entry for entry in found.fields}
    assert (len(by_tag), found.limit) == (29, 80)
    assert (by_tag["SIZE"].choices, by_tag["SIZE"].required, by_tag["SIZE"].type) == (
        ("S", "M"),
        True,
        "dropdown",
    )
    assert by_tag["DAY"].date_format == "DD/MM/YYYY"


def test_a_merge_field_is_created_once(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """A creation whose answer was lost finds the field there and takes it."""
    mailchimp_emulator.fail("500_after", on="writes")
    created = endpoints.create_merge_field(client, audience_id, tag="CITY", name="City", type="text")
    assert (created.tag, created.type) == ("CITY", "text")
    assert [entry.tag for entry in endpoints.merge_fields(client, audience_id).fields].count("CITY") == 1


def test_a_merge_field_that_cannot_be_created_says_so(client: MailchimpClient, audience_id: str) -> None:
    """A type that Mailchimp does not know is the configuration's mistake."""
    with pytest.raises(FixConfigError) as caught:
        endpoints.create_merge_field(client, audience_id, tag="CITY", name="City", type="hologram")
    assert caught.value.code == "merge_field_refused"


def test_every_member_of_a_status_is_read(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Pages of 1,000, each status apart; the key is the hash of the address, times are seconds."""
    people: list[dict[str, Any]] = [
        {"email_address": f"P{number}@contoso-mail.internal"} for number in range(2300)
    ]
    people.append({"email_address": ADA, "status": "unsubscribed", "changed": 1_700_000_000})
    people.append({"email_address": BEA, "status": "archived"})
    mailchimp_emulator.add_members(audience_id, people)
    pages = list(endpoints.members(client, audience_id, "subscribed"))
    read = {member.subscriber_hash for page in pages for member in page.members}
    assert read == {subscriber_hash(f"p{number}@contoso-mail.internal") for number in range(2300)}
    assert [page.total for page in pages] == [2300] * 3
    ((opted_out,),) = (page.members for page in endpoints.members(client, audience_id, "unsubscribed"))
    assert (opted_out.subscriber_hash, opted_out.status) == (subscriber_hash(ADA), "unsubscribed")
    assert opted_out.last_changed == 1_700_000_000.0
    ((archived,),) = (page.members for page in endpoints.members(client, audience_id, "archived"))
    assert archived.subscriber_hash == subscriber_hash(BEA)
    assert [page.members for page in endpoints.members(client, audience_id, "cleaned")] == [[]]


def test_one_page_is_enough_for_a_total(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Who only wants to know how many, pays one request."""
    mailchimp_emulator.add_members(
        audience_id, [{"email_address": f"p{n}@contoso-mail.internal"} for n in range(1500)]
    )
    (page,) = endpoints.members(client, audience_id, "subscribed", max_pages=1)
    assert (page.total, len(page.members), client.requests) == (1500, 1000, 1)


# tags


def test_tags_are_found_whatever_their_case(client: MailchimpClient, audience_id: str) -> None:
    """More than a page of ten; keys in lower case, names as they are."""
    for number in range(12):
        endpoints.create_tag(client, audience_id, f"Tag {number}")
    tags = endpoints.tags(client, audience_id)
    assert len(tags) == 12
    assert tags["tag 3"].name == "Tag 3"


def test_a_tag_is_created_once(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """A creation whose answer was lost finds the tag there and takes it."""
    mailchimp_emulator.fail("500_after", on="writes")
    tag = endpoints.create_tag(client, audience_id, "VIP")
    assert endpoints.tags(client, audience_id) == {"vip": tag}


def test_who_carries_a_tag_includes_the_opted_out(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Mailchimp leaves them out unless asked."""
    statuses = ["subscribed", "unsubscribed", "cleaned", "transactional"]
    for status in statuses:
        mailchimp_emulator.add_member(
            audience_id, f"{status}@contoso-mail.internal", status=status, tags=["VIP"]
        )
    tag = endpoints.tags(client, audience_id)["vip"]
    read = [key for page in endpoints.tag_members(client, audience_id, tag.id) for key in page]
    assert sorted(read) == sorted(subscriber_hash(f"{status}@contoso-mail.internal") for status in statuses)


def test_a_tag_is_given_and_taken_in_one_call(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Who is no member is ignored, and becomes none."""
    mailchimp_emulator.add_member(audience_id, ADA, tags=["Other"])
    mailchimp_emulator.add_member(audience_id, BEA, tags=["VIP"])
    tag = endpoints.tags(client, audience_id)["vip"]
    answer = endpoints.update_tag(client, audience_id, tag.id, add=[ADA, CYD], remove=[BEA])
    assert (answer.added, answer.removed) == ({subscriber_hash(ADA)}, {subscriber_hash(BEA)})
    members = mailchimp_emulator.members(audience_id)
    assert {address: member["tags"] for address, member in members.items()} == {
        ADA: ["Other", "VIP"],
        BEA: [],
    }


def test_a_refused_tagging_is_named(
    client: MailchimpClient, audience_id: str, mailchimp_emulator: Emulator
) -> None:
    """Where Mailchimp refuses to tag an opt-out, the answer says whom."""
    mailchimp_emulator.switch(static_segment_unsubscribed="error")
    mailchimp_emulator.add_member(audience_id, ADA, status="unsubscribed")
    mailchimp_emulator.add_member(audience_id, BEA)
    tag = endpoints.create_tag(client, audience_id, "VIP")
    answer = endpoints.update_tag(client, audience_id, tag.id, add=[ADA, BEA], remove=[])
    assert (answer.added, answer.refused) == ({subscriber_hash(BEA)}, [subscriber_hash(ADA)])


def test_a_deleted_tag_is_run_later(client: MailchimpClient, audience_id: str) -> None:
    """The next run creates it anew."""
    with pytest.raises(RunLaterError) as caught:
        endpoints.update_tag(client, audience_id, "424242", add=[ADA], remove=[])
    assert caught.value.code == "tag_gone"
