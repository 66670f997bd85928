"""A project that was run, and what to reconcile it with."""

from pathlib import Path

import pytest
from harness import AUDIENCE, Project
from reconcile.desk import FIELDS, Desk

from ci_mailchimp_pipeline.testing import Emulator


@pytest.fixture
def desk(tmp_path: Path, mailchimp_emulator: Emulator) -> Desk:
    """Ten customers in the segment Vip, exported once; CITY is mapped."""
    mailchimp_emulator.add_audience(AUDIENCE, merge_fields=FIELDS)
    project = Project(tmp_path, mailchimp_emulator)
    project.export("vip", merge_fields={"CITY": "City"})
    project.customers(range(10))
    made = Desk(project)
    made.run()
    return made
