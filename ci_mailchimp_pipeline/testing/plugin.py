"""A pytest plugin: put ``pytest_plugins = ["ci_mailchimp_pipeline.testing.plugin"]`` into a conftest.py."""

from collections.abc import Iterator

import pytest

from ci_mailchimp_pipeline.testing.emulator import Emulator


@pytest.fixture(scope="session")
def mailchimp_emulator_server() -> Iterator[Emulator]:
    """One local Mailchimp for all tests; use `mailchimp_emulator`, which is empty at the start of each."""
    with Emulator.start() as emulator:
        yield emulator


@pytest.fixture
def mailchimp_emulator(mailchimp_emulator_server: Emulator) -> Iterator[Emulator]:
    """A local Mailchimp without audiences, faults or recording.

    A call that no endpoint answers fails the test at its end: in the client it may have looked like any 404.
    """
    mailchimp_emulator_server.reset()
    yield mailchimp_emulator_server
    unknown = [f"{request['method']} {request['path']}" for request in mailchimp_emulator_server.unknown()]
    assert not unknown, f"the emulator has no such endpoint: {unknown}"  # noqa: S101
