"""The line: the ASGI application with the recording, the connection limit and the faults of a real line."""

import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from ci_mailchimp_pipeline.emulator import admission, breakage, oauth, routes
from ci_mailchimp_pipeline.emulator.breakage import Line, Receive
from ci_mailchimp_pipeline.emulator.control import Emulation
from ci_mailchimp_pipeline.emulator.exchange import PROBLEM_JSON, Answer, Request
from ci_mailchimp_pipeline.emulator.faults import INSTEAD, Fault
from ci_mailchimp_pipeline.emulator.problems import Problem
from ci_mailchimp_pipeline.emulator.recording import Record

API = "/3.0"
TRANSPORT = "ci_mailchimp_pipeline.transport"
"""The ASGI extension in which the server shows its transport."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_NO_CONTENT = 204


class Application:
    """Answers HTTP requests for an `Emulation`."""

    def __init__(self, emulation: Emulation) -> None:
        self._emulation = emulation
        self._open: Counter[str] = Counter()
        self._lines: set[Line] = set()

    def hang_up(self) -> None:
        """Break the connections of all requests in flight: nobody has to wait for a withheld answer."""
        for line in self._lines:
            line.break_off()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; control calls are neither recorded nor limited nor hit by faults."""
        path: str = scope["path"]
        query = scope["query_string"].decode("latin-1")
        if path == API or path.startswith(API + "/"):
            await self._call(scope, path.removeprefix(API) or "/", query, receive, send)
            return
        body = await _body(receive)
        parameters = dict(parse_qsl(query))
        if path.startswith(oauth.PREFIX):
            answer = self._signed_in(scope, path, parameters, body)
        else:
            answer = self._emulation.control(scope["method"], path, parameters, body)
        await self._send(send, answer)

    def _signed_in(
        self, scope: MutableMapping[str, Any], path: str, parameters: dict[str, str], body: bytes
    ) -> Answer:
        headers = _headers(scope)
        return self._emulation.sign_in.answer(
            scope["method"],
            path,
            parameters,
            body,
            authorization=headers.get(b"authorization", ""),
            root=f"http://{headers.get(b'host', '')}",
            world=self._emulation.world,
            switches=self._emulation.switches,
        )

    async def _call(
        self, scope: MutableMapping[str, Any], path: str, query: str, receive: Receive, send: Send
    ) -> None:
        emulation = self._emulation
        headers = _headers(scope)
        authorization = headers.get(b"authorization", "")
        key = admission.credentials(authorization)
        record = emulation.recording.begin(
            method=scope["method"], path=path, query=query, route=routes.find(path)[0], at=emulation.time
        )
        self._open[key] += 1
        line = Line(scope["extensions"][TRANSPORT]["transport"], receive)
        self._lines.add(line)
        try:
            body = await _body(receive)
            problem = admission.refusal(record.method, authorization, self._open[key], emulation.switches)
            if problem is not None:
                await self._finish(send, record, self._refused(problem))
                return
            if emulation.switches.latency_ms:
                await line.gone(within=emulation.switches.latency_ms / 1000)
            root = f"http://{headers.get(b'host', '')}"
            await self._answer(record, body, root, line, send)
        finally:
            self._lines.discard(line)
            self._open[key] -= 1
            emulation.recording.end(record, at=emulation.time, keep=emulation.switches.record_limit)

    def _refused(self, problem: Problem) -> Answer:
        switches = self._emulation.switches
        if problem.title == "Too Many Requests" and not switches.limit_answers_with_body:
            return Answer(status=problem.status)
        document = problem.document(instance=str(uuid.uuid4()), with_type=switches.problem_type)
        return Answer(status=problem.status, body=msgspec.json.encode(document), content_type=PROBLEM_JSON)

    async def _answer(self, record: Record, body: bytes, root: str, line: Line, send: Send) -> None:
        """Carry out an admitted request, unless a fault comes in between."""
        emulation = self._emulation
        record.request_bytes = len(body)
        if emulation.switches.record_bodies:
            record.body = _readable(body)
        target = f"{API}{record.path}?{record.query}" if record.query else f"{API}{record.path}"
        fault = emulation.faults.hit(record.method, target)
        record.fault = fault.kind if fault else ""
        if fault is not None and fault.kind == "reset_before":
            await line.reset()
            return
        if fault is not None and fault.kind in INSTEAD:
            await self._finish(send, record, breakage.instead(fault))
            return
        request = Request(
            method=record.method,
            path=record.path,
            query=dict(parse_qsl(record.query, keep_blank_values=True)),
            body=body,
            world=emulation.world,
            switches=emulation.switches,
            now=emulation.now,
            root=root,
        )
        answer = routes.answer(request, instance=str(uuid.uuid4()))
        if fault is None:
            await self._finish(send, record, answer)
        else:
            await self._finish_damaged(fault, answer, record, line, send)

    async def _finish_damaged(
        self, fault: Fault, answer: Answer, record: Record, line: Line, send: Send
    ) -> None:
        """The request was carried out; what the other side gets to know of it is up to the fault."""
        if fault.kind == "reset_after":
            await line.reset()
        elif fault.kind == "timeout_after":
            await line.gone(within=fault.seconds)
            await line.close()
        elif fault.kind == "cut":
            record.status = answer.status
            half = answer.body[: len(answer.body) // 2]
            await self._send(send, answer, only=half)
            await line.close()
        else:
            if fault.kind == "slow":
                await line.gone(within=fault.seconds)
            await self._finish(send, record, breakage.damaged(fault, answer))

    async def _finish(self, send: Send, record: Record, answer: Answer) -> None:
        record.status, record.response_bytes = answer.status, len(answer.body)
        if self._emulation.switches.record_bodies:
            record.answer = _readable(answer.body)
        await self._send(send, answer)

    async def _send(self, send: Send, answer: Answer, *, only: bytes | None = None) -> None:
        """Send an answer; with ``only``, announce all of it and send just that."""
        headers = {
            "Date": formatdate(self._emulation.time, usegmt=True),
            "X-Request-Id": str(uuid.uuid4()),
            **answer.headers,
        }
        if answer.status != _NO_CONTENT:
            headers |= {"Content-Type": answer.content_type, "Content-Length": str(len(answer.body))}
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
            }
        )
        body = answer.body if only is None else only
        await send({"type": "http.response.body", "body": body, "more_body": only is not None})


def _headers(scope: MutableMapping[str, Any]) -> dict[bytes, str]:
    return {name: value.decode("latin-1") for name, value in scope["headers"]}


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _readable(body: bytes) -> Any:
    """A body as JSON, or as text, for the recording."""
    if not body:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body.decode(errors="replace")
