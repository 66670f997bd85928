"""How a person is found in files that nobody reads: by address in any case, and by subscriber hash.

``ann@…`` is not in ``joann@…`` or ``ann@….uk``: an address counts where it stands for itself.
"""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import md5
from pathlib import Path

from ci_mailchimp_pipeline.engine import array, identifier, quoted
from ci_mailchimp_pipeline.ledger.search import SQLITE, values_holding

_BEFORE = r"(^|[^A-Za-z0-9._%+'-]|(?:^|[^A-Za-z0-9])')"  # O'Brien is not Brien; a quoted 'brien@… is
_AFTER = r"($|[^A-Za-z0-9.-]|\.(?:$|[^A-Za-z0-9]))"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Traces:
    """By what a person is found; nothing of it shows in a repr.

    Attributes:
        addresses: Normal forms.
        hashes: Subscriber hashes.
        customers: The person's customer ids.
        forgotten: These and the ids of whoever was forgotten before; their rows go as well.
    """

    addresses: tuple[str, ...] = field(repr=False)
    hashes: tuple[bytes, ...] = field(repr=False)
    customers: frozenset[str] = field(default=frozenset(), repr=False)
    forgotten: frozenset[str] = field(default=frozenset(), repr=False)

    @cached_property
    def needles(self) -> tuple[str, ...]:
        """In lower case, what text that names the person holds."""
        quoted_at = (address.replace("@", "%40") for address in self.addresses)
        return (*self.addresses, *quoted_at, *(each.hex() for each in self.hashes))

    @cached_property
    def pattern(self) -> str:
        """What matches an address with what is around it, as two groups; without regard to case."""
        any_of = "|".join(re.escape(address).replace("@", "(?:@|%40)") for address in self.addresses)
        return f"(?i){_BEFORE}(?:{any_of}){_AFTER}"

    @cached_property
    def _hex(self) -> str:
        return "(?i)(?:" + "|".join(each.hex() for each in self.hashes) + ")"

    @cached_property
    def _patterns(self) -> tuple[re.Pattern[bytes], ...]:
        return re.compile(self.pattern.encode()), re.compile(self._hex.encode())

    def names(self, content: bytes | mmap.mmap) -> bool:
        """Whether *content* names the person."""
        hashed = any(content.find(each) >= 0 for each in self.hashes)
        return hashed or any(pattern.search(content) for pattern in self._patterns)

    def shown(self, path: Path) -> str:
        """*path* as a message may hold it."""
        named = any(needle in str(path).lower() for needle in self.needles)
        return "a file whose name holds the address" if named else str(path)

    def named_sql(self, text: str) -> str:
        """SQL: whether the expression *text* (VARCHAR) names the person; false for NULL."""
        some = " OR ".join(f"contains(lower({text}), {quoted(needle)})" for needle in self.needles)
        sure = (
            f"regexp_matches({text}, {quoted(self.pattern)}) OR regexp_matches({text}, {quoted(self._hex)})"
        )
        return f"coalesce(({some}) AND ({sure}), false)"

    def cut_sql(self, text: str) -> str:
        """SQL: the expression *text* without what names the person."""
        once = f"regexp_replace({text}, {quoted(self.pattern)}, '\\1\\2', 'g')"
        # What stands between two of them belongs to the first match, so the second needs another look.
        twice = f"regexp_replace({once}, {quoted(self.pattern)}, '\\1\\2', 'g')"
        return f"regexp_replace({twice}, {quoted(self._hex)}, '', 'g')"

    def hash_sql(self, column: str, customers: frozenset[str]) -> str:
        """SQL: whether a BLOB is a hash of the person's, or the key of one of *customers*."""
        keys = [*self.hashes, *(md5(each.encode(), usedforsecurity=False).digest() for each in customers)]
        any_of = ", ".join(f"unhex({quoted(each.hex())})" for each in keys)
        return f"coalesce({identifier(column)} IN ({any_of}), false)"


def customer_sql(customers: frozenset[str]) -> str:
    """SQL: whether ``customer_id`` is one of *customers*."""
    return f"coalesce(list_contains({array(sorted(customers))}, customer_id), false)"


def found_in(path: Path, traces: Traces) -> int:
    """How often a file of any kind names the person: rows of an SQLite database, else 1 or 0. Reads only."""
    try:
        with path.open("rb") as file:
            if file.read(len(SQLITE)) == SQLITE:
                return _in_database(path, traces)
            file.seek(0)
            if not _may_name(iter(lambda: file.read(_CHUNK), b""), traces):
                return 0
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return int(traces.names(content))
    except FileNotFoundError:  # somebody else's temporary file
        return 0


def _may_name(chunks: Iterator[bytes], traces: Traces) -> bool:
    """Whether it is worth looking for what stands for itself: nearly nowhere, and ten times as fast."""
    texts = tuple(needle.encode() for needle in traces.needles)
    overlap = max(map(len, texts))
    window = b""
    for chunk in chunks:
        window = window[-overlap:] + chunk
        lower = window.lower()
        if any(text in lower for text in texts) or any(each in window for each in traces.hashes):
            return True
    return False


def _in_database(path: Path, traces: Traces) -> int:
    values = values_holding(path, traces.needles, traces.hashes)
    if values is None:  # what its bytes say, which may say too much
        content = path.read_bytes().lower()
        return int(any(needle.encode() in content for needle in traces.needles))
    return sum(traces.names(value) for value in values)
