"""Signing in with OAuth."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

BACK = "http://127.0.0.1:1/back"
ASKED = {"response_type": "code", "client_id": "c", "redirect_uri": BACK, "state": "s"}


def at(api: Any, path: str) -> str:
    """An address of the sign-in."""
    return f"{api.emulator.url.removesuffix('/3.0')}/oauth2/{path}"


def code(api: Any) -> str:
    """What a person who agrees brings back."""
    answer = requests.get(at(api, "authorize"), params=ASKED, allow_redirects=False, timeout=10)
    assert answer.status_code == 302
    back = urlsplit(answer.headers["Location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == BACK
    brought = parse_qs(back.query)
    assert brought["state"] == ["s"]
    return brought["code"][0]


def form(code_: str) -> dict[str, str]:
    """What an application sends for a token."""
    app = {"client_id": "c", "client_secret": "x", "redirect_uri": BACK}
    return {"grant_type": "authorization_code", "code": code_, **app}


def test_a_sign_in_ends_with_a_token_that_works(api: Any) -> None:
    """Code, token, data centre, and then the API."""
    api.emulator.switch(data_center="us7")

    given = requests.post(at(api, "token"), data=form(code(api)), timeout=10).json()
    token = given["access_token"]
    headers = {"Authorization": f"OAuth {token}"}
    metadata = requests.get(at(api, "metadata"), headers=headers, timeout=10).json()
    ping = requests.get(f"{api.emulator.url}/ping", headers={"Authorization": f"Bearer {token}"}, timeout=10)

    assert given["expires_in"] == 0
    assert (metadata["dc"], metadata["role"]) == ("us7", "owner")
    assert f"{metadata['api_endpoint']}/3.0" == api.emulator.url
    assert ping.status_code == 200


def test_a_code_works_once(api: Any) -> None:
    """The second time it is an invalid grant; so is another redirect address."""
    first = code(api)
    assert requests.post(at(api, "token"), data=form(first), timeout=10).status_code == 200

    again = requests.post(at(api, "token"), data=form(first), timeout=10)
    elsewhere = requests.post(
        at(api, "token"), data=form(code(api)) | {"redirect_uri": "http://127.0.0.1:2/"}, timeout=10
    )

    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    assert elsewhere.json() == {"error": "invalid_grant"}


def test_an_unknown_token_is_told_with_status_200(api: Any) -> None:
    """As connectors report it."""
    answer = requests.get(at(api, "metadata"), headers={"Authorization": "OAuth none"}, timeout=10)

    assert (answer.status_code, answer.json()["error"]) == (200, "invalid_token")


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [("GET", "authorize", {}), ("POST", "token", {}), ("POST", "token", {"grant_type": "password"})],
)
def test_an_incomplete_sign_in_is_refused(api: Any, method: str, path: str, data: dict[str, str]) -> None:
    """400, invalid_request."""
    answer = requests.request(method, at(api, path), data=data, timeout=10)

    assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"})
    assert requests.get(at(api, "nothing"), timeout=10).status_code == 404
