"""Credentials are recognised, bound to a safe address, and never shown."""

import base64
import json

import pytest
import requests

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization, api_root_for, checked_api_root

TOKEN = "f00dcafe" * 4


def test_a_key_names_its_data_centre(api_key: str) -> None:
    """The part after the last dash decides where the API is spoken to."""
    assert api_root_for(Authorization.from_api_key(f" {api_key}\n")) == "https://us1.api.mailchimp.com/3.0"


def test_a_key_is_sent_as_the_password_of_any_user(api_key: str) -> None:
    """Mailchimp takes the key as the password of basic authentication."""
    request = requests.Request(
        "GET", "https://us1.api.mailchimp.com/3.0/", auth=Authorization.from_api_key(api_key)
    )
    header = request.prepare().headers["Authorization"]
    assert base64.b64decode(header.removeprefix("Basic ")).decode().split(":")[1] == api_key


@pytest.mark.parametrize(
    "key",
    ["", "0123456789abcdef", "-us1", "abc-", "abc-us1-us2", "abc-US1", "abc-us1.evil", "abc-us1@host", "abc-us1/x",
     "ab c-us1", "abc\r\nX: y-us1", "äbc-us1", "abc-usüber1"],
)  # fmt: skip
def test_an_odd_key_is_refused_and_not_repeated(key: str) -> None:
    """What could be a typing error, or lead the key to another host, stops before anything is sent."""
    with pytest.raises(FixConfigError) as caught:
        Authorization.from_api_key(key)
    assert caught.value.code == "bad_api_key"
    assert not key or key not in str(caught.value)


def test_a_stored_token_brings_its_data_centre() -> None:
    """The file that signing in stored needs nothing beside it."""
    authorization = Authorization.from_token(json.dumps({"access_token": TOKEN, "dc": "us21"}))
    assert authorization.header == f"Bearer {TOKEN}"
    assert api_root_for(authorization) == "https://us21.api.mailchimp.com/3.0"


def test_a_plain_token_needs_to_be_told_where() -> None:
    """A token alone does not say which data centre; an api_root or the data centre does."""
    authorization = Authorization.from_token(TOKEN)
    with pytest.raises(FixConfigError) as caught:
        api_root_for(authorization)
    assert caught.value.code == "no_data_center"
    assert api_root_for(authorization, "http://127.0.0.1:8899/3.0/") == "http://127.0.0.1:8899/3.0"
    assert api_root_for(Authorization.from_token(TOKEN, "us7")) == "https://us7.api.mailchimp.com/3.0"


@pytest.mark.parametrize(
    "text",
    ["", "two words", '{"access_token": "' + TOKEN + '"}', '{"access_token": 5, "dc": "us1"}', "{", "{" * 5000,
     '{"access_token": "' + TOKEN + '", "dc": "evil.test/"}', f"{TOKEN}\r\nX: y"],
)  # fmt: skip
def test_an_odd_token_is_refused_and_not_repeated(text: str) -> None:
    """A damaged token file stops with an error that holds nothing of it."""
    with pytest.raises(FixConfigError) as caught:
        Authorization.from_token(text)
    assert caught.value.code == "bad_token"
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("root", ["https://us1.api.mailchimp.com/3.0", "https://proxy.contoso-mail.internal:8443/mc/3.0/",
                                  "http://localhost:1/3.0", "http://127.9.9.9/3.0", "http://[::1]:80/3.0"])  # fmt: skip
def test_a_safe_address_is_taken(root: str) -> None:
    """Encrypted addresses, and this machine."""
    assert checked_api_root(root) == root.rstrip("/")


@pytest.mark.parametrize(
    "root",
    ["http://us1.api.mailchimp.com/3.0", "http://127.0.0.1.evil.test/3.0", "http://127.0.0.1@evil.test/3.0",
     "http://127.0.0.1\\@evil.test/3.0", "https://user:secret@us1.api.mailchimp.com/3.0", "ftp://127.0.0.1/",
     "https://us1.api.mailchimp.com/3.0?x=1", "https://us1.api.mailchimp.com/3.0#x", "us1.api.mailchimp.com", "",
     "http://0.0.0.0/3.0", "http://2130706433/3.0", "https://us1.api.mailchimp.com/3.0\n", "http://localhost.evil.test/"],
)  # fmt: skip
def test_an_unsafe_address_is_refused(root: str) -> None:
    """The key never goes over plain http to another machine, nor to a host that only looks right."""
    with pytest.raises(FixConfigError) as caught:
        checked_api_root(root)
    assert caught.value.code == "bad_api_root"


def test_nothing_shows_the_secret(api_key: str) -> None:
    """Neither form of the key is in any way of printing it."""
    authorization = Authorization.from_api_key(api_key)
    for shown in (repr(authorization), str(authorization), f"{authorization}", f"{authorization!r}"):
        assert api_key.partition("-")[0] not in shown
        assert authorization.header.split()[1] not in shown
