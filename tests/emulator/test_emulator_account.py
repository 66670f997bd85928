"""Keys, the account, audiences, webhooks, and what every answer has."""

import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

ANN = "ann@contoso-mail.internal"


def test_ping_answers_with_a_good_key(api: Any) -> None:
    """The words every client library waits for."""
    assert api.get("/ping") == {"health_status": "Everything's Chimpy!"}


def test_the_account_tells_who_and_what(api: Any) -> None:
    """Parts can be asked for; some can be switched."""
    api.emulator.add_member(api.audience, ANN)
    api.emulator.switch(role="viewer", pricing_plan_type="forever_free")

    account = api.get("/", fields="account_id,account_name,role,pricing_plan_type,total_subscribers")

    assert account == {
        "account_id": "8d3a3db4d97663a9074efcc16",
        "account_name": "Emulated account",
        "role": "viewer",
        "pricing_plan_type": "forever_free",
        "total_subscribers": 1,
    }


@pytest.mark.parametrize(
    ("authorization", "status", "title"),
    [
        (None, 401, "API Key Missing"),
        ("Basic bm90aGluZw==", 401, "API Key Invalid"),
        ("Basic !!!", 401, "API Key Invalid"),
        ("Basic eDprZXk=", 401, "API Key Invalid"),
        ("Bearer short", 401, "API Key Invalid"),
        ("Digest x", 401, "API Key Missing"),
        ("Bearer 0123456789abcdef0123456789abcdef-us1", 200, ""),
        ("Bearer 0123456789abcdef0123456789abcdef", 200, ""),
        ("OAuth 0123456789abcdef0123456789abcdef", 200, ""),
    ],
)
def test_who_is_let_in(api: Any, authorization: str | None, status: int, title: str) -> None:
    """By default every key of the right form, Basic or Bearer, and OAuth tokens."""
    headers = {} if authorization is None else {"Authorization": authorization}

    answer = requests.get(f"{api.emulator.url}/ping", headers=headers, timeout=10)

    assert answer.status_code == status
    assert answer.json().get("title", "") == title


def test_only_some_keys_may_be_accepted(api: Any) -> None:
    """And only those of one data centre; the refusal tells the key's own."""
    other = "f" * 32 + "-us6"
    api.emulator.switch(accepted_keys=[other], data_center="us1")
    assert api.problem("GET", "/ping")["title"] == "API Key Invalid"

    api.session.auth = ("anystring", other)
    problem = api.problem("GET", "/ping")

    assert (problem["status"], problem["title"]) == (403, "Forbidden")
    assert problem["detail"] == "The API key provided is linked to datacenter 'us6'"


def test_a_user_may_be_allowed_less(api: Any) -> None:
    """A read-only user reads; one without rights does nothing."""
    api.emulator.switch(permission="read")
    assert api.problem("POST", f"/lists/{api.audience}", {})["title"] == "User action not permitted"
    assert api.get("/ping")

    api.emulator.switch(permission="none")

    assert api.problem("GET", "/ping")["status"] == 403


def test_audiences_are_listed_with_their_counts(api: Any) -> None:
    """Counts are per status; all contacts only when asked for."""
    for status in ("subscribed", "unsubscribed", "cleaned", "archived"):
        api.emulator.add_member(api.audience, f"{status}@contoso-mail.internal", status=status)

    (listed,) = api.get("/lists")["lists"]
    one = api.get(f"/lists/{api.audience}", include_total_contacts="true")

    assert (listed["id"], listed["name"], listed["double_optin"]) == (api.audience, "Newsletter", False)
    stats = one["stats"]
    assert (stats["member_count"], stats["unsubscribe_count"], stats["cleaned_count"]) == (1, 1, 1)
    assert (stats["merge_field_count"], stats["total_contacts"]) == (3, 4)
    assert "total_contacts" not in listed["stats"]


def test_audiences_come_in_pages(api: Any) -> None:
    """Ten by default."""
    for _ in range(11):
        api.emulator.add_audience()

    page = api.get("/lists", fields="lists.id,total_items")

    assert (len(page["lists"]), page["total_items"]) == (10, 12)
    assert len(api.get("/lists", count=100)["lists"]) == 12


def test_an_audience_tells_how_it_is_set(api: Any) -> None:
    """Double opt-in and GDPR permissions are readable."""
    audience = api.emulator.add_audience(double_optin=True, marketing_permissions=True)

    shown = api.get(f"/lists/{audience}", fields="double_optin,marketing_permissions")

    assert shown == {"double_optin": True, "marketing_permissions": True}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/members",
        "/merge-fields",
        "/segments",
        "/segments/1",
        "/webhooks",
        "/tag-search",
        "/members/x/tags",
    ],
)
def test_an_unknown_audience_is_404_everywhere(api: Any, path: str) -> None:
    """With the same document for everything that is not there."""
    problem = api.problem("GET", f"/lists/ffffffffff{path}")

    assert problem["title"] == "Resource Not Found"
    assert problem["detail"] == "The requested resource could not be found."
    assert problem["type"] == "https://mailchimp.com/developer/marketing/docs/errors/"


def test_a_wrong_method_is_405_with_the_right_ones(api: Any) -> None:
    """The Allow header lists them."""
    answer = api.call("DELETE", f"/lists/{api.audience}/segments")

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, POST"


def test_a_body_that_is_not_json_is_told(api: Any) -> None:
    """JSON Parse Error, not a schema error."""
    answer = api.session.post(f"{api.emulator.url}/lists/{api.audience}", data=b"{", timeout=10)

    assert answer.json()["title"] == "JSON Parse Error"


def test_problems_have_a_request_id_and_sometimes_no_type(api: Any) -> None:
    """The header equals `instance`; `type` may be missing, as reported."""
    answer = api.call("GET", "/lists/ffffffffff")
    api.emulator.switch(problem_type=False)

    assert answer.headers["X-Request-Id"] == answer.json()["instance"]
    assert "type" not in api.problem("GET", "/lists/ffffffffff")


def test_answers_carry_the_emulators_date(api: Any) -> None:
    """The real time, as far as nobody moved the clock."""

    def offset() -> float:
        date = api.call("GET", "/ping").headers["Date"]
        return parsedate_to_datetime(date).timestamp() - time.time()

    assert abs(offset()) < 5
    api.emulator.advance_clock(3600)
    assert 3590 < offset() < 3610


def test_webhooks_are_remembered(api: Any) -> None:
    """Nothing is delivered; without a URL it is refused."""
    path = f"/lists/{api.audience}/webhooks"
    hook = {
        "url": "https://hooks.contoso.internal",
        "events": {"unsubscribe": True},
        "sources": {"user": True},
    }

    made = api.call("POST", path, hook).json()

    assert (made["events"]["unsubscribe"], made["sources"]["api"]) == (True, False)
    assert api.get(path)["webhooks"] == [made]
    assert api.problem("POST", path, {})["status"] == 400
