"""A file's bytes as text, whatever kind of file it turns out to be."""

import codecs
import re
from pathlib import Path

from ci_mailchimp_pipeline.errors import FixConfigError, Place

MAX_BYTES = 5_000_000  # 1,000 exports have about 1 MB
# What YAML 1.1 (5.1) allows is everything but these.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_file(path: Path, name: str) -> bytes:
    """Return the bytes of the configuration file.

    Raises:
        FixConfigError: It is not a regular file, cannot be read, or is larger than `MAX_BYTES`.
    """
    fix = "name a YAML file with --config FILE, or make it readable for this user"
    try:
        if not path.is_file():  # a pipe or a device might never end
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise _unreadable(name, f"this is {kind}", fix)
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(
            name, f"the file cannot be read: {(error.strerror or 'unknown reason').lower()}", fix
        ) from None
    if len(data) > MAX_BYTES:
        raise _unreadable(
            name,
            f"the file is larger than {MAX_BYTES:,} bytes",
            "split it into several files, one per Mailchimp account",
        )
    return data


def decode(data: bytes, name: str) -> str:
    """Return *data* as text: UTF-8, or UTF-16 with a byte order mark. A byte order mark is dropped.

    Raises:
        FixConfigError: It is neither, or holds a character that no YAML text may have.
    """
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = line_and_column(data[: error.start].decode("utf-8", "replace"), error.start)
        place = Place(name) if is_utf16 else Place(name, line, column)
        raise _unreadable(name, "this is not text in UTF-8", "save the file as UTF-8", place) from None
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        line, column = line_and_column(text, forbidden.start())
        what = f"the character U+{ord(forbidden.group()):04X} is not allowed in YAML"
        raise _unreadable(name, what, "remove the character; is this a text file?", Place(name, line, column))
    return text


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Return the 1-based line and column of *offset* in *text*."""
    before = text[:offset]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1


def _unreadable(name: str, what: str, fix: str, place: Place | None = None) -> FixConfigError:
    return FixConfigError("invalid_config", what, fix=fix, place=place or Place(name))
