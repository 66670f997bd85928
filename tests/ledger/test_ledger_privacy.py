"""No address, customer or hash in anything that is printed, logged or raised."""

import logging
import traceback

import pytest

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import (
    Archived,
    Moved,
    Refused,
    Released,
    Renamed,
    Retagged,
    Suppressed,
)

SECRETS = ("ana@contoso-mail.internal", "Customer-77", b"h" * 16, b"p" * 16)
ADDRESS, CUSTOMER, HASH, PRINT = SECRETS


def shows(text):
    """Whether *text* shows any of the secrets."""
    return any((secret if isinstance(secret, str) else secret.decode()) in text for secret in SECRETS)


def rows(people):
    """One record of each kind, of one person."""
    return [
        people.acknowledged(
            1, subscriber_hash=HASH, address=ADDRESS, customer_id=CUSTOMER, fingerprint=PRINT
        ),
        Refused(
            subscriber_hash=HASH,
            customer_id=CUSTOMER,
            kind="temporary",
            code="busy",
            field="CITY",
            fingerprint=PRINT,
            retry_at=None,
        ),
        Suppressed(subscriber_hash=HASH, address=ADDRESS, customer_id=CUSTOMER, reason="unsubscribed"),
        Moved(old_hash=HASH, subscriber_hash=HASH, address=ADDRESS, customer_id=CUSTOMER),
        Renamed(subscriber_hash=HASH, customer_id=CUSTOMER),
        Retagged(subscriber_hash=HASH, added=("A",)),
        Released(subscriber_hash=HASH),
        Archived(subscriber_hash=HASH, archived_at=1.0),
    ]


def test_records_do_not_print_the_person(people):
    """A record in a log line or a debugger's frame says what happened, not to whom."""
    for row in rows(people):
        assert not shows(repr(row)), type(row).__name__
        assert not shows(str([row]))


def test_a_failing_statement_does_not_print_its_rows(ledger, lease, people):
    """Even a bug's own error, with its traceback, holds no row."""
    broken = people.acknowledged(1, subscriber_hash=HASH, address=ADDRESS, customer_id=None)

    with pytest.raises(PipelineError) as caught:
        ledger.record(lease, [broken], export="vip")

    assert caught.value.code == "ledger_failed"
    assert not shows("".join(traceback.format_exception(caught.value)))
    assert not shows(f"{caught.value!r} {caught.value!s} {caught.value.args}")


def test_nothing_personal_is_logged_at_any_level(ledger, lease, people, caplog, tmp_path):
    """Also with every logger at DEBUG, SQLAlchemy's included, the rows stay out of the log."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="sqlalchemy.engine")
    caplog.set_level(logging.DEBUG, logger="sqlalchemy.pool")

    ledger.record(lease, rows(people), export="vip")
    ledger.export_state(lease.audience, tmp_path / "out")

    assert not shows(caplog.text)
