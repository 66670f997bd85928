"""A plain HTTP client for the emulator's own tests: no code of ours between the test and the line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from ci_mailchimp_pipeline.testing import Emulator

AUDIENCE = "a1b2c3d4e5"


@dataclass(slots=True, kw_only=True)
class Api:
    """Calls below ``/3.0`` with a good key, and shorthands for the audience most tests use."""

    emulator: Emulator
    session: requests.Session
    audience: str = AUDIENCE

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> requests.Response:
        """Any call."""
        return self.session.request(
            method, self.emulator.url + path, json=body, params=query, timeout=10, allow_redirects=False
        )

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must succeed."""
        answer = self.call("GET", path, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def members(self, path: str = "", **query: Any) -> Any:
        """A page of members."""
        return self.get(f"/lists/{self.audience}{path}/members", **query)

    def upsert(self, *rows: dict[str, Any], query: dict[str, Any] | None = None, **more: Any) -> Any:
        """The 500-member call, updating who is there."""
        body = {"members": list(rows), "update_existing": True, **more}
        answer = self.call("POST", f"/lists/{self.audience}", body, **(query or {}))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def problem(self, method: str, path: str, body: Any = None, **query: Any) -> dict[str, Any]:
        """The problem document of a call that must be refused."""
        answer = self.call(method, path, body, **query)
        assert answer.status_code >= 400, answer.text
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        document: dict[str, Any] = answer.json()
        assert document["status"] == answer.status_code
        return document

    def person(self, address: str) -> dict[str, Any]:
        """What the emulator holds of somebody."""
        return self.emulator.members(self.audience)[address]


@pytest.fixture
def api(mailchimp_emulator: Emulator, api_key: str) -> Iterator[Api]:
    """The emulator with one audience: FNAME, LNAME and a number AGE."""
    fields: list[str | dict[str, Any]] = ["FNAME", "LNAME", {"tag": "AGE", "name": "Age", "type": "number"}]
    mailchimp_emulator.add_audience(AUDIENCE, name="Newsletter", merge_fields=fields)
    with requests.Session() as session:
        session.auth = ("anystring", api_key)
        yield Api(emulator=mailchimp_emulator, session=session)
