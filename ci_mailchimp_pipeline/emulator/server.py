"""The emulator as a server: in this process's main thread, or in a thread of its own."""

import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ci_mailchimp_pipeline.emulator.application import API, TRANSPORT, Application
from ci_mailchimp_pipeline.emulator.control import Emulation
from ci_mailchimp_pipeline.emulator.seeds import WorldSeed, harvest

DEFAULT_PORT = 8899

_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 256
_STOP_SECONDS = 1
_JOIN_SECONDS = 10


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, showing the application its transport: some faults break the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class _Uvicorn(uvicorn.Server):
    """uvicorn's server with something to do before and after the last connections end.

    It has to be done here: after a signal, uvicorn raises the signal again when it is done.
    """

    def __init__(
        self, config: uvicorn.Config, *, before: Callable[[], None], after: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._before = before
        self._after = after

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._before()
        await super().shutdown(sockets=sockets)
        self._after()


class Server:
    """An emulator that listens from the moment it is made, and answers while it runs.

    Args:
        host: Interface to listen on; loopback unless you mean to let others in.
        port: 0 takes a free one.
        state_file: Read at the start if it is there, written at the end: the world survives a restart.

    Attributes:
        url: The API's address.

    Raises:
        OSError: The port is taken, or the state file cannot be read.
        msgspec.MsgspecError: The state file is no world.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, state_file: Path | None = None) -> None:
        self._state_file = state_file
        seed = WorldSeed()
        if state_file is not None and state_file.exists():
            seed = msgspec.json.decode(state_file.read_bytes(), type=WorldSeed)
        self._emulation = Emulation(time.time, seed)
        self._socket = socket.create_server((host, port), backlog=_BACKLOG)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}{API}"
        application = Application(self._emulation)
        config = uvicorn.Config(
            application,
            http=_Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        self._server = _Uvicorn(config, before=application.hang_up, after=self._save)
        self._thread: threading.Thread | None = None

    def run(self) -> None:
        """Answer until a signal or `stop` says no."""
        self._server.run(sockets=[self._socket])

    def start(self) -> Self:
        """Answer in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="mailchimp-emulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and close the port; requests in flight get no answer."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)
        self._socket.close()

    def _save(self) -> None:
        if self._state_file is None:
            return
        written = self._state_file.with_name(self._state_file.name + ".new")
        descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(harvest(self._emulation.world, self._emulation.switches)))
        written.replace(self._state_file)


def serve(
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    *,
    state_file: Path | None = None,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Run the emulator until Ctrl-C or SIGTERM.

    Args:
        host: Interface to listen on.
        port: 0 takes a free one.
        state_file: As for `Server`.
        ready: Called with the API's address once the port is open.

    Raises:
        OSError: The port is taken, or the state file cannot be read.
        msgspec.MsgspecError: The state file is no world.
    """
    server = Server(host=host, port=port, state_file=state_file)
    if ready is not None:
        ready(server.url)
    with suppress(KeyboardInterrupt):
        server.run()
