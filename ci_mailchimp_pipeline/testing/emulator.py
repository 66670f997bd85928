"""A running local Mailchimp and everything a test does to it."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

API_KEY = "0123456789abcdef0123456789abcdef-us1"
"""A key that the emulator accepts."""

_START_SECONDS = 30
_STOP_SECONDS = 10
_OK = 200


class EmulatorError(AssertionError):
    """The test asked the emulator for something it cannot do; the text says what."""


class Emulator:
    """A local Mailchimp, steered over HTTP. Use `start`, and `stop` it or use it as a context manager.

    Attributes:
        url: The API's address, ``http://127.0.0.1:PORT/3.0``: the ``api_root`` of a connection.
    """

    def __init__(self, url: str, stop: Any) -> None:
        self.url = url
        self._stop = stop
        self._host = urlsplit(url).hostname or ""
        self._port = urlsplit(url).port or 0

    @classmethod
    def start(cls, *, port: int = 0, in_process: bool = True) -> Self:
        """Start one, in a thread of this process or, for benchmarks, in a process of its own.

        Args:
            port: 0 takes a free one.
            in_process: False starts a process; it then shares neither memory nor the interpreter's lock.
        """
        if in_process:
            from ci_mailchimp_pipeline.emulator.server import Server  # noqa: PLC0415  (heavy, often not needed)

            server = Server(port=port).start()
            return cls(server.url, server.stop)
        command = [sys.executable, "-m", "ci_mailchimp_pipeline.emulator", "--port", str(port)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
        assert process.stdout is not None  # noqa: S101
        url = process.stdout.readline().strip()
        if not url:
            process.communicate(timeout=_STOP_SECONDS)
            raise EmulatorError(f"the emulator ended with exit code {process.returncode}")

        def stop() -> None:
            process.terminate()
            process.communicate(timeout=_STOP_SECONDS)

        return cls(url, stop)

    def stop(self) -> None:
        """Stop it and close its port."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # the world

    def reset(
        self, audiences: Sequence[Mapping[str, Any]] = (), *, switches: Mapping[str, Any] | None = None
    ) -> None:
        """Forget everything, faults, switches and recording too, and start from these audiences."""
        self._control("POST", "reset", {"audiences": list(audiences), "switches": dict(switches or {})})

    def add_audience(
        self,
        audience_id: str = "",
        *,
        name: str = "Audience",
        merge_fields: Sequence[str | Mapping[str, Any]] | None = None,
        double_optin: bool = False,
        **more: Any,
    ) -> str:
        """Make an audience and return its id.

        Args:
            audience_id: Made up when empty.
            name: Display name.
            merge_fields: A tag (a text field) or a mapping as the API takes it, each; None is what Mailchimp
                puts into a new audience: FNAME, LNAME, ADDRESS, PHONE.
            double_optin: Whether sign-ups have to confirm.
            **more: ``marketing_permissions``, ``merge_field_limit``, ``tags`` (names), ``members`` (as for
                `add_members`), ``forgotten`` (hashes).
        """
        seed = {"id": audience_id, "name": name, "merge_fields": merge_fields, "double_optin": double_optin}
        made: str = self._control("POST", "audiences", seed | more)["id"]
        return made

    def add_member(self, audience_id: str, email_address: str, **member: Any) -> None:
        """Put a member into an audience as it is.

        Args:
            audience_id: Where.
            email_address: Who.
            **member: ``status`` (subscribed), ``cause``, ``tags`` (names), ``merge_fields``, ``source``,
                ``changed`` and ``opted`` (epoch seconds). The cause is who made the status: api
                (bounce for cleaned members), admin, contact, complaint or bounce; the last three refuse to
                be subscribed again.
        """
        self.add_members(audience_id, [{"email_address": email_address, **member}])

    def add_members(self, audience_id: str, members: Iterable[Mapping[str, Any]]) -> None:
        """Put many members into an audience at once; each as for `add_member`, with ``email_address``."""
        self._control("POST", "members", {"audience_id": audience_id, "members": list(members)})

    def people(self, action: str, audience_id: str, email_address: str, **more: Any) -> None:
        """Let somebody do something by themselves.

        Args:
            action: unsubscribe, complain, admin_unsubscribe, bounce, sign_up, confirm, resubscribe, archive,
                change_address (``new_address``), change_field (``merge_fields``), tag, untag (``tags``),
                delete_permanent.
            audience_id: Where.
            email_address: Who.
            **more: What the action needs.
        """
        deed = {"action": action, "audience_id": audience_id, "email_address": email_address, **more}
        self._control("POST", "people", deed)

    def switch(self, **switches: Any) -> None:
        """Decide open questions of Mailchimp's behaviour; `docs/emulator.md` lists the switches."""
        self._control("POST", "switches", switches)

    def advance_clock(self, seconds: float) -> None:
        """Move the emulator's time, its ``Date`` header included."""
        self._control("POST", "clock", {"advance_seconds": seconds})

    def fail(self, kind: str, **fault: Any) -> None:
        """Put a fault in force: by default it hits the next request, once.

        Args:
            kind: 429, 429_no_body, 403_html, 500, 502_html, 503, 504_html, reset_before, reset_after,
                timeout_after, 500_after, cut, empty, not_json, other_json, other_people or slow.
            **fault: ``match`` (regular expression on ``METHOD /3.0/path?query``), ``on`` (writes, reads,
                both), ``nth``, ``times`` (None: for ever), ``probability`` with ``seed``, ``seconds``,
                ``retry_after``.
        """
        self._control("POST", "faults", {"kind": kind, **fault})

    def heal(self) -> None:
        """Take all faults out of force."""
        self._control("DELETE", "faults")

    # what happened

    def members(self, audience_id: str) -> dict[str, dict[str, Any]]:
        """Everybody by address as written: ``status``, ``tags`` (sorted names), ``merge_fields``."""
        path = f"state?audience_id={audience_id}&compact=true"
        found: dict[str, dict[str, Any]] = self._control("GET", path)["members"]
        return found

    def state(self) -> dict[str, Any]:
        """The whole world as the document that a reset takes."""
        world: dict[str, Any] = self._control("GET", "state")
        return world

    def requests(self) -> list[dict[str, Any]]:
        """The calls below ``/3.0`` since the reset, in the order they ended.

        Each has method, path, query, route, status, request_bytes, response_bytes, at, seconds, fault and
        concurrent; ``body`` and ``answer`` only while the switch ``record_bodies`` is on.
        """
        kept: list[dict[str, Any]] = self._control("GET", "requests")
        return kept

    def writes(self) -> list[dict[str, Any]]:
        """The calls that could have changed something."""
        return [request for request in self.requests() if request["method"] != "GET"]

    def unknown(self) -> list[dict[str, Any]]:
        """The calls that no endpoint answers: a mistake of the client, or something the emulator lacks."""
        return [request for request in self.requests() if not request["route"]]

    def forget_requests(self) -> None:
        """Begin a new recording."""
        self._control("DELETE", "requests")

    def stats(self) -> dict[str, Any]:
        """Counts: ``total``, ``by_route``, ``by_status``, ``peak_concurrency``."""
        counts: dict[str, Any] = self._control("GET", "stats")
        return counts

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_START_SECONDS)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, f"/_emulator/{path}", sent)
            answer = connection.getresponse()
            content = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status != _OK:
            raise EmulatorError(f"{path}: {content.get('detail')} {content.get('errors', '')}".rstrip())
        return content
