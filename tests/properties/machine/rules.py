"""The stateful machine: everything that can happen to an export, in any order."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from ledgers import drop_ledger
from promises.promised import DAY, meanwhile
from properties.crashes import CrashAt
from properties.machine.runs import Wrap, as_expected, look, nothing_happened, run
from properties.machine.scene import BAD_ADDRESSES
from properties.machine.world import SEGMENTS, Tally, World

from ci_mailchimp_pipeline.testing import Emulator

customers = st.integers(0, 6).map(lambda number: f"c{number}")
addresses = st.integers(0, 8).map(lambda number: f"person0{number:02}@contoso-mail.internal")
written = st.one_of(addresses, addresses.map(str.upper))
bad_addresses = st.sampled_from(sorted(BAD_ADDRESSES))
names = st.sampled_from(["Adalind", "Berthold", "Zoë", ""])
cities = st.sampled_from(["Ghent", "", " Rome "])
segments = st.sampled_from(SEGMENTS)
memberships = st.sets(segments, min_size=1).map(sorted)
exports = st.sampled_from(["vip", "vip", "news"])
tags = st.sampled_from(["Vip", "News", "Best", "Theirs", "best"])
edits = st.one_of(
    st.tuples(st.sampled_from(["tag", "untag"]), tags.map(lambda tag: {"tags": [tag]})),
    st.sampled_from([("change_field", {"merge_fields": {"CITY": city}}) for city in ("Oslo", "")]),
)
declarations = st.sampled_from(
    [
        *({"on_exit": way} for way in ("keep", "remove_tag", "archive", "archive")),
        *({"new_members": status} for status in ("subscribed", "pending")),
        *({"guards": {"max_exit_percent": most, "max_rejected_percent": None}} for most in (None, 0, 40)),
    ]
)
segment_declarations = st.sampled_from(
    [
        *(
            ("vip", {"segments": chosen})
            for chosen in (
                {"Vip": "Vip", "Gold": "Best"}, {"Vip": "Vip"}, {"Vip": "Vip", "Gold": "Vip"},
                {"Vip": "Top", "Gold": "Best"},
            )
        ),
        *(("news", {"segments": chosen}) for chosen in ({"News": "News"}, {"News": "News", "Vip": "Best"}, {"News": "Vip"})),
        *(("vip", {"merge_fields": fields}) for fields in ({}, {"CITY": "City"})),
    ]
)  # fmt: skip
deeds = st.sampled_from(
    [
        "unsubscribe", "unsubscribe", "complain", "admin_unsubscribe", "bounce", "archive", "resubscribe",
        "sign_up", "delete_permanent", "confirm",
    ]
)  # fmt: skip
faults = st.sampled_from(
    [
        "429", "429_no_body", "403_html", "500", "502_html", "503", "504_html", "reset_before", "reset_after",
        "timeout_after", "500_after", "cut", "empty", "not_json", "other_json",
    ]
)  # fmt: skip
WRITES = ["^POST .*/lists/[^/?]*[?]", "^POST .*segments", "^PUT", "^DELETE", "^GET .*/members/", "^GET"]


class Machine(RuleBasedStateMachine):
    """Plays with one project and one audience; every rule may also be called by hand, to tell a story again."""

    emulator: ClassVar[Emulator]
    tally: ClassVar[Tally]

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.world = World(self.emulator, self.folder, self.tally)
        self.project = self.world.project

    def teardown(self) -> None:
        try:
            for name in ("vip", "news"):
                self.runs(name, allowed=True)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            drop_ledger(self.project.environ)

    def count(self, what: str) -> None:
        self.tally.counts[what] += 1

    # the source

    @initialize(people=st.dictionaries(customers, st.tuples(addresses, memberships), max_size=8))
    def begins_with(self, people: dict[str, tuple[str, list[str]]]) -> None:
        for customer, (address, chosen) in people.items():
            self.customer(customer, address, chosen, name="Adalind", city="Ghent")

    @rule(customer=customers, address=written, chosen=memberships, name=names, city=cities)
    def customer(self, customer: str, address: str, chosen: list[str], name: str, city: str) -> None:
        self.count("steps")
        self.project.customer(customer, address, *chosen, FirstName=name, LastName=name, City=city)

    def _change(self, customer: str, **columns: str) -> None:
        self.count("steps")
        if customer in self.project.people:
            self.project.people[customer] |= columns

    @rule(customer=customers, name=names)
    def renames(self, customer: str, name: str) -> None:
        self._change(customer, FirstName=name)

    @rule(customer=customers, city=cities)
    def moves_house(self, customer: str, city: str) -> None:
        self._change(customer, City=city)

    @rule(customer=customers, address=written)
    def changes_address(self, customer: str, address: str) -> None:
        self._change(customer, EMail=address)

    @rule(customer=customers, address=bad_addresses)
    def loses_address(self, customer: str, address: str) -> None:
        self._change(customer, EMail=address)

    @rule(customer=customers, agrees=st.booleans())
    def decides_in_the_source(self, customer: str, agrees: bool) -> None:
        self._change(customer, EmailSubscriber="true" if agrees else "false")

    @rule(one=customers, other=customers)
    def swap_addresses(self, one: str, other: str) -> None:
        people = self.project.people
        if one in people and other in people:
            mine, theirs = people[one]["EMail"], people[other]["EMail"]
            self._change(one, EMail=theirs)
            self._change(other, EMail=mine)

    @rule(customer=customers, segment=segments)
    def joins(self, customer: str, segment: str) -> None:
        """Joining twice is a row that comes twice; joining without a profile is a customer without one."""
        self.count("steps")
        self.project.segments[segment].append(customer)

    @rule(customer=customers, segment=segments)
    def leaves(self, customer: str, segment: str) -> None:
        self.count("steps")
        members = self.project.segments[segment]
        members[:] = [each for each in members if each != customer]

    @rule(customer=customers, everywhere=st.booleans())
    def profile_is_gone(self, customer: str, everywhere: bool) -> None:
        self.count("steps")
        self.project.people.pop(customer, None)
        for segment in SEGMENTS if everywhere else ():
            self.leaves(customer, segment)

    @rule(old=customers, new=customers)
    def id_is_renamed(self, old: str, new: str) -> None:
        self.count("steps")
        if old in self.project.people and new not in self.project.people:
            self.project.people[new] = self.project.people.pop(old)
            for members in self.project.segments.values():
                members[:] = [new if each == old else each for each in members if each != new]

    @rule(segment=segments, people=st.booleans())
    def segment_is_emptied(self, segment: str, people: bool) -> None:
        """Upstream lost all its rows, or has rows of customers without a profile."""
        self.count("steps")
        self.project.segments[segment] = [] if people else ["nobody"]

    @rule()
    def segments_are_filled(self) -> None:
        self.count("steps")
        for members in self.project.segments.values():
            if "anchor" not in members:
                members.append("anchor")

    # people and owners in Mailchimp

    @rule(address=addresses, action=deeds)
    def somebody_acts(self, address: str, action: str) -> None:
        self.count("steps")
        self.world.deed(action, address)

    @rule(address=addresses, new=addresses)
    def somebody_changes_address(self, address: str, new: str) -> None:
        self.count("steps")
        self.world.deed("change_address", address, new_address=new)

    @rule(address=addresses, edit=edits)
    def somebody_edits(self, address: str, edit: tuple[str, dict[str, Any]]) -> None:
        """Tags and fields of a member, changed by hand."""
        self.count("steps")
        self.world.deed(edit[0], address, **edit[1])

    @rule(
        address=addresses, tag=tags, source=st.sampled_from(["Admin Add", "API - Generic"]),
        status=st.sampled_from(["subscribed", "subscribed", "transactional", "archived", "unsubscribed"]),
    )  # fmt: skip
    def others_import(self, address: str, tag: str, source: str, status: str) -> None:
        self.count("steps")
        self.world.imported(address, tags=[tag], source=source, status=status)

    @rule(on=st.booleans())
    def mailchimp_distrusts_some(self, on: bool) -> None:
        self.count("steps")
        self.world.distrusted = "0[04]@" if on else ""
        self.emulator.switch(too_many_signups=self.world.distrusted)

    @rule(days=st.sampled_from([0.01, 1, 3]))
    def time_passes(self, days: float) -> None:
        self.count("steps")
        self.world.later(days * DAY)

    @rule(name=exports, keys=declarations)
    def declares(self, name: str, keys: dict[str, Any]) -> None:
        """Another way to leave, other new members, another guard."""
        self.count("steps")
        self.world.declare(name, **keys)

    @rule(change=segment_declarations)
    def declares_segments(self, change: tuple[str, dict[str, Any]]) -> None:
        """Segments and tags come and go; the exports may give the same tag for different segments."""
        self.count("steps")
        self.world.declare(change[0], **change[1])

    # runs

    @rule(name=exports, allowed=st.booleans())
    def runs(self, name: str, allowed: bool) -> None:
        self.count("steps")
        self.count("runs")
        ran = run(self.world, name, allowed=allowed)
        look(self.world, ran)
        as_expected(ran, calm=True)

    @rule(name=exports)
    def looks_first(self, name: str) -> None:
        """A dry run changes nothing, and the run after it does what it said, or nothing if the id is another."""
        self.count("dry runs")
        dry = run(self.world, name, dry_run=True, allowed=True)
        look(self.world, dry)
        nothing_happened(dry)
        if dry.report is None or dry.report.plan_id is None or dry.error:
            return
        other = run(self.world, name, plan_id="0123456789abcdef", allowed=True)
        look(self.world, other)
        assert other.error is not None
        assert other.error.code == "plan_changed"
        nothing_happened(other)
        ran = run(self.world, name, plan_id=dry.report.plan_id, allowed=True)
        look(self.world, ran)
        as_expected(ran, calm=True)
        assert ran.report is not None
        assert (ran.report.plan_id, ran.report.writes) == (dry.report.plan_id, dry.report.writes)

    @rule(name=exports, kind=faults, share=st.sampled_from([0.1, 0.25]), seed=st.integers(0, 99))
    def runs_in_bad_weather(self, name: str, kind: str, share: float, seed: int) -> None:
        self.count("faults")
        self.emulator.fail(kind, probability=share, seed=seed, seconds=0.01)
        self._disturbed(name)

    @rule(name=exports, kind=faults, match=st.sampled_from(WRITES), nth=st.integers(1, 3))
    def runs_into_an_outage(self, name: str, kind: str, match: str, nth: int) -> None:
        self.count("outages")
        self.emulator.fail(kind, match=match, nth=nth, times=None, seconds=0.01)
        self._disturbed(name)

    def _disturbed(self, name: str) -> None:
        self.count("runs")
        ran = run(self.world, name, allowed=True)
        look(self.world, ran)
        if ran.error is not None and ran.error.exit_code == 4:
            self.count("given up")
        else:
            as_expected(ran, calm=False)

    @rule(
        name=exports,
        number=st.sampled_from([1, 1, 2, 3]),
        sent=st.booleans(),
        connections=st.sampled_from([1, 3]),
    )
    def crashes(self, name: str, number: int, sent: bool, connections: int) -> None:
        self.count("runs")
        wrap = CrashAt(number, after_sending=sent)
        ran = run(self.world, name, allowed=True, wrap=wrap, connections=connections)
        look(self.world, ran)
        if ran.crashed:
            self.count("crashes")
        else:
            as_expected(ran, calm=True)

    @rule(
        name=exports, address=addresses, action=deeds,
        at=st.sampled_from(
            [("POST", "lists"), ("POST", "segments"), ("PUT", "members"), ("GET", "members/"), ("GET", "/members")]
        ),
    )  # fmt: skip
    def somebody_acts_meanwhile(self, name: str, address: str, action: str, at: tuple[str, str]) -> None:
        """Between our look and our request; not between the look before an archiving and that, a moment later."""
        self.count("meanwhile")

        done: list[bool] = []

        def act() -> None:
            done.append(self.world.deed(action, address))

        wrap: Wrap = meanwhile(*at, act)
        ran = run(self.world, name, allowed=True, wrap=wrap, connections=1)
        look(self.world, ran, meanwhile=address if any(done) else "")
