"""What a right exports.yaml becomes."""

import time
from collections.abc import Callable
from datetime import date

import pytest

from ci_mailchimp_pipeline.config import (
    Alert,
    Config,
    Guards,
    MergeSource,
    Owner,
    Prefer,
    Schedule,
    SecretRef,
    Segment,
)
from ci_mailchimp_pipeline.config.fields import Times

LoadText = Callable[..., Config]

FULL = """\
version: 1
source: {type: memory, rows: 5}
sandbox: true
connections:
  mc:
    type: mailchimp
    display_name: Account
    token: {file: mc.token}
    allowed_roles: [administrator, contributor]
    consent: {agreed_by: Ana, agreed_on: 2026-11-23}
    contact_limit: 50_000
    max_connections: 3
    api_root: http://127.0.0.1:8899/3.0/
exports:
  vip:
    display_name: VIP
    connection: mc
    audience_id: a1b2c3d4e5
    owner: {name: Ben, role: contributor}
    email: EMail
    first_name: First
    last_name: Last
    merge_fields:
      ZIP: {column: Post Code, type: zip}
      ADDRESS: {zip: Post Code, addr1: Street, city: City, state: State}
      BIRTHDAY: Born
    segments: [High, {name: Letter, tag: News}, {name: Old}]
    schedule: {cron: "0  6 * * mon", timezone: Europe/Berlin}
    require: {Consent: Yes, Level: [1, 2.5, gold]}
    prefer: [Income desc, Last Seen ASC, Rank]
    on_exit: archive
    new_members: pending
    max_profiles: 5000
    create_merge_fields: on
    guards: {max_exit_percent: null, max_growth_percent: 150}
    fresh_within_hours: 26
    drift: {cron: "0 4 * * 1", timezone: Europe/Berlin}
    opt_outs: {cron: "0 5 * * *"}
    enabled: off
alerts:
  - {to: {env: ALERT_URL}, on: [failed]}
  - {to: {file: hook}}
"""


def test_every_key_reaches_its_model(load_text: LoadText) -> None:
    """Each key that the file may have is a value of the models."""
    config = load_text(FULL)

    connection, export = config.connections["mc"], config.exports["vip"]
    assert connection.model_dump() == {
        "id": "mc",
        "type": "mailchimp",
        "display_name": "Account",
        "api_key": None,
        "token": {"env": None, "file": "mc.token"},
        "allowed_roles": ("administrator", "contributor"),
        "consent": {"agreed_by": "Ana", "agreed_on": date(2026, 11, 23)},
        "contact_limit": 50000,
        "max_connections": 3,
        "api_root": "http://127.0.0.1:8899/3.0",
    }
    assert {name: getattr(export, name) for name in type(export).model_fields} == {
        "id": "vip",
        "display_name": "VIP",
        "connection": "mc",
        "audience_id": "a1b2c3d4e5",
        "owner": Owner(name="Ben", role="contributor"),
        "email": "EMail",
        "first_name": "First",
        "last_name": "Last",
        "merge_fields": {
            "ZIP": MergeSource(tag="ZIP", column="Post Code", type="zip"),
            "ADDRESS": MergeSource(
                tag="ADDRESS",
                address={"addr1": "Street", "city": "City", "state": "State", "zip": "Post Code"},
                type="address",
            ),
            "BIRTHDAY": MergeSource(tag="BIRTHDAY", column="Born"),
        },
        "segments": (
            Segment(name="High", tag="High"),
            Segment(name="Letter", tag="News"),
            Segment(name="Old", tag="Old"),
        ),
        "schedule": Schedule(kind="cron", cron="0 6 * * mon", timezone="Europe/Berlin"),
        "require": {"Consent": True, "Level": (1, 2.5, "gold")},
        "prefer": (
            Prefer(column="Income", descending=True),
            Prefer(column="Last Seen", descending=False),
            Prefer(column="Rank", descending=False),
        ),
        "on_exit": "archive",
        "new_members": "pending",
        "max_profiles": 5000,
        "create_merge_fields": True,
        "guards": Guards(max_exit_percent=None, max_rejected_percent=10, max_growth_percent=150),
        "fresh_within_hours": 26,
        "drift": Times(cron="0 4 * * 1", timezone="Europe/Berlin"),
        "opt_outs": Times(cron="0 5 * * *", timezone="UTC"),
        "enabled": False,
    }
    assert config.alerts == (
        Alert(to=SecretRef(env="ALERT_URL"), on=("failed",)),
        Alert(to=SecretRef(file="hook"), on=("failed", "stopped", "warning", "recovered")),
    )


def test_the_smallest_file_has_the_safe_defaults(load_text: LoadText, valid: str) -> None:
    """What is not said is what cannot hurt: remove the tag, stop a mass exit, only administrators, no consent."""
    config = load_text(valid)

    export, connection = config.exports["vip"], config.connections["mc"]
    assert export.schedule == Schedule(kind="refresh")
    assert export.on_exit == "remove_tag"
    assert export.new_members == "subscribed"
    assert export.max_profiles == 1_000_000
    assert export.guards == Guards(max_exit_percent=20, max_rejected_percent=10, max_growth_percent=None)
    assert export.enabled
    assert not export.create_merge_fields
    assert not config.sandbox
    assert connection.allowed_roles == ("administrator",)
    assert connection.consent is None
    assert connection.max_connections == 8


def test_fields_columns_and_tags_do_not_depend_on_the_order_in_the_file(load_text: LoadText) -> None:
    """FNAME and LNAME first, the rest by tag; columns sorted and distinct; tags in the order of the segments."""
    export = load_text(FULL).exports["vip"]

    assert list(export.fields) == ["FNAME", "LNAME", "ADDRESS", "BIRTHDAY", "ZIP"]
    assert export.fields["FNAME"] == MergeSource(tag="FNAME", column="First")
    assert export.fields["ADDRESS"].columns == ("Street", "City", "State", "Post Code")
    assert export.columns == (
        "Born",
        "City",
        "Consent",
        "EMail",
        "First",
        "Income",
        "Last",
        "Last Seen",
        "Level",
        "Post Code",
        "Rank",
        "State",
        "Street",
    )
    assert export.tags == ("High", "News", "Old")


def test_first_name_may_be_a_merge_field(load_text: LoadText, valid: str) -> None:
    """FNAME in merge_fields is the same as first_name, and keeps its place in front."""
    export = load_text(
        valid + "    merge_fields: {CITY: City, FNAME: {column: Given, type: text}}\n"
    ).exports["vip"]

    assert export.fields == {
        "FNAME": MergeSource(tag="FNAME", column="Given", type="text"),
        "CITY": MergeSource(tag="CITY", column="City"),
    }


def test_segments_that_share_a_tag_give_it_once(load_text: LoadText, valid: str) -> None:
    """Two segments under one tag are one tag."""
    text = valid.replace("[High]", "[{name: A, tag: T}, {name: B, tag: T}]")

    assert load_text(text).exports["vip"].tags == ("T",)


@pytest.mark.parametrize(
    ("written", "kind"),
    [("refresh", "refresh"), ("off", "off"), ("'off'", "off"), ("Off", "off"), ("false", "off")],
)
def test_a_schedule_may_be_one_word(load_text: LoadText, valid: str, written: str, kind: str) -> None:
    """`off` is off, whether a reader of YAML takes it for a text or for false."""
    export = load_text(valid + f"    schedule: {written}\n").exports["vip"]

    assert export.schedule == Schedule(kind=kind)


def test_a_cron_schedule_without_a_zone_is_in_utc(load_text: LoadText, valid: str) -> None:
    """The zone that is not said is not the machine's."""
    export = load_text(valid + "    schedule: {cron: '0 6 * * *'}\n").exports["vip"]

    assert export.schedule.timezone == "UTC"


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"])
def test_every_spelling_of_true_is_true(load_text: LoadText, valid: str, word: str) -> None:
    """Consent columns hold true however the file spells it."""
    assert load_text(valid + f"    require: {{X: {word}}}\n").exports["vip"].require == {"X": True}


@pytest.mark.parametrize(
    "word", ["'yes'", '"true"', "y", "n", "012", "2026-11-23", "1_0", ".inf", "0x1F", "12:30"]
)
def test_what_only_looks_like_another_type_is_text(load_text: LoadText, valid: str, word: str) -> None:
    """Quoted words, dates and the odder numbers of YAML 1.1 stay as they were written."""
    require = load_text(valid + f"    require: {{X: {word}}}\n").exports["vip"].require

    assert require == {"X": word.strip("'\"")}


def test_keys_are_text_even_where_yaml_reads_something_else(load_text: LoadText, valid: str) -> None:
    """Columns and merge tags called on, no or 1 are those words."""
    export = load_text(
        valid + "    require: {on: 1, no: 2, 7: 3}\n    merge_fields: {ON: A, 1: B}\n"
    ).exports["vip"]

    assert export.require == {"on": 1, "no": 2, "7": 3}
    assert list(export.fields) == ["1", "ON"]


def test_an_export_overrides_the_defaults_key_by_key_and_guard_by_guard(
    load_text: LoadText, valid: str
) -> None:
    """What an export says wins whole, but guards are taken over one by one; null takes an optional column back."""
    text = valid + "    first_name: null\n    merge_fields: {B: B}\n    guards: {max_exit_percent: 5}\n"
    text += "defaults:\n  on_exit: keep\n  first_name: First\n  merge_fields: {A: A}\n  guards: {max_rejected_percent: 6}\n"

    export = load_text(text).exports["vip"]

    assert export.on_exit == "keep"
    assert export.first_name is None
    assert list(export.merge_fields) == ["B"]
    assert export.guards == Guards(max_exit_percent=5, max_rejected_percent=6, max_growth_percent=None)


def test_required_keys_may_stand_in_the_defaults(load_text: LoadText, valid: str) -> None:
    """A default is as good as a key of the export."""
    line = "    audience_id: a1b2c3d4e5\n"
    text = valid.replace(line, "") + "defaults: {audience_id: a1b2c3d4e5}\n"

    assert load_text(text).exports["vip"].audience_id == "a1b2c3d4e5"


def test_an_anchor_may_be_used_again(load_text: LoadText, valid: str) -> None:
    """Aliases stand for what they point to."""
    text = valid.replace("email: EMail", "email: &mail EMail") + "    first_name: *mail\n"

    assert load_text(text).exports["vip"].first_name == "EMail"


def test_a_detached_export_has_no_connection(load_text: LoadText, valid: str) -> None:
    """`connection: null` keeps the export, without an account."""
    config = load_text(valid.replace("connection: mc", "connection: null"))

    assert config.connection_of(config.exports["vip"]) is None


def test_an_export_finds_its_connection(load_text: LoadText, valid: str) -> None:
    """The connection of an export is the object of that id."""
    config = load_text(valid)

    assert config.connection_of(config.exports["vip"]) is config.connections["mc"]


def test_a_file_without_exports_is_right(load_text: LoadText, valid: str) -> None:
    """A new file may declare its source first."""
    config = load_text(valid.split("connections:", maxsplit=1)[0] + "exports: {}\n")

    assert config.exports == {}


@pytest.mark.parametrize(
    ("path", "where"),
    [
        (("exports", "vip", "email"), "14:12"),
        (("exports", "vip", "segments", 0), "15:16"),
        (("exports", "vip", "owner", "role"), "13:30"),
        (("exports", "vip", "on_exit"), "17:21"),
        (("exports", "vip", "guards", "max_exit_percent"), "16:32"),
        (("exports", "vip", "guards", "max_rejected_percent"), "17:58"),
        (("exports", "vip", "guards", "max_growth_percent"), "16:5"),
        (("exports", "vip", "max_profiles"), "9:3"),
        (("exports", "vip", "segments", 9), "15:5"),
        (("exports", "other"), "8:1"),
        (("connections", "mc", "consent"), "4:3"),
        (("connections", "mc", "api_key"), "7:14"),
        (("nothing",), "1:1"),
        ((), "1:1"),
    ],
    ids=str,
)
def test_every_value_has_a_place(
    load_text: LoadText, valid: str, path: tuple[str | int, ...], where: str
) -> None:
    """A value's place is its own, that of the default it comes from, or that of its nearest parent."""
    text = valid + "    guards: {max_exit_percent: 5}\n"
    text += "defaults: {on_exit: keep, guards: {max_rejected_percent: 6}}\n"

    assert str(load_text(text).place(*path)) == f"exports.yaml:{where}"


def test_the_sandbox_variable_does_not_undo_the_file(load_text: LoadText) -> None:
    """Only the file can take back what the file says."""
    assert load_text(FULL, {"CI_MAILCHIMP_SANDBOX": "0"}).sandbox


def test_a_file_loads_in_less_than_a_tenth_of_a_second(load_text: LoadText) -> None:
    """Every command starts with this, so it is not felt (best of five: other processes share the machine)."""

    def seconds() -> float:
        start = time.perf_counter()
        load_text(FULL)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.1
