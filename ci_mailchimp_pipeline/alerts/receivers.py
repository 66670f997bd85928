"""Send messages to receivers, side by side and for a few seconds at most; whatever goes wrong is only told."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from ci_mailchimp_pipeline.alerts.deliver import Outcome, has_library
from ci_mailchimp_pipeline.alerts.incident import name_of
from ci_mailchimp_pipeline.alerts.message import Message
from ci_mailchimp_pipeline.config import Alert, Config
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError

# Apprise waits 4 s for a connection and 4 s for an answer; starting it takes one or two.
SECONDS = 12.0
_AT_ONCE = 4  # processes, each with an interpreter of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one receiver, and why it did not arrive; None when it did."""

    alert: Alert = field(repr=False)
    problem: PipelineError | None = None


def deliver_all(
    config: Config,
    messages: Sequence[tuple[Alert, Message]],
    *,
    environ: Mapping[str, str] = os.environ,
    seconds: float = SECONDS,
) -> list[Delivery]:
    """Send every message to its receiver, and give up on what has not arrived after *seconds*."""
    contents = [
        (alert, {"title": each.title, "body": each.body, "tone": each.tone}) for alert, each in messages
    ]
    return _hand_over(config, contents, environ, seconds)


def alert_problems(
    config: Config, *, environ: Mapping[str, str] = os.environ, seconds: float = SECONDS
) -> list[PipelineError | None]:
    """What would keep each alert of the file from arriving, None for nothing; sends nothing."""
    found = _hand_over(config, [(alert, {}) for alert in config.alerts], environ, seconds)
    return [each.problem for each in found]


def _hand_over(
    config: Config,
    contents: Sequence[tuple[Alert, dict[str, str]]],
    environ: Mapping[str, str],
    seconds: float,
) -> list[Delivery]:
    until = time.monotonic() + seconds

    def hand_over(one: tuple[Alert, dict[str, str]]) -> Delivery:
        alert, content = one
        return Delivery(alert=alert, problem=_problem(config, alert, content, environ, until))

    if not contents:
        return []
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(hand_over, contents))


def _problem(
    config: Config, alert: Alert, content: dict[str, str], environ: Mapping[str, str], until: float
) -> PipelineError | None:
    """None when the message arrived; without content, when the address is one that Apprise knows."""
    if not has_library():
        return FixConfigError(
            "alerts_need_extra",
            "alerts are declared, and the library that sends them is not installed",
            fix="pip install 'ci-mailchimp-pipeline[alerts]'",
        )
    try:
        url = alert.to.resolve(folder=config.folder, environ=environ)
    except PipelineError as error:
        return error
    outcome = _in_a_process(json.dumps({"url": url.strip(), **content}), until)
    name = name_of(alert)
    if outcome == Outcome.DELIVERED:
        return None
    if outcome == Outcome.UNKNOWN_ADDRESS:
        return FixConfigError(
            "alert_address",
            f"the address in {name} is none that Apprise knows",
            fix="write it as Apprise's list of services shows, for example json://host/path",
        )
    return RunLaterError(
        "alert_not_delivered",
        f"the receiver in {name} did not take the message",
        fix="see whether it can be reached from here, with the address that it has now",
    )


def _in_a_process(request: str, until: float) -> int:
    """The exit code of the process that sends; it is killed when the time is over."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ci_mailchimp_pipeline.alerts.deliver"],
            input=request.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=max(0.0, until - time.monotonic()),
            check=False,
            start_new_session=True,  # Ctrl-C in the terminal is for the run, not for the message about it
        )
    except (OSError, subprocess.TimeoutExpired):
        return Outcome.NOT_DELIVERED
    return done.returncode
