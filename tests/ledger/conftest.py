"""A ledger of one audience on either database, a clock that tests set, and rows for invented people."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from postgres_server import new_database

from ci_mailchimp_pipeline.ledger import Acknowledged, Lease, Ledger, open_ledger
from ci_mailchimp_pipeline.ledger.schema import METADATA

_NUMBERS = itertools.count(1)


class HandClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time it was set to."""
        return self.now


class People:
    """Invented people by number: addresses, hashes, and what an upsert of them records."""

    @staticmethod
    def address(number: int) -> str:
        """Return the address of a person."""
        return f"person{number}@contoso-mail.internal"

    @classmethod
    def hash(cls, number: int) -> bytes:
        """Return the subscriber hash of a person."""
        return hashlib.md5(cls.address(number).encode()).digest()

    @classmethod
    def acknowledged(cls, number: int, **changes: Any) -> Acknowledged:
        """Return an upsert of a person that Mailchimp took."""
        values: dict[str, Any] = {
            "subscriber_hash": cls.hash(number),
            "address": cls.address(number),
            "customer_id": f"C{number}",
            "created_by_us": True,
            "tags": ("Newsletter",),
            "fingerprint": b"f" * 16,
            "filled": "FNAME",
        }
        return Acknowledged(**values | changes)


@pytest.fixture
def people() -> type[People]:
    """Invented people."""
    return People


@pytest.fixture
def clock() -> HandClock:
    """A clock that the test moves."""
    return HandClock(1_800_000_000.0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A state folder that is not there yet."""
    return tmp_path / "home"


@pytest.fixture(scope="session")
def ledger_database(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database in PostgreSQL that has the tables of a ledger."""
    url = new_database(postgres_server, "ledger")
    open_ledger(tmp_path_factory.mktemp("unused"), url).close()
    return url


@pytest.fixture
def new_schema(ledger_database: str) -> str:
    """The URL of a ledger in PostgreSQL that has no tables yet."""
    name = f"test_{next(_NUMBERS)}"
    with psycopg.connect(ledger_database, autocommit=True) as connection:
        connection.execute(f"create schema {name}")
    return f"{ledger_database}&options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str | None:
    """Where the ledger lives: a file in the home, or PostgreSQL; it is empty."""
    if request.param == "sqlite":
        return None
    database: str = request.getfixturevalue("ledger_database")
    with psycopg.connect(database, autocommit=True) as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name != "schema_version":
                connection.execute(f"delete from {table.name}")
    return database


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest) -> str | None:
    """Where a ledger may live that was never opened."""
    return None if request.param == "sqlite" else request.getfixturevalue("new_schema")


Open = Callable[..., Ledger]


@pytest.fixture
def open_it(home: Path, url: str | None) -> Open:
    """Open the test's ledger once more, as another program does."""
    return partial(open_ledger, home, url)


@pytest.fixture
def ledger(open_it: Open, clock: HandClock) -> Iterator[Ledger]:
    """A new ledger."""
    with open_it(clock=clock) as opened:
        yield opened


@pytest.fixture
def audience(ledger: Ledger) -> int:
    """The number of an audience in it."""
    return ledger.audience("account-1", "a1b2c3d4e5")


@pytest.fixture
def lease(ledger: Ledger, audience: int) -> Iterator[Lease]:
    """The lease of that audience, held."""
    with ledger.lease(audience, "host:1") as held:
        yield held


Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read one relation of a ledger as the plan gets it: through Parquet, with DuckDB."""

    def rows(ledger: Ledger, audience: int, relation: str) -> list[dict[str, Any]]:
        file = getattr(ledger.export_state(audience, tmp_path / "out"), relation)
        with duckdb.connect() as connection:
            found = connection.execute(f"SELECT * FROM read_parquet('{file}')")
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    return rows
