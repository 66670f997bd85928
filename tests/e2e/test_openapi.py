"""Everything we send is what Mailchimp's own OpenAPI document allows, where that is at hand."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from harness import AUDIENCE, Project, address

from ci_mailchimp_pipeline.testing import openapi_errors


def shared(name: str) -> dict[str, Any]:
    """A document of the shared material, or the test is skipped."""
    root = Path(os.environ.get("CI_MAILCHIMP_SHARED") or Path(__file__).parents[2].parent / "shared")
    path = root / "mailchimp" / name
    if not path.is_file():
        pytest.skip(f"{name} is not at hand")
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_busy_day_sends_only_what_the_document_allows(tmp_path, mailchimp_emulator):
    """New, changed, moved, tagged, untagged, archived, brought back, a merge field made: each request fits."""
    spec, newer = shared("marketing-openapi.json"), shared("newest-spec-excerpt.json")
    mailchimp_emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME"], tags=["Vip"])
    mailchimp_emulator.switch(record_bodies=True)
    project = Project(tmp_path, mailchimp_emulator)
    project.connection["contact_limit"] = 1_000
    project.export(
        "vip",
        segments=["Vip", "News"],
        on_exit="archive",
        merge_fields={"CITY": "City"},
        create_merge_fields=True,
    )
    project.customers(range(6), "Vip", "News")
    assert project.run().status == "success"
    project.customer("c00000", "moved@contoso-mail.internal", "Vip", "News", City="Ghent")
    project.customer("c00001", address(1), "Vip")
    for segment in ("Vip", "News"):
        project.leave("c00002", segment)
    assert project.run().status == "success"
    project.customer("c00002", address(2), "Vip")
    assert project.run().status == "success"

    sent = mailchimp_emulator.requests()

    written = {f"{each['method']} {each['route']}" for each in sent if each["method"] != "GET"}
    assert len(written) >= 5, written
    assert {each["method"] for each in sent} == {"GET", "POST", "PUT", "DELETE"}
    errors = openapi_errors(spec, sent, newer=newer)
    # That a call that writes heeds ``fields`` is a guess, and the client does without where it is refused.
    assert [error for error in errors if not error.endswith("query parameter fields is not known")] == []
