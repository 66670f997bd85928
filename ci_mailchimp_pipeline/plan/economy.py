"""Choose how tags reach members that are otherwise unchanged: riding an upsert, or a call per tag.

An upsert adds tags for free but costs a place among the 500 of a POST; a tag's own call takes 500 adds
and 500 removes at once. The cheapest mix is found by trying each set of tags worth calling.
Source: Mailchimp's limits, POST /lists/{id} and POST /lists/{id}/segments/{id}.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

from ci_mailchimp_pipeline.plan.model import BATCH

EXHAUSTIVE_UP_TO = 8  # 2^8 mixes are tried; beyond that only "all ride" and "all by call", then one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which tags are added by their own calls, and what that costs in requests that write."""

    by_call: frozenset[str]
    posts: int
    tag_calls: int
    tags_created: int

    @property
    def total(self) -> int:
        """Requests that write: POSTs, calls per tag, tags created first."""
        return self.posts + self.tag_calls + self.tags_created


def calls_of(members: int) -> int:
    """How many calls of 500 carry *members*."""
    return -(-members // BATCH)


def choose_route(
    *,
    must_post: int,
    adds: Mapping[frozenset[str], int],
    removes: Mapping[str, int],
    known_tags: Iterable[str],
) -> Route:
    """Return the cheapest way to add tags to members that need nothing else.

    Args:
        must_post: Members that are in a POST anyway.
        adds: How many other members lack exactly this set of tags.
        removes: How many members lose each tag; adds of the same tag share these calls.
        known_tags: Tags that exist in the audience; calling another one costs its creation.
    """
    known = frozenset(known_tags)

    def cost(by_call: frozenset[str]) -> Route:
        riding = sum(count for tags, count in adds.items() if not tags <= by_call)
        called: dict[str, int] = dict.fromkeys(removes, 0)
        for tags, count in adds.items():
            if tags <= by_call:
                for tag in tags:
                    called[tag] = called.get(tag, 0) + count
        return Route(
            by_call=by_call,
            posts=calls_of(must_post + riding),
            tag_calls=sum(
                max(calls_of(added), calls_of(removes.get(tag, 0))) for tag, added in called.items()
            ),
            tags_created=sum(1 for tag, added in called.items() if added and tag not in known),
        )

    tags = sorted(frozenset().union(*adds)) if adds else []
    best = cost(frozenset())
    for candidate in _candidates(tags):
        route = cost(candidate)
        if route.total < best.total:
            best = route
    return best


def _candidates(tags: list[str]) -> Iterable[frozenset[str]]:
    if len(tags) <= EXHAUSTIVE_UP_TO:
        for size in range(1, len(tags) + 1):
            yield from (frozenset(each) for each in combinations(tags, size))
        return
    yield frozenset(tags)
    yield from (frozenset([tag]) for tag in tags)
