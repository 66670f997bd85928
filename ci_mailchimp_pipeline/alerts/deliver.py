"""Hand one message to Apprise, in a process of its own: ``python -m ci_mailchimp_pipeline.alerts.deliver``.

The message and the receiver's address come on stdin as JSON: an address is a secret, and other processes
can read arguments. Nothing is printed, because Apprise and the services behind it quote addresses.
"""

import importlib
import importlib.util
import json
import sys
from enum import IntEnum
from typing import Any


class Outcome(IntEnum):
    """How it went; the exit code of the process."""

    DELIVERED = 0
    CRASHED = 1
    NO_LIBRARY = 3
    UNKNOWN_ADDRESS = 4
    NOT_DELIVERED = 5


def has_library() -> bool:
    """Whether Apprise is installed."""
    return importlib.util.find_spec("apprise") is not None


def deliver(request: dict[str, str]) -> Outcome:
    """Send ``title`` and ``body`` with ``tone`` to ``url``; without a body, only see whether Apprise knows the url."""
    if not has_library():
        return Outcome.NO_LIBRARY
    apprise: Any = importlib.import_module("apprise")
    service = apprise.Apprise()
    if not service.add(request["url"]):
        return Outcome.UNKNOWN_ADDRESS
    if "body" not in request:
        return Outcome.DELIVERED
    sent = service.notify(
        title=request["title"],
        body=request["body"],
        notify_type=request["tone"],
        body_format=apprise.NotifyFormat.TEXT,
    )
    return Outcome.DELIVERED if sent else Outcome.NOT_DELIVERED


if __name__ == "__main__":
    sys.exit(deliver(json.load(sys.stdin)))
