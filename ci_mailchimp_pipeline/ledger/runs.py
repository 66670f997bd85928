"""The history of runs, and what a run left unsettled."""

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger.records import RunRow, RunStatus
from ci_mailchimp_pipeline.ledger.schema import run

_COLUMNS = [column for column in run.columns if column is not run.c.unsettled]


def start(connection: Connection, row: RunRow) -> None:
    """Insert *row*; the same run once more (a retry) starts over and keeps what it left unsettled."""
    values = {
        column.name: getattr(row, column.name) for column in _COLUMNS if column is not run.c.mailchimp_time
    }
    values["dry_run"] = int(row.dry_run)
    if connection.execute(update(run).where(_is(row.run_id, row.export)).values(**values)).rowcount == 0:
        connection.execute(insert(run).values(**values, unsettled=0))


def begin(connection: Connection, run_id: str, export: str, *, audience: int, mailchimp_time: float) -> None:
    """Note that the run writes from *mailchimp_time* on; an earlier try that is unsettled keeps its time."""
    kept = connection.execute(
        select(run.c.mailchimp_time).where(_is(run_id, export) & (run.c.unsettled == 1))
    ).scalar()
    since = mailchimp_time if kept is None else min(kept, mailchimp_time)
    _change(connection, run_id, export, audience=audience, mailchimp_time=since, unsettled=1)


def finish(connection: Connection, run_id: str, export: str, **values: Any) -> None:
    """Note how the run ended; a success settles what earlier runs of the same export left open."""
    _change(connection, run_id, export, **values)
    row = connection.execute(select(run).where(_is(run_id, export))).one()
    if row.dry_run:
        return
    if row.status == "success":
        connection.execute(
            update(run)
            .where((run.c.audience == row.audience) & (run.c.export == row.export))
            .values(unsettled=0)
        )
    elif row.mailchimp_time is not None:
        # Another run may have settled this one while it was still sending.
        _change(connection, run_id, export, unsettled=1)


def unsettled_since(connection: Connection, audience: int, export: str) -> float | None:
    """Return the earliest time at which an unsettled run of *export* began to write to *audience*."""
    since: float | None = connection.execute(
        select(func.min(run.c.mailchimp_time)).where(
            (run.c.audience == audience) & (run.c.export == export) & (run.c.unsettled == 1)
        )
    ).scalar()
    return since


def newest(
    connection: Connection, export: str | None, limit: int, status: RunStatus | None = None
) -> list[RunRow]:
    """Return up to *limit* runs, the one that started last first."""
    query = select(*_COLUMNS).order_by(run.c.started_at.desc(), run.c.run_id, run.c.export).limit(limit)
    if export is not None:
        query = query.where(run.c.export == export)
    if status is not None:
        query = query.where((run.c.status == status) & (run.c.dry_run == 0))
    return [_row(row) for row in connection.execute(query)]


def _row(row: Row[Any]) -> RunRow:
    values = dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's documented way, named so that no column clashes
    return RunRow(**values | {"dry_run": bool(values["dry_run"])})


def _is(run_id: str, export: str) -> Any:
    return (run.c.run_id == run_id) & (run.c.export == export)


def _change(connection: Connection, run_id: str, export: str, **values: Any) -> None:
    if connection.execute(update(run).where(_is(run_id, export)).values(**values)).rowcount == 0:
        raise PipelineError("run_not_started", f"the ledger has no run {run_id} of export {export}")
