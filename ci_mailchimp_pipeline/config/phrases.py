"""How messages show values and suggest names, and how a rule says that it is broken."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pydantic_core import PydanticCustomError

_API_KEY = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{32}-[A-Za-z]{2,4}[0-9]{1,3}(?![0-9A-Za-z])")
_ADDRESS = re.compile(r"[^\s@]@[^\s@]")
_MAX_SHOWN = 60


def breach(what: str, fix: str, *, at: Sequence[str | int] = (), is_key: bool = False) -> PydanticCustomError:
    """Return the error by which a model says, in our words, what is wrong and what to type.

    Args:
        what: What is wrong, after the name of where it is.
        fix: What to type or change.
        at: Leads from the value that is checked to the part of it that is wrong.
        is_key: The key at the end of *at* is wrong, not its value.
    """
    return PydanticCustomError(
        "rule", "{what}", {"what": what, "fix": fix, "at": tuple(at), "is_key": is_key}
    )


def unknown_key(key: str, legal: Sequence[str]) -> tuple[str, str]:
    """Return what is wrong with a key that nobody reads, and the fix."""
    hint = suggestion(key, legal)
    return (
        f"unknown key {shown(key)}{hint}",
        "rename the key" if hint else f"remove it; the keys are {listed(legal)}",
    )


def check_keys(mapping: Mapping[str, object], legal: Sequence[str]) -> None:
    """Refuse a mapping with a key that is not one of *legal*.

    Raises:
        PydanticCustomError: For the first such key.
    """
    for key in mapping:
        if key not in legal:
            raise breach(*unknown_key(key, legal), at=(key,), is_key=True)


def find_api_keys(text: str) -> Iterator[int]:
    """Yield the offset in *text* of everything that has the form of a Mailchimp API key."""
    for match in _API_KEY.finditer(text):
        yield match.start()


def shown(value: object) -> str:
    """Return *value* as a message may show it: short, on one line, and never a key or an address."""
    match value:
        case str():
            return _shown_text(value)
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            return "a mapping"
        case tuple() | list():
            return "a list"
        case _:
            return (
                f"{value:,}" if isinstance(value, int | float) else f"a value of type {type(value).__name__}"
            )


def _shown_text(text: str) -> str:
    if _API_KEY.search(text):
        return "a text like an API key (not repeated here)"
    if _ADDRESS.search(text):
        return "a text like an address (not repeated here)"
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return "'" + "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut) + "'"


def suggestion(word: object, legal: Iterable[str]) -> str:
    """Return ". Did you mean 'x'?" if *word* is almost one of the legal ones, else an empty text."""
    close = near_miss(word, legal)
    return f". Did you mean {shown(close)}?" if close else ""


def near_miss(word: object, legal: Iterable[str]) -> str | None:
    """Return the legal word that *word* was most likely meant to be, or None."""
    if not isinstance(word, str) or len(word) > _MAX_SHOWN:
        return None
    by_lower = {name.lower(): name for name in legal}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[close[0]] if close else None


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
