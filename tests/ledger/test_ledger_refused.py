"""A PostgreSQL server that does not let us in: why, by its code and in whatever language, and nothing of the URL."""

import logging
import socket
import threading
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from harness import AUDIENCE, Project
from sqlalchemy.engine import make_url

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.ledger.postgresql import Postgresql

SECRET = "s3cret"
MAY_LOG_IN = "insider"


@pytest.fixture(scope="module")
def guarded(ledger_database):
    """A database that asks one role for its password; others are let in as before."""
    with psycopg.connect(ledger_database, autocommit=True) as server:
        (file,) = server.execute("show hba_file").fetchone()
        before = Path(file).read_text()
        server.execute(f"create role {MAY_LOG_IN} login password '{SECRET}'")
        Path(file).write_text(f"local all {MAY_LOG_IN} scram-sha-256\nlocal all outsider reject\n{before}")
        server.execute("select pg_reload_conf()")
        yield ledger_database
        Path(file).write_text(before)
        server.execute("select pg_reload_conf()")
        server.execute(f"drop role {MAY_LOG_IN}")


def other(url, **parts):
    """*url* with other parts."""
    return make_url(url).set(**parts).render_as_string(hide_password=False)


def refused(home, url, *, read_only=True):
    """Exit code and code of the error, of which no word may be the URL's."""
    with pytest.raises(PipelineError) as caught:
        open_ledger(home, url, read_only=read_only)
    assert "CI_MAILCHIMP_LEDGER" in caught.value.fix
    for said in (str(caught.value), repr(caught.value), str(caught.value.__cause__)):
        for word in (SECRET, MAY_LOG_IN, "outsider", "nobody", "nowhere", "127.0.0.1", "postgres:"):
            assert word not in said
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return f"{caught.value.exit_code} {caught.value.code}"


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param({"username": MAY_LOG_IN, "password": "wrong"}, id="wrong password"),
        pytest.param({"username": MAY_LOG_IN}, id="no password"),
        pytest.param({"username": "nobody", "password": SECRET}, id="unknown role"),
        pytest.param({"username": "outsider", "password": SECRET}, id="not from here"),
        pytest.param({"database": "nowhere", "password": SECRET}, id="unknown database"),
    ],
)
@pytest.mark.parametrize("read_only", [True, False])
def test_a_url_that_the_server_refuses_has_to_be_mended(home, guarded, parts, read_only):
    """Exit 2, whoever reads or writes."""
    assert refused(home, other(guarded, **parts), read_only=read_only) == "2 ledger_no_access"


def test_a_right_password_is_let_in(home, guarded):
    """The role may connect: what it lacks then is the right to the tables."""
    with psycopg.connect(other(guarded, username=MAY_LOG_IN, password=SECRET)) as connection:
        assert connection.execute("select current_user").fetchone() == (MAY_LOG_IN,)
    assert refused(home, other(guarded, username=MAY_LOG_IN, password=SECRET)) == "2 ledger_no_access"


def test_a_role_with_too_many_connections_comes_later(home, guarded):
    """The server lets somebody else in at the moment: exit 4."""
    with psycopg.connect(guarded, autocommit=True) as server:
        server.execute(f"alter role {MAY_LOG_IN} connection limit 0")
        try:
            code = refused(home, other(guarded, username=MAY_LOG_IN, password=SECRET))
        finally:
            server.execute(f"alter role {MAY_LOG_IN} connection limit -1")
    assert code == "4 ledger_unreachable"


@pytest.fixture
def stranger():
    """A server that answers everybody with one code, in a language of its own; without a code, with nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"postgresql://ana:{SECRET}@127.0.0.1:{server.getsockname()[1]}/nowhere?sslmode=disable"
        kept = []

        def answers(code):
            fields = {"S": "ВАЖНО", "V": "FATAL", "C": code, "M": 'Passwort »ana« C "00000"'}
            text = b"".join(f"{name}{value}\0".encode() for name, value in fields.items()) + b"\0"
            message = b"E" + (len(text) + 4).to_bytes(4, "big") + text if code else b""
            threading.Thread(target=serve, args=(message,), daemon=True).start()
            return url

        def serve(message):
            while True:
                try:
                    asking, _ = server.accept()
                except OSError:  # the test is over
                    return
                asking.recv(1_000)
                asking.sendall(message)
                kept.append(asking)
                if message:
                    asking.close()

        yield answers
        for asking in kept:
            asking.close()


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        ("28P01", "2 ledger_no_access"),  # wrong password
        ("28000", "2 ledger_no_access"),  # role or host
        ("3D000", "2 ledger_no_access"),  # database
        ("42501", "2 ledger_no_access"),  # may not connect to it
        ("42704", "2 ledger_no_access"),  # a setting in the URL's options
        ("55000", "2 ledger_no_access"),  # a database that takes no connections
        ("57P03", "4 ledger_unreachable"),  # starting up
        ("53300", "4 ledger_unreachable"),  # too many clients
    ],
)
def test_a_refusal_is_understood_in_any_language(home, stranger, code, meaning):
    """By the SQLSTATE, of which libpq says nothing; a word like one in the message changes nothing."""
    assert refused(home, stranger(code)) == meaning


def test_a_server_that_accepts_and_says_nothing_is_given_up(home, stranger):
    """A firewall that swallows everything: exit 4 after the time that the URL allows."""
    assert refused(home, f"{stranger('')}&connect_timeout=2") == "4 ledger_unreachable"


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        (f"postgresql://ana:{SECRET}@127.0.0.1:1/nowhere", "4 ledger_unreachable"),
        (f"postgresql://ana:{SECRET}@nowhere.contoso-mail.internal/db", "4 ledger_unreachable"),
        (f"postgresql://ana:{SECRET}@127.0.0.1:99999/nowhere", "2 ledger_no_access"),
        (f"postgresql://ana:{SECRET}@127.0.0.1:1/nowhere?sslmode=nonsense", "2 ledger_no_access"),
        (f"postgresql://ana:{SECRET}@127.0.0.1:1/nowhere?service=none", "2 ledger_no_access"),
        (f"postgresql://ana:{SECRET}@127.0.0.1:1/nowhere?sslmod=require", "2 unknown_ledger"),
        (f"postgresql://ana:{SECRET}@127.0.0.1:1/nowhere?connect_timeout=soon", "2 unknown_ledger"),
        (f"postgresql://ana:{SECRET}@/nowhere?host=a,b&port=1,2,3", "2 unknown_ledger"),
    ],
    ids=lambda value: value.rpartition("@")[2],
)
def test_what_is_wrong_before_the_server_is_asked(home, url, meaning):
    """No server or no such host: later. What no server could understand: mend the URL."""
    assert refused(home, url) == meaning


@pytest.mark.parametrize(
    "words",
    [
        "consuming input failed: server closed the connection unexpectedly",
        "consuming input failed: SSL connection has been closed unexpectedly",
        "sending query failed: SSL SYSCALL error: EOF detected",
    ],
)
def test_a_connection_that_was_lost_is_not_a_refusal(words):
    """Also an encrypted one: what is lost may come back, and nothing in the URL is wrong."""
    backend = Postgresql(make_url("postgresql://127.0.0.1:1/nowhere"))

    assert backend.meaning(psycopg.OperationalError(words)).code == "ledger_unreachable"


@pytest.fixture
def project(tmp_path, mailchimp_emulator):
    """A project of one customer."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers([1])
    return project


@pytest.mark.parametrize(
    ("parts", "meaning"),
    [
        ({"username": MAY_LOG_IN, "password": "wrong"}, "2 ledger_no_access"),
        ({"host": "127.0.0.1", "port": 1, "query": {}, "password": SECRET}, "4 ledger_unreachable"),
    ],
)
def test_the_program_says_it_in_words(project, guarded, caplog, parts, meaning):
    """Commands end with the code's exit code, in one document, and print and log nothing of the URL."""
    caplog.set_level(logging.DEBUG, "ci_mailchimp_pipeline")
    project.environ["CI_MAILCHIMP_LEDGER"] = other(guarded, **parts)
    config = str(project.write().path)

    for command in (["plan"], ["plan", "--json"], ["exports", "--json"]):
        done = CliRunner().invoke(app, ["--config", config, *command], env=project.environ)

        exit_code, code = meaning.split()
        said = code if "--json" in command else "CI_MAILCHIMP_LEDGER"
        assert (str(done.exit_code), said in done.output) == (exit_code, True), done.output
        assert "Traceback" not in done.output
        for word in (SECRET, MAY_LOG_IN, "wrong", "127.0.0.1:1", "postgresql://"):
            assert word not in done.output + caplog.text
    assert project.writes() == 0
