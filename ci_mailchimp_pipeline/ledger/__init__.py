"""What Mailchimp acknowledged, nothing else: members, holds, refusals, tags, leases, history of runs."""

from ci_mailchimp_pipeline.ledger.erasure import Erased, ForgottenRow
from ci_mailchimp_pipeline.ledger.lease import Lease
from ci_mailchimp_pipeline.ledger.opening import open_ledger
from ci_mailchimp_pipeline.ledger.people import AudienceRow, HoldRow, MemberRow, Person, RefusalRow
from ci_mailchimp_pipeline.ledger.records import (
    Acknowledged,
    Archived,
    LedgerFiles,
    Moved,
    Record,
    Refused,
    Released,
    Renamed,
    Retagged,
    RunRow,
    Suppressed,
)
from ci_mailchimp_pipeline.ledger.store import Ledger

__all__ = [
    "Acknowledged",
    "Archived",
    "AudienceRow",
    "Erased",
    "ForgottenRow",
    "HoldRow",
    "Lease",
    "Ledger",
    "LedgerFiles",
    "MemberRow",
    "Moved",
    "Person",
    "Record",
    "RefusalRow",
    "Refused",
    "Released",
    "Renamed",
    "Retagged",
    "RunRow",
    "Suppressed",
    "open_ledger",
]
