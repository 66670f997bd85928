"""The emulator's own endpoints, below ``/_emulator``: what a test or a person steers it with."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ci_mailchimp_pipeline.emulator import routes, seeds
from ci_mailchimp_pipeline.emulator.exchange import PROBLEM_JSON, Answer
from ci_mailchimp_pipeline.emulator.faults import Fault, Faults
from ci_mailchimp_pipeline.emulator.members import Context
from ci_mailchimp_pipeline.emulator.oauth import SignIn
from ci_mailchimp_pipeline.emulator.people import Deed, do
from ci_mailchimp_pipeline.emulator.problems import Problem, invalid, not_found
from ci_mailchimp_pipeline.emulator.recording import Recording
from ci_mailchimp_pipeline.emulator.routes import batch
from ci_mailchimp_pipeline.emulator.seeds import AudienceSeed, MemberSeed, WorldSeed
from ci_mailchimp_pipeline.emulator.state import Audience, World
from ci_mailchimp_pipeline.emulator.switches import Switches

PREFIX = "/_emulator/"


class _Clock(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    advance_seconds: float


class _Members(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    audience_id: str
    members: list[MemberSeed]


class Emulation:
    """The whole emulator without its line: the world, its switches, faults, clock and recording."""

    def __init__(self, clock: Callable[[], float], seed: WorldSeed | None = None) -> None:
        self.faults = Faults()
        self.recording = Recording()
        self._clock = clock
        self._start(seed or WorldSeed())

    def _start(self, seed: WorldSeed) -> None:
        switches = _switched(Switches(), seed.switches)
        world = World()
        self._offset = 0.0
        for audience in seed.audiences:
            seeds.plant_audience(world, switches, audience, self.now)
        self.world, self.switches, self.sign_in = world, switches, SignIn()

    @property
    def time(self) -> float:
        """The emulator's time, epoch seconds: the clock's, as far as nobody moved it."""
        return self._clock() + self._offset

    @property
    def now(self) -> int:
        """The emulator's time in whole seconds, as Mailchimp keeps it."""
        return int(self.time)

    def reset(self, seed: WorldSeed) -> None:
        """Forget everything, faults and recording too, and start from ``seed``."""
        self._start(seed)
        self.faults.clear()
        self.recording.clear()

    def control(self, method: str, path: str, query: Mapping[str, str], body: bytes) -> Answer:
        """Answer a call below ``/_emulator``; a wrong one is 400 with a text that says what is wrong."""
        name, _, rest = path.removeprefix(PREFIX).partition("/")
        try:
            if name == "batch-results":
                return self._batch_results(rest)
            value = self._handler(method, name)(query, body)
        except Problem as problem:
            document = problem.document(instance="", with_type=False)
            return Answer(
                status=problem.status, body=msgspec.json.encode(document), content_type=PROBLEM_JSON
            )
        except msgspec.MsgspecError as error:
            document = {"title": "Not understood", "status": 400, "detail": str(error)}
            return Answer(status=400, body=msgspec.json.encode(document), content_type=PROBLEM_JSON)
        return Answer(body=msgspec.json.encode(value))

    def _handler(self, method: str, name: str) -> Callable[[Mapping[str, str], bytes], Any]:
        handlers: dict[tuple[str, str], Callable[[Mapping[str, str], bytes], Any]] = {
            ("POST", "reset"): self._reset,
            ("GET", "state"): self._state,
            ("POST", "audiences"): self._add_audience,
            ("POST", "members"): self._add_members,
            ("POST", "people"): self._people,
            ("POST", "faults"): self._arm,
            ("GET", "faults"): lambda _query, _body: self.faults.in_force(),
            ("DELETE", "faults"): self._disarm,
            ("POST", "switches"): self._switch,
            ("GET", "switches"): lambda _query, _body: self.switches,
            ("POST", "clock"): self._advance,
            ("GET", "requests"): lambda _query, _body: self.recording.requests(),
            ("DELETE", "requests"): self._forget_requests,
            ("GET", "stats"): lambda _query, _body: self.recording.stats(),
            ("GET", "endpoints"): lambda _query, _body: list(routes.endpoints()),
        }
        handler = handlers.get((method, name))
        if handler is None:
            raise not_found()
        return handler

    def _audience(self, audience_id: str) -> Audience:
        audience = self.world.audiences.get(audience_id)
        if audience is None:
            raise not_found()
        return audience

    def _context(self, audience_id: str) -> Context:
        return Context(
            world=self.world, audience=self._audience(audience_id), switches=self.switches, now=self.now
        )

    def _reset(self, _query: Mapping[str, str], body: bytes) -> Any:
        self.reset(msgspec.json.decode(body or b"{}", type=WorldSeed))
        return {"audiences": list(self.world.audiences)}

    def _state(self, query: Mapping[str, str], _body: bytes) -> Any:
        if "audience_id" not in query:
            return seeds.harvest(self.world, self.switches)
        audience = self._audience(query["audience_id"])
        if query.get("compact") == "true":
            return {"members": seeds.compact(audience)}
        return seeds.harvest_audience(audience)

    def _add_audience(self, _query: Mapping[str, str], body: bytes) -> Any:
        seed = msgspec.json.decode(body, type=AudienceSeed)
        return {"id": seeds.plant_audience(self.world, self.switches, seed, self.now).id}

    def _add_members(self, _query: Mapping[str, str], body: bytes) -> Any:
        wanted = msgspec.json.decode(body, type=_Members)
        seeds.plant_members(self._context(wanted.audience_id), wanted.members)
        return {"added": len(wanted.members)}

    def _people(self, _query: Mapping[str, str], body: bytes) -> Any:
        deed = msgspec.json.decode(body, type=Deed)
        do(self._context(deed.audience_id), deed)
        return {"done": deed.action}

    def _arm(self, _query: Mapping[str, str], body: bytes) -> Any:
        self.faults.arm([msgspec.json.decode(body, type=Fault)])
        return self.faults.in_force()

    def _disarm(self, _query: Mapping[str, str], _body: bytes) -> Any:
        self.faults.clear()
        return []

    def _switch(self, _query: Mapping[str, str], body: bytes) -> Any:
        self.switches = _switched(self.switches, msgspec.json.decode(body, type=dict[str, Any]))
        return self.switches

    def _advance(self, _query: Mapping[str, str], body: bytes) -> Any:
        self._offset += msgspec.json.decode(body, type=_Clock).advance_seconds
        return {"time": self.time}

    def _forget_requests(self, _query: Mapping[str, str], _body: bytes) -> Any:
        self.recording.clear()
        return {}

    def _batch_results(self, name: str) -> Answer:
        packed = batch.results(self.world.batches, name.removesuffix(".tar.gz"))
        if packed is None:
            raise not_found()
        return Answer(body=packed, content_type="application/gzip")


def _switched(switches: Switches, changes: Mapping[str, Any]) -> Switches:
    """The switches with some set otherwise.

    Raises:
        Problem: A switch or a value that does not exist; the text says which.
    """
    try:
        return msgspec.convert(msgspec.to_builtins(switches) | dict(changes), type=Switches)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from None
