"""Whether an erasure may begin. Light to load: a library of the rest would keep Ctrl-C from the question."""

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.frame.address import address_problem
from ci_mailchimp_pipeline.frame.reasons import RESERVED_DOMAIN


def check_forgettable(config: Config, address: str) -> None:
    """Fail before anything is asked or done.

    Raises:
        FixConfigError: ``not_an_address``; ``sandbox``.
    """
    if address_problem(address) not in {None, RESERVED_DOMAIN}:
        raise FixConfigError(
            "not_an_address",
            "what should be forgotten is no e-mail address",
            fix="write the address alone; a malformed one was never sent, and goes with the source's next refresh",
        )
    if config.sandbox:
        raise FixConfigError(
            "sandbox",
            "this is a sandbox: nothing is erased from here",
            fix="forget the person where the exports run, or take away sandbox: true and CI_MAILCHIMP_SANDBOX",
        )
