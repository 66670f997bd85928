"""Waiting times that the environment may set."""

from collections.abc import Mapping

from ci_mailchimp_pipeline.errors import FixConfigError

CALL_SECONDS = "CI_MAILCHIMP_CALL_SECONDS"
SENSOR_SECONDS = "CI_MAILCHIMP_SENSOR_SECONDS"
RETRY_SECONDS = "CI_MAILCHIMP_RETRY_SECONDS"


def seconds_of(environ: Mapping[str, str], name: str) -> int | None:
    """The whole number of seconds that *name* is set to; None when it is unset or empty.

    Raises:
        FixConfigError: ``bad_seconds``.
    """
    text = environ.get(name, "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < len("100000") and int(text)):
        raise FixConfigError(
            "bad_seconds",
            f"{name} is not a number of seconds from 1 to 99999",
            fix=f"write a whole number, or unset {name}",
        )
    return int(text)
