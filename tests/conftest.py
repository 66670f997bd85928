"""What every test may rely on: a local Mailchimp, no network beyond this machine, a clean environment."""

import os
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from ci_mailchimp_pipeline.testing import API_KEY

settings.register_profile("soak", max_examples=5_000, deadline=None)  # --hypothesis-profile=soak

pytest_plugins = ["ci_mailchimp_pipeline.testing.plugin", "postgres_server", "ledgers"]

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy")
_OURS = ("CI_MAILCHIMP_", "MAILCHIMP_", "DAGSTER_HOME")
_KEPT = ("CI_MAILCHIMP_SHARED",)
_COMPILE_EACH_TIME = "PYTHONDONTWRITEBYTECODE"  # 5 CPU s for each of a hundred programs that tests start


class NetworkForbiddenError(RuntimeError):
    """A test tried to talk to another machine."""


@pytest.fixture
def api_key() -> str:
    """A key that the emulator accepts."""
    return API_KEY


@pytest.fixture(scope="session")
def machine_environment() -> dict[str, str]:
    """The environment as it was before any test, for programs that a test starts and that need it."""
    return {name: value for name, value in os.environ.items() if name != _COMPILE_EACH_TIME}


@pytest.fixture(autouse=True)
def _clean_environment(machine_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(_COMPILE_EACH_TIME, raising=False)
    for name in machine_environment:
        proxy = name.lower() in _PROXIES
        if proxy or (name.startswith(_OURS) and name not in _KEPT):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(connect: Callable[[socket.socket, Any], Any]) -> Callable[[socket.socket, Any], Any]:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = str(address[0])
            if not (host.startswith("127.") or host in ("::1", "localhost")):
                raise NetworkForbiddenError("tests talk to this machine only")
        return connect(self, address)

    return guarded
