"""Mailchimp's words about one person become a stable code."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.mailchimp.refusals import classify

ADDRESS = "grace.hopper@contoso-mail.internal"
HASH = b"h" * 16
SIGN_UPS = f"{ADDRESS} has signed up to a lot of lists very recently; we're not allowing more signups for now"
COMPLIANCE = f"{ADDRESS} is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
FORGOTTEN = (
    f"{ADDRESS} was permanently deleted and cannot be re-imported. "
    "The contact must re-subscribe to get back on the list."
)


@pytest.mark.parametrize(
    ("title", "text", "named", "expected"),
    [
        ("Invalid Resource", "Please provide a valid email address.", None, ("permanent", "malformed_email", None)),
        ("Invalid Resource", f"{ADDRESS} looks fake or invalid, please enter a real email address.", None,
         ("permanent", "fake_address", None)),
        ("Invalid Resource", "Your merge fields were invalid. Please enter a number", "LTV",
         ("permanent", "invalid_merge_value", "LTV")),
        ("", "The resource submitted could not be validated. For field-specific details, see the 'errors' array.", "",
         ("permanent", "invalid_merge_value", None)),
        ("", "Value must be one of: m, w,  (not z)", "GENDER", ("permanent", "invalid_merge_value", "GENDER")),
        ("", "Please enter a complete address", "ADDRESS", ("permanent", "invalid_merge_value", "ADDRESS")),
        ("", "This value should not be blank.", "MMERGE7", ("permanent", "invalid_merge_value", "MMERGE7")),
        ("", "This value should not be blank.", "email_address", ("permanent", "malformed_email", None)),
        ("Invalid Resource", SIGN_UPS, None, ("temporary", "too_many_signups", None)),
        ("Member Exists", f"{ADDRESS} is already a list member. Use PUT to insert or update list members.", None,
         ("temporary", "contact_exists", None)),
        ("Member In Compliance State", COMPLIANCE, None, ("suppress", "compliance", None)),
        ("", f"{ADDRESS} is already a list member in compliance state due to unsubscribe, bounce, or compliance review.",
         None, ("suppress", "compliance", None)),
        ("Forgotten Email Not Subscribed", FORGOTTEN, None, ("suppress", "forgotten", None)),
        ("", "Something nobody has seen before", None, ("temporary", "unknown_refusal", None)),
        ("", "", None, ("temporary", "unknown_refusal", None)),
    ],
)  # fmt: skip
def test_each_known_text_has_its_code(
    title: str, text: str, named: str | None, expected: tuple[str, str, str | None]
) -> None:
    """The texts of recorded traffic, one by one; a compliance text outweighs "already a list member"."""
    refusal = classify(subscriber_hash=HASH, title=title, text=text, named=named, error_code="ERROR_GENERIC")
    assert (refusal.kind, refusal.code, refusal.field) == expected


def test_the_only_telling_code_of_the_batch_call_is_heeded() -> None:
    """ERROR_CONTACT_EXISTS says it without words."""
    refusal = classify(subscriber_hash=HASH, text="", error_code="ERROR_CONTACT_EXISTS")
    assert (refusal.kind, refusal.code) == ("temporary", "contact_exists")


@given(named=st.text(max_size=60), text=st.text(max_size=60))
def test_only_a_merge_tag_is_kept(named: str, text: str) -> None:
    """What remains of Mailchimp's texts is a code and a tag that cannot be an address."""
    refusal = classify(subscriber_hash=HASH, text=f"{text} {ADDRESS}", named=named)
    assert refusal.field is None or refusal.field.replace("_", "A").isalnum()
    assert ADDRESS not in repr(refusal)
    assert HASH.decode() not in repr(refusal)
