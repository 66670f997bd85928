"""Reading all of something, page after page, although it changes meanwhile."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, Protocol, TypeVar

import msgspec

from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient

PAGE = 1000
"""Items asked for at once: the most Mailchimp gives. Its default is 10, which is easily taken for all."""
_MOST_SLIDES = 20  # without getting further; one for each page is usual when people change all the time
_MOST = 2**53  # the highest number that every reader of JSON takes
_DIGITS = 20


class Page(Protocol):
    """An answer with a part of the items."""

    @property
    def total_items(self) -> int | str | None:
        """How many items there are in all."""


P = TypeVar("P", bound=Page)


def pages(
    client: MailchimpClient,
    path: str,
    *,
    what: str,
    answer: "msgspec.json.Decoder[P]",
    keys: Callable[[P], list[Any]],
    query: Mapping[str, str] | None = None,
    absent: PipelineError | None = None,
) -> Iterator[P]:
    """All pages. ``keys`` names the items of a page by what identifies them.

    Offsets are not a snapshot: when an item leaves, those behind it slide forward past the next offset. So
    each page begins with the last item of the one before; when the two share nothing, the reading steps
    back. An item may come twice, none that stays is missed.

    Raises:
        RunLaterError: ``mailchimp_page_repeated`` when offsets have no effect, ``mailchimp_pages_moved`` when
            the items never hold still.
    """
    offset, furthest, size, slides = 0, 0, PAGE, 0
    before: set[Hashable] = set()
    last: set[Hashable] = set()
    while True:
        parameters = {**(query or {}), "count": str(PAGE), "offset": str(offset)}
        page = client.call("GET", path, what=what, answer=answer, query=parameters).value(absent=absent)
        named = keys(page)
        now, length = set(named), len(named)
        if before and before.isdisjoint(now):
            slides += 1
            if slides > _MOST_SLIDES:
                raise RunLaterError(
                    "mailchimp_pages_moved",
                    f"What Mailchimp lists changed faster than it could be read, at offset {furthest}.",
                    fix="Run it again when fewer changes are made in Mailchimp.",
                )
            offset = max(0, offset - max(1, size // 2))
            before = before if offset else set()
            continue
        if offset > furthest:
            furthest, slides = offset, 0
        yield page
        total = whole(page.total_items)
        if offset == 0 and length < total:
            size = max(1, length)  # a server may give fewer at once than asked for
        if length < size or offset + length >= total > 0:
            return
        if now <= last:
            raise RunLaterError(
                "mailchimp_page_repeated",
                f"Mailchimp gave the same {length} items again at offset {offset}.",
                fix="Run it again later; report it when it stays.",
            )
        last = now
        before = now if length > 1 else set()  # pages of one cannot overlap
        offset += max(1, length - 1)


def whole(value: int | str | None) -> int:
    """A count that may come as a number, a text, ``""`` or not at all (0); never below 0, nor above `_MOST`."""
    if isinstance(value, str):
        # A text with more digits than Python reads (4,300) is one that nobody counts up to, either.
        value = (int(value) if len(value) < _DIGITS else _MOST) if value.isdecimal() else 0
    return min(max(value or 0, 0), _MOST)
