"""Typed merge field values."""

from typing import Any

import pytest

ANN = "ann@contoso-mail.internal"
WHOLE = {"addr1": "1 Main St", "city": "Bonn", "state": "NW", "zip": "53111"}


@pytest.fixture
def typed(api: Any) -> Any:
    """An audience with a field of every type, and one member without values."""
    api.audience = api.emulator.add_audience(
        merge_fields=[
            "TEXT",
            {"tag": "NUMBER", "type": "number"},
            {"tag": "ADDRESS", "type": "address"},
            {"tag": "PHONE", "type": "phone", "options": {"phone_format": "US"}},
            {"tag": "DATE", "type": "date"},
            {"tag": "DATE_EU", "type": "date", "options": {"date_format": "DD/MM/YYYY"}},
            {"tag": "URL", "type": "url"},
            {"tag": "IMAGE", "type": "imageurl"},
            {"tag": "RADIO", "type": "radio", "options": {"choices": ["m", "w"]}},
            {"tag": "DROPDOWN", "type": "dropdown", "options": {"choices": ["m", "w"]}},
            {"tag": "BIRTHDAY", "type": "birthday"},
            {"tag": "ZIP", "type": "zip"},
        ],
        members=[{"email_address": ANN}],
    )
    return api


def test_a_member_without_values_reads_back_blank(typed: Any) -> None:
    """Every field is there, as an empty string whatever its type."""
    assert set(typed.person(ANN)["merge_fields"].values()) == {""}


@pytest.mark.parametrize(
    ("tag", "sent", "read"),
    [
        ("TEXT", "Grüße", "Grüße"),
        ("TEXT", 12, "12"),
        ("TEXT", "x" * 255, "x" * 255),
        ("NUMBER", 4, 4),
        ("NUMBER", "4", 4),
        ("NUMBER", "-4.50", -4.5),
        ("ADDRESS", WHOLE, {**WHOLE, "addr2": "", "country": "US"}),
        ("ADDRESS", {**WHOLE, "country": "DE"}, {**WHOLE, "addr2": "", "country": "DE"}),
        ("PHONE", "(555) 123-4567", "(555) 123-4567"),
        ("DATE", "2024-02-29", "2024-02-29"),
        ("DATE", "02/29/2024", "2024-02-29"),
        ("DATE_EU", "29/02/2024", "2024-02-29"),
        ("URL", "https://contoso.internal/a", "https://contoso.internal/a"),
        ("IMAGE", "http://contoso.internal/a.png", "http://contoso.internal/a.png"),
        ("RADIO", "m", "m"),
        ("DROPDOWN", "w", "w"),
        ("BIRTHDAY", "02/29", "02/29"),
        ("BIRTHDAY", "2/9", "02/09"),
        ("ZIP", "53111", "53111"),
    ],
)
def test_what_is_taken_and_how_it_reads_back(typed: Any, tag: str, sent: Any, read: Any) -> None:
    """A value of the field's type is kept in Mailchimp's form; a blank clears it again."""
    path = f"/lists/{typed.audience}/members/{ANN}"

    answer = typed.call("PATCH", path, {"merge_fields": {tag: sent}})

    assert answer.json()["merge_fields"][tag] == read
    assert typed.person(ANN)["merge_fields"][tag] == read
    assert typed.call("PATCH", path, {"merge_fields": {tag: ""}}).json()["merge_fields"][tag] == ""


@pytest.mark.parametrize(
    ("tag", "sent", "text"),
    [
        ("TEXT", True, "Data did not match any of the schemas described in anyOf."),
        ("TEXT", ["a"], "Data did not match any of the schemas described in anyOf."),
        ("TEXT", None, "Schema describes string, NULL found instead"),
        ("TEXT", "x" * 256, "Please enter a value of at most 255 bytes"),
        ("TEXT", "ü" * 128, "Please enter a value of at most 255 bytes"),
        ("NUMBER", "many", "Please enter a number"),
        ("NUMBER", True, "Please enter a number"),
        ("NUMBER", "1,5", "Please enter a number"),
        ("ADDRESS", {**WHOLE, "city": " "}, "Please enter a complete address"),
        ("ADDRESS", {"addr1": "1 Main St"}, "Please enter a complete address"),
        ("ADDRESS", "1 Main St, Bonn", "Please enter a complete address"),
        ("PHONE", "12345", "Please enter a valid phone number"),
        ("DATE", "2023-02-29", "Please enter a valid date"),
        ("DATE", "29/02/2024", "Please enter a valid date"),
        ("DATE", "soon", "Please enter a valid date"),
        ("URL", "contoso", "Please enter a complete URL, beginning with http:// or https://"),
        ("RADIO", "z", "Value must be one of: m, w,  (not z)"),
        ("BIRTHDAY", "02/30", "Please enter a month (01-12) and a day (01-31)"),
        ("BIRTHDAY", "2024-02-29", "Please enter a month (01-12) and a day (01-31)"),
        ("ZIP", "5311", "Please enter a valid zip code (5 digits)"),
    ],
)
def test_what_is_refused_with_which_text(typed: Any, tag: str, sent: Any, text: str) -> None:
    """A single-member call is 400 with the tag and Mailchimp's text, and nothing is written."""
    path = f"/lists/{typed.audience}/members/{ANN}"

    problem = typed.problem("PATCH", path, {"merge_fields": {"ZIP": "12345", tag: sent}})

    assert problem["detail"] == "Your merge fields were invalid."
    assert problem["errors"] == [{"field": tag, "message": text}]
    assert set(typed.person(ANN)["merge_fields"].values()) == {""}


@pytest.mark.parametrize(("habit", "kept"), [("ignore", "Ann"), ("clear", "")])
def test_null_is_an_open_question(typed: Any, habit: str, kept: str) -> None:
    """By default an error; it may also be ignored, or clear the value."""
    typed.emulator.switch(null_merge_value=habit)
    path = f"/lists/{typed.audience}/members/{ANN}"
    typed.call("PATCH", path, {"merge_fields": {"TEXT": "Ann"}})

    typed.call("PATCH", path, {"merge_fields": {"TEXT": None}})

    assert typed.person(ANN)["merge_fields"]["TEXT"] == kept


def test_too_long_a_text_may_be_cut(typed: Any) -> None:
    """Cut at a character; the limit is a switch too."""
    typed.emulator.switch(text_too_long="cut", max_text_bytes=5)

    typed.call("PATCH", f"/lists/{typed.audience}/members/{ANN}", {"merge_fields": {"TEXT": "üüü"}})

    assert typed.person(ANN)["merge_fields"]["TEXT"] == "üü"


def test_merge_fields_are_listed_with_types_and_limit(typed: Any) -> None:
    """Pages of ten by default, filters by type, and how many the audience may hold."""
    path = f"/lists/{typed.audience}/merge-fields"

    page = typed.get(path)
    dates = typed.get(path, count=100, type="date", required="false")

    assert (len(page["merge_fields"]), page["total_items"], page["merge_field_limit"]) == (10, 12, 30)
    assert [field["tag"] for field in dates["merge_fields"]] == ["DATE", "DATE_EU"]
    assert dates["merge_fields"][0]["options"]["date_format"] == "MM/DD/YYYY"


def test_a_merge_field_can_be_made(api: Any) -> None:
    """Its tag is upper-cased, or made up; members have no value for it yet."""
    api.emulator.add_member(api.audience, ANN)
    path = f"/lists/{api.audience}/merge-fields"

    made = api.call("POST", path, {"name": "City", "type": "text", "tag": "city"}).json()
    unnamed = api.call("POST", path, {"name": "Other", "type": "number"}).json()

    assert (made["tag"], made["type"], made["required"]) == ("CITY", "text", False)
    assert unnamed["tag"] == f"MMERGE{unnamed['merge_id']}"
    assert api.person(ANN)["merge_fields"]["CITY"] == ""


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"name": "City"}, "type"),
        ({"type": "text"}, "name"),
        ({"name": "City", "type": "text", "tag": "ELEVEN_LONG"}, "10 letters"),
        ({"name": "City", "type": "text", "tag": "CI TY"}, "10 letters"),
        ({"name": "City", "type": "text", "tag": "EMAIL"}, "10 letters"),
        ({"name": "City", "type": "text", "tag": "FNAME"}, 'tag "FNAME" already exists'),
        ({"name": "City", "type": "colour"}, "enum"),
        ({"name": "City", "type": "radio"}, "choice"),
    ],
)
def test_a_merge_field_that_breaks_a_rule_is_refused(api: Any, body: Any, word: str) -> None:
    """The problem says what is wrong."""
    problem = api.problem("POST", f"/lists/{api.audience}/merge-fields", body)

    assert word in str(problem)


def test_an_audience_holds_only_so_many_merge_fields(api: Any) -> None:
    """The limit that the list endpoint tells is kept."""
    audience = api.emulator.add_audience(merge_fields=["ONE"], merge_field_limit=1)

    problem = api.problem("POST", f"/lists/{audience}/merge-fields", {"name": "Two", "type": "text"})

    assert problem["status"] == 400


def test_a_new_audience_has_mailchimps_own_fields(api: Any) -> None:
    """FNAME, LNAME, ADDRESS and PHONE, unless the test says otherwise."""
    audience = api.emulator.add_audience()

    fields = api.get(f"/lists/{audience}/merge-fields")["merge_fields"]

    assert [field["tag"] for field in fields] == ["FNAME", "LNAME", "ADDRESS", "PHONE"]
