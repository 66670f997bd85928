"""The parts of an export that may be written in more than one way.

Segments, merge fields, the order of preference, the schedule and the conditions.

Each has one model, and one function that turns what stands in the file into the model's keys.
"""

import math
import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ci_mailchimp_pipeline.config.cron import check_cron
from ci_mailchimp_pipeline.config.phrases import breach, check_keys, first_repeated, shown, suggestion
from ci_mailchimp_pipeline.config.rules import (
    MERGE_TAG_PATTERN,
    TEXT_PATTERN,
    Tag,
    Text,
    check_merge_tag,
    check_zone,
)
from ci_mailchimp_pipeline.config.secrets import Model

# Mailchimp: the parts of a merge field of type address
ADDRESS_PARTS = {
    "addr1": "Street and number.",
    "addr2": "Second line.",
    "city": "City.",
    "state": "State or province.",
    "zip": "Postal code.",
    "country": "Country.",
}
REQUIRED_PARTS = ("addr1", "city", "state", "zip")  # Mailchimp refuses an address without one of them
# Mailchimp's types without radio and dropdown, which cannot be created without their choices.
MergeType = Literal["text", "number", "address", "phone", "date", "url", "imageurl", "birthday", "zip"]

_TEXT_FORM: JsonSchemaValue = {"type": "string", "pattern": TEXT_PATTERN}
_UNNAMED = ""  # a merge source learns its tag from the key it stands under


def _text(key: JsonSchemaValue) -> JsonSchemaValue:
    """Return the schema of an optional text as that of a text."""
    return {name: key[name] for name in ("description", "examples") if name in key} | _TEXT_FORM


class Segment(Model):
    """A segment of the source, and the tag that its members carry in Mailchimp."""

    name: Text = Field(description="The segment's name in the source.", examples=["NewsletterSubscribers"])
    tag: Tag = Field(
        default_factory=lambda segment: segment["name"],
        validate_default=True,
        description="The tag of its members; the segment's name unless given.",
        examples=["Newsletter"],
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, form: Any) -> Any:
        if not isinstance(form, str | dict | cls):
            raise breach(f"must be a segment's name, not {shown(form)}", 'write "NAME", or {name: …, tag: …}')
        return {"name": form} if isinstance(form, str) else form

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [mapping["properties"]["tag"] | {"description": "Segment and tag."}, mapping]}


class MergeSource(Model):
    """Where the value of one merge field comes from: one column, or a column for each part of an address."""

    tag: str
    column: Text | None = Field(default=None, description="The profile column.", examples=["City"])
    address: dict[str, Text] | None = None
    type: MergeType | None = Field(
        default=None,
        description="Type to create the merge field with, if it has to be; text unless given.",
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """The profile columns it reads, parts of an address in Mailchimp's order."""
        if self.address is None:
            return (self.column,) if self.column else ()
        return tuple(self.address[part] for part in ADDRESS_PARTS if part in self.address)

    @model_validator(mode="after")
    def _fits_its_type(self) -> Self:
        if self.address is not None and self.type not in {None, "address"}:
            raise breach(
                f"parts of an address cannot become a merge field of type {shown(self.type)}",
                "remove the type",
                at=("type",),
            )
        if self.address is None and self.type == "address":
            raise breach(
                "one column cannot fill a merge field of type 'address'",
                "map its parts: {addr1: …, city: …, state: …, zip: …}",
                at=("type",),
            )
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        keys = handler.resolve_ref_schema(handler(core_schema))["properties"]
        mapping = {"type": "object", "additionalProperties": False}
        types = [name for name in get_args(MergeType) if name != "address"]
        kind = {"enum": types, "description": keys["type"]["description"]}
        column = {"column": _text(keys["column"]), "type": kind}
        parts = {part: _TEXT_FORM | {"description": says} for part, says in ADDRESS_PARTS.items()}
        return {
            "anyOf": [
                _TEXT_FORM | {"description": "The profile column."},
                mapping | {"properties": column, "required": ["column"]},
                mapping
                | {"properties": parts | {"type": {"const": "address"}}, "required": list(REQUIRED_PARTS)},
            ]
        }


def _read_merge_source(form: Any) -> Any:
    if isinstance(form, str):
        return {"tag": _UNNAMED, "column": form}
    if isinstance(form, MergeSource):
        return form
    if not isinstance(form, dict):
        raise breach(
            f"must be a column, not {shown(form)}", 'write "COLUMN", {column: …} or {addr1: …, city: …}'
        )
    if not any(part in form for part in ADDRESS_PARTS):
        check_keys(form, ("column", "type", *ADDRESS_PARTS))
        if form.get("column") is None:
            raise breach(
                "neither 'column' nor the parts of an address are given",
                "write {column: NAME}, or only the column's name",
            )
        return {"tag": _UNNAMED, **form}
    check_keys(form, (*ADDRESS_PARTS, "type"))
    missing = [part for part in REQUIRED_PARTS if part not in form]
    if missing:
        raise breach(
            f"the address lacks {', '.join(missing)}",
            "map addr1, city, state and zip; Mailchimp refuses an address without one of them",
        )
    parts = {part: form[part] for part in ADDRESS_PARTS if part in form}
    return {"tag": _UNNAMED, "type": form.get("type", "address"), "address": parts}


def _named(sources: dict[str, MergeSource]) -> dict[str, MergeSource]:
    return {tag: source.model_copy(update={"tag": tag}) for tag, source in sources.items()}


MergeSources = Annotated[
    dict[
        Annotated[
            str,
            AfterValidator(check_merge_tag),
            Field(pattern=None, json_schema_extra={"pattern": MERGE_TAG_PATTERN}),
        ],
        Annotated[MergeSource, BeforeValidator(_read_merge_source)],
    ],
    AfterValidator(_named),
]


class Prefer(Model):
    """One column by which the winner among profiles of the same address is chosen."""

    column: Text
    descending: bool


def _read_prefer(form: Any) -> Any:
    if isinstance(form, Prefer):
        return form
    match = re.fullmatch(r"(.*\S)\s+(asc|desc)", form, re.IGNORECASE) if isinstance(form, str) else None
    if match:
        return {"column": match[1], "descending": match[2].lower() == "desc"}
    if not isinstance(form, str) or form.strip().lower() in {"", "asc", "desc"}:
        raise breach(f"must be a column, not {shown(form)}", "write COLUMN, COLUMN asc or COLUMN desc")
    return {"column": form, "descending": False}


def _columns_once(order: tuple[Prefer, ...]) -> tuple[Prefer, ...]:
    repeated = first_repeated([prefer.column for prefer in order])
    if repeated is not None:
        raise breach(
            f"the column {shown(order[repeated].column)} is given twice",
            "remove one of the two",
            at=(repeated,),
        )
    return order


Preferences = Annotated[
    tuple[Annotated[Prefer, BeforeValidator(_read_prefer), WithJsonSchema(_TEXT_FORM)], ...],
    AfterValidator(_columns_once),
]


class Schedule(Model):
    """When an export runs by itself."""

    kind: Literal["refresh", "off", "cron"]
    cron: Annotated[Text, AfterValidator(check_cron)] | None = Field(
        default=None, description="Minute, hour, day of month, month, day of week.", examples=["0 6 * * *"]
    )
    timezone: Annotated[Text, AfterValidator(check_zone)] | None = Field(
        default=None,
        description="IANA time zone of the schedule; UTC unless given.",
        examples=["Europe/Berlin"],
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        keys = handler.resolve_ref_schema(handler(core_schema))["properties"]
        cron = {key: _text(keys[key]) for key in ("cron", "timezone")}
        mapping = {"type": "object", "additionalProperties": False, "properties": cron, "required": ["cron"]}
        # `off` is false for a reader of YAML 1.1 and a text for one of YAML 1.2; both mean off
        return {"anyOf": [{"enum": ["refresh", "off", False]}, mapping]}


def _read_schedule(form: Any) -> Any:
    if isinstance(form, Schedule):
        return form
    if form is False or form in ("refresh", "off"):
        return {"kind": "off" if form is False else form}
    fix = 'write refresh, off, or {cron: "0 6 * * *", timezone: Europe/Berlin}'
    if not isinstance(form, dict):
        hint = suggestion(form, ("refresh", "off"))
        raise breach(f"must be a schedule, not {shown(form)}{hint}", fix)
    check_keys(form, ("cron", "timezone"))
    if form.get("cron") is None or form.get("timezone", "UTC") is None:
        raise breach("the schedule lacks 'cron', or its time zone is null", fix)
    return {"kind": "cron", "timezone": "UTC", **form}


class Times(Model):
    """When something is done by itself, beside the runs of an export."""

    cron: Annotated[Text, AfterValidator(check_cron)] = Field(
        description="Minute, hour, day of month, month, day of week.", examples=["0 4 * * 1"]
    )
    timezone: Annotated[Text, AfterValidator(check_zone)] = Field(
        default="UTC", description="IANA time zone of the schedule.", examples=["Europe/Berlin"]
    )


ScheduleForm = Annotated[Schedule, BeforeValidator(_read_schedule)]

_ENDLESS = (math.inf, -math.inf)
Scalar = str | bool | int | float
RequiredValue = Scalar | tuple[Scalar, ...]


def _read_required(value: object) -> RequiredValue:
    values = value if isinstance(value, tuple) else (value,)
    if not values or not all(isinstance(one, Scalar) and one not in _ENDLESS for one in values):
        raise breach(
            f"must be a value to compare with, not {shown(value) if values else 'an empty list'}",
            "write a text, a number, true or false, or a list of those",
        )
    return value  # type: ignore[return-value]  # checked one by one above


_SCALAR_FORM: JsonSchemaValue = {"type": ["string", "boolean", "number"]}
Requirements = dict[
    Text,
    Annotated[
        RequiredValue,
        PlainValidator(_read_required),
        WithJsonSchema({"anyOf": [_SCALAR_FORM, {"type": "array", "items": _SCALAR_FORM, "minItems": 1}]}),
    ],
]
