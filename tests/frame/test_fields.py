"""The mapping against the audience: what does not fit, where, and what to type."""

from collections.abc import Callable
from typing import Any

import pytest

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.errors import Place
from ci_mailchimp_pipeline.frame.fields import MergeField, field_problems

ADDRESS = {"addr1": "Street", "city": "City", "state": "State", "zip": "Zip"}
AUDIENCE = {
    field.tag: field
    for field in (
        MergeField(tag="FNAME", type="text"),
        MergeField(tag="ADDRESS", type="address"),
        MergeField(tag="BIRTHDAY", type="birthday"),
        MergeField(tag="NEW", type="hologram"),
    )
}


def _place(*path: str | int) -> Place:
    return Place("/".join(str(step) for step in path))


def test_a_mapping_that_fits_is_no_problem(export: Callable[..., Export]) -> None:
    """Texts on texts, an address on an address."""
    fits = export(first_name="FirstName", merge_fields={"ADDRESS": ADDRESS, "BIRTHDAY": "Born"})

    assert field_problems(fits, AUDIENCE, _place) == []


@pytest.mark.parametrize(
    ("mapping", "where", "said", "fix"),
    [
        pytest.param(
            {"merge_fields": {"BRTHDAY": "Born"}},
            "exports/vip/merge_fields/BRTHDAY",
            "no merge field 'BRTHDAY'. Did you mean 'BIRTHDAY'? It has: ADDRESS, BIRTHDAY, FNAME, NEW",
            "write BIRTHDAY",
            id="unknown, near miss",
        ),
        pytest.param(
            {"last_name": "LastName"},
            "exports/vip/last_name",
            "no merge field 'LNAME'",
            "write FNAME",
            id="unknown name",
        ),
        pytest.param(
            {"merge_fields": {"ZZZ": "City"}},
            "exports/vip/merge_fields/ZZZ",
            "no merge field 'ZZZ'. It has",
            "create_merge_fields: true",
            id="unknown, nothing near",
        ),
        pytest.param(
            {"merge_fields": {"ADDRESS": "Street"}},
            "exports/vip/merge_fields/ADDRESS",
            "is an address; one column cannot fill it",
            "write ADDRESS: {addr1: COLUMN, city: COLUMN, state: COLUMN, zip: COLUMN}",
            id="text on an address",
        ),
        pytest.param(
            {"merge_fields": {"BIRTHDAY": ADDRESS}},
            "exports/vip/merge_fields/BIRTHDAY",
            "of type birthday, and an address is mapped",
            "write BIRTHDAY: COLUMN",
            id="address on a birthday",
        ),
        pytest.param(
            {"merge_fields": {"FNAME": ADDRESS}},
            "exports/vip/merge_fields/FNAME",
            "of type text",
            "write FNAME: COLUMN",
            id="FNAME among the merge fields",
        ),
        pytest.param(
            {"merge_fields": {"NEW": "City"}},
            "exports/vip/merge_fields/NEW",
            "has the type 'hologram', which is not known here",
            "map another one",
            id="a type of the future",
        ),
    ],
)
def test_misfits_are_named_with_their_place(
    export: Callable[..., Export], mapping: dict[str, Any], where: str, said: str, fix: str
) -> None:
    """Each misfit says which key it is, what is wrong and what to type."""
    problems = field_problems(export(**mapping), AUDIENCE, _place)

    assert [str(problem.place) for problem in problems] == [where]
    assert said in problems[0].message
    assert fix in problems[0].fix


def test_all_misfits_are_reported(export: Callable[..., Export]) -> None:
    """One run shows everything that has to be changed."""
    wrong = export(last_name="LastName", merge_fields={"ADDRESS": "Street", "NEW": "City"})

    assert len(field_problems(wrong, AUDIENCE, _place)) == 3
