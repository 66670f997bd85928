"""Faults on demand: which request is hit, and by what."""

import random
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

Kind = Literal[
    "429", "429_no_body", "403_html", "500", "502_html", "503", "504_html",
    "reset_before", "reset_after", "timeout_after", "500_after",
    "cut", "empty", "not_json", "other_json", "other_people", "slow",
]  # fmt: skip
"""What happens to a request. The ``_after`` kinds and the damaged answers come after the write was done;
the others come instead of it."""

INSTEAD: frozenset[str] = frozenset(
    {"429", "429_no_body", "403_html", "500", "502_html", "503", "504_html", "reset_before"}
)
"""Kinds that keep the request from doing anything."""


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One fault and whom it hits.

    Attributes:
        match: A regular expression, searched in ``METHOD /3.0/path?query``.
        on: Only writes (every method but GET), only reads, or both.
        nth: The first matching request that is hit, counted from 1.
        times: How many are hit; None is all. By default one, or all when a probability is given.
        probability: The share of matching requests that are hit, drawn with ``seed``.
        seconds: How long ``timeout_after`` withholds the answer and ``slow`` delays it.
        retry_after: Value of a ``Retry-After`` header on the answers that refuse.
    """

    kind: Kind
    match: str = ""
    on: Literal["writes", "reads", "both"] = "both"
    nth: int = 1
    times: int | msgspec.UnsetType | None = msgspec.UNSET
    probability: float | None = None
    seed: int = 0
    seconds: float = 1.0
    retry_after: str = ""


class Faults:
    """The faults in force; asked once for every request."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def arm(self, faults: Sequence[Fault]) -> None:
        """Put faults in force, after those already there."""
        self._armed.extend(_Armed(fault) for fault in faults)

    def clear(self) -> None:
        """Take all faults out of force."""
        self._armed.clear()

    def in_force(self) -> list[Fault]:
        """The faults that may still hit."""
        return [armed.fault for armed in self._armed if armed.left is None or armed.left > 0]

    def hit(self, method: str, target: str) -> Fault | None:
        """The first fault that hits this request; every fault counts every request that matches it."""
        hits = [armed for armed in self._armed if armed.hits(method, target)]
        if not hits:
            return None
        hits[0].spend()
        return hits[0].fault


class _Armed:
    """A fault with its count of what it saw and has left."""

    __slots__ = ("_pattern", "_random", "_seen", "fault", "left")

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._pattern = re.compile(fault.match)
        self._random = random.Random(fault.seed)  # noqa: S311
        self._seen = 0
        by_default = 1 if fault.probability is None else None
        self.left = by_default if isinstance(fault.times, msgspec.UnsetType) else fault.times

    def hits(self, method: str, target: str) -> bool:
        fault = self.fault
        if fault.on != "both" and (method == "GET") != (fault.on == "reads"):
            return False
        if not self._pattern.search(f"{method} {target}"):
            return False
        self._seen += 1
        drawn = fault.probability is None or self._random.random() < fault.probability
        return drawn and self._seen >= fault.nth and self.left != 0

    def spend(self) -> None:
        if self.left is not None:
            self.left -= 1
