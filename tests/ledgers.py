"""Over which ledger whole projects run: the file in their folder, or a database of PostgreSQL's.

``pytest --ledger postgresql`` puts every project into PostgreSQL; without it, tests marked ``both_ledgers`` run
twice. Each project has a database of its own, which is empty.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg
import pytest
from postgres_server import new_database
from sqlalchemy import MetaData, create_engine, select
from sqlalchemy.engine import make_url

KINDS = ("sqlite", "postgresql")
FORGET_KEY = "0123456789abcdef" * 4  # whoever sets CI_MAILCHIMP_LEDGER has to have one

_SERVER: list[str] = []  # of the test that runs, when its ledgers are in PostgreSQL
_NUMBERS = itertools.count(1)


def new_ledger() -> dict[str, str]:
    """What the environment of a new project says about its ledger."""
    return _made("template template0") if _SERVER else {}


def copy_of_ledger(environ: Mapping[str, str]) -> dict[str, str]:
    """The same of a project in a copied folder: a file was copied with it, a database is copied now."""
    return _made(f"template {_name(environ)}") if _SERVER else {}


def drop_ledger(environ: Mapping[str, str]) -> None:
    """Give back the room of a project's database, whose folder is gone as well."""
    if _SERVER:
        _tell(f"drop database if exists {_name(environ)} with (force)")


def lose_ledger(folder: Path, environ: dict[str, str]) -> None:
    """Put an empty ledger in the place of that of the project in *folder*."""
    if _SERVER:
        environ |= new_ledger()
    else:
        (folder / ".ci_mailchimp" / "ledger.sqlite").unlink()


def ledger_rows(folder: Path, environ: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table of the ledger of the project in *folder*; no table when there is no ledger."""
    file = folder / ".ci_mailchimp" / "ledger.sqlite"
    if not _SERVER and not file.exists():
        return {}
    engine = create_engine(
        make_url(environ["CI_MAILCHIMP_LEDGER"]).set(drivername="postgresql+psycopg")
        if _SERVER
        else f"sqlite:///{file}"
    )
    found = MetaData()
    with engine.connect() as connection:
        found.reflect(connection)
        rows = {
            name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for name, table in found.tables.items()
        }
    engine.dispose()
    return rows


def ledger_files(environ: Mapping[str, str]) -> list[Path]:
    """The files of a project's database, written to the disk, its log apart; none if it is no database."""
    if not _SERVER:
        return []
    with psycopg.connect(environ["CI_MAILCHIMP_LEDGER"], autocommit=True) as connection:
        connection.execute("checkpoint")
        (folder,) = connection.execute(
            "select current_setting('data_directory') || '/base/' || oid from pg_database"
            " where datname = current_database()"
        ).fetchone() or ("",)
    return [path for path in Path(folder).iterdir() if path.is_file()]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--ledger", choices=KINDS, default="sqlite", help="where projects under test keep their ledger"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run marked tests over both, unless all are to run over PostgreSQL."""
    both = metafunc.definition.get_closest_marker("both_ledgers") is not None
    if both and metafunc.config.getoption("ledger") == "sqlite":
        metafunc.parametrize("ledger_kind", KINDS, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is about SQLite's files when there are none."""
    if config.getoption("ledger") != "sqlite":
        for item in items:
            if item.get_closest_marker("sqlite_only"):
                item.add_marker(pytest.mark.skip(reason="about SQLite's own files"))


@pytest.fixture(scope="session", autouse=True)
def ledger_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where projects keep their ledger. A fixture that makes one for several tests has to ask for it."""
    kind: str = getattr(request, "param", request.config.getoption("ledger"))
    if kind == "postgresql":
        _SERVER.append(request.getfixturevalue("postgres_server"))
    yield kind
    _SERVER.clear()


@pytest.fixture(autouse=True)
def _databases_of_the_test(request: pytest.FixtureRequest, ledger_kind: str) -> Iterator[None]:
    """Drop what the test made, and see that none of its projects was over SQLite unnoticed."""
    first = next(_NUMBERS)
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    made = range(first + 1, next(_NUMBERS))
    if ledger_kind == "postgresql" and made:
        for number in made:
            _tell(f"drop database if exists project_{number} with (force)")
        assert not folder or not [*folder.rglob("ledger.sqlite")], "a project of this test was over SQLite"


def _made(how: str) -> dict[str, str]:
    how += " strategy file_copy"  # a third of the time of the other strategy
    url = new_database(_SERVER[0], f"project_{next(_NUMBERS)}", how)
    return {"CI_MAILCHIMP_LEDGER": url, "CI_MAILCHIMP_FORGET_KEY": FORGET_KEY}


def _name(environ: Mapping[str, str]) -> str:
    return str(make_url(environ["CI_MAILCHIMP_LEDGER"]).database)


def _tell(statement: str) -> None:
    with psycopg.connect(_SERVER[0], autocommit=True) as connection:
        connection.execute(statement)
