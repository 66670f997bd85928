"""Laws of the emulator's memory, under any sequence of calls."""

import json
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.emulator import routes
from ci_mailchimp_pipeline.emulator.control import Emulation
from ci_mailchimp_pipeline.emulator.exchange import Answer, Request
from ci_mailchimp_pipeline.emulator.people import ACTIONS
from ci_mailchimp_pipeline.emulator.seeds import AudienceSeed, WorldSeed, harvest
from ci_mailchimp_pipeline.emulator.selection import Selection
from ci_mailchimp_pipeline.emulator.state import STATUSES, Audience, key_of

AUDIENCE = "a1b2c3d4e5"
PEOPLE = [f"{name}@contoso-mail.internal" for name in ("ann", "ben", "cy")]

person = st.sampled_from(PEOPLE)
tags = st.lists(st.sampled_from(["VIP", "vip", "News"]), max_size=2)
written = st.sampled_from(["subscribed", "unsubscribed", "pending", "cleaned"])
rows = st.lists(
    st.builds(
        lambda address, status, tags, name: {
            "email_address": address,
            **status,
            "tags": tags,
            "merge_fields": {"FNAME": name},
        },
        person,
        st.one_of(
            written.map(lambda s: {"status": s}),
            st.just({"status_if_new": "subscribed"}),
        ),
        tags,
        st.sampled_from(["", "Ann", "Ben"]),
    ),
    max_size=3,
)
calls = st.one_of(
    rows.map(lambda r: ("POST", f"/lists/{AUDIENCE}", {"members": r, "update_existing": True})),
    person.map(lambda p: ("DELETE", f"/lists/{AUDIENCE}/members/{p}", None)),
    st.tuples(person, person).map(
        lambda p: ("PATCH", f"/lists/{AUDIENCE}/members/{p[0]}", {"email_address": p[1]})
    ),
    st.tuples(person, person).map(
        lambda p: (
            "POST",
            f"/lists/{AUDIENCE}/segments/{{tag}}",
            {"members_to_add": [p[0]], "members_to_remove": [p[1]]},
        )
    ),
    st.just(("DELETE", f"/lists/{AUDIENCE}/segments/{{tag}}", None)),
    st.sampled_from(STATUSES).map(lambda s: ("GET", f"/lists/{AUDIENCE}/members", s)),
)
deeds = st.tuples(st.sampled_from(ACTIONS), person, person).map(lambda d: ("DO", *d))
steps = st.lists(st.one_of(calls, deeds), max_size=12)


def emulation() -> Emulation:
    """One audience, a clock that stands still."""
    return Emulation(lambda: 1_800_000_000.0, WorldSeed(audiences=[AudienceSeed(id=AUDIENCE)]))


def call(emulated: Emulation, method: str, path: str, body: Any, **query: str) -> Answer:
    """One call, without a line."""
    return routes.answer(
        Request(
            method=method,
            path=path,
            query=query,
            body=b"" if body is None else json.dumps(body).encode(),
            world=emulated.world,
            switches=emulated.switches,
            now=emulated.now,
            root="",
        )
    )


def do(emulated: Emulation, step: Any) -> None:
    """One step of a sequence."""
    audience = emulated.world.audiences[AUDIENCE]
    if step[0] == "DO":
        _, action, who, other = step
        deed = {"action": action, "audience_id": AUDIENCE, "email_address": who, "tags": ["VIP"]}
        body = json.dumps(deed | {"new_address": other}).encode()
        emulated.control("POST", "/_emulator/people", {}, body)
        return
    method, path, body = step
    if method == "GET":
        query = {"status": body, "sort_field": "last_changed"}
        assert call(emulated, method, path, None, **query).status == 200
        return
    answer = call(emulated, method, path.format(tag=next(iter(audience.segments), 0)), body)
    assert answer.status < 500


def scanned(audience: Audience) -> dict[str, Any]:
    """What the counts and orders must be, found the slow way."""
    members = list(audience.members.values())
    return {
        "counts": Counter(member.status for member in members),
        "active": {
            tag: sum(1 for m in members if tag in m.tags and m.status == "subscribed")
            for tag in audience.segments
        },
        "ordered": {
            status: sorted((m.changed, m.number) for m in members if m.status == status)
            for status in STATUSES
        },
    }


@settings(max_examples=80, deadline=None)
@given(steps)
def test_counts_and_orders_are_those_of_a_slow_scan(sequence: list[Any]) -> None:
    """Whatever happened, every index says what the members say."""
    emulated = emulation()
    for step in sequence:
        do(emulated, step)
    audience = emulated.world.audiences[AUDIENCE]

    slow = scanned(audience)

    assert +audience.counts == slow["counts"]
    assert {tag: segment.active for tag, segment in audience.segments.items()} == slow["active"]
    for status in STATUSES:
        order = [(m.changed, m.number) for m in audience.ordered(status, "changed")]
        assert order == slow["ordered"][status]
    for key, member in audience.members.items():
        assert key == member.key == key_of(member.email_address)
    assert not audience.forgotten & set(audience.members)


@settings(max_examples=60, deadline=None)
@given(steps)
def test_a_world_survives_its_own_document(sequence: list[Any]) -> None:
    """Harvest, plant, harvest: nothing is lost or added."""
    emulated = emulation()
    for step in sequence:
        do(emulated, step)
    before = harvest(emulated.world, emulated.switches)

    emulated.reset(before)

    assert harvest(emulated.world, emulated.switches) == before


@settings(max_examples=60, deadline=None)
@given(steps, rows)
def test_a_repeated_batch_changes_nothing(sequence: list[Any], batch: list[Any]) -> None:
    """The same 500-member call again leaves the same world, as a retry after a timeout must."""
    emulated = emulation()
    for step in sequence:
        do(emulated, step)
    body = {"members": batch, "update_existing": True}
    call(emulated, "POST", f"/lists/{AUDIENCE}", body, skip_duplicate_check="true")
    once = harvest(emulated.world, emulated.switches)

    call(emulated, "POST", f"/lists/{AUDIENCE}", body, skip_duplicate_check="true")

    assert harvest(emulated.world, emulated.switches) == once


@settings(max_examples=80, deadline=None)
@given(steps)
def test_only_the_person_ends_an_opt_out(sequence: list[Any]) -> None:
    """No call makes an opted-out or bounced member subscribed, unless somebody archived it in between."""
    emulated = emulation()
    members = emulated.world.audiences[AUDIENCE].members
    for step in sequence:
        before = {
            key: member.status
            for key, member in members.items()
            if member.status == "cleaned" or (member.status == "unsubscribed" and member.cause != "api")
        }

        do(emulated, step)

        came_back = {key for key in before if key in members and members[key].status == "subscribed"}
        assert not came_back or step[0] == "DO"
        assert not came_back or step[1] in ("sign_up", "confirm", "resubscribe")


json_values = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=12,
)
paths = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), min_size=1, max_size=3
).map(",".join)


@given(json_values, paths)
def test_a_selection_taken_twice_is_the_same(value: Any, fields: str) -> None:
    """Selecting from what was selected changes nothing."""
    selection = Selection.of({"fields": fields})

    once = selection.of_value(value)

    assert selection.of_value(once) == once


@given(st.dictionaries(st.sampled_from("abc"), json_values), paths)
def test_what_is_selected_and_what_is_excluded_are_all(value: dict[str, Any], fields: str) -> None:
    """Of the top names, one parameter keeps what the other takes away, whole names only."""
    whole = ",".join(path for path in fields.split(",") if "." not in path) or "z"

    kept = Selection.of({"fields": whole}).of_value(value)
    rest = Selection.of({"exclude_fields": whole}).of_value(value)

    assert kept | rest == value
    assert not kept.keys() & rest.keys()
