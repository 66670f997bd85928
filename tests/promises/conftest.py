"""A project with an audience, and a look at every request that any of these tests sent."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import AUDIENCE, Project
from promises.promised import bodies, hurried, returned

from ci_mailchimp_pipeline.testing import Emulator


@pytest.fixture
def project(tmp_path: Path, mailchimp_emulator: Emulator) -> Iterator[Project]:
    """An empty audience and an empty source; afterwards no request may have done what none may ever do."""
    mailchimp_emulator.switch(record_bodies=True)
    mailchimp_emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME", "CITY"])
    made = Project(folder=tmp_path, emulator=mailchimp_emulator, connect=hurried)
    yield made
    _look_at_every_request(made)


@pytest.fixture
def brought_back() -> list[str]:
    """Addresses that a test expects to be brought back, the only ones that may be sent with a status."""
    return []


@pytest.fixture(autouse=True)
def _only_returns_carry_status(project: Project, brought_back: list[str]) -> Iterator[None]:
    yield
    assert sorted(returned(project)) == sorted(brought_back)


def _look_at_every_request(project: Project) -> None:
    for request in project.emulator.writes():
        assert request["method"] in ("POST", "PUT", "DELETE"), (
            "PATCH replaces a tag's members or changes a status"
        )
        assert "delete-permanent" not in request["path"], "nothing is permanently deleted"
        if request["method"] == "DELETE":
            assert "/members/" in request["path"], "no tag, field or audience is deleted"
        body = request.get("body") or {}
        assert "sync_tags" not in body, "it would take away the tags of others"
        assert body.get("update_existing", True) is True
    assert not any(sent.get("status", "subscribed") != "subscribed" for sent in bodies(project))
