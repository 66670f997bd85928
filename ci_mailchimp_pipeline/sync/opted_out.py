"""Read who may no longer be mailed, and of what was read before only what changed.

Mailchimp lists who changed since a time, and counts who has a status. Everybody who came to a status since the
last reading is among those who changed; when the people kept and those who came are as many as Mailchimp counts,
nobody left, and the status is known without reading it whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import polars as pl

from ci_mailchimp_pipeline.engine import Engine, open_engine, quoted
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.answers import SeenMember
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.sync.seen import READS, audience_changing

OPTED_OUT = ("unsubscribed", "archived", "cleaned")  # the first outweighs the next
# A change may show up in what Mailchimp lists minutes after it was made (MailChimp.Net issue 86).
MARGIN_SECONDS = 600
LONGEST_REASON = 255  # characters; people may write what they like
SCHEMA = {"subscriber_hash": pl.Binary, "status": pl.String, "last_changed": pl.Float64, "reason": pl.String}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Everybody who had one of the statuses.

    Attributes:
        path: Parquet: ``subscriber_hash``, ``status``, ``last_changed``, ``reason``; one row a member.
        read_at: Mailchimp's time when the reading began; None when it did not say.
        whole: The statuses that were read whole.
    """

    path: Path
    read_at: float | None
    whole: tuple[str, ...] = OPTED_OUT


def read_opted_out(
    client: MailchimpClient, audience_id: str, into: Path, before: Reading | None = None
) -> Reading:
    """Read who is unsubscribed, archived or cleaned now, into the existing private folder *into*.

    Two requests a status when nobody left it since *before*; as many as it has thousands when somebody did, and
    when there is no *before*. Should somebody leave a status and another come between the two requests, the next
    reading notices.

    Raises:
        FixConfigError: ``unknown_audience``.
        RunLaterError: ``audience_changing``: a status was never read as whole as Mailchimp counts it.
    """
    known = before if before is not None and before.read_at is not None else None
    path, whole = into / "opted_out.parquet", []
    with open_engine(into) as engine:
        reader = _Reader(client, audience_id, engine, into / "pages")
        if known is not None:
            engine.execute(f"INSERT INTO opted_out FROM read_parquet({quoted(known.path)})")
            for status in OPTED_OUT:
                reader.take_changed(status, known)
        for status in OPTED_OUT:
            if known is None or not reader.is_complete(status):
                reader.take_whole(status)
                whole.append(status)
        path.touch(mode=0o600)
        engine.execute(f"COPY (FROM opted_out ORDER BY subscriber_hash) TO {quoted(path)} (FORMAT parquet)")
    return Reading(path=path, read_at=reader.began, whole=tuple(whole))


class _Reader:
    """The table ``opted_out``, and the requests that fill it; of two rows of a member the one read last counts."""

    def __init__(self, client: MailchimpClient, audience_id: str, engine: Engine, folder: Path) -> None:
        self._client = client
        self._audience_id = audience_id
        self._engine = engine
        self._folder = folder
        self._numbers = count()
        self.began: float | None = None
        folder.mkdir(mode=0o700)
        engine.execute(
            "CREATE TABLE opted_out (subscriber_hash BLOB, status VARCHAR, last_changed DOUBLE, reason VARCHAR)"
        )

    def take_changed(self, status: str, known: Reading) -> None:
        """Who has *status* and changed since."""
        since = (known.read_at or 0) - MARGIN_SECONDS
        self._put(self._read(status, since)[0])

    def is_complete(self, status: str) -> bool:
        """Whether as many have *status* as Mailchimp counts."""
        there = self._engine.one(f"SELECT count(*) FROM opted_out WHERE status = {quoted(status)}")
        return bool(endpoints.count_members(self._client, self._audience_id, status) == there)

    def take_whole(self, status: str) -> None:
        """Everybody of *status*, and nobody else."""
        for _ in range(READS):
            rows, total = self._read(status, None)
            if self._engine.one(f"SELECT count(DISTINCT subscriber_hash) FROM {rows}") >= total:
                self._engine.execute(f"DELETE FROM opted_out WHERE status = {quoted(status)}")
                self._put(rows)
                return
        raise audience_changing(self._audience_id, status)

    def _read(self, status: str, since: float | None) -> tuple[str, int]:
        """Write the pages of one reading; SQL of its rows, and how many Mailchimp counted at its end."""
        folder = self._folder / str(next(self._numbers))
        folder.mkdir(mode=0o700)
        _write(folder / "none.parquet", [])
        total = 0
        pages = endpoints.members(self._client, self._audience_id, status, since=since, reasons=True)
        for number, page in enumerate(pages):
            self.began = self.began or self._client.server_time
            total = page.total
            _write(folder / f"{number:05}.parquet", page.members)
        return f"read_parquet({quoted(folder / '*.parquet')})", total

    def _put(self, rows: str) -> None:
        newest = (
            "max(struct_pack(at := coalesce(last_changed, 0), status := status, last_changed := last_changed,"
        )
        self._engine.execute(
            f"""
            DELETE FROM opted_out WHERE subscriber_hash IN (SELECT subscriber_hash FROM {rows});
            INSERT INTO opted_out
            SELECT subscriber_hash, newest.status, newest.last_changed, newest.reason FROM (
                SELECT subscriber_hash, {newest} reason := reason)) AS newest FROM {rows} GROUP BY subscriber_hash
            )
            """
        )


def _write(path: Path, members: Sequence[SeenMember]) -> None:
    path.touch(mode=0o600)
    rows = {
        "subscriber_hash": [each.subscriber_hash for each in members],
        "status": [each.status for each in members],
        "last_changed": [each.last_changed for each in members],
        "reason": [plain_reason(each.reason) for each in members],
    }
    pl.DataFrame(rows, schema=SCHEMA, strict=False).write_parquet(path)


def plain_reason(text: str) -> str | None:
    """Why somebody left, fit for a file that others open: no address, no formula, no control character."""
    if "@" in text:
        return "other"
    words = " ".join("".join(each if each.isprintable() else " " for each in text).split())
    return words.lstrip("=+-'\"")[:LONGEST_REASON].strip() or None
