"""Do independent requests at once, a bounded number in flight, and lose no answer when one of them fails."""

from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

Work = TypeVar("Work")
Answer = TypeVar("Answer")


def in_parallel(
    work: Iterable[Work],
    do: Callable[[Work], Answer],
    *,
    workers: int,
    on_done: Callable[[Answer], None],
    stop: Callable[[], None],
) -> None:
    """Call *do* for each piece of *work*, and *on_done* with each answer, in this thread.

    The first failure, or an interruption of this thread, calls *stop* at once, so that nothing new is begun,
    waits for what is in flight, hands its answers to *on_done* all the same, and is raised then.
    """
    pending: set[Future[Answer]] = set()
    failures: list[BaseException] = []
    failure: BaseException | None = None

    def begin(piece: Work) -> Answer:
        try:
            return do(piece)
        except BaseException as error:
            failures.append(error)
            stop()
            raise

    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="sync") as pool:
        try:
            for piece in work:
                pending.add(pool.submit(begin, piece))
                if len(pending) > workers:
                    pending = _collect(pending, on_done)
            while pending:
                pending = _collect(pending, on_done)
        except BaseException as error:  # noqa: BLE001 (raised again below, when no answer is lost)
            # Of failures that follow from one another the first one says why.
            failure = failures[0] if error in failures else error
            stop()
        for future in pending if failure else ():
            if future.cancel() or future.exception() is not None:
                continue
            on_done(future.result())
    if failure is not None:
        raise failure


def _collect(pending: set[Future[Answer]], on_done: Callable[[Answer], None]) -> set[Future[Answer]]:
    done, rest = wait(pending, return_when=FIRST_COMPLETED)
    failed = [future for future in done if future.exception() is not None]
    for future in done:
        if future not in failed:
            on_done(future.result())
    if failed:
        pending.difference_update(done)
        failed[0].result()
    return rest
