"""Tags reach members by the cheapest mix of riding upserts and calls per tag."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.plan.economy import calls_of, choose_route

TAGS = ["a", "b", "c"]
SETS = st.dictionaries(
    st.frozensets(st.sampled_from(TAGS), min_size=1), st.integers(min_value=1, max_value=1_700), max_size=5
)
REMOVES = st.dictionaries(st.sampled_from(TAGS), st.integers(min_value=1, max_value=1_700))


def test_few_adds_ride_in_the_room_that_is_left():
    """490 members lacking a tag fit beside 10 that are posted anyway: no call more."""
    route = choose_route(must_post=10, adds={frozenset("a"): 490}, removes={}, known_tags=["a"])

    assert (route.posts, route.tag_calls) == (1, 0)


def test_adds_ride_for_free_on_the_calls_that_remove():
    """As many adds as removes of one tag: the removes' calls carry them."""
    route = choose_route(must_post=0, adds={frozenset("a"): 1_200}, removes={"a": 1_200}, known_tags=["a"])

    assert (route.posts, route.tag_calls) == (0, 3)


def test_a_tag_that_does_not_exist_yet_is_not_created_for_nothing():
    """Riding creates a tag by name; a call of its own would need it created first."""
    route = choose_route(must_post=0, adds={frozenset("a"): 5}, removes={}, known_tags=[])

    assert (route.total, route.tags_created) == (1, 0)


@given(
    must_post=st.integers(0, 1_700), adds=SETS, removes=REMOVES, known=st.frozensets(st.sampled_from(TAGS))
)
def test_no_mix_is_cheaper(must_post, adds, removes, known):
    """Against every mix of tags by call, and so against both pure ways."""
    known = known | set(removes)

    best = choose_route(must_post=must_post, adds=adds, removes=removes, known_tags=known)

    costs = []
    for chosen in product([False, True], repeat=len(TAGS)):
        by_call = {tag for tag, call in zip(TAGS, chosen, strict=True) if call}
        riding = sum(count for tags, count in adds.items() if not tags <= by_call)
        cost = calls_of(must_post + riding)
        for tag in TAGS:
            added = sum(count for tags, count in adds.items() if tags <= by_call and tag in tags)
            cost += max(calls_of(added), calls_of(removes.get(tag, 0))) + int(
                bool(added) and tag not in known
            )
        costs.append(cost)
    assert best.total == min(costs)
