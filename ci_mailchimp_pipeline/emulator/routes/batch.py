"""Batch operations: a queue of calls whose answers come as a gzipped tar."""

import gzip
import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import msgspec

from ci_mailchimp_pipeline.emulator import problems, shapes
from ci_mailchimp_pipeline.emulator.exchange import Answer, Request

PENDING_MOST = 500
"""Batches in the queue (Mailchimp release notes)."""
RESULTS = "/_emulator/batch-results/"

Run = Callable[[Request], Answer]
"""How one operation is carried out."""

_ERROR = 400


class Operation(msgspec.Struct, kw_only=True):
    """One call of a batch."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    params: dict[str, Any] | None = None
    body: str = ""
    operation_id: str = ""


class _BatchBody(msgspec.Struct, kw_only=True):
    operations: list[Operation]


@dataclass(slots=True, kw_only=True)
class Batch:
    """A queued batch; ``results`` is None until it has run."""

    id: str
    operations: list[Operation]
    submitted: int
    polls: int = 0
    completed: int = 0
    errored: int = 0
    results: bytes | None = None
    request: Request = field(repr=False)


def create_batch(request: Request) -> Any:
    """Queue a batch; it runs when it was asked after often enough (switch ``batch_polls``)."""
    waiting = sum(1 for batch in request.world.batches.values() if batch.results is None)
    if waiting >= PENDING_MOST:
        raise problems.too_many_requests(f"You have more than {PENDING_MOST} pending batches.")
    body = request.read(_BatchBody)
    batch = Batch(
        id=request.world.next_id("batch"), operations=body.operations, submitted=request.now, request=request
    )
    request.world.batches[batch.id] = batch
    return _shape(batch)


def read_batches(request: Request) -> Any:
    """A page of batches."""
    found = list(request.world.batches.values())
    answer = {"batches": [_shape(batch) for batch in found[request.page()]], "total_items": len(found)}
    return request.selection.of_value(answer)


def _batch(request: Request, batch_id: str) -> Batch:
    batch = request.world.batches.get(batch_id)
    if not isinstance(batch, Batch):
        raise problems.not_found()
    return batch


def read_batch(request: Request, batch_id: str, *, run: Run) -> Any:
    """How far a batch is; the asking carries it on."""
    batch = _batch(request, batch_id)
    batch.polls += 1
    if batch.results is None and batch.polls > request.switches.batch_polls:
        _carry_out(batch, request, run)
    return request.selection.of_value(_shape(batch))


def delete_batch(request: Request, batch_id: str) -> Answer:
    """Stop a batch; what has not run never will, and results are lost."""
    del request.world.batches[_batch(request, batch_id).id]
    return Answer(status=204)


def results(batches: dict[str, Any], batch_id: str) -> bytes | None:
    """The tar of a finished batch, None if there is none."""
    batch = batches.get(batch_id)
    return batch.results if isinstance(batch, Batch) else None


def _carry_out(batch: Batch, request: Request, run: Run) -> None:
    rows = []
    for operation in batch.operations:
        call = replace(
            request,
            method=operation.method,
            path="/" + operation.path.removeprefix("/3.0").lstrip("/"),
            query={name: str(value) for name, value in (operation.params or {}).items()},
            body=operation.body.encode(),
        )
        answer = run(call)
        batch.errored += answer.status >= _ERROR
        rows.append(
            {
                "status_code": answer.status,
                "operation_id": operation.operation_id,
                "response": answer.body.decode(),
            }
        )
    batch.completed = request.now
    batch.results = _tar(batch.id, msgspec.json.encode(rows))


def _tar(name: str, content: bytes) -> bytes:
    """A gzipped tar as Mailchimp makes it: the first entry is the folder ``./``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        folder = tarfile.TarInfo("./")
        folder.type = tarfile.DIRTYPE
        folder.mode = 0o755
        tar.addfile(folder)
        entry = tarfile.TarInfo(f"./{name}.json")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def _shape(batch: Batch) -> dict[str, Any]:
    done = batch.results is not None
    status = "finished" if done else "started" if batch.polls else "pending"
    return {
        "id": batch.id,
        "status": status,
        "total_operations": len(batch.operations),
        "finished_operations": len(batch.operations) if done else 0,
        "errored_operations": batch.errored,
        "submitted_at": shapes.time_text(batch.submitted),
        "completed_at": shapes.time_text(batch.completed),
        "response_body_url": f"{batch.request.root}{RESULTS}{batch.id}.tar.gz" if done else "",
    }
