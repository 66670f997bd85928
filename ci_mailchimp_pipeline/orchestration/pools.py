"""One run writes to a connection at a time, whoever started it; and whoever waits for his turn is told for whom."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import dagster as dg

from ci_mailchimp_pipeline.orchestration.tags import EXPORT, SEVERAL

LOOK_SECONDS = 2.0


def pool_of(connection: str) -> str:
    """The pool of Dagster that holds one place for *connection*."""
    return f"mailchimp_{connection}"


@contextmanager
def waiting_told(
    instance: dg.DagsterInstance, connection: str, run_id: str, say: Callable[[str], None]
) -> Iterator[None]:
    """While the run *run_id* waits for its turn at *connection*, *say* whose it is; each run once."""
    over = threading.Event()

    def watch() -> None:
        told = {run_id}
        while not over.wait(LOOK_SECONDS):
            try:
                ahead = _ahead(instance, connection, run_id)
                news = ahead - told
                if ahead and news:
                    say("; ".join(_sentence(instance, each, connection) for each in sorted(news)))
                told |= news
            except Exception:  # noqa: BLE001  (a hint is never a reason for a run to fail)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _ahead(instance: dg.DagsterInstance, connection: str, run_id: str) -> set[str]:
    """The runs that have the place for which *run_id* waits; none when it does not wait."""
    pool = instance.event_log_storage.get_concurrency_info(pool_of(connection))
    return pool.active_run_ids if run_id in {step.run_id for step in pool.pending_steps} else set()


def _sentence(instance: dg.DagsterInstance, run_id: str, connection: str) -> str:
    record = instance.get_run_record_by_id(run_id)
    export = record.dagster_run.tags.get(EXPORT, SEVERAL) if record else SEVERAL
    whose = "several exports" if export == SEVERAL else f"export {export}"
    began = record.start_time if record else None
    since = f", since {datetime.fromtimestamp(began).astimezone():%H:%M:%S}" if began else ""
    return f"waiting: run {run_id[:8]} of {whose} writes to connection {connection}{since}"
