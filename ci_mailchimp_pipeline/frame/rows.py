"""What becomes of a profile row, in SQL: the conditions of the export, the preference, the verdict."""

from collections.abc import Iterable, Mapping

from ci_mailchimp_pipeline.config import Export, Prefer
from ci_mailchimp_pipeline.engine import array, identifier, quoted, trimmed
from ci_mailchimp_pipeline.frame.address import hash_sql, key_sql, problem_sql
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.reasons import (
    INVALID_MERGE_VALUE,
    MALFORMED_CUSTOMER_ID,
    MISSING_REQUIRED_FIELD,
)
from ci_mailchimp_pipeline.frame.values import ValueSql, column_sql, is_number, value_sql
from ci_mailchimp_pipeline.keys import NOT_IN_AN_ID, TRIMMED

TRUE = ("true", "yes", "1", "y", "t")
FALSE = ("false", "no", "0", "n", "f")
Scalar = str | bool | int | float


def classified_sql(export: Export, fields: Mapping[str, MergeField]) -> str:
    """SQL over ``profiles`` and ``member``: every profile row of the chosen segments, and what becomes of it.

    ``excluded`` is true, or ``verdict`` is a reason (and the merge tag after a blank), or neither. The other
    columns are those of the frame before duplicates are merged, and what `order_sql` orders them by.
    """
    values = {tag: value_sql(fields[tag], source) for tag, source in export.fields.items()}
    texts = {alias: text for value in values.values() for alias, text in value.texts.items()}
    texts |= {
        f"wish_{number}": trimmed(column_sql(prefer.column)) for number, prefer in enumerate(export.prefer)
    }
    wishes = {name: sql for number in range(len(export.prefer)) for name, sql in _wish(number).items()}
    merged = {identifier(f"mf_{tag}"): value.value for tag, value in values.items()}
    cut = " + ".join(["0", *(value.cut for value in values.values())])
    columns = [
        "row",
        "customer_id",
        "tags",
        "email_address",
        "key",
        "excluded",
        *merged,
        *wishes,
        "cut_values",
    ]
    return f"""
        SELECT {", ".join(columns)}, {hash_sql("key")} AS subscriber_hash, {_verdict(values, fields)} AS
        verdict FROM (
            SELECT *, {key_sql("email_address")} AS key, {_named(merged | wishes)} {cut} AS cut_values
            FROM (
                SELECT row, customer_id, tags, {trimmed(column_sql(export.email))} AS email_address,
                    {_named(texts)} {excluded_sql(export)} AS excluded
                FROM profiles JOIN member USING (customer_id)
            )
        )
    """


def _named(expressions: Mapping[str, str]) -> str:
    return "".join(f"{sql} AS {name}, " for name, sql in expressions.items())


def order_sql(prefer: Iterable[Prefer], *then: str) -> str:
    """SQL: first the row that is wanted most: by number, then by text, a blank last whatever the direction."""
    keys = [
        f"{key} {'DESC' if one.descending else 'ASC'} NULLS LAST"
        for number, one in enumerate(prefer)
        for key in (f"wish_{number}_number", f"wish_{number}_text")
    ]
    return ", ".join([*keys, *then])


def _wish(number: int) -> dict[str, str]:
    text = f"wish_{number}"
    return {
        f"{text}_number": f"CASE WHEN {is_number(text)} THEN CAST({text} AS DOUBLE) END",
        f"{text}_text": f"CASE WHEN NOT {is_number(text)} THEN {text} END",
    }


def excluded_sql(export: Export) -> str:
    """SQL over ``profiles``: whether ``require`` drops the row."""
    held = []
    for column, required in export.require.items():
        text = trimmed(column_sql(column))
        any_of = required if isinstance(required, tuple) else (required,)
        held.append("(" + " OR ".join(_is(text, value) for value in any_of) + ")")
    return f"NOT coalesce({' AND '.join(held) or 'true'}, false)"


def _is(text: str, value: Scalar) -> str:
    if isinstance(value, bool):
        return f"list_contains({array(TRUE if value else FALSE)}, lower({text}))"
    if isinstance(value, str):
        return f"{text} = {quoted(value.strip(TRIMMED))}"
    return f"({is_number(text)} AND try_cast({text} AS DOUBLE) = try_cast({quoted(str(value))} AS DOUBLE))"


def _verdict(values: Mapping[str, ValueSql], fields: Mapping[str, MergeField]) -> str:
    address = problem_sql("email_address")
    cases = [
        f"WHEN contains(customer_id, {quoted(NOT_IN_AN_ID)}) THEN {quoted(MALFORMED_CUSTOMER_ID)}",
        f"WHEN {address} IS NOT NULL THEN {address}",
    ]
    for tag, value in values.items():
        if fields[tag].required:
            cases.append(f"WHEN {value.blank} THEN {quoted(f'{MISSING_REQUIRED_FIELD} {tag}')}")
        unfit = f"{identifier(f'mf_{tag}')} IS NULL AND NOT ({value.blank})"
        cases.append(f"WHEN {unfit} THEN {quoted(f'{INVALID_MERGE_VALUE} {tag}')}")
    for tag, field in fields.items():
        if field.required and tag not in values:
            cases.append(f"WHEN true THEN {quoted(f'{MISSING_REQUIRED_FIELD} {tag}')}")
    return f"CASE {' '.join(cases)} END"
