"""A project whose customers are members, and an audience that goes on without it."""

from pathlib import Path

import pytest
from harness import AUDIENCE, Project, address, key
from optouts.listed import Listed

from ci_mailchimp_pipeline.ledger import Acknowledged
from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = range(12)
ACCOUNT = "8d3a3db4d97663a9074efcc16"  # whose the local Mailchimp is


@pytest.fixture
def opt_outs(tmp_path: Path, mailchimp_emulator: Emulator) -> Listed:
    """A dozen customers who are members, as the ledger knows them after a run."""
    people = [
        {"email_address": address(number), "tags": ["Vip"], "source": "API - Generic"} for number in PEOPLE
    ]
    mailchimp_emulator.add_audience(AUDIENCE, members=people)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(PEOPLE)
    project.write()
    rows = [
        Acknowledged(
            subscriber_hash=key(address(number)), address=address(number), customer_id=f"c{number:05}",
            created_by_us=True, tags=("Vip",), fingerprint=b"f" * 16, filled="",
        )
        for number in PEOPLE
    ]  # fmt: skip
    with project.ledger() as ledger, ledger.lease(ledger.audience(ACCOUNT, AUDIENCE), "here:1") as lease:
        ledger.record(lease, rows, export="vip")
    mailchimp_emulator.forget_requests()
    return Listed(project)
