"""A request as the endpoints see it, and an answer as the server sends it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from ci_mailchimp_pipeline.emulator.members import Context
from ci_mailchimp_pipeline.emulator.problems import Problem, invalid, json_parse_error, not_found
from ci_mailchimp_pipeline.emulator.selection import Selection
from ci_mailchimp_pipeline.emulator.state import Audience, World
from ci_mailchimp_pipeline.emulator.switches import Switches

PAGE = 10
"""Rows of a page when ``count`` is not given (specification)."""
PAGE_MOST = 1000
"""More is cut to this (specification)."""

T = TypeVar("T")
JSON = "application/json; charset=utf-8"
PROBLEM_JSON = "application/problem+json; charset=utf-8"


@dataclass(slots=True, kw_only=True)
class Answer:
    """What goes back: status, body, and what kind of body it is."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Request:
    """One call below ``/3.0``: ``path`` has no prefix, ``root`` is the address the server was called by."""

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes
    world: World
    switches: Switches
    now: int
    root: str

    @property
    def selection(self) -> Selection:
        """Which parts of the answer are wanted; writes honour it only while the switch says so."""
        if self.method != "GET" and not self.switches.honour_fields_on_post:
            return Selection({}, {})
        return Selection.of(self.query)

    def audience(self, audience_id: str) -> Audience:
        """The audience, or 404."""
        audience = self.world.audiences.get(audience_id)
        if audience is None:
            raise not_found()
        return audience

    def context(self, audience: Audience, *, silent_refusals: bool = False) -> Context:
        """What a write of this request happens in."""
        return Context(
            world=self.world,
            audience=audience,
            switches=self.switches,
            now=self.now,
            skip_merge_validation=self.flag("skip_merge_validation"),
            silent_refusals=silent_refusals,
        )

    def flag(self, name: str) -> bool:
        """A boolean query parameter."""
        return self.query.get(name, "").lower() in ("true", "1")

    def number(self, name: str, default: int) -> int:
        """A whole number of the query, not below zero."""
        text = self.query.get(name, "")
        if text and not text.isdecimal():
            raise invalid(errors=[(name, "Schema describes integer, string found instead")])
        return int(text) if text else default

    def page(self) -> slice:
        """The rows that ``count`` and ``offset`` ask for."""
        offset = self.number("offset", 0)
        return slice(offset, offset + min(self.number("count", PAGE), PAGE_MOST))

    def read(self, type_: type[T]) -> T:
        """The JSON body as a typed value, or the 400 that Mailchimp answers."""
        try:
            return msgspec.json.decode(self.body or b"{}", type=type_)
        except msgspec.ValidationError as error:
            raise _schema_problem(str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise json_parse_error() from None


Endpoint = Callable[..., Any]
"""Takes a request and the ids of its path; answers a JSON value, or an `Answer` as it is."""


def _schema_problem(message: str) -> Problem:
    """Word a msgspec complaint as Mailchimp words a broken schema."""
    text, _, where = message.partition(" - at `$")
    field_name = where.rstrip("`").lstrip(".").replace("[", ".item:").replace("]", "")
    if "missing required field" in text:
        missing = text.split("`")[1]
        return invalid(errors=[(field_name, f"Required fields were not provided: {missing}")])
    return invalid(errors=[(field_name, f"Schema not met: {text.replace('`', '')}")])
