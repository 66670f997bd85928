"""Whether Mailchimp still holds what we sent, after its own way of writing values; in SQL.

Contract: numbers read back as JSON numbers, dates as YYYY-MM-DD, addresses as objects with a country of their own.
"""

from ci_mailchimp_pipeline.config.fields import ADDRESS_PARTS
from ci_mailchimp_pipeline.engine import trimmed
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.values import canonical_sql

_CUT_FROM = 240  # bytes: users saw texts cut at "around 250"; what is this long and begins alike was cut
_COUNTRY_CODE = 2  # letters; a country's name may come back as its code


def same_sql(field: MergeField, ours: str, theirs: str) -> str:
    """SQL: whether *theirs*, text as Mailchimp holds it, is what became of the canonical text *ours*; never NULL."""
    if field.type == "address":
        parts = " AND ".join(_same_part(part, ours, theirs) for part in ADDRESS_PARTS)
        return f"coalesce({parts}, false)"
    equal = f"{comparable_sql(field, ours)} = {comparable_sql(field, theirs)}"
    if field.type == "text":
        equal += f" OR (strlen({theirs}) >= {_CUT_FROM} AND starts_with({ours}, {theirs}))"
    return f"coalesce({equal}, false)"


def comparable_sql(field: MergeField, text: str) -> str:
    """SQL: *text*, of a field that is no address, so that the same value is the same text; NULL for none."""
    match field.type:
        case "number":
            return f"CAST(try_cast({text} AS DOUBLE) AS VARCHAR)"
        case "date" | "birthday":
            return canonical_sql(field, text)
        case "phone":  # Mailchimp writes US numbers its own way
            return f"coalesce(nullif(regexp_replace({text}, '[^0-9]', '', 'g'), ''), {text})"
        case _:
            return trimmed(text)


def _same_part(part: str, ours: str, theirs: str) -> str:
    sent = f"json_extract_string(try_cast({ours} AS JSON), '$.{part}')"
    there = trimmed(f"json_extract_string(try_cast({theirs} AS JSON), '$.{part}')")
    if part == "country":
        return (
            f"({sent} IS NULL OR strlen({sent}) <> {_COUNTRY_CODE} "
            f"OR coalesce(strlen({there}) <> {_COUNTRY_CODE} OR upper({sent}) = upper({there}), false))"
        )
    return f"({sent} IS NULL OR coalesce({sent} = {there}, false))"
