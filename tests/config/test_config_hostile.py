"""No file, of whatever kind, gives a traceback or takes long: it loads, or says what is wrong."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from fuzz.often import often
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.config.text import decode
from ci_mailchimp_pipeline.errors import FixConfigError

LoadText = Callable[..., Config]

SECONDS = 20  # measured: 3 s for the worst; other processes share the machine


def problem(load_text: LoadText, text: str | bytes) -> tuple[str, str]:
    """Read *text*, which must not take long, and return what is said first and where."""
    start = time.perf_counter()
    with pytest.raises(FixConfigError) as caught:
        load_text(text)
    assert time.perf_counter() - start < SECONDS
    assert caught.value.code == "invalid_config"
    first = caught.value.problems[0]
    assert first.fix
    return first.message, str(first.place)


@pytest.mark.parametrize(
    ("content", "said", "where"),
    [
        (b"", "the file is empty", "exports.yaml:1:1"),
        (b"# nothing\n", "the file is empty", "exports.yaml:1:1"),
        (b"---\n...\n", "the file is empty", "exports.yaml:2:1"),
        (b"- a\n- b\n", "the file must be a mapping, not a list", "exports.yaml:1:1"),
        (b"hello", "the file must be a mapping, not 'hello'", "exports.yaml:1:1"),
        (b"a: 1\n---\nb: 2\n", "this is not YAML: expected a single document", "exports.yaml:2:1"),
        (b"a:\n\t- b\n", "found character that cannot start any token", "exports.yaml:2:1"),
        (b"a: b: c\n", "mapping values are not allowed", "exports.yaml:1:5"),
        (b"a: 'b\n", "found unexpected end of stream", "exports.yaml:2:1"),
        (b"a: [b\nc: d\n", "did not find expected ',' or ']'", "exports.yaml:2:2"),
        (b"a: *b\n", "found undefined alias", "exports.yaml:1:4"),
        (b"a: &x 1\nb: &x 2\n", "found duplicate anchor", "exports.yaml:2:4"),
        (b'a: "\\q"\n', "found unknown escape character", "exports.yaml:1:5"),
        (b"%YAML 9.0\n---\na: 1\n", "found incompatible YAML document", "exports.yaml:1:1"),
        (b"a: !<x\n", "this is not YAML: while scanning a tag", "exports.yaml:1:7"),
        (b"a: \0\n", "the character U+0000 is not allowed in YAML", "exports.yaml:1:4"),
        (b"a: b\nc: \x1b[31m\n", "the character U+001B is not allowed in YAML", "exports.yaml:2:4"),
        (b"a: \xe9\n", "this is not text in UTF-8", "exports.yaml:1:4"),
        (bytes(range(256)), "this is not text in UTF-8", "exports.yaml:2:118"),
        (b"\xff\xfea", "this is not text in UTF-8", "exports.yaml"),
        ("a: b".encode("utf-32"), "the character U+0000 is not allowed in YAML", "exports.yaml:1:1"),
        (b"a: &a [*a]\n", "an alias (*name) stands inside its own anchor", "exports.yaml:1:4"),
        (b"a: &a {b: *a}\n", "an alias (*name) stands inside its own anchor", "exports.yaml:1:4"),
        (b"[" * 100_000, "values are nested more than 40 deep", "exports.yaml:1:41"),
        (b"- " * 100_000, "values are nested more than 40 deep", "exports.yaml:1:81"),
        (b"{a: " * 100_000, "values are nested more than 40 deep", "exports.yaml:1:161"),
        (b"a: [" + b"b," * 2_400_000, "the file holds more than 250,000 values", "exports.yaml:1:499997"),
        (b"a" * 6_000_000, "the file is larger than 5,000,000 bytes", "exports.yaml"),
    ],
    ids=lambda value: str(value[:20]),
)
def test_a_file_that_cannot_be_read_says_why(
    load_text: LoadText, content: bytes, said: str, where: str
) -> None:
    """What is no configuration at all is one message with its place."""
    message, place = problem(load_text, content)

    assert said in message
    assert place == where


def test_an_alias_bomb_is_counted_not_expanded(load_text: LoadText) -> None:
    """Nine levels of ten aliases would be a thousand million values."""
    levels = "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )

    message, _ = problem(load_text, "a: &a [x]\n" + levels)

    assert message == "aliases make this more than 250,000 values"


def test_a_thousand_problems_are_enough(load_text: LoadText, valid: str) -> None:
    """A file that is wrong everywhere gives a bounded answer in bounded time."""
    with pytest.raises(FixConfigError) as caught:
        load_text(valid + "".join(f"    k{number}: 1\n" for number in range(20_000)))

    assert len(caught.value.problems) <= 1001


@pytest.mark.parametrize(
    "tail",
    [
        "    email: EMail\n" * 50_000,
        "    prefer: [" + "A," * 100_000 + "]\n",
        "    require: {X: [" + "1," * 100_000 + "]}\n",
        "    first_name: " + "9" * 4_000_000 + "\n",
        "    first_name: '" + "a@" * 2_000_000 + "'\n",
        "    schedule: {cron: '" + "*," * 1_000_000 + "* * * * *'}\n",
        "# " + "0123456789abcdef0123456789abcdef-us1 " * 100_000 + "\n",
        "defaults: {zebra: 1}\n" + "exports2: {}\n" * 20_000,
    ],
    ids=lambda tail: tail[:20].strip(),
)
def test_long_repetitions_do_not_take_long(load_text: LoadText, valid: str, tail: str) -> None:
    """Nothing in the file makes the work grow faster than the file."""
    start = time.perf_counter()

    found = outcome(load_text, valid + tail)

    assert found
    assert time.perf_counter() - start < SECONDS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
def test_what_editors_write_is_read(load_text: LoadText, valid: str, encoding: str) -> None:
    """UTF-8 with and without a mark, and UTF-16 with one, are the same file."""
    marks = {"utf-16-le-bom": (b"\xff\xfe", "utf-16-le"), "utf-16-be-bom": (b"\xfe\xff", "utf-16-be")}
    mark, codec = marks.get(encoding, (b"", encoding))

    config = load_text(mark + valid.replace("VIP", "Größe 長").encode(codec))

    assert config.exports["vip"].display_name == "Größe 長"


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_every_kind_of_line_end_is_read(load_text: LoadText, valid: str, newline: str) -> None:
    """Files from Windows are the same files, at the same places."""
    config = load_text(valid.replace("\n", newline))

    assert str(config.place("exports", "vip", "email")) == "exports.yaml:14:12"


def test_a_folder_is_not_a_file(tmp_path: Path, plugins: dict[str, type]) -> None:
    """The path of a folder says so."""
    with pytest.raises(FixConfigError, match="this is a folder"):
        load_config(tmp_path, environ={}, plugins=plugins)


def test_a_pipe_is_not_waited_for(tmp_path: Path, plugins: dict[str, type]) -> None:
    """A pipe or a device might never end, so it is not read."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(FixConfigError, match="this is not a regular file"):
        load_config(tmp_path / "pipe", environ={}, plugins=plugins)


def test_a_dangling_link_says_so(tmp_path: Path, plugins: dict[str, type]) -> None:
    """A link to nowhere is not a regular file."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    with pytest.raises(FixConfigError, match="not a regular file"):
        load_config(tmp_path / "link", environ={}, plugins=plugins)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_says_so(tmp_path: Path, plugins: dict[str, type]) -> None:
    """A file without permission is a message, not a traceback."""
    (tmp_path / "exports.yaml").touch(mode=0)

    with pytest.raises(FixConfigError, match="permission denied"):
        load_config(tmp_path / "exports.yaml", environ={}, plugins=plugins)


def outcome(load_text: LoadText, content: str | bytes) -> str:
    """Read *content*; anything but a Config or a well-made error fails the test."""
    error: FixConfigError | None = None
    try:
        load_text(content)
    except FixConfigError as caught:
        error = caught
    if error is None:
        return "right"
    assert error.code == "invalid_config"
    assert all(found.message and found.fix and found.place for found in error.problems)
    text = f"{error!r}{error}{error.as_json()}"
    text.encode()
    return text


FUZZ = settings(
    max_examples=often(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(st.binary(max_size=400))
def test_no_bytes_give_a_traceback(load_text: LoadText, content: bytes) -> None:
    """Whatever the bytes are, the answer is a configuration or an error of ours."""
    assert outcome(load_text, content)


@FUZZ
@given(st.text(alphabet=st.sampled_from("ab:-? [],{}&*!|>'\"%@`#\n\t0.~<yes"), max_size=120))
def test_no_text_of_yaml_characters_gives_a_traceback(load_text: LoadText, content: str) -> None:
    """The characters that mean something to YAML, in any order."""
    assert outcome(load_text, content)


@FUZZ
@given(st.data())
def test_no_damage_to_a_right_file_gives_a_traceback(
    load_text: LoadText, valid: str, data: st.DataObject
) -> None:
    """A right file with a piece cut out, doubled, or replaced is right or wrong, never a crash."""
    full = valid + EXTRA
    start = data.draw(st.integers(0, len(full)))
    end = data.draw(st.integers(start, min(len(full), start + 40)))
    piece = data.draw(st.one_of(st.just(full[start:end] * 2), st.just(""), st.text(max_size=8), TOKENS))

    assert outcome(load_text, full[:start] + piece + full[end:])


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**20), 10**20),
        st.floats(allow_nan=True, allow_infinity=True),
        st.text(max_size=12),
        st.sampled_from(["", "refresh", "Income desc", "2026-11-23", "EMAIL", "é", "\0", "a\nb", "x" * 600]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)


@settings(FUZZ, max_examples=often(100))
@given(st.data())
def test_no_value_of_any_key_gives_a_traceback(load_text: LoadText, valid: str, data: st.DataObject) -> None:
    """Every key of a right file, with any value at all in its place."""
    document = yaml.safe_load(valid + EXTRA)
    parent, key = data.draw(st.sampled_from(list(keys_of(document))))
    parent[key] = data.draw(VALUES)

    assert outcome(load_text, yaml.safe_dump(document, allow_unicode=True))


EXTRA = """\
    first_name: First
    merge_fields: {CITY: City, A: {addr1: S, city: C, state: T, zip: Z}, B: {column: C, type: date}}
    schedule: {cron: "0 6 * * *", timezone: Europe/Berlin}
    require: {Consent: true, Level: [1, a]}
    prefer: [Income desc]
    guards: {max_exit_percent: 5}
    max_profiles: 5
defaults: {on_exit: keep, guards: {max_growth_percent: 9}}
alerts: [{to: {env: A}, on: [failed]}]
sandbox: true
"""
TOKENS = st.sampled_from(
    [
        "null",
        "[]",
        "{}",
        "*a",
        "&a",
        "!!int",
        "!x",
        "<<: ",
        "- ",
        ": ",
        "? ",
        "\t",
        "|\n",
        "'",
        "@",
        "0123",
        "1e9",
        "---\n",
    ]
)


def keys_of(node: object) -> list[tuple[dict[str, object], str]]:
    """Return every mapping in *node* with each of its keys."""
    if isinstance(node, list):
        return [pair for item in node for pair in keys_of(item)]
    if isinstance(node, dict):
        return [(node, key) for key in node] + [pair for item in node.values() for pair in keys_of(item)]
    return []


@given(st.text(max_size=60))
def test_text_survives_its_encoding(text: str) -> None:
    """What an editor saved is what is read, but for a byte order mark."""
    try:
        decoded = decode(text.encode("utf-8", "surrogatepass"), "exports.yaml")
    except FixConfigError:
        return

    assert decoded == text.removeprefix("\ufeff")
