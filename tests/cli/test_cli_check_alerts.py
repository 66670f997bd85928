"""``check`` of alerts: whether a message would leave, without sending one."""

from typing import Any

import pytest
import yaml
from listener import SECRET, receiving


def _declare(terminal: Any, monkeypatch: pytest.MonkeyPatch, url: str | None) -> None:
    path = terminal.project.write().path
    path.write_text(
        yaml.safe_dump(
            {**yaml.safe_load(path.read_text()), "alerts": [{"to": {"env": "ALERT_URL"}}]}, sort_keys=False
        )
    )
    if url is None:
        monkeypatch.delenv("ALERT_URL", raising=False)
    else:
        monkeypatch.setenv("ALERT_URL", url)


def _row(said: Any) -> Any:
    (row,) = (row for row in said.document["checks"] if row["check"] == "alert_receiver")
    return row


def test_good_receiver_passes_and_hears_nothing(terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking is not sending."""
    with receiving() as receiver:
        _declare(terminal, monkeypatch, receiver.url)

        said = terminal.say("check", "--offline", "--json")

    assert said.code == 0
    assert _row(said)["status"] == "ok"
    assert receiver.heard == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param(None, "environment variable ALERT_URL", id="not set"),
        pytest.param(f"nosuch://{SECRET}", "none that Apprise knows", id="unknown service"),
    ],
)
def test_receiver_that_cannot_be_used_fails_with_its_place(
    terminal: Any, monkeypatch: pytest.MonkeyPatch, url: str | None, says: str
) -> None:
    """The row says what is wrong and where, and never what the address is."""
    _declare(terminal, monkeypatch, url)

    said = terminal.say("check", "--offline", "--json")

    assert said.code == 2
    assert _row(said)["status"] == "failed"
    assert says in _row(said)["message"]
    assert _row(said)["fix"]
    assert "exports.yaml:" in _row(said)["at"]
    assert SECRET not in said.out
