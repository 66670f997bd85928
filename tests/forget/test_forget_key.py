"""The key of forgotten people, and the digests that are made with it."""

import hashlib
import hmac
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.engine import open_engine, quoted
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.forgotten import FILE, ForgetKey, known_key, made_key

SECRET = "0123456789abcdef" * 4
HASH = hashlib.md5(b"ann@contoso-mail.internal").digest()


@pytest.mark.parametrize("length", [32, 63, 64, 65, 200])
def test_the_engine_makes_the_digest_that_python_makes(length: int, tmp_path: Path) -> None:
    """HMAC-SHA256 in SQL equals Python's, for keys shorter than a block, as long, and longer."""
    key = ForgetKey(bytes(range(1, length + 1)))
    values = [(HASH, "c00001"), (bytes(16), "Ünïcode 'quoted'"), (b"\xff" * 16, "")]
    with open_engine(tmp_path) as engine:
        made = [
            engine.execute(
                f"SELECT {key.digest_sql('address', f'unhex({quoted(subscriber_hash.hex())})')}, "
                f"{key.digest_sql('customer', f'encode({quoted(customer)})')}"
            )[0]
            for subscriber_hash, customer in values
        ]

    assert made == [
        (key.address(subscriber_hash), key.customer(customer)) for subscriber_hash, customer in values
    ]
    assert made[0][0] == hmac.new(key.secret, b"address" + HASH, "sha256").digest()


@given(secret=st.binary(min_size=32, max_size=100), customer=st.text(max_size=40))
def test_a_digest_is_of_one_key_one_kind_and_one_value(secret: bytes, customer: str) -> None:
    """Another key or another kind gives another digest of the same value, and none holds the value."""
    key = ForgetKey(secret)

    digests = {
        key.customer(customer),
        key.address(customer.encode()),
        ForgetKey(secret + b"x").customer(customer),
    }

    assert len(digests) == 3
    assert {len(digest) for digest in digests} == {32}


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """The file is 0600 in a folder 0700, holds 32 random bytes, and is never written again."""
    home = tmp_path / "home"

    first, second = made_key(home), made_key(home)

    assert first == second == known_key(home, None, frozenset({first.key_id}))
    assert len(bytes.fromhex((home / FILE).read_text().strip())) == 32
    assert stat.S_IMODE((home / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert [path.name for path in home.iterdir()] == [FILE]
    assert first != made_key(tmp_path / "other")


def test_the_same_text_is_the_same_key_in_file_and_environment(tmp_path: Path) -> None:
    """Whoever moves to several hosts puts the file's content into the environment."""
    made = made_key(tmp_path)

    given = known_key(tmp_path / "elsewhere", f" {(tmp_path / FILE).read_text()}", frozenset({made.key_id}))

    assert given == made


def test_the_key_is_in_no_message_and_no_repr(tmp_path: Path) -> None:
    """What is printed of a key is its id, which tells nothing of it."""
    key = ForgetKey(SECRET.encode())
    with pytest.raises(FixConfigError) as caught:
        known_key(tmp_path, SECRET, frozenset({"0123456789abcdee"}))

    assert SECRET not in repr(key) + str(caught.value)
    assert key.key_id == hashlib.sha256(SECRET.encode()).hexdigest()[:16]
    assert key.key_id in str(caught.value)


@pytest.mark.parametrize("given", [None, SECRET])
def test_a_lost_key_stops(given: str | None, tmp_path: Path) -> None:
    """Digests of a key that is not at hand recognize nobody: whoever asks is told, with exit code 2."""
    with pytest.raises(FixConfigError) as caught:
        known_key(tmp_path, given, frozenset({"feedc0de00000000"}))

    assert (caught.value.code, caught.value.exit_code) == ("forget_key_missing", 2)
    assert "feedc0de00000000" in caught.value.message
    assert "CI_MAILCHIMP_FORGET_KEY" in caught.value.fix


def test_without_a_key_and_without_forgotten_people_there_is_none(tmp_path: Path) -> None:
    """Nobody needs a key before somebody was forgotten, and none is made by asking."""
    assert known_key(tmp_path, None, frozenset()) is None
    assert known_key(tmp_path, "  ", frozenset()) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", "too short", " " * 40])
def test_a_file_without_a_key_is_not_overwritten(text: str, tmp_path: Path) -> None:
    """A key that somebody emptied may be the only thing by which people are recognized: it is asked for."""
    (tmp_path / FILE).write_text(text)

    with pytest.raises(FixConfigError) as caught:
        made_key(tmp_path)

    assert caught.value.code == "bad_forget_key"
    assert (tmp_path / FILE).read_text() == text
