"""Secrets are found where the file says, and never shown."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.config import Config, SecretRef
from ci_mailchimp_pipeline.errors import FixConfigError

LoadText = Callable[..., Config]

KEY = "fedcba9876543210fedcba9876543210-us21"


def test_a_variable_holds_the_secret(tmp_path: Path) -> None:
    """`env` reads the environment that is given."""
    assert SecretRef(env="K").resolve(folder=tmp_path, environ={"K": "s3cret"}) == "s3cret"


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\n", "\ufeffs3cret\n"])
def test_a_file_holds_the_secret_without_its_last_newline(tmp_path: Path, text: str) -> None:
    """`file` is relative to the folder of exports.yaml; editors' newlines and marks are not part of it."""
    (tmp_path / "key").write_text(text, encoding="utf-8", newline="")

    assert SecretRef(file="key").resolve(folder=tmp_path, environ={}) == "s3cret"


def test_a_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    """A renewed key is seen without a restart."""
    reference = SecretRef(file="key")
    (tmp_path / "key").write_text("old")
    reference.resolve(folder=tmp_path, environ={})
    (tmp_path / "key").write_text("new")

    assert reference.resolve(folder=tmp_path, environ={}) == "new"


@pytest.mark.parametrize(
    ("environ", "state"), [({}, "is not set"), ({"K": ""}, "is empty"), ({"K": " \n"}, "is empty")]
)
def test_a_missing_variable_is_named(tmp_path: Path, environ: dict[str, str], state: str) -> None:
    """The message says which variable, and whether it is unset or empty."""
    with pytest.raises(FixConfigError) as caught:
        SecretRef(env="K").resolve(folder=tmp_path, environ=environ)

    assert caught.value.code == "missing_secret"
    assert caught.value.message == f"the environment variable K, which should hold a secret, {state}"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("content", "state"),
    [(None, "cannot be read"), (b"\xff\xfe\xff", "cannot be read"), (b" \n", "is empty")],
)
def test_a_missing_file_is_named(tmp_path: Path, content: bytes | None, state: str) -> None:
    """The message says which file, and whether it is unreadable or empty."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)

    with pytest.raises(FixConfigError) as caught:
        SecretRef(file="key").resolve(folder=tmp_path, environ={})

    assert caught.value.code == "missing_secret"
    assert caught.value.message == f"the file {tmp_path / 'key'}, which should hold a secret, {state}"


def test_a_folder_is_not_a_secret(tmp_path: Path) -> None:
    """A folder where the file should be is unreadable, not a traceback."""
    with pytest.raises(FixConfigError, match="cannot be read"):
        SecretRef(file=".").resolve(folder=tmp_path, environ={})


@pytest.mark.parametrize(
    "line",
    [
        f"    api_key: {KEY}",
        f"    api_key: '{KEY}'",
        f"    api_key: {{env: {KEY}}}",
        f"    api_key: {{file: {KEY}}}",
        f"    api_key: {{{KEY}: A}}",
        f"    api_key: [{KEY}]",
        f"    apikey: {KEY}",
        f"    {KEY}: a",
        f"    api_key: {{env: A}}  # was {KEY}",
        f"    api_key: {KEY.upper()}",
        f"    api_key: {{env: A}}\n    display_name: {KEY}",
        f"    api_key: {{env: A}}\n    api_root: https://{KEY}@host/",
        f"    api_key: *{KEY}",
        f"    api_key: !{KEY} x",
        f"    api_key: '{KEY}",
    ],
)
def test_an_inline_key_is_refused_and_never_repeated(load_text: LoadText, valid: str, line: str) -> None:
    """Wherever a key stands, even in a comment, the file is refused and no message shows it."""
    text = valid.replace("    api_key: {env: MAILCHIMP_API_KEY}", line)

    with pytest.raises(FixConfigError) as caught:
        load_text(text)

    everything = f"{caught.value!r} {caught.value} {caught.value.as_json()} {caught.value.problems!r}"
    assert any("secret" in problem.message for problem in caught.value.problems)
    assert "fedcba" not in everything.lower()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rows: 5", "rows: 5, url: 'postgresql://u:hunter2-pass@db/x'"),
        ("rows: 5", "rows: 5, url: {env: hunter2-pass}"),
        ("version: 1", "version: 1\nalerts: [{to: 'https://hooks/hunter2-pass'}]"),
        ("version: 1", "version: 1\nalerts: [{to: {file: [hunter2-pass]}}]"),
        ("{env: MAILCHIMP_API_KEY}", "hunter2-pass"),
        ("{env: MAILCHIMP_API_KEY}", "{env: hunter2-pass}"),
        ("{env: MAILCHIMP_API_KEY}", "{env: A, hunter2: hunter2-pass}"),
    ],
)
def test_what_stands_where_a_secret_belongs_is_not_repeated(
    load_text: LoadText, valid: str, old: str, new: str
) -> None:
    """A password in the place of a reference is refused without showing it."""
    with pytest.raises(FixConfigError) as caught:
        load_text(valid.replace(old, new))

    assert "hunter2-pass" not in f"{caught.value!r} {caught.value} {caught.value.problems!r}"


def test_an_address_in_the_file_is_not_repeated(load_text: LoadText, valid: str) -> None:
    """People stand in the file, as owners; messages do not name them."""
    text = valid.replace("role: administrator", "role: mia@contoso-mail.internal")

    with pytest.raises(
        FixConfigError, match="must be 'administrator' or 'contributor', not a text like"
    ) as caught:
        load_text(text)

    assert "mia" not in str(caught.value)
