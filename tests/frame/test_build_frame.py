"""The frame: every profile row in one bucket, one member an address, the right tags."""

import hashlib
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from frame.ada import ADA, CITY, FNAME, INCOME

from ci_mailchimp_pipeline.frame.fields import MergeField

Build = Callable[..., Any]


def test_an_accepted_row_is_what_will_be_sent(build: Build) -> None:
    """Address as written, tags, typed values, what is filled, and a fingerprint of the values."""
    built = build(
        [ADA | {"EMail": " Ada@contoso-mail.internal\t", "Income": "5.0"}],
        fields=[FNAME, CITY, INCOME],
        first_name="FirstName",
        merge_fields={"CITY": "City", "INCOME": "Income"},
    )

    [row] = built.accepted
    assert row == {
        "subscriber_hash": hashlib.md5(b"ada@contoso-mail.internal").digest(),
        "customer_id": "c1",
        "email_address": "Ada@contoso-mail.internal",
        "tags": ["Vip"],
        "mf_FNAME": "Ada",
        "mf_CITY": "Köln",
        "mf_INCOME": "5",
        "fingerprint": hashlib.md5("CITY5:KölnFNAME3:AdaINCOME1:5".encode()).digest(),
        "filled": "CITY,FNAME,INCOME",
    }  # fmt: skip
    assert list(row) == list(built.frame.columns)


def test_a_frame_without_merge_fields_is_legal(build: Build) -> None:
    """An export may send addresses and tags alone."""
    [row] = build([ADA]).accepted

    assert (row["filled"], row["fingerprint"]) == ("", hashlib.md5(b"").digest())


def test_values_that_differ_have_other_fingerprints(build: Build) -> None:
    """A value that moves to another field, or ends where the next begins, is a change."""
    mapping = {"fields": [FNAME, CITY], "first_name": "FirstName", "merge_fields": {"CITY": "City"}}
    pairs = [("a", "b"), ("b", "a"), ("ab", None), (None, "ab"), ("aFNAME1:b", None), (None, None)]

    found = {
        build([ADA | {"FirstName": first, "City": city}], **mapping).accepted[0]["fingerprint"]
        for first, city in pairs
    }

    assert len(found) == len(pairs)


def test_the_order_of_the_mapping_does_not_matter(build: Build) -> None:
    """Sorting the keys of merge_fields differently changes no fingerprint."""
    one, other = (
        build(
            [ADA],
            fields=[CITY, INCOME],
            merge_fields=dict(sorted({"CITY": "City", "INCOME": "Income"}.items(), reverse=turn)),
        )
        for turn in (False, True)
    )

    assert one.accepted[0]["fingerprint"] == other.accepted[0]["fingerprint"]


def test_tags_are_those_of_the_segments(build: Build) -> None:
    """A member of several segments has each tag once, sorted; other segments give none."""
    built = build(
        [ADA, ADA | {"id": "c2", "EMail": "b@contoso-mail.internal"}],
        membership=[("c1", "Vip"), ("c1", "News"), ("c1", "Other"), ("c1", "Gold"), ("c2", "Other")],
        segments=("Vip", {"name": "News", "tag": "Newsletter"}, {"name": "Gold", "tag": "Newsletter"}),
    )

    assert [row["tags"] for row in built.accepted] == [["Newsletter", "Vip"]]
    assert built.frame.segments == {"Vip": 1, "News": 1, "Gold": 1}
    assert built.frame.tags == ("Newsletter", "Vip")
    assert built.frame.profiles == 1


def test_rejected_rows_say_why(build: Build) -> None:
    """Each rejected row has its number, its reason, the field, and the address as written."""
    fields = [FNAME, MergeField(tag="INCOME", type="number", required=True)]
    people = [
        {"id": "a", "EMail": " ", "Income": "1"},
        {"id": "b", "EMail": "not-an-address", "Income": "1"},
        {"id": "c", "EMail": "c@example.com", "Income": "1"},
        {"id": "d", "EMail": " d@contoso-mail.internal", "Income": None},
        {"id": "e", "EMail": "e@contoso-mail.internal", "Income": "much"},
        {"id": "f", "EMail": "f@contoso-mail.internal", "Income": "1"},
    ]

    built = build(people, fields=fields, first_name="FirstName", merge_fields={"INCOME": "Income"})

    assert [tuple(row.values()) for row in built.rejected] == [
        (1, "a", "no_email", None, None),
        (2, "b", "malformed_email", None, "not-an-address"),
        (3, "c", "reserved_domain", None, "c@example.com"),
        (4, "d", "missing_required_field", "INCOME", "d@contoso-mail.internal"),
        (5, "e", "invalid_merge_value", "INCOME", "e@contoso-mail.internal"),
    ]
    assert built.frame.rejected_reasons == {
        "invalid_merge_value": 1,
        "malformed_email": 1,
        "missing_required_field": 1,
        "no_email": 1,
        "reserved_domain": 1,
    }
    assert (built.frame.rejected, built.frame.accepted) == (5, 1)


def test_a_required_field_that_is_not_mapped_rejects_everybody(build: Build) -> None:
    """Mailchimp would refuse every one of them."""
    built = build(
        [ADA], fields=[FNAME, MergeField(tag="SHOE", type="number", required=True)], first_name="FirstName"
    )

    assert [(row["reason"], row["field"]) for row in built.rejected] == [("missing_required_field", "SHOE")]


def test_customers_without_a_profile_are_listed_apart(build: Build) -> None:
    """They are in no other count, and follow the rejected rows."""
    built = build(
        [ADA, {"id": "c2", "EMail": ""}],
        membership=[("c1", "Vip"), ("c2", "Vip"), ("c8", "Vip"), ("c9", "Vip")],
    )

    assert [(row["row"], row["customer_id"], row["reason"]) for row in built.rejected] == [
        (2, "c2", "no_email"),
        (None, "c8", "no_profile"),
        (None, "c9", "no_profile"),
    ]
    assert (built.frame.no_profile, built.frame.rejected, built.frame.profiles) == (2, 1, 2)


@pytest.mark.parametrize(
    ("required", "held", "not_held"),
    [
        pytest.param(
            True,
            ["true", "TRUE", "Yes", "1", "y", "T", " true "],
            ["false", "no", "0", "", None, "2", "on"],
            id="true",
        ),
        pytest.param(False, ["false", "No", "0", "n", "F"], ["true", "", None, "off"], id="false"),
        pytest.param(5, ["5", "5.0", "05", "5e0"], ["50", "five", "", None, "5_0"], id="number"),
        pytest.param(0.5, [".5", "0.50"], ["5", None], id="fraction"),
        pytest.param("Gold", ["Gold", " Gold\u00a0"], ["gold", "Golden", "", None], id="text"),
        pytest.param("true", ["true"], ["TRUE", "yes"], id="text that looks like a boolean"),
        pytest.param("", [], ["", None, "x"], id="blank never matches"),
        pytest.param("it's", ["it's"], ["its"], id="quote"),
        pytest.param((True, "maybe", 7), ["yes", "maybe", "7.0"], ["no", "8", None], id="any of a list"),
    ],
)
def test_require_keeps_only_those_who_hold_it(
    build: Build, required: Any, held: list[str], not_held: list[str | None]
) -> None:
    """A profile whose column does not hold the value is excluded, not rejected, whatever else is wrong with it."""
    people = [
        {"id": f"c{n}", "EMail": f"p{n}@contoso-mail.internal", "Consent": value}
        for n, value in enumerate([*held, *not_held])
    ]

    built = build(people, require={"Consent": required})

    assert sorted(row["customer_id"] for row in built.accepted) == sorted(f"c{n}" for n in range(len(held)))
    assert (built.frame.excluded, built.frame.rejected) == (len(not_held), 0)


def test_require_asks_for_all_columns(build: Build) -> None:
    """Every condition has to hold; an excluded row is not rejected for its address."""
    people = [
        {"id": "a", "EMail": "a@contoso-mail.internal", "Consent": "yes", "City": "Köln"},
        {"id": "b", "EMail": "b@contoso-mail.internal", "Consent": "yes", "City": "Bonn"},
        {"id": "c", "EMail": "broken", "Consent": "no", "City": "Köln"},
    ]

    built = build(people, require={"Consent": True, "City": "Köln"})

    assert [row["customer_id"] for row in built.accepted] == ["a"]
    assert (built.frame.excluded, built.frame.rejected) == (2, 0)


def _same_address(*wishes: str | None) -> list[dict[str, str | None]]:
    return [
        {
            "id": f"c{n}",
            "EMail": "One@contoso-mail.internal" if n % 2 else "one@contoso-mail.internal",
            "Income": wish,
        }
        for n, wish in enumerate(wishes)
    ]


@pytest.mark.parametrize(
    ("prefer", "wishes", "winner"),
    [
        pytest.param((), ["9", "1"], "c0", id="customer id"),
        pytest.param(("Income desc",), ["9", "10"], "c1", id="numbers as numbers, biggest"),
        pytest.param(("Income",), ["10", "9"], "c1", id="numbers as numbers, smallest"),
        pytest.param(("Income desc",), [None, " ", "-1"], "c2", id="blank last, desc"),
        pytest.param(("Income asc",), ["", "-1", None], "c1", id="blank last, asc"),
        pytest.param(("Income desc",), ["zebra", "5", "yak"], "c1", id="numbers before texts"),
        pytest.param(("Income desc",), ["yak", "zebra"], "c1", id="texts"),
        pytest.param(("Income",), ["1.0", "1"], "c0", id="equal numbers: customer id"),
    ],
)
def test_prefer_chooses_who_keeps_the_address(
    build: Build, prefer: tuple[str, ...], wishes: list[str | None], winner: str
) -> None:
    """One member an address: the preferred profile, then the smallest customer id; the others are merged."""
    built = build(_same_address(*wishes), prefer=prefer)

    assert [row["customer_id"] for row in built.accepted] == [winner]
    assert (built.frame.merged, built.frame.accepted) == (len(wishes) - 1, 1)


def test_the_second_wish_decides_a_tie(build: Build) -> None:
    """Columns of prefer are compared in their order."""
    people = [
        {"id": "a", "EMail": "x@contoso-mail.internal", "Income": "1", "City": "A"},
        {"id": "b", "EMail": "x@contoso-mail.internal", "Income": "1", "City": "B"},
    ]

    built = build(people, prefer=("Income desc", "City desc"))

    assert built.accepted[0]["customer_id"] == "b"


def test_an_address_has_the_tags_of_all_its_profiles(build: Build) -> None:
    """The union, but not of those that were excluded or rejected."""
    people = [
        {"id": "a", "EMail": "x@contoso-mail.internal", "Consent": "yes", "Income": "1"},
        {"id": "b", "EMail": "X@contoso-mail.internal", "Consent": "yes", "Income": "2"},
        {"id": "c", "EMail": "x@contoso-mail.internal", "Consent": "no", "Income": "3"},
        {"id": "d", "EMail": "x@contoso-mail.internal", "Consent": "yes", "Income": "much"},
    ]
    membership = [("a", "Vip"), ("b", "News"), ("c", "Gold"), ("d", "Gold")]

    built = build(
        people,
        membership=membership,
        segments=("Vip", "News", "Gold"),
        require={"Consent": True},
        fields=[INCOME],
        merge_fields={"INCOME": "Income"},
    )

    assert [(row["customer_id"], row["tags"]) for row in built.accepted] == [("a", ["News", "Vip"])]
    assert (built.frame.excluded, built.frame.rejected, built.frame.merged) == (1, 1, 1)


def test_a_customer_on_two_rows_is_one_person(build: Build) -> None:
    """One row wins by preference, then by address; the other is merged and its address is not sent."""
    people = [
        {"id": "a", "EMail": "new@contoso-mail.internal", "Income": "1"},
        {"id": "a", "EMail": "old@contoso-mail.internal", "Income": "2"},
        {"id": "b", "EMail": "y@contoso-mail.internal", "Income": "1"},
        {"id": "b", "EMail": "x@contoso-mail.internal", "Income": "1"},
        {"id": "b", "EMail": "broken", "Income": "9"},
    ]

    built = build(people, prefer=("Income desc",))

    assert sorted(row["email_address"] for row in built.accepted) == [
        "old@contoso-mail.internal",
        "x@contoso-mail.internal",
    ]
    assert (built.frame.merged, built.frame.rejected, built.frame.profiles) == (2, 1, 5)


def test_cut_values_are_counted_for_those_who_are_sent(build: Build) -> None:
    """A warning counts shortened values of accepted rows only."""
    long = "x" * 300
    people = [ADA | {"FirstName": long, "City": long}, {"id": "c2", "EMail": "broken", "FirstName": long}]

    built = build(people, fields=[FNAME, CITY], first_name="FirstName", merge_fields={"CITY": "City"})

    assert built.frame.cut_values == 2


def test_a_frame_of_nobody_is_good(build: Build) -> None:
    """An empty segment gives an empty frame; whether that may be so is for the guards."""
    built = build([], membership=[], fields=[FNAME], first_name="FirstName")

    assert (built.frame.profiles, built.frame.accepted, built.frame.good) == (0, 0, True)
    assert built.frame.segments == {"Vip": 0}


def test_tags_and_columns_with_odd_names_are_safe(build: Build) -> None:
    """Quotes in names of tags, segments and choices are letters, not SQL."""
    built = build(
        [ADA | {"City": "it's"}],
        membership=[("c1", "V'ip\"; DROP TABLE x")],
        segments=({"name": "V'ip\"; DROP TABLE x", "tag": "O'Tag"},),
        fields=[MergeField(tag="CITY", type="dropdown", choices=("it's",))],
        merge_fields={"CITY": "City"},
    )

    assert [(row["tags"], row["mf_CITY"]) for row in built.accepted] == [(["O'Tag"], "it's")]


def test_rows_are_in_the_order_of_the_hash(build: Build) -> None:
    """Batches are made in this order, so that the ledger is written in sequence."""
    built = build([{"id": f"c{n}", "EMail": f"p{n}@contoso-mail.internal"} for n in range(500)])

    hashes = pl.Series([row["subscriber_hash"] for row in built.accepted])
    assert hashes.is_sorted()
    assert hashes.n_unique() == 500
