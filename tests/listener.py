"""Somebody who takes messages over HTTP, as Apprise's ``json://`` sends them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "hunter2-hook-token"


@dataclass
class Receiver:
    """What was heard; ``status`` is the answer, and with 0 there is none."""

    port: int
    heard: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address, which is a secret."""
        return f"json://127.0.0.1:{self.port}/{SECRET}"

    @property
    def titles(self) -> list[str]:
        """What the messages were about, in their order."""
        return [each["title"].removeprefix("Mailchimp export ") for each in self.heard]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path != f"/{SECRET}":
                self.send_error(404)
                return
            if not here.status:
                here.closing.wait(30)
                return
            if here.status == 200:
                here.heard.append(json.loads(body))
            self.send_response(here.status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Receiver(port=server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield here
        finally:
            here.closing.set()
            server.shutdown()
            thread.join()
