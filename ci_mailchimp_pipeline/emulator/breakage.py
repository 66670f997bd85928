"""What a fault does to one request: answers that are no answers, and connections that end too early."""

import asyncio
import re
import socket
import struct
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from ci_mailchimp_pipeline.emulator.exchange import JSON, PROBLEM_JSON, Answer
from ci_mailchimp_pipeline.emulator.faults import Fault

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST instead of FIN
_NAMED: Final = re.compile(rb'"(id|email_address)":"[^"]*"')
_OTHERS: Final = {
    b"id": b'"id":"%b"' % (b"0" * 32),
    b"email_address": b'"email_address":"somebody.else@contoso-mail.internal"',
}
_HTML: Final = "text/html"
_GATEWAY: Final = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
_INTERNAL: Final = (
    b'{"type":"https://mailchimp.com/developer/marketing/docs/errors/","title":"Internal Server Error",'
    b'"status":500,"detail":"An unexpected internal error has occurred. Please contact Support for '
    b'more information.","instance":""}'
)
_TOO_MANY: Final = (
    b'{"type":"https://mailchimp.com/developer/marketing/docs/errors/","title":"Too Many Requests",'
    b'"status":429,"detail":"You have exceeded the limit of 10 simultaneous connections.","instance":""}'
)
_AKAMAI: Final = (
    b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>"
    b"You don't have permission to access this server.<P>Reference&#32;&#35;18&#46;0</BODY></HTML>"
)


class Line:
    """The connection of one request, as far as a fault needs it."""

    def __init__(self, transport: Any, receive: Receive) -> None:
        self._transport = transport
        self._receive = receive

    def break_off(self) -> None:
        """Break the connection so that the other side sees a reset."""
        self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    async def reset(self) -> None:
        """Break the connection, and wait until it is broken."""
        self.break_off()
        await self.gone()

    async def close(self) -> None:
        """Close the connection after what was sent so far."""
        self._transport.close()
        await self.gone()

    async def gone(self, within: float | None = None) -> None:
        """Wait ``within`` seconds, or only until the other side has gone."""

        async def wait() -> None:
            while (await self._receive())["type"] != "http.disconnect":
                pass

        try:
            await asyncio.wait_for(wait(), within)
        except TimeoutError:
            return


def instead(fault: Fault) -> Answer:
    """The answer of a fault that keeps the request from doing anything."""
    status, body, content_type = {
        "429": (429, _TOO_MANY, PROBLEM_JSON),
        "429_no_body": (429, b"", JSON),
        "403_html": (403, _AKAMAI, _HTML),
        "500": (500, _INTERNAL, PROBLEM_JSON),
        "502_html": (502, _GATEWAY.format("502 Bad Gateway").encode(), _HTML),
        "503": (503, b"", "text/plain"),
        "504_html": (504, _GATEWAY.format("504 Gateway Time-out").encode(), _HTML),
    }[fault.kind]
    headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
    return Answer(status=status, body=body, content_type=content_type, headers=headers)


def damaged(fault: Fault, answer: Answer) -> Answer:
    """A real answer after a fault that spoils it; kinds that only delay leave it as it is."""
    spoiled = {
        "500_after": Answer(status=500, body=_INTERNAL, content_type=PROBLEM_JSON),
        "empty": Answer(status=200, body=b""),
        "not_json": Answer(status=200, body=b"Everything is fine, but this is not JSON."),
        "other_people": Answer(
            status=answer.status, body=_NAMED.sub(lambda found: _OTHERS[found[1]], answer.body)
        ),
        "other_json": Answer(status=200, body=b'{"ok":true,"items":[1,2,3]}'),
    }
    return spoiled.get(fault.kind, answer)
