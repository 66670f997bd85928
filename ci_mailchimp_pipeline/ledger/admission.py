"""Why a PostgreSQL server does not let us in: by its code, for its words are in its own language.

libpq keeps the code of a failed connection to itself, but writes it into a trace of what was said:
https://www.postgresql.org/docs/current/libpq-control.html#LIBPQ-PQTRACE
"""

import os
import re
import select
import time
from collections.abc import Mapping
from typing import Any

_CODE = re.compile(rb'^B\t\d+\tErrorResponse\t.*? C "([0-9A-Z]{5})"', re.MULTILINE)
_NO_PASSWORD = "28P01"  # noqa: S105  invalid_password


def why_not_admitted(parameters: Mapping[str, Any]) -> str | None:
    """Ask to be let in once more, and return the SQLSTATE of the refusal.

    Args:
        parameters: Of the connection, in libpq's words; it is waited for as long as ``connect_timeout`` says.

    Returns:
        None when the server lets us in now or does not answer, when *parameters* are such that it was not asked,
        and where nothing can be traced, which is everywhere but on Linux.
    """
    from psycopg import conninfo, pq  # noqa: PLC0415  an extra

    if not hasattr(os, "memfd_create"):
        return None
    deadline = time.monotonic() + float(parameters["connect_timeout"])
    connection = pq.PGconn.connect_start(conninfo.make_conninfo(**parameters).encode())
    with open(os.memfd_create("trace"), "rb") as trace:  # noqa: PTH123  in memory: it may hold a password
        connection.trace(os.dup(trace.fileno()))
        connection.set_trace_flags(pq.Trace.SUPPRESS_TIMESTAMPS)
        waiting = True
        while waiting and connection.status != pq.ConnStatus.BAD:
            state = connection.connect_poll()
            reads = [connection.socket] if state == pq.PollingStatus.READING else []
            writes = [connection.socket] if state == pq.PollingStatus.WRITING else []
            left = max(0.0, deadline - time.monotonic())
            waiting = bool(reads or writes) and any(select.select(reads, writes, [], left))
        asked_in_vain = connection.needs_password
        connection.untrace()
        connection.finish()
        trace.seek(0)
        codes = _CODE.findall(trace.read())
    return _NO_PASSWORD if asked_in_vain else codes[-1].decode() if codes else None
