"""What was asked of the emulator: cheap enough to keep for a million members."""

from collections import Counter, deque
from typing import Any

import msgspec


class Record(msgspec.Struct, kw_only=True):
    """One request below ``/3.0``. ``status`` 0: the connection was closed without an answer."""

    number: int
    method: str
    path: str
    query: str
    route: str
    at: float
    seconds: float = 0.0
    status: int = 0
    request_bytes: int = 0
    response_bytes: int = 0
    fault: str = ""
    concurrent: int = 0
    body: Any = None
    answer: Any = None


class Recording:
    """The newest requests, and counts of all of them."""

    def __init__(self) -> None:
        self._kept: deque[Record] = deque()
        self._counts: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._number = 0
        self.concurrent = 0
        self.peak = 0

    def begin(self, *, method: str, path: str, query: str, route: str, at: float) -> Record:
        """Note a request that came in."""
        self._number += 1
        self.concurrent += 1
        self.peak = max(self.peak, self.concurrent)
        return Record(
            number=self._number,
            method=method,
            path=path,
            query=query,
            route=route,
            at=at,
            concurrent=self.concurrent,
        )

    def end(self, record: Record, *, at: float, keep: int) -> None:
        """Note that a request is over, answered or not; only the newest ``keep`` are kept whole."""
        self.concurrent -= 1
        record.seconds = round(at - record.at, 6)
        self._counts[f"{record.method} {record.route or 'unknown'}"] += 1
        self._statuses[str(record.status)] += 1
        self._kept.append(record)
        while len(self._kept) > keep:
            self._kept.popleft()

    def clear(self) -> None:
        """Forget everything but the requests in flight."""
        self._kept.clear()
        self._counts.clear()
        self._statuses.clear()
        self.peak = self.concurrent

    def requests(self) -> list[Record]:
        """The kept requests, in the order they ended."""
        return list(self._kept)

    def stats(self) -> dict[str, Any]:
        """Counts by method and route, by status, and the most requests at once."""
        return {
            "total": self._counts.total(),
            "by_route": dict(self._counts),
            "by_status": dict(self._statuses),
            "peak_concurrency": self.peak,
        }
