"""Erase a person while nothing runs, then look whether Dagster's own records hold them: they should not."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.engine import identifier
from ci_mailchimp_pipeline.errors import PipelineError, RunLaterError
from ci_mailchimp_pipeline.orchestration.folders import shared_folders
from ci_mailchimp_pipeline.orchestration.home import SETTINGS, dagster_home, private_files
from ci_mailchimp_pipeline.orchestration.launch import open_instance
from ci_mailchimp_pipeline.orchestration.records import records_failure
from ci_mailchimp_pipeline.pipeline.forgettable import check_forgettable
from ci_mailchimp_pipeline.pipeline.forgetting import Forgetting, check_left
from ci_mailchimp_pipeline.pipeline.traces import Traces, found_in
from ci_mailchimp_pipeline.sync.forget import Place, counted

RUNNING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_POSTGRES = "dagster_postgres"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten:
    """How an erasure ended: the proof of it, which names nobody.

    Attributes:
        at: ISO 8601, UTC.
        digest: The first characters of the address's digest, by which the proof can be matched.
        error: What was in the way, or is left to do; None when the person is forgotten.
    """

    at: str
    digest: str
    places: tuple[Place, ...]
    error: PipelineError | None

    def as_json(self) -> dict[str, Any]:
        """The document of ``forget --json``."""
        return {
            "forgotten": self.error is None,
            "at": self.at,
            "digest": self.digest,
            "places": [place.as_json() for place in self.places],
            "error": self.error.as_json() if self.error else None,
        }


def forget(
    config: Config,
    address: str,
    *,
    on_step: Callable[[str], None] = lambda _step: None,
    now: Callable[[], float] = time.time,
) -> Forgotten:
    """Erase whoever has *address* everywhere; what was done so far comes back also when it fails.

    Raises:
        FixConfigError: ``not_an_address``, ``sandbox``; nothing was done.
        RunLaterError: ``runs_in_progress``, ``dagster_busy``; nothing was done.
    """
    check_forgettable(config, address)
    folder = dagster_home(config.home)
    with private_files(), ExitStack() as stack:
        instance = None
        if (folder / SETTINGS).exists():
            instance = stack.enter_context(open_instance(config.home))
            _refuse_while_running(instance)
        forgetting = Forgetting(
            config=config,
            address=address,
            foreign=(folder,),
            shared=shared_folders(config),
            environ=os.environ,
            now=now,
            on_step=on_step,
        )
        error: PipelineError | None = None
        try:
            forgetting.carry_out()
            forgetting.places.append(_search(instance, folder, forgetting.traces))
            check_left(forgetting.places)
        except PipelineError as failure:
            error = failure
    at = datetime.fromtimestamp(now(), UTC).isoformat(timespec="seconds")
    return Forgotten(at=at, digest=forgetting.digest, places=tuple(forgetting.places), error=error)


def _refuse_while_running(instance: dg.DagsterInstance) -> None:
    """A run makes copies before it holds a lease."""
    running = instance.get_runs(dg.RunsFilter(statuses=list(RUNNING)))
    if running:
        raise RunLaterError(
            "runs_in_progress",
            f"{counted(len(running), 'run')} in progress, which may hold copies of the person; nothing was done",
            fix="wait for the end, or cancel what runs on Dagster's page, then forget the person again",
        )


def _search(instance: dg.DagsterInstance | None, folder: Path, traces: Traces) -> Place:
    files = [path for path in folder.rglob("*") if path.is_file() and found_in(path, traces)]
    try:
        rows = sum(_rows(storage, traces) for storage in _databases(instance)) if instance else 0
    except Exception as error:
        failure = records_failure(error, folder)
        if failure is None:
            raise
        done = f"could not be searched ({failure.code})"
        return Place(place="Dagster", found=len(files), done=done, left="wait for Dagster's database")
    if not files and not rows:
        return Place(place="Dagster", found=0, done="searched: nothing found")
    told = [f"delete {traces.shown(path.relative_to(folder.parent))}" for path in files]
    told += [f"delete the {rows} rows of its database that name the person, with their runs"] if rows else []
    return Place(place="Dagster", found=len(files) + rows, done="searched: still there", left=", ".join(told))


def _databases(instance: dg.DagsterInstance) -> Iterator[Any]:
    """Dagster's storages that are in PostgreSQL, each database once; SQLite is files."""
    found = {}
    for storage in (instance.run_storage, instance.event_log_storage, instance.schedule_storage):
        if type(storage).__module__.startswith(_POSTGRES):
            found[str(getattr(storage, "postgres_url", ""))] = storage
    yield from found.values()


def _rows(storage: Any, traces: Traces) -> int:
    """Rows of a PostgreSQL database that name the person; of the columns that can."""
    found = 0
    connect = storage.connect if hasattr(storage, "connect") else storage.index_connection
    with connect() as connection:
        columns = connection.exec_driver_sql(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() "
            "AND data_type IN ('text', 'character varying', 'json', 'jsonb')"
        ).all()
        for table, column in columns:
            text = f"CAST({identifier(column)} AS text)"
            some = " OR ".join([f"position(%s in lower({text})) > 0"] * len(traces.needles))
            rows = connection.exec_driver_sql(
                f"SELECT {text} FROM {identifier(table)} WHERE {some}", traces.needles
            )
            found += sum(traces.names(str(value).encode()) for (value,) in rows)
    return found
