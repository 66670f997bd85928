"""Bring a ledger to the version this program knows, or back to an earlier one, a numbered step at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, inspect, select, update

from ci_mailchimp_pipeline.errors import FixConfigError, SafetyStopError
from ci_mailchimp_pipeline.ledger.schema import FORGOTTEN_SINCE, METADATA, forgotten, schema_version


@dataclass(frozen=True, slots=True)
class Step:
    """From one version to the next, and back. Neither way loses a row: up again, everything is there."""

    up: Callable[[Connection], None]
    down: Callable[[Connection], None]


def _add_forgotten(connection: Connection) -> None:
    forgotten.create(connection, checkfirst=True)


def _keep_forgotten(_connection: Connection) -> None:
    """Version 1 takes no notice of the table, and dropping it would forget who must not be sent again."""


STEPS: tuple[Step, ...] = (Step(up=_add_forgotten, down=_keep_forgotten),)
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


def migrate(connection: Connection, steps: Sequence[Step] = STEPS, *, to: int | None = None) -> int:
    """Create the tables, or take the *steps* to version *to* (the newest), which is returned.

    Raises:
        FixConfigError: ``ledger_too_new``, a later program has migrated it.
    """
    newest = len(steps) + 1
    version = read_version(connection)
    check_version(version, newest)
    wanted = newest if to is None else to
    if version == 0:
        METADATA.create_all(connection)
        connection.execute(insert(schema_version).values(version=newest))
    elif version != wanted:
        for step in steps[version - 1 : wanted - 1]:
            step.up(connection)
        for step in reversed(steps[wanted - 1 : version - 1]):
            step.down(connection)
        connection.execute(update(schema_version).values(version=wanted))
    return wanted


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


def check_forgotten(connection: Connection, version: int) -> None:
    """Refuse to go back to a version that would send again who was erased.

    Raises:
        SafetyStopError: ``ledger_remembers``.
    """
    count = connection.execute(select(func.count()).select_from(forgotten)).scalar_one()
    if version < FORGOTTEN_SINCE and count:
        raise SafetyStopError(
            "ledger_remembers",
            f"the ledger has {count} digests of people who were erased; version {version} takes no notice of "
            "them, and would send them again if the source still has them",
            fix="see to it that the source has none of them, then add --although-forgotten",
        )
