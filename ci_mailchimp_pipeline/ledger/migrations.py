"""Bring a ledger to the version this program knows, one numbered step at a time."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, insert, inspect, select, update

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.ledger.schema import METADATA, forgotten, schema_version

Step = Callable[[Connection], None]


def _add_forgotten(connection: Connection) -> None:
    forgotten.create(connection)


STEPS: tuple[Step, ...] = (_add_forgotten,)
"""Step n brings version n to n + 1. A new ledger starts with ``schema``, which is where the last one ends."""

NEWEST = len(STEPS) + 1


def read_version(connection: Connection) -> int:
    """Return the version of the ledger; 0 for an empty database.

    Raises:
        FixConfigError: It holds tables, but not those of a ledger.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return 0
    version: int | None = None
    if schema_version.name in tables:
        version = connection.execute(select(schema_version)).scalar()
    if version is None:
        raise FixConfigError(
            "not_a_ledger",
            "the database that the ledger should live in holds other tables",
            fix="set CI_MAILCHIMP_LEDGER (or CI_MAILCHIMP_HOME) to a place of its own",
        )
    return version


def migrate(connection: Connection, steps: Sequence[Step] = STEPS) -> None:
    """Create the tables, or take the *steps* that are missing; an up-to-date ledger is not written to.

    Raises:
        FixConfigError: ``ledger_too_new``, a later program has migrated it.
    """
    newest = len(steps) + 1
    version = read_version(connection)
    check_version(version, newest)
    if version == 0:
        METADATA.create_all(connection)
        connection.execute(insert(schema_version).values(version=newest))
    elif version < newest:
        for step in steps[version - 1 :]:
            step(connection)
        connection.execute(update(schema_version).values(version=newest))


def check_version(version: int, newest: int) -> None:
    """Refuse a ledger of a later program, whose additions would be lost.

    Raises:
        FixConfigError: ``ledger_too_new``.
    """
    if version > newest:
        raise FixConfigError(
            "ledger_too_new",
            f"the ledger has version {version}, this program knows versions up to {newest}",
            fix="install the ci-mailchimp-pipeline that last ran here, or a later one",
        )
