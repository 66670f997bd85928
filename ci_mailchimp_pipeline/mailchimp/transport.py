"""One HTTP exchange: a request out, an answer of bounded size and time back, or the reason why not."""

import contextlib
import http.client
import logging
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization, is_loopback
from ci_mailchimp_pipeline.mailchimp.problems import judge_exception
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits

_CHUNK = 64 * 1024
_MEMBER = re.compile(r"(/members/)[0-9a-fA-F]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawAnswer:
    """What came back, whole; ``repr`` hides the content."""

    status: int
    content: bytes = field(repr=False)
    date: str | None
    retry_after: str | None
    request_id: str | None = None


def shown(path: str) -> str:
    """A path for a log line: whose member it is about stays out."""
    return _MEMBER.sub(r"\1{member}", path)


class Transport:
    """A connection of one thread to one Mailchimp account. Not thread-safe."""

    def __init__(self, *, api_root: str, authorization: Authorization, limits: RetryLimits) -> None:
        self._root = api_root
        self._limits = limits
        parts = urlsplit(api_root)
        # An environment's proxies are honoured, but plain http must not take the key off this machine.
        self._proxies = {"no_proxy": parts.hostname or ""} if is_loopback(parts.hostname or "") else {}
        self._session = _Session()
        self._session.auth = authorization
        self._session.headers.update({"User-Agent": "ci-mailchimp-pipeline", "Accept-Encoding": "gzip"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.mount(f"{parts.scheme}://", _WatchedAdapter(pool_connections=1, pool_maxsize=1))
        _hide_members_in_foreign_logs()

    def exchange(
        self, method: str, path: str, *, query: Mapping[str, str], body: bytes | None
    ) -> RawAnswer | str | FixConfigError:
        """Sends once. A string says in words why there is no answer; it holds nothing of the request.

        Failures are returned, not raised: an exception of ``requests`` carries the key and the body, and
        would travel on as the context of ours.
        """
        watch = _Watch()
        timer = threading.Timer(self._limits.exchange_seconds, watch.cut)
        timer.daemon = True
        _CURRENT.watch = watch
        timer.start()
        try:
            with self._session.request(
                method,
                self._root + path,
                params=dict(query),
                data=body,
                headers={"Content-Type": "application/json"} if body is not None else None,
                timeout=(self._limits.connect_seconds, self._limits.read_seconds),
                allow_redirects=False,
                stream=True,
                proxies=dict(self._proxies),
            ) as response:
                content = self._read(response)
                answer = RawAnswer(
                    status=response.status_code,
                    content=content or b"",
                    date=response.headers.get("Date"),
                    retry_after=response.headers.get("Retry-After"),
                    request_id=response.headers.get("X-Request-Id"),
                )
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            OSError,
        ) as error:
            return "it took too long" if watch.fired else judge_exception(error)
        finally:
            timer.cancel()
            watch.end()
        if watch.fired:  # the end of a cut answer may look like its real end
            return "it took too long"
        return answer if content is not None else "the answer was too large"

    def close(self) -> None:
        """Closes the connection."""
        self._session.close()

    def _read(self, response: requests.Response) -> bytes | None:
        """The decompressed answer, or None when it is larger than allowed."""
        content = bytearray()
        while chunk := response.raw.read1(_CHUNK, decode_content=True):
            content += chunk
            if len(content) > self._limits.answer_bytes:
                response.raw.close()  # what is left must not be read by the next request
                return None
        return bytes(content)


class _Session(requests.Session):
    def get_redirect_target(self, resp: Any) -> None:
        """None: a redirect is not followed, nor its body read without bounds to prepare for following."""


class _Watch:
    """Cuts the connection of one exchange, from another thread, when its time is over.

    The read timeout cannot do it: every byte that trickles in starts it anew.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._over = False
        self.fired = False
        self.connection: HTTPConnection | None = None
        self.socket: Any = None

    def cut(self) -> None:
        with self._lock:
            if self._over:
                return
            self.fired = True
            sock = self.socket or (self.connection and self.connection.sock)
            # Below TLS, whose own shutdown would change it under the feet of the reading thread. A TLS tunnel
            # within TLS (an https proxy) is no socket; there each byte's timeout has to do.
            if isinstance(sock, socket.socket):
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def end(self) -> None:
        with self._lock:
            self._over = True


class _Current(threading.local):
    watch: _Watch


_CURRENT = _Current()


class _Watched(HTTPConnection):
    """Tells the watch of this thread's exchange which connection it uses."""

    def connect(self) -> None:
        _CURRENT.watch.connection = self
        super().connect()

    def request(self, *args: Any, **kwargs: Any) -> None:
        _CURRENT.watch.connection = self
        super().request(*args, **kwargs)

    def getresponse(self) -> Any:
        _CURRENT.watch.socket = self.sock  # an answer that ends with its connection takes the socket over
        return super().getresponse()


class _WatchedTls(_Watched, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Watched


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTls


class _WatchedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        if not proxy.lower().startswith("socks"):  # a SOCKS proxy needs connections of its own kind
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
        return manager


class _MembersHidden(logging.Filter):
    """urllib3 writes each path at DEBUG, and a member's path holds the hash of an address."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if _MEMBER.search(message):
            record.msg, record.args = shown(message), None
        return True


_MEMBERS_HIDDEN = _MembersHidden()


def _hide_members_in_foreign_logs() -> None:
    logging.getLogger("urllib3.connectionpool").addFilter(_MEMBERS_HIDDEN)
