"""How people and tags are told apart: the one form of an address, and of a tag's name, that is compared."""

import hashlib

# The white space that is never part of a value; DuckDB's own trim leaves tabs, newlines and U+00A0.
TRIMMED = " \t\r\n\u00a0\u200b\ufeff"
# What no customer id may hold: PostgreSQL cannot store it, so the frame rejects the row, whatever the ledger is.
NOT_IN_AN_ID = "\0"


def normal_form(address: str) -> str:
    """*address* as it is compared and hashed: trimmed, in lower case."""
    return address.strip(TRIMMED).lower()


def subscriber_hash(address: str) -> bytes:
    """The 16 bytes by which Mailchimp names the member with this address: the MD5 of its normal form."""
    return hashlib.md5(normal_form(address).encode(), usedforsecurity=False).digest()


def tag_key(name: str) -> str:
    """A tag's *name* as it is compared, for Mailchimp ignores case: as DuckDB's ``lower`` makes it, letter by letter.

    Python's own ``lower`` looks at neighbours (a final sigma) and makes two characters of a dotted capital I.
    """
    return "".join("i" if letter == "\u0130" else letter.lower() for letter in name)
