"""What it means when Dagster's own records cannot be read or written; its words would be a page of traceback."""

import errno
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from ci_mailchimp_pipeline.artifacts import no_room, unwritable
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError

_DATABASES = frozenset({"OperationalError", "InterfaceError"})  # of every database's driver (PEP 249)


class Records:
    """Around what uses Dagster's records in *folder*: their failures end the block, and are kept in ``failure``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.failure: PipelineError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception) and not isinstance(error, PipelineError):
            self.failure = records_failure(error, self._folder)
        return self.failure is not None


def records_failure(error: BaseException, folder: Path) -> PipelineError | None:
    """The error to raise when *error* comes from Dagster's records in *folder*; None for a bug."""
    causes = list(_causes(error))
    found = (_meaning(each, folder) for each in causes)
    known = next((each for each in found if each is not None), None)
    return known or (_busy(folder) if any(type(each).__name__ in _DATABASES for each in causes) else None)


def _meaning(error: BaseException, folder: Path) -> PipelineError | None:
    if isinstance(error, OSError):
        return no_room(error, folder)
    # By name, with what makes it more special after it: https://www.sqlite.org/rescode.html
    name = (getattr(error, "sqlite_errorname", "") + "_").removeprefix("SQLITE_")
    if name.startswith("FULL_"):
        return no_room(OSError(errno.ENOSPC, ""), folder)
    if name.startswith(("READONLY_", "CANTOPEN_", "PERM_")):
        return unwritable(PermissionError(errno.EACCES, ""), folder)
    if name.startswith(("CORRUPT_", "NOTADB_")):
        return FixConfigError(
            "dagster_damaged",
            f"Dagster's records in {folder} are damaged",
            fix=f"move {folder} away; what Dagster's page shows of earlier runs is lost, and nothing else",
        )
    return None


def _busy(folder: Path) -> PipelineError:
    return RunLaterError(
        "dagster_busy",
        f"Dagster's records in {folder} could not be read or written: locked, unreachable, or a disk that fails",
        fix="look whether their disk or database is well, then run again",
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__
