"""Exports that contradict each other, and several mistakes at once."""

from collections.abc import Callable

import pytest

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.config.declared import Declared
from ci_mailchimp_pipeline.config.tree import Tree
from ci_mailchimp_pipeline.errors import FixConfigError

LoadText = Callable[..., Config]


TWO = """\
  second:
    display_name: Second
    connection: mc
    audience_id: a1b2c3d4e5
    owner: {name: Ben, role: administrator}
    email: EMail
"""


@pytest.mark.parametrize(
    ("first", "second", "said", "where"),
    [
        (
            "",
            "    segments: [High]\n",
            "segment 'High' goes to this audience under tag 'High' already, by export 'vip' at exports.yaml:15:16",
            "22:16",
        ),
        (
            "",
            "    segments: [{name: Low, tag: HIGH}]\n",
            "the tag 'HIGH' differs from 'High' at exports.yaml:15:16 only in capitals",
            "22:16",
        ),
        (
            "    merge_fields: {CITY: City}\n",
            "    segments: [Low]\n    merge_fields: {CITY: Town}\n",
            "comes from 'Town' here, but from 'City' in export 'vip' at exports.yaml:16:26",
            "24:26",
        ),
        (
            "    first_name: First\n",
            "    segments: [Low]\n    merge_fields: {FNAME: Given}\n",
            "merge field 'FNAME' of this audience comes from 'Given' here, but from 'First' in export",
            "24:27",
        ),
        (
            "    merge_fields: {A: {addr1: S, city: C, state: T, zip: Z}}\n",
            "    segments: [Low]\n    merge_fields: {A: {addr1: S, city: C, state: T, zip: Z, country: L}}\n",
            "comes from 'S', 'C', 'T', 'Z', 'L' here, but from 'S', 'C', 'T', 'Z' in export 'vip'",
            "24:23",
        ),
        (
            "    require: {Consent: true}\n",
            "    segments: [Low]\n    require: {consent: true}\n",
            "the column 'consent' is written 'Consent' in export 'vip'",
            "17:3",
        ),
    ],
    ids=["segment and tag", "tag in capitals", "column", "first name", "address", "capitals of a column"],
)
def test_exports_of_one_audience_may_not_contradict_each_other(
    load_text: LoadText, valid: str, *, first: str, second: str, said: str, where: str
) -> None:
    """Two exports of one audience agree on segments, tags and sources; else both places are named."""
    text = valid + first + TWO + second

    with pytest.raises(FixConfigError) as caught:
        load_text(text)

    (problem,) = caught.value.problems
    assert said in problem.message
    assert str(problem.place) == f"exports.yaml:{where}"


def test_exports_of_one_audience_take_the_address_from_one_column(load_text: LoadText, valid: str) -> None:
    """The address is a source like any other: two columns for it would move people to and fro."""
    text = valid + TWO.replace("EMail", "WorkMail") + "    segments: [Low]\n"

    with pytest.raises(FixConfigError, match="the address of this audience comes from 'WorkMail' here"):
        load_text(text)


def test_two_connections_with_one_key_are_one_account(load_text: LoadText, valid: str) -> None:
    """The audience of the same account is the same audience, whatever the connection is called."""
    other = "  mc2: {type: mailchimp, display_name: Other, api_key: {env: MAILCHIMP_API_KEY}}\n"
    text = valid.replace("exports:\n", f"{other}exports:\n")
    text += TWO.replace("connection: mc", "connection: mc2") + "    segments: [High]\n"

    with pytest.raises(FixConfigError, match="segment 'High' goes to this audience"):
        load_text(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a1b2c3d4e5", "f6f7f8f9f0"),
        ("connection: mc", "connection: mc2"),
        ("connection: mc", "connection: null"),
    ],
    ids=["another audience", "another account", "detached"],
)
def test_exports_of_different_audiences_may_do_as_they_like(
    load_text: LoadText, valid: str, old: str, new: str
) -> None:
    """What contradicts itself in one audience is fine in two."""
    other = "  mc2: {type: mailchimp, display_name: Other, api_key: {env: OTHER_KEY}}\n"
    text = valid.replace("exports:\n", f"{other}exports:\n")
    text += TWO.replace(old, new).replace("EMail", "WorkMail") + "    segments: [High]\n"

    config = load_text(text)

    assert list(config.exports) == ["vip", "second"]


def test_everything_wrong_is_said_at_once_in_the_order_of_the_file(load_text: LoadText, valid: str) -> None:
    """Problems of every section come together, sorted by place, even inside exports that contradict each other."""
    text = (
        valid.replace("version: 1", "version: 3").replace("rows: 5", "rows: x").replace("{env: M", "{enw: M")
    )
    text += (
        "    on_exit: nothing\n" + TWO.replace("role: administrator", "role: boss") + "    segments: [High]\n"
    )

    with pytest.raises(FixConfigError) as caught:
        load_text(text)

    assert [f"{p.place.line}: {p.message.split(': ')[0]}" for p in caught.value.problems if p.place] == [
        "1: version",
        "2: source.rows",
        "7: connections.mc.api_key",
        "16: exports.vip.on_exit",
        "21: exports.second.owner.role",
        "23: exports.second.segments[0]",
    ]


def test_what_is_wrong_in_the_defaults_is_said_once(load_text: LoadText, valid: str) -> None:
    """A wrong default is one problem at its own place, however many exports take it."""
    text = valid + TWO + "    segments: [Low]\n    guards: {max_growth_percent: 5}\n"
    text += "defaults: {on_exit: stay, guards: {max_exit_percent: 200}, zebra: 1}\n"

    with pytest.raises(FixConfigError) as caught:
        load_text(text)

    assert [str(problem.place) for problem in caught.value.problems] == [
        "exports.yaml:24:21",
        "exports.yaml:24:54",
        "exports.yaml:24:60",
    ]


def test_a_misspelt_required_key_is_not_also_called_missing(load_text: LoadText, valid: str) -> None:
    """One misspelling is one problem; a key that is really missing still is one."""
    text = valid.replace("    email: EMail\n", "    emial: EMail\n").replace("    display_name: VIP\n", "")

    with pytest.raises(FixConfigError) as caught:
        load_text(text)

    assert [problem.message for problem in caught.value.problems] == [
        "exports.vip: 'display_name' is missing",
        "exports.vip: unknown key 'emial'. Did you mean 'email'?",
    ]


def test_the_fix_of_a_missing_key_can_be_typed(load_text: LoadText, valid: str) -> None:
    """What to add is shown as YAML."""
    with pytest.raises(FixConfigError) as caught:
        load_text(valid.replace("    owner: {name: Ben, role: administrator}\n", ""))

    assert caught.value.fix == "add owner: {name: Ben, role: administrator}"


def test_a_dangling_connection_lists_the_ones_there_are(load_text: LoadText, valid: str) -> None:
    """The fix names every connection, and the way to have none."""
    with pytest.raises(FixConfigError) as caught:
        load_text(valid.replace("connection: mc", "connection: sales"))

    assert (
        caught.value.fix == "name one that is there (the connections are: 'mc'), or null to detach the export"
    )


def test_a_source_whose_module_is_missing_names_the_module(valid: str) -> None:
    """A plugin that cannot be imported is a problem of the installation, not a traceback."""

    def missing() -> type:
        raise ModuleNotFoundError("No module named 'warehouse'", name="warehouse")

    declared = Declared(Tree(valid, "exports.yaml"), {"memory": missing})

    (problem,) = declared.problems
    assert "cannot be loaded: the module 'warehouse' is missing" in problem.message
    assert str(problem.place) == "exports.yaml:2:16"
