"""What Mailchimp acknowledged, nothing else: members, holds, refusals, tags, leases, history of runs."""

from ci_mailchimp_pipeline.ledger.lease import Lease
from ci_mailchimp_pipeline.ledger.records import (
    Acknowledged,
    Archived,
    LedgerFiles,
    Moved,
    Record,
    Refused,
    Released,
    Retagged,
    RunRow,
    Suppressed,
)
from ci_mailchimp_pipeline.ledger.store import Ledger, open_ledger

__all__ = [
    "Acknowledged",
    "Archived",
    "Lease",
    "Ledger",
    "LedgerFiles",
    "Moved",
    "Record",
    "Refused",
    "Released",
    "Retagged",
    "RunRow",
    "Suppressed",
    "open_ledger",
]
