"""Answers compared with what was asked: one about another audience, tag or person is never used.

A proxy that mixes answers up, or a Mailchimp that reads a request otherwise than we think, would else decide
over the wrong people.
"""

from ci_mailchimp_pipeline.errors import RunLaterError


def check_audience(asked: str, named: str | None) -> None:
    """Fail when an answer names another audience than *asked*; one that names none passes.

    Raises:
        RunLaterError: ``foreign_answer``.
    """
    if named and named.lower() != asked.lower():
        raise foreign_answer(f"asked about audience {asked}, and Mailchimp answered with another one")


def check_tag(asked: str, named: str) -> None:
    """Fail when an answer names another tag than *asked*, whatever the case and the spaces.

    Raises:
        RunLaterError: ``foreign_answer``.
    """
    if named.lower().split() != asked.lower().split():
        raise foreign_answer("asked to create a tag, and Mailchimp answered with one of another name")


def foreign_answer(what: str) -> RunLaterError:
    """The error of an answer that is about something else; *what* names nobody."""
    return RunLaterError(
        "foreign_answer",
        f"{what}.",
        fix="Run it again; if it repeats, look at what is between here and Mailchimp.",
    )
