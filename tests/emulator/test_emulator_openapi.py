"""The emulator against Mailchimp's own OpenAPI document, where that is at hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ci_mailchimp_pipeline.testing import openapi_errors

ANN = "ann@contoso-mail.internal"
BEN = "ben@contoso-mail.internal"

SMALL: dict[str, Any] = {
    "paths": {
        "/lists/{listId}": {
            "post": {
                "parameters": [{"$ref": "#/components/parameters/skip"}],
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Batch"}}}
                },
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"properties": {"total": {"type": "integer"}}}}
                        }
                    }
                },
            }
        }
    },
    "components": {
        "parameters": {"skip": {"name": "skip", "in": "query", "schema": {"type": "boolean"}}},
        "schemas": {
            "Batch": {
                "required": ["members"],
                "properties": {"members": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
            },
            "Row": {"properties": {"email_address": {"type": "string"}}},
        },
    },
}


def call(**more: Any) -> dict[str, Any]:
    """A recorded call that the small document allows."""
    good = {"method": "POST", "path": "/lists/a1", "query": "skip=true", "status": 200}
    return good | {"body": {"members": [{"email_address": ANN}]}, "answer": {"total": 1}} | more


@pytest.mark.parametrize(
    ("recorded", "errors"),
    [
        (call(), []),
        (call(path="/nowhere"), ["POST unknown path: no such operation"]),
        (call(method="PUT"), ["PUT unknown path: no such operation"]),
        (call(query="skipp=true"), ["POST /lists/{listId}: query parameter skipp is not known"]),
        (call(query="skip=maybe"), ["POST /lists/{listId}: query skip: top breaks type"]),
        (call(body={}), ["POST /lists/{listId}: body: top breaks required"]),
        (call(body=None), ["POST /lists/{listId}: has no body"]),
        (
            call(body={"members": [{"email_address": 3}]}),
            ["POST /lists/{listId}: body: members.*.email_address breaks type"],
        ),
        (call(answer={"total": "one"}), ["POST /lists/{listId}: answer: total breaks type"]),
        (call(status=400, answer={"total": "one"}), []),
    ],
)
def test_the_check_finds_what_a_document_forbids(recorded: dict[str, Any], errors: list[str]) -> None:
    """Each kind of mistake is one line, without any value."""
    assert openapi_errors(SMALL, [recorded]) == errors


def test_a_newer_document_overrides_an_operation() -> None:
    """Its body and its query parameters count instead of the older ones."""
    newer = {"paths": {"/3.0/lists/{list_id}": {"post": {"requestBody": {"required": ["people"]}}}}}

    assert openapi_errors(SMALL, [call()], newer=newer) == ["POST /lists/{listId}: body: top breaks required"]
    assert openapi_errors(SMALL, [call(body={"people": []})], newer=newer) == []


@pytest.fixture
def documents() -> tuple[dict[str, Any], dict[str, Any]]:
    """Mailchimp's document, and the newer operations."""
    beside = Path(__file__).parents[3] / "shared"
    folder = Path(os.environ.get("CI_MAILCHIMP_SHARED", beside)) / "mailchimp"
    if not (folder / "marketing-openapi.json").exists():
        pytest.skip("Mailchimp's OpenAPI document is not here; set CI_MAILCHIMP_SHARED to its folder")
    spec = json.loads((folder / "marketing-openapi.json").read_text())
    newer = json.loads((folder / "newest-spec-excerpt.json").read_text())
    return spec, newer


def test_requests_and_answers_are_those_of_the_document(api: Any, documents: Any) -> None:
    """A call of every endpoint, with every answer, is allowed by Mailchimp's own document."""
    spec, newer = documents
    api.emulator.switch(record_bodies=True, batch_polls=0)
    audience = f"/lists/{api.audience}"
    row = {"email_address": ANN, "status_if_new": "subscribed", "tags": ["VIP"], "merge_fields": {"AGE": 3}}
    api.upsert(row, query={"skip_duplicate_check": "true"})
    api.upsert(row, query={"skip_merge_validation": "true"})
    member = f"{audience}/members/{api.get(f'{audience}/members', count=1)['members'][0]['id']}"
    api.call("POST", f"{audience}/members", {"email_address": BEN, "status": "subscribed"})
    api.call("PUT", member, {"email_address": ANN, "status_if_new": "subscribed"})
    api.call("PATCH", member, {"merge_fields": {"FNAME": "Ann"}})
    api.call("POST", f"{member}/tags", {"tags": [{"name": "News", "status": "active"}], "is_syncing": True})
    api.call("POST", f"{audience}/merge-fields", {"name": "City", "type": "text", "tag": "CITY"})
    segment = api.call("POST", f"{audience}/segments", {"name": "S", "static_segment": []}).json()["id"]
    api.call("PATCH", f"{audience}/segments/{segment}", {"name": "T"})
    change = {"members_to_add": [ANN, "x@contoso-mail.internal"], "members_to_remove": [BEN]}
    api.call("POST", f"{audience}/segments/{segment}", change)
    api.call("POST", f"{audience}/webhooks", {"url": "https://hooks.contoso.internal", "events": {}})
    batch = api.call("POST", "/batches", {"operations": [{"method": "GET", "path": "/ping"}]}).json()["id"]
    for path in ("", "/merge-fields", "/members", "/segments", "/webhooks"):
        api.get(audience + path)
    for path in ("/", "/ping", "/lists", "/batches", f"/batches/{batch}", member, f"{member}/tags"):
        api.get(path)
    api.get(f"{audience}/segments/{segment}")
    api.get(f"{audience}/segments/{segment}/members", include_unsubscribed="true", count=1000)
    api.get(f"{audience}/tag-search", name="V")
    api.call("DELETE", f"{audience}/segments/{segment}")
    api.call("DELETE", f"/batches/{batch}")
    api.call("DELETE", member)
    api.call("POST", f"{member}/actions/delete-permanent")

    recorded = api.emulator.requests()

    assert len({(request["method"], request["route"]) for request in recorded}) == 30
    assert openapi_errors(spec, recorded, newer=newer) == []
