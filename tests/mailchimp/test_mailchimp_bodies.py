"""No body can carry a status but the return of a member that we archived while it was subscribed (P1)."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.keys import subscriber_hash
from ci_mailchimp_pipeline.mailchimp.bodies import (
    Move,
    Return,
    encode_members,
    encode_move,
    merge_value,
    returning,
    upsert,
)

VALUES = (
    st.text(max_size=20) | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
)
FIELDS = st.dictionaries(st.text(max_size=12), VALUES, max_size=4)
TAGS = st.lists(st.text(max_size=12), max_size=3)
ADDRESS = "Ada.Lovelace@contoso-mail.internal"


@dataclass(frozen=True)
class Proof:
    """What the plan makes from a row of the ledger."""

    subscriber_hash: bytes
    archived_by_us_at: float = 1_790_000_000.0
    status_before: Literal["subscribed"] = "subscribed"


def member_of(body: bytes) -> dict[str, Any]:
    """The only member of a body."""
    (member,) = json.loads(body)["members"]
    return dict(member)


@given(address=st.text(max_size=30), new=st.sampled_from(["subscribed", "pending"]), fields=FIELDS, tags=TAGS)
def test_an_upsert_never_has_a_status(
    address: str, new: Literal["subscribed", "pending"], fields: dict[str, Any], tags: list[str]
) -> None:
    """Whatever is in it, a member that exists keeps its status, and nobody's other tags are replaced."""
    body = encode_members([upsert(email_address=address, status_if_new=new, merge_fields=fields, tags=tags)])
    member = member_of(body)
    assert set(member) == {"email_address", "status_if_new", "merge_fields", "tags"}
    assert (member["email_address"], member["status_if_new"], member["tags"]) == (address, new, tags)
    assert {key: value for key, value in json.loads(body).items() if key != "members"} == {
        "update_existing": True
    }


@given(fields=FIELDS, tags=TAGS)
def test_a_return_has_the_one_status_and_nothing_of_the_proof(
    fields: dict[str, Any], tags: list[str]
) -> None:
    """Only what Mailchimp needs goes out."""
    proof = Proof(subscriber_hash(ADDRESS))
    member = member_of(
        encode_members([returning(proof, email_address=ADDRESS, merge_fields=fields, tags=tags)])
    )
    assert set(member) == {"email_address", "status", "merge_fields", "tags"}
    assert member["status"] == "subscribed"


@given(other=st.binary(min_size=16, max_size=16))
def test_a_return_needs_the_proof_of_this_address(other: bytes) -> None:
    """The proof of somebody else brings nobody back."""
    if other == subscriber_hash(ADDRESS):
        return
    with pytest.raises(ValueError, match="another address") as caught:
        returning(Proof(other), email_address=ADDRESS, merge_fields={}, tags=[])
    assert "contoso" not in str(caught.value)


@pytest.mark.parametrize(
    "proof",
    [
        Proof(subscriber_hash(ADDRESS), archived_by_us_at=0),
        Proof(subscriber_hash(ADDRESS), archived_by_us_at=float("nan")),
        Proof(subscriber_hash(ADDRESS), status_before="unsubscribed"),  # type: ignore[arg-type]
        Proof(subscriber_hash(ADDRESS), status_before="pending"),  # type: ignore[arg-type]
    ],
)
def test_a_return_needs_a_member_archived_by_us_while_subscribed(proof: Proof) -> None:
    """An opt-out that was archived stays an opt-out."""
    with pytest.raises(ValueError, match="archived while it was subscribed"):
        returning(proof, email_address=ADDRESS, merge_fields={}, tags=[])


def test_a_return_cannot_be_made_without_a_proof() -> None:
    """There is no other constructor."""
    with pytest.raises(TypeError):
        Return(email_address=ADDRESS, merge_fields={}, tags=[])  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Return(proof=None, email_address=ADDRESS, merge_fields={}, tags=[])  # type: ignore[arg-type]


def test_a_move_sets_no_status() -> None:
    """Changing an address touches neither status nor tags."""
    body = json.loads(encode_move(Move(email_address=ADDRESS, merge_fields={"FNAME": "Ada"})))
    assert body == {"email_address": ADDRESS, "merge_fields": {"FNAME": "Ada"}}


@given(
    inner=st.text(alphabet="abcXYZ0@.- ", min_size=1, max_size=20).map(str.strip),
    pad=st.text(alphabet=" \t\r\n\u00a0\u200b\ufeff", max_size=4),
)
def test_the_hash_ignores_case_and_surrounding_blanks(inner: str, pad: str) -> None:
    """One person is one hash, however the address is written."""
    expected = hashlib.md5(inner.lower().encode(), usedforsecurity=False).digest()
    assert subscriber_hash(pad + inner + pad) == subscriber_hash(inner.upper()) == expected


def test_nobody_is_printed() -> None:
    """The bodies hide what they hold."""
    proof = Proof(subscriber_hash(ADDRESS))
    bodies = [
        upsert(email_address=ADDRESS, status_if_new="subscribed", merge_fields={"FNAME": "Ada"}, tags=[]),
        returning(proof, email_address=ADDRESS, merge_fields={"FNAME": "Ada"}, tags=[]),
        Move(email_address=ADDRESS, merge_fields={"FNAME": "Ada"}),
    ]
    assert "Ada" not in f"{bodies} {bodies[0]} {bodies[1]} {bodies[2]}"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("text", "O'Brien", "O'Brien"), ("text", None, ""), ("text", "", ""), ("number", None, ""), ("address", None, ""),
        ("number", "42", 42), ("number", "-7", -7), ("number", "2.5", 2.5), ("number", "1e3", 1000.0),
        ("number", "123456789012345678901234567890", 1.2345678901234568e29),
        ("date", "2026-11-24", "2026-11-24"), ("birthday", "11/24", "11/24"), ("zip", "01234", "01234"),
        ("phone", "+49 30 1", "+49 30 1"), ("radio", "yes", "yes"), ("of a later Mailchimp", "x", "x"),
        ("address", '{"addr1":"1 Way","city":"Ulm","state":"BW","zip":"89073"}',
         {"addr1": "1 Way", "city": "Ulm", "state": "BW", "zip": "89073"}),
    ],
)  # fmt: skip
def test_a_text_of_the_frame_becomes_the_value_of_its_type(kind: str, text: str | None, value: Any) -> None:
    """Numbers are numbers, addresses objects, None clears, the rest is text."""
    made = merge_value(kind, text)
    assert made == value
    assert type(made) is type(value)


@pytest.mark.parametrize(("kind", "text"), [("number", "nan"), ("number", "inf"), ("number", "1e999"), ("number", "ada"),
                                            ("address", "ada"), ("address", "[]"), ("address", '{"addr1":1}')])  # fmt: skip
def test_a_text_of_another_type_is_a_mistake_that_is_not_repeated(kind: str, text: str) -> None:
    """The frame lets no such text through; should it, nothing is sent and nothing shown."""
    with pytest.raises(ValueError, match="merge field") as caught:
        merge_value(kind, text)
    assert "ada" not in str(caught.value)
    assert caught.value.__context__ is None


@given(number=st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False))
def test_every_number_can_be_sent(number: float) -> None:
    """Whatever finite number the frame writes, it arrives as a JSON number of that size."""
    fields = {"LTV": merge_value("number", repr(number))}
    sent = member_of(
        encode_members(
            [upsert(email_address=ADDRESS, status_if_new="subscribed", merge_fields=fields, tags=[])]
        )
    )
    assert sent["merge_fields"]["LTV"] == pytest.approx(number)
