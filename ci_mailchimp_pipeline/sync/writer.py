"""What every writing step shares: where to send, where to record, and since when an answer may be our own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.ledger import Lease, Ledger, Refused
from ci_mailchimp_pipeline.mailchimp.bodies import merge_value
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.mailchimp.refusals import RefusalKind
from ci_mailchimp_pipeline.sync.batches import Row
from ci_mailchimp_pipeline.sync.tally import Outcome, Tally
from ci_mailchimp_pipeline.sync.workers import Work, in_parallel

# Retry a temporary refusal after 5 minutes, 1, 2 and then every 7 days: the rhythm at which Mailchimp
# accepts a person again who "signed up to a lot of lists" (mc4wp issues 506 and 771).
RETRY_AFTER_SECONDS = (300.0, 86_400.0, 172_800.0, 604_800.0)


@dataclass(slots=True, kw_only=True)
class Writer:
    """One run's hands. *record* and *each* may be used from any step; the rest is read only.

    Attributes:
        began: Mailchimp's clock when this run began to write.
        unfinished_since: The same of an earlier run that never finished, if there is one.
        progress: Called with the number of requests done so far.
    """

    client: MailchimpClient
    ledger: Ledger
    lease: Lease
    export: Export
    fields: dict[str, MergeField]
    tally: Tally
    workers: int
    now: Callable[[], float]
    began: float
    unfinished_since: float | None
    progress: Callable[[int], None]
    done: int = field(default=0)

    @property
    def audience_id(self) -> str:
        """Where everything goes."""
        return self.export.audience_id

    def record(self, *rows: Any) -> None:
        """Commit *rows* to the ledger before anything else is counted as done."""
        if rows:
            self.ledger.record(self.lease, rows, export=self.export.id)

    def each(self, work: Iterable[Work], do: Callable[[Work], Outcome]) -> None:
        """Do all of *work*, several requests at once, counting each outcome as it is recorded."""
        in_parallel(work, do, workers=self.workers, on_done=self.count, stop=self.client.stop)

    def count(self, outcome: Outcome) -> None:
        """Count one batch's outcome and show the progress."""
        self.tally.add(outcome)
        self.done += 1
        self.progress(self.done)

    def merge_fields(self, row: Row) -> dict[str, Any]:
        """The merge fields of a row as Mailchimp takes them: values that are there, and blanks for cleared ones."""
        values: dict[str, Any] = {}
        for tag in self.export.fields:
            text = row[f"mf_{tag}"]
            if text is not None:
                values[tag] = merge_value(self.fields[tag].type, text)
        values.update(dict.fromkeys(row["clear"], ""))
        return values

    def refused(self, row: Row, kind: RefusalKind, code: str, field: str | None = None) -> Refused:
        """Mailchimp's no to *row*, as the ledger keeps it; a temporary one is due again the later, the more there were."""
        again = RETRY_AFTER_SECONDS[min(row["attempts"] or 0, len(RETRY_AFTER_SECONDS) - 1)]
        return Refused(
            subscriber_hash=row["subscriber_hash"],
            customer_id=row["customer_id"],
            kind=kind,
            code=code,
            field=field,
            fingerprint=row["fingerprint"],
            retry_at=self.now() + again if kind == "temporary" else None,
        )

    def may_be_ours(self, *, repeated: bool, created_at: float | None, source: str) -> bool:
        """Whether a member that exists was created by a request of ours whose answer was lost.

        Only when there was such a request: this one was sent more than once, or an earlier run never
        finished. Then Mailchimp's own stamps decide: created through the API, after that began.
        """
        since = (
            self.unfinished_since if self.unfinished_since is not None else (self.began if repeated else None)
        )
        if since is None or created_at is None:
            return False
        return created_at >= since and (not source or source.startswith("API"))
