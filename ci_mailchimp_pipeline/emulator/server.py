"""The emulator as a server: in this process's main thread, or in a thread of its own."""

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ci_mailchimp_pipeline.emulator.application import API, TRANSPORT, Application
from ci_mailchimp_pipeline.emulator.control import Emulation
from ci_mailchimp_pipeline.emulator.seeds import WorldSeed, harvest

DEFAULT_PORT = 8899

_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 256
_STOP_SECONDS = 10


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, showing the application its transport: some faults break the connection."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: {"transport": self.transport}}


class Server:
    """An emulator that listens from the moment it is made, and answers while it runs.

    Args:
        host: Interface to listen on; loopback unless you mean to let others in.
        port: 0 takes a free one.
        seed: The world to start from.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0, seed: WorldSeed | None = None) -> None:
        self.emulation = Emulation(time.time, seed)
        self._socket = socket.create_server((host, port), backlog=_BACKLOG)
        config = uvicorn.Config(
            Application(self.emulation),
            http=_Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None
        bound: tuple[Any, ...] = self._socket.getsockname()
        self.url = f"http://{host}:{bound[1]}{API}"

    def run(self) -> None:
        """Answer until a signal or `stop` says no."""
        self._server.run(sockets=[self._socket])

    def start(self) -> Self:
        """Answer in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="mailchimp-emulator", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop answering and close the port."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)
        self._socket.close()


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
        state_file: Read at the start if it is there, written at the end: the world survives a restart.
        ready: Called with the API's address once the port is open.

    Raises:
        OSError: The port is taken, or the state file cannot be read or written.
        msgspec.MsgspecError: The state file is no world.
    """
    seed = None
    if state_file is not None and state_file.exists():
        seed = msgspec.json.decode(state_file.read_bytes(), type=WorldSeed)
    server = Server(host=host, port=port, seed=seed)
    if ready is not None:
        ready(server.url)
    try:
        server.run()
    except KeyboardInterrupt:
        pass
    finally:
        if state_file is not None:
            _save(server.emulation, state_file)


def _save(emulation: Emulation, state_file: Path) -> None:
    written = state_file.with_name(state_file.name + ".new")
    written.write_bytes(msgspec.json.encode(harvest(emulation.world, emulation.switches)))
    written.chmod(0o600)
    os.replace(written, state_file)  # noqa: PTH105
