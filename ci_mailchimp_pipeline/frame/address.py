"""The address: its normal form, its hash, and what is wrong with it; once in SQL, once for a single one.

Accepted addresses are ASCII, so that lower case means the same everywhere: DuckDB, Python and Mailchimp do
not agree about ``İ``.
"""

import re

from ci_mailchimp_pipeline.engine import quoted
from ci_mailchimp_pipeline.frame.reasons import MALFORMED_EMAIL, NO_EMAIL, RESERVED_DOMAIN
from ci_mailchimp_pipeline.keys import TRIMMED

MAX_BYTES = 254  # RFC 5321 4.5.3.1.3: a path has 256 octets, two of them are < and >
MAX_LOCAL_BYTES = 64  # RFC 5321 4.5.3.1.1

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"  # RFC 5322 3.2.3
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1035 2.3.1, RFC 1123 2.1
_TOP = r"(?:[A-Za-z]{2,63}|[Xx][Nn]--[A-Za-z0-9-]{0,58}[A-Za-z0-9])"
ADDRESS = rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_TOP}"
# RFC 2606 and 6761; local: RFC 6762, onion: RFC 7686, alt: RFC 9476. Mailchimp refuses all of example.com.
RESERVED = (
    r".*[@.](?:example\.(?:com|net|org)|test|example|invalid|localhost|local|onion|alt)"  # of the normal form
)


def key_sql(trimmed_address: str) -> str:
    """SQL: the normal form of an address that is trimmed already."""
    return f"lower({trimmed_address})"


def hash_sql(key: str) -> str:
    """SQL: the subscriber hash of a normal form, 16 bytes."""
    return f"unhex(md5({key}))"


def problem_sql(trimmed_address: str) -> str:
    """SQL: the reason why a trimmed address is not sent, or NULL."""
    address = trimmed_address
    return f"""CASE
        WHEN {address} IS NULL THEN {quoted(NO_EMAIL)}
        WHEN strlen({address}) > {MAX_BYTES} OR instr({address}, '@') > {MAX_LOCAL_BYTES + 1}
            OR NOT regexp_full_match({address}, {quoted(ADDRESS)}) THEN {quoted(MALFORMED_EMAIL)}
        WHEN regexp_full_match({key_sql(address)}, {quoted(RESERVED)}) THEN {quoted(RESERVED_DOMAIN)}
    END"""


def address_problem(address: str) -> str | None:
    """The reason why *address* is not sent, or None."""
    address = address.strip(TRIMMED)
    if not address:
        return NO_EMAIL
    if (
        len(address.encode()) > MAX_BYTES
        or address.find("@") > MAX_LOCAL_BYTES
        or not re.fullmatch(ADDRESS, address)
    ):
        return MALFORMED_EMAIL
    return RESERVED_DOMAIN if re.fullmatch(RESERVED, address.lower()) else None


def masked(address: str | None) -> str:
    """*address* as it may be shown: its first character and nothing else; blank for none."""
    text = (address or "").strip()
    return f"{text[0]}***@***" if text else ""
