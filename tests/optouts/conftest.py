"""A project whose customers are members, and an audience that goes on without it."""

from pathlib import Path

import pytest
from harness import AUDIENCE, Project
from optouts.listed import Listed

from ci_mailchimp_pipeline.testing import Emulator


@pytest.fixture
def opt_outs(tmp_path: Path, mailchimp_emulator: Emulator) -> Listed:
    """30 customers who are members after one run."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(30))
    found = Listed(project)
    found.run()
    mailchimp_emulator.forget_requests()
    return found
