"""What only PostgreSQL can do to a ledger: servers that refuse, vanish or wait; its clock; its files."""

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import psycopg
import pytest
from sqlalchemy.engine import make_url

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.ledger import Refused, open_ledger, postgresql
from ci_mailchimp_pipeline.ledger import lease as leases
from ci_mailchimp_pipeline.ledger.postgresql import Postgresql

SECRET = "s3cret"


@pytest.fixture(params=["postgresql"])
def url(ledger_database, url):
    """The ledger in PostgreSQL only."""
    return url


@pytest.fixture
def server(ledger_database):
    """The same database, for what an administrator does."""
    with psycopg.connect(ledger_database, autocommit=True) as connection:
        yield connection


def other(url, **parts):
    """*url* with other parts."""
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def test_both_spellings_of_the_url_are_one_ledger(home, url, ledger, audience):
    """The driver may be named or not."""
    with open_ledger(home, url.replace("postgresql://", "postgresql+psycopg://")) as again:
        assert again.audience("account-1", "a1b2c3d4e5") == audience
    assert not home.exists()


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (psycopg.errors.AdminShutdown, "ledger_unreachable", 4),
        (psycopg.errors.CrashShutdown, "ledger_unreachable", 4),
        (psycopg.errors.CannotConnectNow, "ledger_unreachable", 4),
        (psycopg.errors.TooManyConnections, "ledger_unreachable", 4),
        (psycopg.errors.ConnectionFailure, "ledger_unreachable", 4),
        (psycopg.errors.ReadOnlySqlTransaction, "ledger_unreachable", 4),
        (psycopg.errors.IdleInTransactionSessionTimeout, "ledger_unreachable", 4),
        (psycopg.errors.DiskFull, "ledger_disk_full", 4),
        (psycopg.errors.OutOfMemory, "ledger_busy", 4),
        (psycopg.errors.LockNotAvailable, "ledger_busy", 4),
        (psycopg.errors.DeadlockDetected, "ledger_busy", 4),
        (psycopg.errors.QueryCanceled, "ledger_busy", 4),
        (psycopg.errors.IoError, "ledger_io_error", 4),
        (psycopg.errors.InsufficientPrivilege, "ledger_no_access", 2),
        (psycopg.errors.InvalidSchemaName, "ledger_no_access", 2),
        (psycopg.errors.InvalidPassword, "ledger_no_access", 2),
        (psycopg.errors.DataCorrupted, "ledger_damaged", 2),
        (psycopg.errors.IndexCorrupted, "ledger_damaged", 2),
    ],
)
def test_states_of_the_server_have_a_meaning(error, code, exit_code):
    """What the server says in codes becomes what to do next."""
    meaning = Postgresql(make_url("postgresql://")).meaning(error("ana@contoso-mail.internal"))

    assert (meaning.code, meaning.exit_code) == (code, exit_code)
    assert meaning.fix
    assert "ana" not in str(meaning)


def test_a_bug_of_ours_stays_one():
    """Neither a broken constraint nor an unknown table is anybody else's to mend."""
    backend = Postgresql(make_url("postgresql://"))

    assert backend.meaning(psycopg.errors.NotNullViolation("x")) is None
    assert backend.meaning(psycopg.errors.UndefinedTable("x")) is None
    assert backend.meaning(psycopg.DataError("x")) is None


def test_a_missing_schema_is_explained(home, url):
    """A search path that names no schema is for a person to mend."""
    with pytest.raises(FixConfigError) as caught:
        open_ledger(home, f"{url}&options=-csearch_path%3Dnowhere")

    assert caught.value.code == "ledger_no_access"
    assert "schema" in caught.value.fix


def test_another_programs_schema_is_not_touched(home, new_schema):
    """Tables of somebody else's (Dagster's, say) in the same schema are refused, not mixed with ours."""
    with psycopg.connect(new_schema, autocommit=True) as connection:
        connection.execute("create table runs (id int)")

    with pytest.raises(FixConfigError) as caught:
        open_ledger(home, new_schema)

    assert caught.value.code == "not_a_ledger"


def test_a_missing_driver_says_what_to_install(tmp_path):
    """Without the postgres extra the error names it, and not the URL."""
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from pathlib import Path\n"
        "from ci_mailchimp_pipeline.errors import PipelineError\n"
        "from ci_mailchimp_pipeline.ledger import open_ledger\n"
        "try: open_ledger(Path('home'), 'postgresql://ana:s3cret@db/ledger')\n"
        "except PipelineError as error: print(error.exit_code, error.code, error.fix, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip

    assert done.stdout.startswith("2 ledger_needs_extra pip install 'ci-mailchimp-pipeline[postgres]'")
    assert SECRET not in done.stdout


@pytest.fixture
def reading(url, server, ledger):
    """The URL of a role that may read the ledger."""
    server.execute("drop role if exists reader")
    server.execute("create role reader login")
    server.execute("grant select on all tables in schema public to reader")
    yield other(url, username="reader")
    server.execute("drop owned by reader; drop role reader")


def test_a_role_that_may_only_read_can_plan(home, reading, lease, people, read):
    """Whoever plans needs no more than SELECT; writing then says what is missing."""
    with open_ledger(home, reading, read_only=True) as reader:
        assert read(reader, lease.audience, "members") == []
        assert reader.held(lease.audience, "vip") == 0
    with open_ledger(home, reading) as writer, pytest.raises(FixConfigError) as caught:
        writer.audience("account-1", "new")

    assert caught.value.code == "ledger_no_access"


def kill_connections(server):
    """What a restart of the server does to everybody's connections."""
    server.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
        " and pid <> pg_backend_pid()"
    )


def test_connections_that_died_between_batches_cost_nothing(ledger, audience, lease, people, server):
    """A server that was restarted meanwhile is connected to again, without an error."""
    ledger.record(lease, [people.acknowledged(1)], export="vip")
    kill_connections(server)

    ledger.record(lease, [people.acknowledged(2)], export="vip")
    kill_connections(server)

    assert ledger.held(audience, "vip") == 2


def test_a_connection_lost_in_a_batch_loses_the_batch_only(ledger, audience, lease, people, server):
    """Nothing of it is recorded, the error says to run again, and the next batch works."""
    real = ledger._database.statements.run

    class Losing:
        """Statements whose connection is lost after the first."""

        def run(self, connection, name, rows):
            real(connection, name, rows)
            kill_connections(server)

    ledger._database.statements, kept = Losing(), ledger._database.statements
    with pytest.raises(RunLaterError) as caught:
        ledger.record(lease, [people.acknowledged(1)], export="vip")
    ledger._database.statements = kept

    assert caught.value.code == "ledger_unreachable"
    assert ledger.held(audience, "vip") == 0
    ledger.record(lease, [people.acknowledged(2)], export="vip")
    assert ledger.held(audience, "vip") == 1


def test_a_lock_that_somebody_keeps_ends_in_run_later(monkeypatch, open_it, url, audience):
    """Maintenance that locks the tables for too long is exit 4, not a hang."""
    monkeypatch.setattr(postgresql, "BUSY_SECONDS", 0.05)
    with open_it() as ledger, psycopg.connect(url) as maintenance:
        maintenance.execute("lock table lease")
        with pytest.raises(RunLaterError) as caught, ledger.lease(audience, "host:2"):
            pass

    assert caught.value.code == "ledger_busy"


def test_a_program_stopped_inside_a_transaction_gives_its_locks_back(
    monkeypatch, open_it, ledger, audience, people
):
    """Who was stopped with the audience's row locked loses the transaction, and holds nobody up for ever."""
    monkeypatch.setattr(postgresql, "STOPPED_SECONDS", 0.05)

    def stopped(program):
        with program._database.write() as connection:
            lease.guard(connection)
            ledger.record(lease, [people.acknowledged(1)], export="vip")  # waits for the row
            lease.guard(connection)

    with open_it() as program, ledger.lease(audience, "host:1", ttl=3600) as lease:
        with pytest.raises(RunLaterError) as caught:
            stopped(program)
        assert caught.value.code == "ledger_unreachable"

    assert ledger.held(audience, "vip") == 1


@pytest.mark.parametrize("off", [-86_400.0, 86_400.0])
def test_leases_go_by_the_servers_clock(monkeypatch, open_it, audience, server, off):
    """A host whose clock is a day off neither breaks into a lease nor keeps one longer."""
    with open_it() as first, open_it() as second:
        with first.lease(audience, "host:1", ttl=60):
            monkeypatch.setattr(leases, "time", SimpleNamespace(time=lambda: time.time() + off))
            with pytest.raises(RunLaterError) as caught, second.lease(audience, "host:2", ttl=60):
                pass
        assert caught.value.code == "audience_busy"
        assert "last sign of life 0 s ago" in caught.value.message
        with second.lease(audience, "host:2", ttl=60) as held:
            (begun, ends, now) = server.execute(
                "select heartbeat, expires, extract(epoch from now())::float8 from lease where audience = %s",
                [held.audience],
            ).fetchone()

    assert abs(begun - now) < 60
    assert ends - begun == 60


def test_what_is_acknowledged_is_on_disk_whatever_the_default(open_it, url, server, audience):
    """A database that commits asynchronously by default does not for us; who we are is shown there."""
    server.execute("alter database ledger set synchronous_commit = off")
    try:
        with open_it() as ledger, ledger._database.write() as connection:
            shown = connection.exec_driver_sql(
                "select current_setting('synchronous_commit'), current_setting('application_name')"
            ).one()
    finally:
        server.execute("alter database ledger reset synchronous_commit")

    assert tuple(shown) == ("on", "ci-mailchimp")


def test_one_person_twice_in_a_batch_is_recorded_in_order(ledger, audience, lease, people):
    """Statements over arrays must not touch a row twice; what came last stands, and each refusal counts."""
    no = Refused(
        subscriber_hash=people.hash(2), customer_id="C2", kind="temporary", code="busy", field=None,
        fingerprint=b"f", retry_at=None,
    )  # fmt: skip
    rows = [people.acknowledged(1, tags=(tag,)) for tag in ("A", "B", "C")]
    ledger.record(lease, [*rows, no, no, no], export="vip")

    assert ledger.person(audience, people.hash(1)).holds[0].tags == ("C",)
    assert ledger.person(audience, people.hash(2)).refusals[0].attempts == 3


def test_an_error_never_quotes_the_row(ledger, lease, people):
    """PostgreSQL repeats the failing row; our error has its code instead."""
    with pytest.raises(PipelineError) as caught:
        ledger.record(lease, [people.acknowledged(1, customer_id=None)], export="vip")

    assert caught.value.code == "ledger_failed"
    assert "23502" in caught.value.message  # not_null_violation
    assert caught.value.__suppress_context__
    assert "contoso" not in str(caught.value)


def test_no_table_file_keeps_an_erased_person(home, postgres, people):
    """Address, customer and hash are in no file of a table, though a plain VACUUM would leave them there."""
    needles = (people.address(1).encode(), b"Customer-77", people.hash(1))
    with open_ledger(home, postgres) as ledger, psycopg.connect(postgres, autocommit=True) as server:
        audience = ledger.audience("account-1", "a1b2c3d4e5")
        with ledger.lease(audience, "host:1") as lease:
            crowd = [people.acknowledged(number) for number in range(100, 400)]
            person = people.acknowledged(1, customer_id="Customer-77")
            ledger.record(lease, [*crowd, person], export="vip")
            ledger.adopt_tag(lease, "Partner", [[people.hash(1)]])
        server.execute("set default_statistics_target = 10000")
        server.execute("analyze")  # PostgreSQL does so by itself, and keeps samples of all columns
        assert all(found_in_tables(server, needles))

        ledger.erase(people.hash(1), ["Customer-77"], owner="host:9")

        assert not any(found_in_tables(server, needles))
        assert ledger.held(audience, "vip") == 300


def found_in_tables(server, needles):
    """Which of *needles* are in a file of the database, its log apart."""
    server.execute("checkpoint")
    (folder,) = server.execute(
        "select current_setting('data_directory') || '/base/' || oid from pg_database"
        " where datname = current_database()"
    ).fetchone()
    content = [file.read_bytes() for file in Path(folder).iterdir()]
    return [any(needle in text for text in content) for needle in needles]


def test_a_schema_of_its_own_may_share_a_database(home, new_schema, people):
    """``options=-csearch_path`` keeps the ledger apart from what else the database holds."""
    with open_ledger(home, new_schema) as ledger, ledger.lease(ledger.audience("a", "b"), "host:1") as lease:
        ledger.record(lease, [people.acknowledged(1)], export="vip")
    name = make_url(new_schema).query["options"].partition("=")[2]

    with psycopg.connect(new_schema) as connection:
        found = connection.execute("select schemaname from pg_tables where tablename = 'member'").fetchall()
        (rows,) = connection.execute(f"select count(*) from {quote(name)}.member").fetchone()

    assert (name,) in found
    assert rows == 1
