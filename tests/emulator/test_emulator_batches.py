"""Batch operations."""

import gzip
import io
import json
import tarfile
from typing import Any

import pytest
import requests

ANN = "ann@contoso-mail.internal"


def operation(api: Any, address: str, **more: Any) -> dict[str, Any]:
    """An operation that adds somebody."""
    body = json.dumps({"email_address": address, "status": "subscribed"})
    path = f"lists/{api.audience}/members"
    return {"method": "POST", "path": path, "body": body, "operation_id": address, **more}


def results(url: str) -> list[dict[str, Any]]:
    """The rows of the result file, fetched without a key."""
    packed = gzip.decompress(requests.get(url, timeout=10).content)
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        assert tar.getnames()[0] == "."
        rows: list[dict[str, Any]] = []
        for name in tar.getnames()[1:]:
            content = tar.extractfile(name)
            assert content is not None
            rows += json.loads(content.read())
    return rows


def test_a_batch_runs_when_it_was_asked_after(api: Any) -> None:
    """Queued, then started, then finished with a gzipped tar of all answers."""
    operations = [operation(api, ANN), operation(api, "ann@example.com"), {"method": "GET", "path": "/ping"}]

    queued = api.call("POST", "/batches", {"operations": operations}).json()
    path = f"/batches/{queued['id']}"
    states = [queued["status"], api.get(path)["status"]]
    untouched = api.emulator.members(api.audience)
    finished = api.get(path)

    assert (states, untouched) == (["pending", "started"], {})
    assert (finished["status"], finished["total_operations"]) == ("finished", 3)
    assert (finished["finished_operations"], finished["errored_operations"]) == (3, 1)
    rows = results(finished["response_body_url"])
    assert [(row["status_code"], row["operation_id"]) for row in rows] == [
        (200, ANN),
        (400, "ann@example.com"),
        (200, ""),
    ]
    assert json.loads(rows[1]["response"])["instance"] == ""
    assert ANN in api.emulator.members(api.audience)


def test_parameters_of_an_operation_are_its_query(api: Any) -> None:
    """Partial answers work inside a batch."""
    api.emulator.switch(batch_polls=0)
    operations = [{"method": "GET", "path": "/lists", "params": {"fields": "total_items", "count": 5}}]
    batch = api.call("POST", "/batches", {"operations": operations}).json()

    url = api.get(f"/batches/{batch['id']}")["response_body_url"]

    assert json.loads(results(url)[0]["response"]) == {"total_items": 1}


def test_a_deleted_batch_never_runs(api: Any) -> None:
    """And is not found again."""
    batch = api.call("POST", "/batches", {"operations": [operation(api, ANN)]}).json()

    assert api.call("DELETE", f"/batches/{batch['id']}").status_code == 204

    assert api.problem("GET", f"/batches/{batch['id']}")["status"] == 404
    assert api.emulator.members(api.audience) == {}


def test_batches_are_listed(api: Any) -> None:
    """With how far they are."""
    api.call("POST", "/batches", {"operations": []})

    assert api.get("/batches", fields="batches.status,total_items") == {
        "batches": [{"status": "pending"}],
        "total_items": 1,
    }


def test_no_more_than_500_batches_wait(api: Any) -> None:
    """One more is 429."""
    for _ in range(500):
        api.call("POST", "/batches", {"operations": []})

    assert api.problem("POST", "/batches", {"operations": []})["status"] == 429


@pytest.mark.parametrize("body", [{}, {"operations": [[]]}, {"operations": [{"method": "GET"}]}])
def test_a_batch_that_breaks_the_schema_is_400(api: Any, body: Any) -> None:
    """The field says which operation."""
    assert api.problem("POST", "/batches", body)["title"] == "Invalid Resource"


def test_results_that_are_not_there_are_404(api: Any) -> None:
    """The address of an unfinished batch's results answers, too."""
    url = api.emulator.url.replace("/3.0", "/_emulator/batch-results/none.tar.gz")

    assert requests.get(url, timeout=10).status_code == 404
