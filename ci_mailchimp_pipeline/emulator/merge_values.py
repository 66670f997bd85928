"""Typed merge field values: what Mailchimp takes, its texts when it does not, and what it reads back."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from ci_mailchimp_pipeline.emulator.problems import invalid, invalid_merge_fields
from ci_mailchimp_pipeline.emulator.state import Audience, MergeField, Value
from ci_mailchimp_pipeline.emulator.switches import Switches

TYPES = (
    "text", "number", "address", "phone", "date", "url", "imageurl", "radio", "dropdown", "birthday", "zip",
)  # fmt: skip
TAG_CHARACTERS = 10
"""Longest merge tag (reported by connectors, no bound in the specification)."""

_ADDRESS_PARTS = ("addr1", "city", "state", "zip")
_UTF8_MOST = 4
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_US_PHONE_DIGITS = 10


class _RefusedError(ValueError):
    """The text that Mailchimp answers for one value."""


def merged(
    audience: Audience,
    given: Mapping[str, Any] | None,
    current: tuple[Value, ...],
    *,
    check_required: bool,
    switches: Switches,
) -> tuple[Value, ...]:
    """The member's values after writing ``given`` over ``current``; unknown tags are dropped silently.

    Raises:
        Problem: A value does not fit its type, or a required field would stay without a value.
    """
    fields = audience.fields
    values: list[Value] = [*current, *[""] * (len(fields) - len(current))]
    errors: list[tuple[str, str]] = []
    for tag, value in (given or {}).items():
        index = audience.field_index.get(tag)
        if index is None:
            continue
        try:
            values[index] = _accepted(fields[index], value, values[index], switches)
        except _RefusedError as refused:
            errors.append((tag, str(refused)))
    if check_required:
        errors += [(tag, "Please enter a value") for tag, index in audience.required if values[index] == ""]
    if errors:
        raise invalid_merge_fields(errors)
    return tuple(values)


def _accepted(merge_field: MergeField, value: Any, current: Value, switches: Switches) -> Value:
    if value == "":
        return ""
    if value is None:
        if switches.null_merge_value == "error":
            raise _RefusedError("Schema describes string, NULL found instead")
        return "" if switches.null_merge_value == "clear" else current
    return _BY_TYPE[merge_field.type](merge_field, value, switches)


def _text(_field: MergeField, value: Any, switches: Switches) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _RefusedError("Data did not match any of the schemas described in anyOf.")
    text = str(value)
    limit = switches.max_text_bytes
    if len(text) * _UTF8_MOST > limit and len(text.encode()) > limit:
        if switches.text_too_long == "error":
            raise _RefusedError(f"Please enter a value of at most {limit} bytes")
        return text.encode()[:limit].decode(errors="ignore")
    return text


def _number(_field: MergeField, value: Any, _switches: Switches) -> int | float:
    if isinstance(value, str) and re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _RefusedError("Please enter a number")
    return int(value) if value == int(value) else value


def _address(_field: MergeField, value: Any, _switches: Switches) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(part, str) for part in value.values()):
        raise _RefusedError("Please enter a complete address")
    if not all(value.get(part, "").strip() for part in _ADDRESS_PARTS):
        raise _RefusedError("Please enter a complete address")
    parts = {part: value.get(part, "") for part in ("addr1", "addr2", "city", "state", "zip")}
    return parts | {"country": value.get("country") or "US"}


def _date(merge_field: MergeField, value: Any, _switches: Switches) -> str:
    text = value if isinstance(value, str) else ""
    if found := re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", text):
        year, month, day = (int(part) for part in found.groups())
    elif found := re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text):
        first, second, year = (int(part) for part in found.groups())
        day_first = str(merge_field.options.get("date_format", "")).upper().startswith("DD")
        month, day = (second, first) if day_first else (first, second)
    else:
        raise _RefusedError("Please enter a valid date")
    try:
        return date(year, month, day).isoformat()
    except ValueError:
        raise _RefusedError("Please enter a valid date") from None


def _birthday(_field: MergeField, value: Any, _switches: Switches) -> str:
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})", value) if isinstance(value, str) else None
    month, day = (int(part) for part in found.groups()) if found else (0, 0)
    if not (1 <= month <= len(_DAYS) and 1 <= day <= _DAYS[month - 1]):
        raise _RefusedError("Please enter a month (01-12) and a day (01-31)")
    return f"{month:02}/{day:02}"


def _choice(merge_field: MergeField, value: Any, _switches: Switches) -> str:
    choices: Sequence[str] = merge_field.options.get("choices", ())
    if value not in choices:
        raise _RefusedError(f"Value must be one of: {', '.join([*choices, ''])} (not {value})")
    return str(value)


def _zip(_field: MergeField, value: Any, _switches: Switches) -> str:
    if not re.fullmatch(r"\d{5}(-\d{4})?", str(value)):
        raise _RefusedError("Please enter a valid zip code (5 digits)")
    return str(value)


def _phone(merge_field: MergeField, value: Any, switches: Switches) -> str:
    text = _text(merge_field, value, switches)
    if merge_field.options.get("phone_format") == "US" and len(re.sub(r"\D", "", text)) != _US_PHONE_DIGITS:
        raise _RefusedError("Please enter a valid phone number")
    return text


def _url(merge_field: MergeField, value: Any, switches: Switches) -> str:
    if not re.match(r"https?://[^\s/]+", str(value)):
        raise _RefusedError("Please enter a complete URL, beginning with http:// or https://")
    return _text(merge_field, value, switches)


_BY_TYPE: dict[str, Callable[[MergeField, Any, Switches], Value]] = {
    "text": _text,
    "number": _number,
    "address": _address,
    "phone": _phone,
    "date": _date,
    "url": _url,
    "imageurl": _url,
    "radio": _choice,
    "dropdown": _choice,
    "birthday": _birthday,
    "zip": _zip,
}


def new_merge_field(audience: Audience, body: Mapping[str, Any]) -> MergeField:
    """A merge field as the API makes it: tag made up when absent, upper-cased, checked against the audience.

    Raises:
        Problem: Unknown type, tag too long, odd or taken, choices missing, or the audience is full.
    """
    number = max((known.merge_id for known in audience.fields), default=0) + 1
    tag = str(body.get("tag") or f"MMERGE{number}").upper()
    options = dict(body.get("options") or {})
    problems: list[tuple[str, str]] = []
    if len(tag) > TAG_CHARACTERS or not re.fullmatch(r"[A-Z0-9_]+", tag) or tag == "EMAIL":
        problems.append(("tag", f"Merge tags have at most {TAG_CHARACTERS} letters, digits and underscores"))
    if body["type"] not in TYPES:
        problems.append(("type", "Data did not match any of the schemas described in enum."))
    if body["type"] in ("radio", "dropdown") and not options.get("choices"):
        problems.append(("options.choices", "Please provide at least one choice"))
    if problems:
        raise invalid(errors=problems)
    if tag in audience.field_index:
        raise invalid(f'A Merge Field with the tag "{tag}" already exists for this list.')
    if len(audience.fields) >= audience.merge_field_limit:
        raise invalid(f"This audience already holds its {audience.merge_field_limit} merge fields.")
    options |= {"date_format": options.get("date_format", "MM/DD/YYYY")} if body["type"] == "date" else {}
    return MergeField(
        merge_id=number,
        tag=tag,
        name=str(body["name"]),
        type=str(body["type"]),
        required=bool(body.get("required", False)),
        default_value=str(body.get("default_value", "")),
        public=bool(body.get("public", False)),
        display_order=int(body.get("display_order") or number + 1),
        options={"size": 25} | options,
        help_text=str(body.get("help_text", "")),
    )
