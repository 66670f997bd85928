"""The small rules a value must pass, and the one way in which a model says that it does not.

Every rule answers in our words: what is wrong with which value, the legal ones, and what to type instead.
"""

import difflib
import ipaddress
import re
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

ID_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
TEXT_PATTERN = r"^[^\x00-\x1F\x7F]*[^\s\x00-\x1F\x7F][^\x00-\x1F\x7F]*$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
AUDIENCE_PATTERN = r"^[a-z0-9]{6,20}$"
MERGE_TAG_PATTERN = r"^[A-Z0-9_]{1,10}$"  # Mailchimp: at most 10 characters

# What a value must look like, for each pattern a model uses.
LEGAL = {
    ID_PATTERN: "a letter, then letters, digits and underscores, at most 60 in all",
    TEXT_PATTERN: "one line of text that is not blank",
    ENV_PATTERN: "the name of an environment variable: letters, digits and underscores",
    AUDIENCE_PATTERN: "6 to 20 small letters and digits, as Mailchimp shows it: Audience, Settings, Audience name and defaults",
    MERGE_TAG_PATTERN: "1 to 10 upper-case letters, digits and underscores",
}

MAX_TAG_LENGTH = 100  # Mailchimp: a tag name is a static segment's name, at most 100 characters

_API_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{32}-[A-Za-z]{2,4}[0-9]{1,3}(?![0-9A-Za-z])")
_ADDRESS = re.compile(r"[^\s@]@[^\s@]")
_MAX_SHOWN = 60


def breach(what: str, fix: str, *, at: Sequence[str | int] = ()) -> PydanticCustomError:
    """Return the error by which a model says, in our words, what is wrong and what to type.

    *at* leads from the value that is checked to the part of it that is wrong.
    """
    return PydanticCustomError("rule", "{what}", {"what": what, "fix": fix, "at": tuple(at)})


def unknown_key(key: str, legal: Sequence[str]) -> tuple[str, str]:
    """Return what is wrong with a key that nobody reads, and the fix."""
    close = near_miss(key, legal)
    if close:
        return f"unknown key {shown(key)}. Did you mean {shown(close)}?", "rename the key"
    return f"unknown key {shown(key)}", f"remove it; the keys here are: {listed(legal)}"


def check_keys(mapping: Mapping[str, object], legal: Sequence[str]) -> None:
    """Refuse a mapping with a key that is not one of *legal*.

    Raises:
        PydanticCustomError: For the first such key.
    """
    for key in mapping:
        if key not in legal:
            raise breach(*unknown_key(key, legal), at=(key,))


def find_keys(text: str) -> list[int]:
    """Return the offsets in *text* of everything that has the form of a Mailchimp API key."""
    return [match.start() for match in _API_KEY.finditer(text)]


def shown(value: object) -> str:
    """Return *value* as a message may show it: short, on one line, and never a key or an address."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case dict():
            return "a mapping"
        case tuple() | list():
            return "a list"
        case str():
            return _shown_text(value)
    return f"a value of type {type(value).__name__}"


def _shown_text(text: str) -> str:
    if _API_KEY.search(text):
        return "a text like an API key (not repeated here)"
    if _ADDRESS.search(text):
        return "a text like an address (not repeated here)"
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut) + "'"


def near_miss(word: str, legal: Iterable[str]) -> str | None:
    """Return the legal word that *word* was most likely meant to be, or None."""
    if len(word) > _MAX_SHOWN:
        return None
    by_lower = {name.lower(): name for name in legal}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(word: str, legal: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for a near miss, else an empty text."""
    close = near_miss(word, legal)
    return f" Did you mean {shown(close)}?" if close else ""


def listed(words: Iterable[str], *, most: int = 30) -> str:
    """Return the words in quotes, comma-separated, the rest counted."""
    quoted = [shown(word) for word in words]
    rest = len(quoted) - most
    return ", ".join(quoted[:most]) + (f" and {rest} more" if rest > 0 else "")


def first_repeated(words: Sequence[str]) -> int | None:
    """Return the position of the first word that stood there before, or None."""
    seen: set[str] = set()
    for index, word in enumerate(words):
        if word in seen:
            return index
        seen.add(word)
    return None


def check_merge_tag(tag: str) -> None:
    """Refuse a merge tag that Mailchimp could not have, and EMAIL, which is the address itself.

    Raises:
        PydanticCustomError: The tag is not a legal one.
    """
    if tag == "EMAIL":
        raise breach(
            "'EMAIL' is the address itself and cannot be a merge field",
            "remove it here; the address comes from `email:`",
        )
    if not re.fullmatch(MERGE_TAG_PATTERN[1:-1], tag):
        upper = tag.upper()
        hint = f" Did you mean {shown(upper)}?" if re.fullmatch(MERGE_TAG_PATTERN[1:-1], upper) else ""
        raise breach(
            f"{shown(tag)} is not a merge tag: {LEGAL[MERGE_TAG_PATTERN]}.{hint}",
            "write the tag as Mailchimp shows it under Audience, Settings, Audience fields",
        )


def check_zone(name: str) -> str:
    """Return *name* if it is an IANA time zone.

    Raises:
        PydanticCustomError: There is no such zone on this machine.
    """
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = suggestion(name, zoneinfo.available_timezones())
        raise breach(
            f"{shown(name)} is not an IANA time zone.{hint}", "write it like Europe/Berlin or UTC"
        ) from None
    return name


def check_api_root(url: str) -> str:
    """Return *url* without a trailing slash if a key may be sent there: https, or http to this machine.

    Raises:
        PydanticCustomError: The address is not one, or the key would travel in the clear.
    """
    fix = "write https://HOST/3.0, or http://127.0.0.1:PORT/3.0 for the emulator, or remove the line"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"}:
        raise breach(f"{shown(url)} is not an http address", fix)
    if "@" in parts.netloc or parts.query or parts.fragment or re.search(r"[\s\\]", url):
        raise breach("an API root has no user name, password, query, fragment or blank", fix)
    if parts.scheme == "http" and not _is_loopback(host):
        raise breach(
            f"{shown(url)} would send the key unencrypted: http is only for this machine (127.0.0.1, ::1, localhost)",
            fix,
        )
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_tag(tag: str) -> str:
    if tag != tag.strip():
        raise breach(
            f"the tag {shown(tag)} starts or ends with a blank",
            "remove the blank, or give the segment a tag: {name: …, tag: …}",
        )
    if len(tag) > MAX_TAG_LENGTH:
        raise breach(
            f"the tag has {len(tag)} characters; Mailchimp allows {MAX_TAG_LENGTH}",
            "give the segment a shorter tag: {name: …, tag: …}",
        )
    return tag


Text = Annotated[str, StringConstraints(pattern=TEXT_PATTERN)]
Tag = Annotated[Text, AfterValidator(_check_tag), Field(json_schema_extra={"maxLength": MAX_TAG_LENGTH})]
Id = Annotated[
    str, StringConstraints(pattern=ID_PATTERN, max_length=60)
]  # Dagster: a group name has at most 60
