"""Laws of the frame: nobody is lost, order does not matter, the digest names the content."""

from collections.abc import Callable
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.frame.fields import MergeField

Build = Callable[..., Any]
FIELDS = [
    MergeField(tag="FNAME", type="text"),
    MergeField(tag="INCOME", type="number"),
    MergeField(tag="BIRTHDAY", type="birthday"),
]
EXPORT = {
    "fields": FIELDS,
    "first_name": "FirstName",
    "merge_fields": {"INCOME": "Income", "BIRTHDAY": "Born"},
    "segments": ("Vip", {"name": "News", "tag": "Newsletter"}),
    "require": {"Consent": True},
    "prefer": ("Income desc",),
}
ADDRESSES = [
    "x@contoso-mail.internal",
    "X@contoso-mail.internal ",
    "y@contoso-mail.internal",
    "z@b.internal",
    "",
    "nope",
    "q@example.com",
]


def people(addresses: list[str], incomes: list[str], consents: list[str | None], *, min_size: int = 0) -> Any:
    """Rows of profiles made of these."""
    row = st.fixed_dictionaries(
        {
            "id": st.sampled_from(["a", "b", "c", "d", "e"]),
            "EMail": st.sampled_from(addresses),
            "FirstName": st.sampled_from(["Ada", "Ben", None]),
            "Income": st.sampled_from(incomes),
            "Born": st.sampled_from(["5/8/1986", "1986-05-08", None, "never"]),
            "Consent": st.sampled_from(consents),
        }
    )
    return st.lists(row, min_size=min_size, max_size=12)


PEOPLE = people(ADDRESSES, ["1", "2", "10", "", "much"], ["true", "yes", "no", None])
ALIKE = people(ADDRESSES[:2], ["1", ""], ["true"], min_size=4)  # all of them contend for one address
MEMBERSHIP = st.sets(
    st.tuples(st.sampled_from(["a", "b", "c", "d", "e", "ghost"]), st.sampled_from(["Vip", "News", "Other"]))
)
quick = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quick
@given(people=PEOPLE, membership=MEMBERSHIP)
def test_every_row_is_in_one_bucket(
    build: Build, people: list[dict[str, str | None]], membership: set[tuple[str, str]]
) -> None:
    """Profiles = accepted + rejected + merged + excluded, and the files hold just what is counted."""
    built = build(people, membership=membership, **EXPORT)

    frame = built.frame
    chosen = {customer for customer, segment in membership if segment != "Other"}
    assert frame.profiles == sum(person["id"] in chosen for person in people)
    assert frame.profiles == frame.accepted + frame.rejected + frame.merged + frame.excluded
    assert frame.rejected == sum(frame.rejected_reasons.values())
    assert frame.no_profile == len(chosen - {person["id"] for person in people})
    assert (len(built.accepted), len(built.rejected)) == (frame.accepted, frame.rejected + frame.no_profile)
    assert frame.excluded == sum(
        person["id"] in chosen and person["Consent"] not in ("true", "yes") for person in people
    )


@quick
@given(people=PEOPLE, membership=MEMBERSHIP, seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_matter(
    build: Build, people: list[dict[str, str | None]], membership: set[tuple[str, str]], seed: int
) -> None:
    """The same profiles in another order give the same frame, row by row, and the same digest."""
    shuffled = Random(seed).sample(people, len(people))

    one, other = (build(some, membership=membership, **EXPORT) for some in (people, shuffled))

    assert one.accepted == other.accepted
    assert one.frame.digest == other.frame.digest


@settings(quick, max_examples=8)
@given(people=ALIKE, seed=st.integers(0, 99))
def test_the_order_of_rows_does_not_decide_who_keeps_the_address(
    build: Build, people: list[dict[str, str | None]], seed: int
) -> None:
    """Of many who want one address the same is chosen, whatever the order."""
    everybody = {(person["id"], "Vip") for person in people}
    shuffled = Random(seed).sample(people, len(people))

    one, other = (build(some, membership=everybody, **EXPORT) for some in (people, shuffled))

    assert one.accepted == other.accepted


@quick
@given(people=PEOPLE, membership=MEMBERSHIP)
def test_members_are_people_who_may_be_sent(
    build: Build, people: list[dict[str, str | None]], membership: set[tuple[str, str]]
) -> None:
    """Each accepted address belongs to a profile with consent, and has tags of that address's profiles only."""
    built = build(people, membership=membership, **EXPORT)

    names = {"Vip": "Vip", "News": "Newsletter"}
    for row in built.accepted:
        own = [
            person
            for person in people
            if person["EMail"].strip().lower() == row["email_address"].lower()
            and person["Consent"] in ("true", "yes")
        ]
        tags = {
            names[segment]
            for customer, segment in membership
            for person in own
            if person["id"] == customer and segment in names
        }
        assert row["customer_id"] in {person["id"] for person in own}
        assert row["tags"] == sorted(set(row["tags"]))
        assert set() < set(row["tags"]) <= tags


def test_another_content_has_another_digest(build: Build) -> None:
    """One changed value, tag, address form or customer is seen."""
    ada = {"id": "a", "EMail": "x@contoso-mail.internal", "FirstName": "Ada", "Consent": "yes"}
    variants = [
        ([ada], [("a", "Vip")]),
        ([ada | {"FirstName": "Eva"}], [("a", "Vip")]),
        ([ada | {"EMail": "X@contoso-mail.internal"}], [("a", "Vip")]),
        ([ada | {"id": "b"}], [("b", "Vip")]),
        ([ada], [("a", "News")]),
        ([ada], [("a", "Vip"), ("a", "News")]),
        ([], []),
    ]

    digests = {build(people, membership=membership, **EXPORT).frame.digest for people, membership in variants}

    assert len(digests) == len(variants)
