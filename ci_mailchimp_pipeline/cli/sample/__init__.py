"""The demo's sample: invented people, two segments, two exports into one audience."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from ci_mailchimp_pipeline.cli.audience import AUDIENCE, KEY

_PROFILES = "unified_profiles.csv"
_MEMBERSHIP = "segment_membership.csv"
_SEGMENT = "NewsletterSubscribers"

_CONFIG = """\
version: 1

source:
  type: files
  profiles: data/unified_profiles.csv
  membership: data/segment_membership.csv

connections:
  local:
    type: mailchimp
    display_name: Local Mailchimp of the demo
    api_key: {{file: mailchimp.key}}
    consent: {{agreed_by: The demo, agreed_on: 2026-11-23}}
    api_root: {api_root}

defaults:
  connection: local
  audience_id: {audience}
  owner: {{name: The demo, role: administrator}}
  email: EMail
  first_name: FirstName
  last_name: LastName
  merge_fields: {{CITY: City, BIRTHDAY: DateOfBirth}}
  prefer: [Income desc]
  guards: {{max_exit_percent: 20, max_rejected_percent: 20}}

exports:
  vip:
    display_name: High-value customers
    segments: [{{name: HighValueSegment, tag: VIP}}]
  newsletter:
    display_name: Newsletter
    segments: [{{name: NewsletterSubscribers, tag: Newsletter}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The sample in a folder.

    Attributes:
        config: The exports.yaml.
        present: Who is in the audience before the first run, as the emulator takes members.
    """

    CHANGES: ClassVar[str] = (
        "one person moves, one leaves the newsletter, one gets another address, one is new"
    )
    TAGS: ClassVar[dict[str, str]] = {"vip": "VIP", "newsletter": "Newsletter"}

    config: Path
    data: Path
    present: list[dict[str, Any]] = field(repr=False)

    def refresh(self) -> None:
        """Write the source anew, with the few changes that `CHANGES` names."""
        fine = _newsletter_readers(self.data)
        mover, leaver, renamed = fine[1], fine[2], fine[3]

        def profiles(rows: list[dict[str, str]]) -> list[dict[str, str]]:
            for row in rows:
                if row["CustomerId"] == mover:
                    row["City"] = "Lissabon"
                if row["CustomerId"] == renamed:
                    row["EMail"] = "renamed." + row["EMail"].strip()
            new = dict.fromkeys(rows[0], "") | {
                "CustomerId": "NEW-1",
                "FirstName": "Noa",
                "LastName": "Neumann",
                "EMail": "noa.neumann@contoso-mail.internal",
                "EmailSubscriber": "true",
            }
            return [*rows, new]

        def membership(rows: list[dict[str, str]]) -> list[dict[str, str]]:
            gone = {"CustomerId": leaver, "Segment": _SEGMENT}
            return [row for row in rows if row != gone] + [{"CustomerId": "NEW-1", "Segment": _SEGMENT}]

        _rewrite(self.data / _PROFILES, profiles)
        _rewrite(self.data / _MEMBERSHIP, membership)


def sample_file(name: str) -> bytes:
    """One of the two CSV files, as packaged."""
    return files(__package__).joinpath(name).read_bytes()


def place_sample(folder: Path, api_root: str) -> Sample:
    """Write the sample into the existing *folder*, for the local Mailchimp at *api_root*."""
    data = folder / "data"
    data.mkdir()
    for name in (_PROFILES, _MEMBERSHIP):
        (data / name).write_bytes(sample_file(name))
    key = folder / "mailchimp.key"
    key.touch(mode=0o600)
    key.write_text(KEY + "\n", encoding="utf-8")
    config = folder / "exports.yaml"
    config.write_text(_CONFIG.format(api_root=api_root, audience=AUDIENCE), encoding="utf-8")
    opted_out = _newsletter_readers(data)[0]
    with (data / _PROFILES).open(newline="", encoding="utf-8-sig") as file:
        address = next(row["EMail"].strip() for row in csv.DictReader(file) if row["CustomerId"] == opted_out)
    present = [
        {"email_address": address, "status": "unsubscribed", "cause": "contact"},
        {"email_address": "signed.up.by.herself@contoso-mail.internal", "status": "subscribed"},
    ]
    return Sample(config=config, data=data, present=present)


def _newsletter_readers(data: Path) -> list[str]:
    """Customers of the newsletter alone whose address is plain and nobody else's, in the order of the file."""
    with (data / _MEMBERSHIP).open(newline="", encoding="utf-8-sig") as file:
        segments: dict[str, set[str]] = {}
        for row in csv.DictReader(file):
            segments.setdefault(row["CustomerId"], set()).add(row["Segment"])
    with (data / _PROFILES).open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    addresses = [row["EMail"].strip().lower() for row in rows]
    return [
        row["CustomerId"]
        for row in rows
        if segments.get(row["CustomerId"]) == {_SEGMENT}
        and row["EMail"].strip().lower().endswith(".internal")
        and "@" in row["EMail"]
        and " " not in row["EMail"].strip()
        and row["EMail"].isascii()
        and addresses.count(row["EMail"].strip().lower()) == 1
        and ".." not in row["EMail"]
    ]


def _rewrite(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> None:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        rows, columns = list(reader), list(reader.fieldnames or ())
    written = path.with_suffix(".new")
    with written.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(change(rows))
    written.replace(path)
