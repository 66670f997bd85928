"""What is not known of Mailchimp, or differs between accounts, as named switches."""

from typing import Literal

import msgspec

CONNECTION_LIMIT = 10
"""Simultaneous connections per key (Mailchimp, "fundamentals": no way to raise it)."""


class Switches(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One field per open question; the default is the likelier reading. `docs/emulator.md` explains each."""

    # the 500-member call
    batch_status_if_new_unarchives: bool = False
    echo_members: bool = True
    honour_fields_on_post: bool = True
    duplicate_in_batch: Literal["first", "last", "error"] = "first"
    resubscribe_refusal: Literal["error", "silent"] = "error"
    batch_tags_opted_out: bool = True
    unchanged_touches_last_changed: bool = False
    tags_touch_last_changed: bool = True
    # single members
    put_applies_tags: bool = False
    put_status_if_new_unarchives: bool = False
    post_unarchives: bool = True
    archived_optout: Literal["resubscribes", "refused"] = "resubscribes"
    # values
    max_text_bytes: int = 255
    text_too_long: Literal["error", "cut"] = "error"
    null_merge_value: Literal["error", "ignore", "clear"] = "error"
    max_tag_characters: int = 100
    too_many_signups: str = ""
    # tags
    static_segment_unsubscribed: Literal["error", "ignore", "accept"] = "error"
    static_segment_unknown: Literal["error", "ignore"] = "error"
    # the account
    force_status: Literal["pending"] | None = None
    permission: Literal["full", "read", "none"] = "full"
    role: str = "owner"
    pricing_plan_type: Literal["monthly", "pay_as_you_go", "forever_free"] = "monthly"
    account_id: str = "8d3a3db4d97663a9074efcc16"
    account_name: str = "Emulated account"
    accepted_keys: list[str] = []
    data_center: str = ""
    # the line
    connection_limit: int = CONNECTION_LIMIT
    limit_answers_with_body: bool = True
    latency_ms: float = 0.0
    problem_type: bool = True
    batch_polls: int = 1
    record_bodies: bool = False
    record_limit: int = 100_000
