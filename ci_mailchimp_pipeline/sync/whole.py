"""Read a whole audience, with the tags and merge fields that an export writes: what Mailchimp really holds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.engine import array
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.keys import tag_key
from ci_mailchimp_pipeline.mailchimp import endpoints
from ci_mailchimp_pipeline.mailchimp.answers import Tag, WholeMember
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.plan.inputs import keys_of
from ci_mailchimp_pipeline.sync.seen import NOT_SUBSCRIBED, READS

# Who opts out while we read is among the later ones, too, and is not taken for somebody who is gone.
STATUSES = ("subscribed", *NOT_SUBSCRIBED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """Everybody in an audience, in Parquet files of a page each; a member may be there more than once.

    Attributes:
        folder: ``subscriber_hash``, ``status``, ``last_changed``, ``tags`` (names, of the export's alone),
            ``all_tags`` (whether no tag of the member was left out), and ``mf_<TAG>``, text, of the mapped fields.
        totals: Members by status.
    """

    folder: Path
    totals: Mapping[str, int]

    @property
    def read(self) -> int:
        """How many members there are."""
        return sum(self.totals.values())


def read_whole(client: MailchimpClient, audience_id: str, export: Export, into: Path) -> Whole:
    """Read every member of every status, 1,000 a request and one page in memory.

    Raises:
        RunLaterError: ``audience_changing``: a status was never read as whole as Mailchimp counts it.
    """
    into.mkdir(mode=0o700, parents=True)
    page = _PageFile(export)
    page.write(into / "none.parquet", ())
    totals = {status: _read_status(client, audience_id, status, into, page) for status in STATUSES}
    return Whole(folder=into, totals=totals)


def read_tagged(client: MailchimpClient, audience_id: str, tags: Mapping[str, Tag], into: Path) -> Path:
    """Write who carries each of *tags*: ``subscriber_hash``, ``tag_key``; for members that do not show all.

    Raises:
        RunLaterError: ``tag_gone``.
    """
    into.mkdir(mode=0o700)
    schema = {"subscriber_hash": pl.Binary, "tag_key": pl.String}
    _write(into / "none.parquet", pl.DataFrame(schema=schema))
    for number, (key, tag) in enumerate(sorted(tags.items())):
        for page, hashes in enumerate(endpoints.tag_members(client, audience_id, tag.id)):
            rows = {"subscriber_hash": hashes, "tag_key": [key] * len(hashes)}
            _write(into / f"{number:03}-{page:05}.parquet", pl.DataFrame(rows, schema=schema))
    return into


def there_sql(whole: str, tagged: str) -> str:
    """SQL: a row a member of *whole*, with the status that forbids most, and ``carried``: the keys of its tags."""
    strictest = array(("subscribed", "pending", "transactional", "archived", "cleaned", "unsubscribed"))
    return f"""
        SELECT * EXCLUDE (place, tags, all_tags, listed),
               CASE WHEN all_tags THEN {keys_of("tags")} ELSE coalesce(listed, []) END AS carried
        FROM (
            SELECT *, row_number() OVER (PARTITION BY subscriber_hash ORDER BY
                list_position({strictest}, status) DESC, last_changed DESC NULLS LAST) AS place
            FROM {whole}
        ) LEFT JOIN (
            SELECT subscriber_hash, list(DISTINCT tag_key) AS listed FROM {tagged} GROUP BY subscriber_hash
        ) USING (subscriber_hash)
        WHERE place = 1
    """


class _PageFile:
    def __init__(self, export: Export) -> None:
        self._keys = {tag_key(tag) for tag in export.tags}
        self._fields = tuple(export.fields)
        self._schema: dict[str, Any] = {
            "subscriber_hash": pl.Binary,
            "status": pl.String,
            "last_changed": pl.Float64,
            "tags": pl.List(pl.String),
            "all_tags": pl.Boolean,
            **{f"mf_{tag}": pl.String for tag in self._fields},
        }

    def write(self, path: Path, members: Iterable[WholeMember]) -> None:
        rows = [
            (
                member.subscriber_hash,
                member.status,
                member.last_changed,
                [name for name in member.tags if tag_key(name) in self._keys],
                member.all_tags,
                *(_text(member.values.get(tag)) for tag in self._fields),
            )
            for member in members
        ]
        _write(path, pl.DataFrame(rows, schema=self._schema, orient="row"))


def _read_status(client: MailchimpClient, audience_id: str, status: str, into: Path, page: _PageFile) -> int:
    """Read everyone of *status*, again when fewer came than are counted; what was read is kept: safe."""
    for attempt in range(READS):
        read = total = 0
        before: set[bytes] = set()  # a page begins with the last of the one before
        for number, found in enumerate(endpoints.whole_members(client, audience_id, status)):
            hashes = {member.subscriber_hash for member in found.members}
            read, total, before = read + len(hashes - before), found.total, hashes
            page.write(into / f"{status}-{attempt}-{number:05}.parquet", found.members)
        if read >= total:
            return total
    raise RunLaterError(
        "audience_changing",
        f"audience {audience_id}: the members of status {status} changed during each of {READS} reads",
        fix="run again in a few minutes",
    )


def _text(value: Any) -> str | None:
    """A merge field's value as text; None for none. An address is its JSON object."""
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _write(path: Path, frame: pl.DataFrame) -> None:
    path.touch(mode=0o600)
    frame.write_parquet(path)
