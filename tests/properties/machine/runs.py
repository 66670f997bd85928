"""A run of the real steps, and everything that can be asked of it afterwards.

What finished is compared with what the oracle said. What a crash or an outage left behind is only asked to be
true; the next run has to mend it.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from harness import AUDIENCE
from properties.crashes import Crash
from properties.machine.decisions import OUT, Moment
from properties.machine.oracle import Expected, expect
from properties.machine.scene import Audience, Declared, Memory
from properties.machine.sent import Request, bodies, moved_by, named
from properties.machine.world import SEGMENTS, World

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.pipeline.planning import plan_export
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.guards import Allowances

BATCH = 3  # people a request while the machine plays; Mailchimp allows 500
PERSONAL = ("contoso-mail", "person0", "Adalind", "Berthold", "Zoë")
COUNTS = (
    "profiles", "excluded", "rejected", "merged", "accepted", "no_profile", "added", "updated", "moved", "unchanged",
    "suppressed", "refused", "exited", "archived",
)  # fmt: skip

Wrap = Callable[[MailchimpClient], MailchimpClient]
ALLOWED: dict[str, Any] = {"exit_percent": 100, "empty_segments": frozenset(SEGMENTS)}


@dataclass(kw_only=True, repr=False)
class Ran:
    """One run: what it saw, how it ended, what it left.

    Attributes:
        report: None when it crashed, or failed before there was one.
        left_to_do: Requests that a plan right after it would send.
    """

    moment: Moment
    expected: Expected
    report: Report | None = None
    error: PipelineError | None = None
    crashed: bool = False
    left_to_do: int | None = None
    requests: list[Request] = field(default_factory=list)
    after: Audience
    memory: Memory

    @property
    def succeeded(self) -> bool:
        return self.report is not None and self.report.status == "success"

    @property
    def writes(self) -> list[Request]:
        return [each for each in self.requests if each["method"] != "GET"]


class _Overheard(logging.Handler):
    """Everything that is logged, to be searched for personal data."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(self.format(record))


@contextmanager
def overhearing() -> Iterator[None]:
    """Listen to our loggers, and the HTTP library's, at their most talkative; no line may say who anybody is."""
    ear, loggers = _Overheard(), [logging.getLogger(name) for name in ("ci_mailchimp_pipeline", "urllib3")]
    before = [(each.level, each.propagate) for each in loggers]
    for each in loggers:
        each.addHandler(ear)
        each.setLevel(logging.DEBUG)
        each.propagate = False
    try:
        yield
    finally:
        for each, (level, propagate) in zip(loggers, before, strict=True):
            each.removeHandler(ear)
            each.setLevel(level)
            each.propagate = propagate
    assert not [word for line in ear.said for word in PERSONAL if word in line], "a log line names somebody"


def run(
    world: World,
    name: str,
    *,
    wrap: Wrap = lambda client: client,
    dry_run: bool = False,
    allowed: bool = False,
    plan_id: str | None = None,
    connections: int = 3,
) -> Ran:
    """Run export *name*, look at what it did, and let the world learn from it."""
    world.project.connection["max_connections"] = connections
    config = world.project.write()
    memory, unfinished = world.memory(config)
    moment = Moment(
        declared=Declared.of(name, world.project.exports[name]),
        upstream=world.upstream(),
        audience=world.audience(),
        memory=memory,
        now=world.now(),
        unfinished=unfinished[name],
        allowed=allowed,
        made_by_us=frozenset(world.made_by_us),
        archived_by_us=frozenset(world.archived_by_us),
    )
    ran = Ran(moment=moment, expected=expect(moment, BATCH), after=moment.audience, memory=memory)
    world.emulator.forget_requests()
    with overhearing():
        try:
            _carry_out(world, config, name, ran, wrap=wrap, dry_run=dry_run, plan_id=plan_id)
        except PipelineError as error:
            ran.error = error
        except Crash:
            ran.crashed = True
    if ran.report is not None:
        ran.error = ran.report.error
    ran.after = world.audience()
    ran.memory, _ = world.memory(config)
    told = [str(ran.error), repr(ran.error), json.dumps(ran.report.as_json() if ran.report else {})]
    assert not [word for text in told for word in PERSONAL if word in text], "a report names somebody"
    return ran


def _carry_out(world: World, config: Config, name: str, ran: Ran, *, wrap: Wrap, **occasion: Any) -> None:
    project, export = world.project, config.exports[name]
    allowances = ALLOWED if ran.moment.allowed else {}
    try:
        framed = project.frame(name, config)
        _learn_fingerprints(world, framed.frame.frame_path)
        ran.report = project.run(name, of=framed, client=wrap, now=world.now, **occasion, **allowances)
    finally:
        ran.requests = world.emulator.requests()
        world.emulator.heal()
    if ran.succeeded:
        with (
            project.connect(config, export, project.environ) as reader,
            open_ledger(config.home, config.ledger_url, read_only=True) as ledger,
        ):
            planned = plan_export(
                config, export, snapshot=framed.snapshot, frame=framed.frame, client=reader, ledger=ledger,
                into=project._folder("frames", name), allowances=Allowances(**allowances), now=world.now,
            )  # fmt: skip
        assert planned.plan.counts.is_balanced()
        ran.left_to_do = planned.writes


def _learn_fingerprints(world: World, frame: Any) -> None:
    for row in pl.read_parquet(frame).to_dicts():
        world.fields[row["fingerprint"]] = {
            column.removeprefix("mf_"): value for column, value in row.items() if column.startswith("mf_")
        }


# what is asked of every run


def look(world: World, ran: Ran, *, meanwhile: str = "") -> None:
    """What holds however a run ended; *meanwhile* is whom something happened to during it."""
    _only_what_is_allowed(ran)
    _opt_outs_stay(world, ran, meanwhile)
    _only_what_is_ours(world, ran, meanwhile)
    _read_before_write(ran)
    if not meanwhile:
        _the_ledger_says_the_truth(world, ran)
    _learn(world, ran, meanwhile)
    if ran.succeeded:
        assert ran.report is not None
        assert ran.report.counts.is_balanced(), ran.report.counts
        _opt_outs_follow(world, ran)
        assert ran.report.dry_run or ran.left_to_do == 0, "a second plan is not empty"


def as_expected(ran: Ran, *, calm: bool) -> None:
    """A run that nothing disturbed for good is what the oracle said; a *calm* one needs no request more."""
    expected, report = ran.expected, ran.report
    if expected.stop:
        assert ran.error is not None, f"{expected.stop} should have stopped it"
        assert ran.error.code == expected.stop
        nothing_happened(ran)
        return
    assert ran.error is None, ran.error
    assert ran.succeeded
    assert report is not None
    if not expected.sure:
        return
    counts = report.counts.as_json()
    differing = _beside(
        {name: counts[name] for name in COUNTS}, {name: expected.counts[name] for name in COUNTS}
    )
    assert not differing, f"the counts, found and expected: {differing}"
    assert report.suppressed_reasons == expected.suppressed, f"expected {dict(expected.suppressed)}"
    assert report.refused_reasons == expected.refused, f"expected {dict(expected.refused)}"
    for key, ways in expected.people.items():
        there = ran.after.people.get(key)
        assert there in ways, f"{key} is {there}, expected {ways}"
    assert set(ran.after.people) == set(expected.people)
    for kind in ("members", "holds", "refusals", "foreign"):
        differing = _beside(getattr(ran.memory, kind), getattr(expected.memory, kind))
        assert not differing, f"the ledger's {kind}, found and expected: {differing}"
    assert ran.memory.adopted == expected.memory.adopted
    assert report.writes == expected.writes, f"{report.writes} requests planned, {expected.writes} would do"
    if calm and not expected.rerouted:
        assert len(ran.writes) == expected.writes - expected.spared, f"{len(ran.writes)} requests sent"


def _beside(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> dict[Any, Any]:
    """What is found and what was expected, where they differ."""
    keys = set(found) | set(expected)
    both = {key: (found.get(key), expected.get(key)) for key in keys}
    return {key: pair for key, pair in both.items() if pair[0] != pair[1]}


def nothing_happened(ran: Ran) -> None:
    """Stopped, or only looked: no request that writes, the audience and the ledger as they were."""
    assert ran.writes == []
    assert ran.after == ran.moment.audience
    assert ran.memory == ran.moment.memory


def _only_what_is_allowed(ran: Ran) -> None:
    for request in ran.requests:
        assert request["route"], "no such endpoint"
        assert request["method"] in ("GET", "POST", "PUT", "DELETE")
        assert "delete-permanent" not in request["path"]
        assert request["method"] != "DELETE" or "/members/" in request["path"]
        body = request["body"] or {}
        assert "sync_tags" not in body
        assert body.get("update_existing", True) is True


def _opt_outs_stay(world: World, ran: Ran, meanwhile: str) -> None:
    people = ran.moment.audience.people
    back = {meanwhile} - {key for key, there in ran.after.people.items() if there.status != "subscribed"}
    for request in ran.writes:
        for key in named(world, request) & set(people) - back:
            assert people[key].status not in OUT, "somebody who opted out is written to"
            assert people[key].status != "archived" or key in ran.moment.archived_by_us, "the same"
        for body in bodies(request):
            key = body["email_address"].lower()
            if "status" in body:
                assert body["status"] == "subscribed"
                assert people[key].status == "archived"
                assert key in ran.moment.archived_by_us, "somebody is brought back whom we did not archive"
    for key, there in people.items():
        theirs = there.status in OUT or (there.status == "archived" and key not in ran.moment.archived_by_us)
        assert not theirs or key == meanwhile or ran.after.people.get(key) == there


def _only_what_is_ours(world: World, ran: Ran, meanwhile: str) -> None:
    memory, export, people = ran.moment.memory, ran.moment.declared.name, ran.moment.audience.people
    wanted = set(ran.moment.upstream.wishes(ran.moment.declared).wanted)
    mine = {key for name, key in memory.holds if name == export}
    held = {key for name, key in memory.holds if name != export}
    moved = moved_by(world, ran.writes)
    for request in ran.writes:
        path = named(world, {**request, "body": None})
        if request["method"] == "DELETE":
            ours = ran.moment.made_by_us | world.like_ours
            assert path <= ours - held, "somebody is archived who is not ours alone"
        elif request["method"] == "PUT":
            assert path <= set(memory.members)
        else:
            assert named(world, request) <= wanted | mine
    for key, there in ran.after.people.items():
        was_at = moved.get(key, key) if key not in people else key
        before = people.get(was_at)
        if before is None or key == meanwhile:
            continue
        holds = [memory.holds[each] for each in [(export, was_at)] if each in memory.holds]
        ours = frozenset().union(*(hold.tags for hold in holds)) - memory.protected(export, was_at)
        assert before.tags - there.tags <= ours, "a tag is taken off that is not ours"


def _read_before_write(ran: Ran) -> None:
    first = next((at for at, each in enumerate(ran.requests) if each["method"] != "GET"), 0)
    read = {each["path"] for each in ran.requests[:first]}
    needed = {f"/lists/{AUDIENCE}{part}" for part in ("", "/merge-fields", "/segments", "/members")}
    assert not first or needed <= read, read


def _the_ledger_says_the_truth(world: World, ran: Ran) -> None:
    """Whatever a run wrote into the ledger is so in Mailchimp, also when it was cut off."""
    before, moved = ran.moment.memory, moved_by(world, ran.writes)
    for key, known in ran.memory.members.items():
        if known.state == "archived_by_us" and before.members.get(key) != known:
            assert ran.after.people[key].status == "archived"
    mine = {who: held for who, held in ran.memory.holds.items() if who[0] == ran.moment.declared.name}
    for who, held in mine.items():
        was = before.holds.get(who) or before.holds.get((who[0], moved.get(who[1], "")))
        there = ran.after.people.get(who[1])
        if was == held or (was is None and there is None and who[1] not in ran.moment.audience.people):
            continue
        if was is None or held.tags - was.tags:
            assert there is not None
            assert held.tags - (was.tags if was else frozenset()) <= there.tags
        if was is None or was.fields != held.fields:
            assert there is not None
            assert {tag: there.fields[tag] for tag, value in held.fields.items() if value} == {
                tag: value for tag, value in held.fields.items() if value
            }


def _opt_outs_follow(world: World, ran: Ran) -> None:
    """Nobody is added under a new address who, as far as we know, opted out under an earlier one."""
    wanted = ran.moment.upstream.wishes(ran.moment.declared).wanted
    people = ran.moment.audience.people
    for key, want in wanted.items():
        if key not in people and key in ran.after.people:
            for old in world.addresses.get(want.customer, set()) & set(people) - {key}:
                out = people[old].status in ("unsubscribed", "pending", "transactional")
                assert not out, "somebody who opted out is added under another address"
    if ran.report is not None and not ran.report.dry_run:
        for key, known in ran.memory.members.items():
            if key in wanted:
                for keys in world.addresses.values():
                    keys.discard(key)
                world.addresses.setdefault(known.customer, set()).add(key)


def _learn(world: World, ran: Ran, meanwhile: str) -> None:
    """Note what requests of ours did: whom they made, whom they archived, whom they brought back."""
    people, moved = ran.moment.audience.people, moved_by(world, ran.writes)
    archived = {
        key
        for request in ran.writes
        if request["method"] == "DELETE"
        for key in named(world, request)
        if key == meanwhile or (people.get(key) and people[key].status == "subscribed")
    }
    for key, there in ran.after.people.items():
        if key not in people:
            old = moved.get(key)
            if old is not None and old not in ran.after.people:
                if old in world.made_by_us:
                    world.made_by_us.add(key)
            elif there.source.startswith("API"):
                world.made_by_us.add(key)
        if there.status == "archived" and key in archived:
            world.archived_by_us.add(key)
        if there.status != "archived":
            world.archived_by_us.discard(key)
    world.once_made |= world.made_by_us
    world.made_by_us &= set(ran.after.people)
    world.archived_by_us &= set(ran.after.people)
