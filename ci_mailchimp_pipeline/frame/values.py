"""Merge field types in SQL: a column's text becomes the canonical text that is sent, or does not fit."""

from dataclasses import dataclass

from ci_mailchimp_pipeline.config import MergeSource
from ci_mailchimp_pipeline.engine import array, identifier, quoted, trimmed
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.keys import TRIMMED

MAX_BYTES = 255  # Mailchimp states no limit; connectors report "about 255 bytes" of a text value
REQUIRED_PARTS = ("addr1", "city", "state", "zip")  # Mailchimp: merge field of type address

NUMBER = r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?"
CANONICAL_NUMBER = r"-?([1-9][0-9]*(\.[0-9]*[1-9])?|0\.[0-9]*[1-9])|0"
YEAR = r"([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"
TIME = r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?"
ISO = rf"{YEAR}-[0-9]{{2}}-[0-9]{{2}}([T ]{TIME}( ?(Z|[+-][0-9]{{2}}(:?[0-9]{{2}})?))?)?"
SLASHED = rf"[0-9]{{1,2}}/[0-9]{{1,2}}/{YEAR}( {TIME}( ?[AaPp][Mm])?)?"
SHORT = r"[0-9]{1,2}/[0-9]{1,2}"
URL = r"[Hh][Tt][Tt][Pp][Ss]?://([^\s/?#@]*@)?([^\s/?#@:\[\]]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?([/?#]\S*)?"
BREAK = r"\r\n|[\t\n\r]"
CONTROL = r"[\x00-\x1F\x7F-\x{9F}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueSql:
    """How one mapped merge field gets its value.

    Attributes:
        texts: Alias → SQL over the snapshot's columns: what there is, cleaned; NULL when blank.
        value: SQL over the aliases: the canonical text; NULL when there is none or it does not fit.
        blank: SQL over the aliases: whether there is nothing at all.
        cut: SQL over the aliases: how many texts are shortened.
    """

    texts: dict[str, str]
    value: str
    blank: str
    cut: str = "0"


def value_sql(field: MergeField, source: MergeSource) -> ValueSql:
    """How *source* fills *field*, which fit each other (see `field_problems`)."""
    if field.type == "address":
        return _address(field.tag, source.address or {})
    alias = identifier(f"t_{field.tag}")
    return ValueSql(
        texts={alias: cleaned(column_sql(source.column or ""))},
        value=canonical_sql(field, alias),
        blank=f"{alias} IS NULL",
        cut=_is_cut(alias) if field.type == "text" else "0",
    )


def column_sql(column: str) -> str:
    """The snapshot's name for a source column."""
    return identifier(f"p_{column}")


def cleaned(text: str) -> str:
    """SQL: *text* on one line, without control characters and the white space around it; NULL when blank."""
    without = trimmed(f"regexp_replace(regexp_replace({text}, '{BREAK}', ' ', 'g'), '{CONTROL}', '', 'g')")
    # Most values are clean, and looking is cheaper than replacing.
    dirty = f"regexp_matches({text}, {quoted(f'{CONTROL}|^[{TRIMMED}]|[{TRIMMED}]$')})"
    return f"CASE WHEN {dirty} THEN {without} ELSE nullif({text}, '') END"


def is_number(text: str) -> str:
    """SQL: whether *text* writes a finite number: no thousands separators, no words."""
    finite = f"isfinite(try_cast({text} AS DOUBLE))"
    return f"(strlen({text}) <= {MAX_BYTES} AND regexp_full_match({text}, '{NUMBER}') AND {finite})"


def canonical_sql(field: MergeField, text: str) -> str:
    """SQL: the text *text*, of a field that is no address, as it is sent; NULL when it does not fit."""
    match field.type:
        case "text":
            return _shortened(text)
        case "number":
            # Most numbers are written as JSON writes them, and looking is cheaper than taking them apart.
            canonical = f"regexp_full_match({text}, '{CANONICAL_NUMBER}') THEN {text}"
            return f"CASE WHEN {is_number(text)} THEN CASE WHEN {canonical} ELSE {_json_number(text)} END END"
        case "date":
            return f"CAST({_date(text, field)} AS VARCHAR)"
        case "birthday":
            return f"strftime({_date(text, field)}, '%m/%d')"
        case "radio" | "dropdown":
            fits = f"list_contains({array(field.choices)}, {text})"
        case "url" | "imageurl":
            fits = f"strlen({text}) <= {MAX_BYTES} AND regexp_full_match({text}, {quoted(URL)})"
        case _:  # phone and zip are texts; cutting them would make another one
            fits = f"strlen({text}) <= {MAX_BYTES}"
    return f"CASE WHEN {fits} THEN {text} END"


def _shortened(text: str) -> str:
    """SQL: at most `MAX_BYTES` of *text*, cut between characters; UTF-8 has at most four bytes for one."""
    sizes = range(MAX_BYTES, MAX_BYTES - 4, -1)
    longest = ", ".join(f"try(decode(encode({text})[1:{size}]))" for size in sizes)
    cut = trimmed(f"coalesce({longest})")
    return f"CASE WHEN strlen({text}) > {MAX_BYTES} THEN {cut} ELSE {text} END"


def _is_cut(text: str) -> str:
    return f"coalesce(CAST(strlen({text}) > {MAX_BYTES} AS INTEGER), 0)"


def _json_number(text: str) -> str:
    digits = f"ltrim({text}, '+-')"
    whole = f"coalesce(nullif(ltrim(split_part({digits}, '.', 1), '0'), ''), '0')"
    part = f"rtrim(split_part({digits}, '.', 2), '0')"
    plain = f"{whole} || CASE WHEN {part} = '' THEN '' ELSE '.' || {part} END"
    sign = f"CASE WHEN starts_with({text}, '-') AND ({plain}) <> '0' THEN '-' ELSE '' END"
    double = f"CAST({text} AS DOUBLE)"
    # Beyond 1e15 a double no longer tells neighbours apart, so it stays in scientific form.
    integral = f"{double} = trunc({double}) AND abs({double}) < 1e15"
    short = f"CAST(CAST({double} AS BIGINT) AS VARCHAR)"
    scientific = f"CASE WHEN {integral} THEN {short} ELSE CAST({double} AS VARCHAR) END"
    return f"CASE WHEN regexp_matches({text}, '[eE]') THEN {scientific} ELSE {sign} || {plain} END"


def _date(text: str, field: MergeField) -> str:
    order = "%d/%m/%Y" if field.day_first else "%m/%d/%Y"
    slashed = f"CAST(try_strptime(split_part({text}, ' ', 1), '{order}') AS DATE)"
    short = f"CAST(try_strptime({text} || '/2000', '{order}') AS DATE)"  # a leap year: 02/29 is a birthday
    yearless = f"WHEN regexp_full_match({text}, '{SHORT}') THEN {short}" if field.type == "birthday" else ""
    return f"""CASE
        WHEN regexp_full_match({text}, '{ISO}') THEN try_cast(left({text}, 10) AS DATE)
        WHEN regexp_full_match({text}, '{SLASHED}') THEN {slashed}
        {yearless}
    END"""


def _address(tag: str, parts: dict[str, str]) -> ValueSql:
    aliases = {part: identifier(f"t_{tag}_{part}") for part in parts}
    members = []
    for part, alias in aliases.items():
        name = quoted(f'"{part}":')
        members.append(f"{name} || CAST(to_json({_shortened(alias)}) AS VARCHAR)")  # NULL without a value
    complete = " AND ".join(f"{aliases[part]} IS NOT NULL" for part in REQUIRED_PARTS)
    return ValueSql(
        texts={alias: cleaned(column_sql(parts[part])) for part, alias in aliases.items()},
        value=f"CASE WHEN {complete} THEN '{{' || concat_ws(',', {', '.join(members)}) || '}}' END",
        blank=f"coalesce({', '.join(aliases.values())}) IS NULL",
        cut=" + ".join(
            f"coalesce(CAST(strlen({alias}) > {MAX_BYTES} AS INTEGER), 0)" for alias in aliases.values()
        ),
    )
