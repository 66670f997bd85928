"""A proxy that wants a password gets it, nobody else does, and no message or log shows it."""

import base64
import logging
from collections.abc import Callable
from typing import Any

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.retry import RetryLimits

Clients = Callable[..., MailchimpClient]
MAILCHIMP = "https://us1.api.mailchimp.com/3.0"
PASSWORD = "p%40ss-of-the-proxy"
SENT = base64.b64encode(b"ana:p@ss-of-the-proxy")
ONCE = RetryLimits(tries=1, read_seconds=5)


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_the_proxy_gets_its_password_and_no_log_does(  # noqa: PLR0917
    variable: str,
    client_of: Clients,
    raw_server: Any,
    http_answer: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It stands in the environment as usual, and goes to the proxy alone."""
    proxy = raw_server(http_answer(status=502))
    monkeypatch.setenv(variable, f"http://ana:{PASSWORD}@127.0.0.1:{proxy.port}")

    with caplog.at_level(logging.DEBUG), pytest.raises(RunLaterError) as caught:
        endpoints.account(client_of(MAILCHIMP, limits=ONCE))

    (request,) = proxy.received
    assert b"Proxy-Authorization: Basic " + SENT in request
    logged = "".join(record.getMessage() for record in caplog.records)
    for secret in ("p@ss-of", "p%40ss", SENT.decode(), "ana:"):
        assert secret not in f"{caught.value}{caught.value!r}{logged}"


@pytest.mark.parametrize("credentials", ["", f"ana:{PASSWORD}@"], ids=["none", "wrong ones"])
def test_a_proxy_that_is_not_satisfied_is_a_configuration_error(
    credentials: str, client_of: Clients, raw_server: Any, http_answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """407: exit 2 at the first try, with what to write where; Mailchimp's key never left."""
    proxy = raw_server(http_answer(status=407, headers=('Proxy-Authenticate: Basic realm="contoso"',)))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{credentials}127.0.0.1:{proxy.port}")
    client = client_of(MAILCHIMP)

    with pytest.raises(FixConfigError) as caught:
        endpoints.account(client)

    assert (caught.value.code, client.requests) == ("proxy_password", 1)
    assert "HTTPS_PROXY" in caught.value.fix
    assert "p%40ss" not in f"{caught.value}{caught.value!r}"
    assert b"\r\nAuthorization" not in b"".join(proxy.received)
