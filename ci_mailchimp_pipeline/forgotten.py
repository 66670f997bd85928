"""What remains of somebody who was erased: keyed digests, by which they are known again, and by nothing else.

HMAC-SHA256 (RFC 2104) of the subscriber hash and of each customer id. Without the key nobody can try addresses
against them; with it, a run recognizes the person and sends nothing.
"""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ci_mailchimp_pipeline.artifacts import unwritable
from ci_mailchimp_pipeline.errors import FixConfigError

VARIABLE = "CI_MAILCHIMP_FORGET_KEY"
FILE = "forget.key"
KEY_BYTES = 32  # of chance in a key that is made here; a key that is given has at least as many characters
BLOCK_BYTES = 64  # of SHA-256

Kind = Literal["address", "customer"]


@dataclass(frozen=True, slots=True)
class ForgetKey:
    """The key of the digests."""

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> str:
        """Which key it is; stored beside every digest that was made with it."""
        return hashlib.sha256(self.secret).hexdigest()[:16]

    def address(self, subscriber_hash: bytes) -> bytes:
        """The digest (32 bytes) of whoever has this subscriber hash."""
        return self._digest("address", subscriber_hash)

    def customer(self, customer_id: str) -> bytes:
        """The digest (32 bytes) of a customer."""
        return self._digest("customer", customer_id.encode())

    def digest_sql(self, kind: Kind, value: str) -> str:
        """SQL: the same digest of *value*, an expression of type BLOB; it holds the key, as no message may."""
        key = self.secret if len(self.secret) <= BLOCK_BYTES else hashlib.sha256(self.secret).digest()
        outer, inner = (bytes(byte ^ pad for byte in key.ljust(BLOCK_BYTES, b"\0")) for pad in (0x5C, 0x36))
        return f"unhex(sha256({_blob(outer)} || unhex(sha256({_blob(inner + kind.encode())} || {value}))))"

    def _digest(self, kind: Kind, value: bytes) -> bytes:
        return hmac.digest(self.secret, kind.encode() + value, "sha256")


def known_key(home: Path, given: str | None, used: frozenset[str]) -> ForgetKey | None:
    """The key that is at hand: *given* (the environment's), else the one in *home*; None when there is neither.

    Args:
        home: The state folder.
        given: What ``CI_MAILCHIMP_FORGET_KEY`` holds.
        used: The ids of the keys that the ledger's digests were made with.

    Raises:
        FixConfigError: ``bad_forget_key``; ``forget_key_missing``: people were forgotten with another key than
            the one at hand, so that nobody can tell who they are.
    """
    found, where = _given(given), VARIABLE
    if found is None:
        found, where = _kept(home / FILE), str(home / FILE)
    lost = sorted(used - ({found.key_id} if found else set()))
    if lost:
        at_hand = f"{where} holds key {found.key_id}" if found else "there is no key here"
        raise FixConfigError(
            "forget_key_missing",
            f"people were forgotten with key {', '.join(lost)}, and {at_hand}: nothing is sent, because they "
            "would not be recognized",
            fix=f"put the key back: {home / FILE} from the machine or backup that has it, or {VARIABLE}",
        )
    return found


def made_key(home: Path) -> ForgetKey:
    """The key in *home*, made now (0600) if there is none; on disk when this returns.

    Raises:
        FixConfigError: ``home_not_writable``; ``bad_forget_key``.
        RunLaterError: ``disk_full``.
    """
    path = home / FILE
    draft = path.with_name(f".{FILE}.{secrets.token_hex(4)}")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            try:
                with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                    file.write(f"{secrets.token_hex(KEY_BYTES)}\n")
                    file.flush()
                    os.fsync(file.fileno())
                _link(draft, path)
            finally:
                draft.unlink(missing_ok=True)
            _sync_folder(home)
    except OSError as error:
        failure = unwritable(error, home)
    else:
        found = _kept(path)
        if found is not None:
            return found
        failure = _bad(str(path))
    raise failure from None


def _link(draft: Path, path: Path) -> None:
    """Give the whole file its name, unless another process was quicker."""
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _given(text: str | None) -> ForgetKey | None:
    return _read(text, VARIABLE) if text and text.strip() else None


def _kept(path: Path) -> ForgetKey | None:
    try:
        return _read(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        failure = _bad(str(path))
    raise failure


def _read(text: str, where: str) -> ForgetKey:
    if len(text.strip()) < KEY_BYTES:
        raise _bad(where)
    return ForgetKey(text.strip().encode())


def _bad(where: str) -> FixConfigError:
    return FixConfigError(
        "bad_forget_key",
        f"{where} holds no key: it takes at least {KEY_BYTES} characters that this user may read",
        fix="put back the one that was there; a new one is the 64 letters and digits of `openssl rand -hex 32`",
    )


def _blob(content: bytes) -> str:
    return "'" + "".join(f"\\x{byte:02X}" for byte in content) + "'::BLOB"
