"""Mailchimp's sign-in, as ``login.mailchimp.com`` does it; whoever asks is taken for a person who agrees."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec

from ci_mailchimp_pipeline.emulator.admission import credentials
from ci_mailchimp_pipeline.emulator.exchange import Answer
from ci_mailchimp_pipeline.emulator.state import World
from ci_mailchimp_pipeline.emulator.switches import Switches

PREFIX = "/oauth2/"

_BY_DEFAULT = "us1"


class SignIn:
    """Codes that were given out and not used yet, and tokens that were given for them."""

    def __init__(self) -> None:
        self._codes: dict[str, str] = {}
        self._tokens: set[str] = set()

    def answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        *,
        authorization: str,
        root: str,
        world: World,
        switches: Switches,
    ) -> Answer:
        """Answer a call below ``/oauth2``."""
        match method, path.removeprefix(PREFIX):
            case "GET", "authorize":
                return self._authorize(query, world)
            case "POST", "token":
                return self._token(dict(parse_qsl(body.decode(errors="replace"))), world)
            case "GET", "metadata":
                return self._metadata(credentials(authorization), root, switches)
        return _json({"error": "not_found"}, status=404)

    def _authorize(self, query: Mapping[str, str], world: World) -> Answer:
        back = query.get("redirect_uri", "")
        if query.get("response_type") != "code" or not query.get("client_id") or not urlsplit(back).scheme:
            return _json({"error": "invalid_request"}, status=400)
        code = world.next_id("code") * 3
        self._codes[code] = back
        state = {"state": query["state"]} if "state" in query else {}
        return Answer(status=302, headers={"Location": f"{back}?{urlencode({'code': code} | state)}"})

    def _token(self, form: Mapping[str, str], world: World) -> Answer:
        complete = form.get("client_id") and form.get("client_secret")
        if form.get("grant_type") != "authorization_code" or not complete:
            return _json({"error": "invalid_request"}, status=400)
        asked_from = self._codes.pop(form.get("code", ""), None)
        if asked_from is None or asked_from != form.get("redirect_uri"):
            return _json({"error": "invalid_grant"}, status=400)
        token = world.next_id("token") * 3
        self._tokens.add(token)
        return _json({"access_token": token, "expires_in": 0, "scope": None})

    def _metadata(self, token: str, root: str, switches: Switches) -> Answer:
        if token not in self._tokens:
            # with status 200, as connectors report
            return _json({"error": "invalid_token", "error_description": "The access token is invalid"})
        return _json(
            {
                "dc": switches.data_center or _BY_DEFAULT,
                "role": switches.role,
                "accountname": switches.account_name,
                "user_id": 1,
                "login": {"login_id": 1, "login_name": "ana-owner", "login_email": ""},
                "login_url": root,
                "api_endpoint": root,
            }
        )


def _json(value: Any, *, status: int = 200) -> Answer:
    return Answer(status=status, body=msgspec.json.encode(value))
