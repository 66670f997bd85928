"""The rules for single values: text, ids, tags, merge tags, time zones, addresses of an API.

Every rule answers in our words: what is wrong with which value, the legal ones, and what to type instead.
"""

import ipaddress
import re
import zoneinfo
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from ci_mailchimp_pipeline.config.phrases import breach, first_repeated, shown, suggestion

ID_PATTERN = r"^[A-Za-z][A-Za-z0-9_]*$"
TEXT_PATTERN = r"^[^\x00-\x1F\x7F]*[^\s\x00-\x1F\x7F][^\x00-\x1F\x7F]*$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
AUDIENCE_PATTERN = r"^[a-z0-9]{6,20}$"
MERGE_TAG_PATTERN = r"^[A-Z0-9_]{1,10}$"  # Mailchimp: at most 10 characters

# For each pattern that a model uses: what a value must be, and the fix.
LEGAL = {
    ID_PATTERN: ("a letter, then letters, digits and underscores", "write an id like vip_newsletter"),
    TEXT_PATTERN: ("one line of text", "write something there"),
    ENV_PATTERN: ("the name of an environment variable", "write a name like MAILCHIMP_API_KEY"),
    AUDIENCE_PATTERN: (
        "an audience's id of 6 to 20 small letters and digits",
        "copy it from Mailchimp: Audience, Settings, Audience name and defaults",
    ),
}

MAX_TAG_LENGTH = 100  # Mailchimp: a tag is a static segment, whose name has at most 100 characters


def distinct(words: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return *words* if none of them is there twice.

    Raises:
        PydanticCustomError: One is; the error leads to it.
    """
    repeated = first_repeated(words)
    if repeated is not None:
        raise breach(f"{shown(words[repeated])} is given twice", "remove one of the two", at=(repeated,))
    return words


def check_merge_tag(tag: str) -> str:
    """Return *tag* if Mailchimp could have it as a merge tag and it is not EMAIL, the address itself.

    Raises:
        PydanticCustomError: The tag is not a legal one.
    """
    if tag == "EMAIL":
        raise breach(
            "'EMAIL' is the address itself, not a merge field", "remove it; `email` says where the address is"
        )
    if not re.fullmatch(MERGE_TAG_PATTERN, tag):
        upper = tag.upper()
        hint = f". Did you mean {shown(upper)}?" if re.fullmatch(MERGE_TAG_PATTERN, upper) else ""
        raise breach(
            f"{shown(tag)} is not a merge tag of 1 to 10 upper-case letters, digits and underscores{hint}",
            "write the tag as Mailchimp shows it among the audience's fields",
        )
    return tag


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
            f"{shown(name)} is not an IANA time zone{hint}", "write it like Europe/Berlin or UTC"
        ) from None
    return name


def check_api_root(url: str) -> str:
    """Return *url* without a slash at its end if a key may be sent there: https, or http to this machine.

    Raises:
        PydanticCustomError: It is not an address, or the key would travel in the clear.
    """
    fix = "write https://HOST/3.0, or http://127.0.0.1:PORT/3.0 for the emulator, or remove the line"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise breach(f"{shown(url)} is not a web address", fix) from None
    if not host or parts.scheme not in {"http", "https"}:
        raise breach(f"{shown(url)} is not a web address", fix)
    if "@" in parts.netloc or parts.query or parts.fragment or re.search(r"[\s\\]", url):
        raise breach("an API root has no user name, password, query, fragment or blank", fix)
    if parts.scheme == "http" and not _is_loopback(host):
        raise breach(f"{shown(url)} would send the key unencrypted; http is only for this machine", fix)
    return url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_tag(tag: str) -> str:
    fix = "give the segment another tag: {name: …, tag: …}"
    if tag != tag.strip():
        raise breach(f"the tag {shown(tag)} starts or ends with a blank", fix)
    if len(tag) > MAX_TAG_LENGTH:
        raise breach(f"the tag has {len(tag)} characters; Mailchimp allows {MAX_TAG_LENGTH}", fix)
    return tag


Text = Annotated[str, StringConstraints(pattern=TEXT_PATTERN, max_length=500)]
Tag = Annotated[Text, AfterValidator(_check_tag), Field(json_schema_extra={"maxLength": MAX_TAG_LENGTH})]
Id = Annotated[
    str, StringConstraints(pattern=ID_PATTERN, max_length=60)
]  # Dagster: a group name has at most 60
