"""Whole runs over a ledger in PostgreSQL: as on SQLite, killed, and with the server killed under them."""

import json
import signal

import pytest
from harness import AUDIENCE, Project, address, key
from ledger.programs import held, runner

PEOPLE = 1_600  # four requests
PATIENCE = 60


@pytest.fixture
def project(tmp_path, mailchimp_emulator):
    """A project of some people, one request at a time."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.connection["max_connections"] = 1
    project.customers(range(PEOPLE))
    return project


def assert_exact(project, tmp_path):
    """Everybody is in the audience and in the ledger, once, and two plans find nothing to do."""
    numbers = range(PEOPLE)
    found = project.members()
    assert found.keys() == {address(number) for number in numbers}
    assert {(member["status"], *member["tags"]) for member in found.values()} == {("subscribed", "Vip")}
    assert held(project, tmp_path / "held") == {
        (key(address(number)), f"c{number:05}", "Vip") for number in numbers
    }
    assert [project.plan().writes, project.plan().writes] == [0, 0]


def test_a_run_over_postgresql_is_one_over_sqlite(project, new_schema, tmp_path):
    """Everybody arrives, nothing is left to plan, a second run sends nothing, and no file is a ledger."""
    project.environ["CI_MAILCHIMP_LEDGER"] = new_schema

    first = project.run()
    project.emulator.forget_requests()
    second = project.run()

    assert (first.status, first.counts.added, first.members) == ("success", PEOPLE, PEOPLE)
    assert (second.status, second.counts.unchanged, project.writes()) == ("success", PEOPLE, 0)
    assert_exact(project, tmp_path)
    with project.ledger() as ledger:
        assert [row.status for row in ledger.runs("vip")] == ["success", "success"]
    assert list(tmp_path.rglob("*.sqlite*")) == []


def test_a_killed_run_goes_on_where_it_was(project, new_schema, tmp_path):
    """SIGKILL when Mailchimp has answered and the ledger does not know: the next run ends exact, at once."""
    project.environ["CI_MAILCHIMP_LEDGER"] = new_schema
    project.write()
    process = runner(project)
    process.communicate("die 2\n", timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL

    again = project.run()

    assert (again.status, again.counts.accepted, again.counts.is_balanced()) == ("success", PEOPLE, True)
    assert project.writes() == 5  # four batches, and the one in flight once more
    assert_exact(project, tmp_path)


@pytest.mark.slow
def test_a_server_killed_in_the_middle_of_a_run_loses_nothing(project, own_postgres, tmp_path):
    """Exit 4 while it is down; started again, the next run ends exact, whatever the killed one had recorded."""
    project.environ["CI_MAILCHIMP_LEDGER"] = own_postgres.url
    project.write()
    process = runner(project)
    process.stdin.write("wait 2\n")
    process.stdin.flush()
    assert process.stdout.readline() == "waiting\n"

    own_postgres.kill()
    said, _ = process.communicate("\n", timeout=PATIENCE)
    down = project.run()
    own_postgres.start()
    again = project.run()

    assert json.loads(said) == {"status": "failed", "code": "ledger_unreachable", "exit_code": 4}
    assert process.returncode == 0
    assert (down.status, down.error.code) == ("failed", "ledger_unreachable")
    assert (again.status, again.counts.accepted, again.counts.is_balanced()) == ("success", PEOPLE, True)
    assert_exact(project, tmp_path)
