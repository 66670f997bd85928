"""The audience's merge fields, and whether an export's mapping fits them."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from ci_mailchimp_pipeline.config import Export, MergeSource
from ci_mailchimp_pipeline.errors import Place, Problem

MergeFieldType = Literal[
    "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip"
]
TYPES: tuple[str, ...] = get_args(MergeFieldType)


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeField:
    """A typed column of the audience.

    Attributes:
        tag: Its merge tag, its name in Mailchimp.
        type: A `MergeFieldType`; another one is a type that Mailchimp did not have when this was written.
        name: What people see.
        required: Mailchimp refuses members without a value.
        choices: Of radio and dropdown: the only values allowed.
        date_format: In which order the field shows day and month: ``MM/DD/YYYY``, ``DD/MM``.
    """

    tag: str
    type: str
    name: str = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    date_format: str | None = None

    @property
    def day_first(self) -> bool:
        """Whether 1/2 is the first of February; the second of January is Mailchimp's default."""
        return (self.date_format or "").upper().startswith("DD")


def field_problems(
    export: Export, fields: Mapping[str, MergeField], place: Callable[..., Place | None]
) -> list[Problem]:
    """What of the mapping does not fit the audience's *fields*; *place* finds a key in the file."""
    problems = []
    for tag, source in export.fields.items():
        wrong = _misfit(source, fields)
        if wrong is not None:
            named = {"FNAME": "first_name", "LNAME": "last_name"}.get(tag)
            path = ("merge_fields", tag) if tag in export.merge_fields or named is None else (named,)
            problems.append(Problem(wrong[0], wrong[1], place("exports", export.id, *path)))
    return problems


def _misfit(source: MergeSource, fields: Mapping[str, MergeField]) -> tuple[str, str] | None:
    field = fields.get(source.tag)
    if field is None:
        near = difflib.get_close_matches(source.tag, fields, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        what = f"the audience has no merge field '{source.tag}'.{hint} It has: "
        fix = f"write {near[0]}" if near else "add it in Mailchimp, or set create_merge_fields: true"
        return what + (", ".join(sorted(fields)) or "none"), fix
    if field.type not in TYPES:
        what = f"the merge field '{source.tag}' has the type '{field.type}', which is not known here"
        return what, "map another one, or leave it out"
    if field.type == "address" and source.address is None:
        what = f"the merge field '{source.tag}' is an address; one column cannot fill it"
        return what, f"write {source.tag}: {{addr1: COLUMN, city: COLUMN, state: COLUMN, zip: COLUMN}}"
    if field.type != "address" and source.address is not None:
        what = f"the merge field '{source.tag}' is of type {field.type}, and an address is mapped to it"
        return what, f"write {source.tag}: COLUMN"
    return None
