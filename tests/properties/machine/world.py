"""The real thing, played with: a project, the local Mailchimp, and one clock for both."""

import shutil
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from harness import AUDIENCE, Project, key
from promises.promised import hurried
from properties.machine.scene import Audience, Fields, Held, Known, Memory, Refusal, There, Upstream

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.ledger import open_ledger
from ci_mailchimp_pipeline.testing import Emulator, EmulatorError

ACCOUNT = "8d3a3db4d97663a9074efcc16"
MERGE_TAGS = ("FNAME", "LNAME", "CITY")
SEGMENTS = ("Vip", "News", "Gold")


@dataclass
class Tally:
    """What was played so far, over all machines."""

    counts: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return ", ".join(f"{number:,} {what}" for what, number in self.counts.most_common())


class World:
    """One project, its Mailchimp, and what is true of both.

    Attributes:
        archived_by_us: Addresses that a request of ours archived, and whom nobody changed since.
        made_by_us: Members that a request of ours created.
        like_ours: Members that others put where one of ours had been: a run cannot tell them from that one.
        addresses: Under which addresses each customer was a wanted member in a finished run.
    """

    def __init__(self, emulator: Emulator, folder: Path, tally: Tally) -> None:
        self.emulator, self.tally = emulator, tally
        self.offset = 0.0
        self.distrusted = ""
        self.archived_by_us: set[str] = set()
        self.made_by_us: set[str] = set()
        self.once_made: set[str] = set()
        self.like_ours: set[str] = set()
        self.addresses: dict[str, set[str]] = {}
        self.fields: dict[bytes, Fields] = {b"": {}}
        self.keys: dict[bytes, str] = {}
        emulator.reset(switches={"record_bodies": True})
        emulator.add_audience(AUDIENCE, merge_fields=list(MERGE_TAGS))
        self.project = Project(folder=folder, emulator=emulator, connect=hurried)
        self.project.segments = {name: [] for name in SEGMENTS}
        self.project.exports.clear()
        self.declare(
            "vip", segments={"Vip": "Vip", "Gold": "Best"}, on_exit="archive", merge_fields={"CITY": "City"}
        )
        self.declare(
            "news", segments={"News": "News"}, on_exit="remove_tag", require={"EmailSubscriber": True}
        )
        self.project.customer("anchor", "anchor@contoso-mail.internal", *SEGMENTS)

    # what happens

    def declare(self, export: str, *, segments: Mapping[str, str] | None = None, **more: Any) -> None:
        """Declare an export or change one; *segments* are tags by segment."""
        if segments is not None:
            more["segments"] = [{"name": name, "tag": tag} for name, tag in segments.items()]
        if export not in self.project.exports:
            more = {"new_members": "subscribed", **more}
        self.project.export(export, **more)

    def later(self, seconds: float) -> None:
        """Let time pass, for the pipeline and for Mailchimp."""
        self.offset += seconds
        self.emulator.advance_clock(seconds)

    def now(self) -> float:
        return time.time() + self.offset

    def deed(self, action: str, address: str, **more: Any) -> bool:
        """Somebody does something in Mailchimp, a minute later than all before; False if it cannot be done."""
        self.later(60)
        if more.get("new_address", "").lower() == address.lower():
            return False
        before = self.audience().people
        with suppress(EmulatorError):
            self.emulator.people(action, AUDIENCE, address, **more)
            after = self.audience().people
            self.archived_by_us -= {
                each for each in self.archived_by_us if before.get(each) != after.get(each)
            }
            if action == "sign_up":
                self.like_ours |= {address.lower()} & self.once_made
            if action in ("delete_permanent", "change_address"):
                self.made_by_us.discard(address.lower())
            return True
        return False

    def imported(self, address: str, **member: Any) -> None:
        """Somebody else puts a member into the audience; nothing if there is one."""
        self.later(60)
        with suppress(EmulatorError):
            self.emulator.add_member(AUDIENCE, address, opted=1_000, **member)
            self.like_ours |= {address.lower()} & self.once_made

    # what is there

    def audience(self) -> Audience:
        """The audience as Mailchimp has it."""
        (seed,) = self.emulator.state()["audiences"]
        people = {
            each["email_address"].lower(): There(
                status=each.get("status", "subscribed"),
                tags=frozenset(tag.lower() for tag in each.get("tags", ())),
                fields={tag: each.get("merge_fields", {}).get(tag, "") for tag in MERGE_TAGS},
                changed=each["changed"],
                source=each.get("source", "Admin Add"),
            )
            for each in seed.get("members", ())
        }
        self.keys.update({key(address): address for address in people})
        return Audience(
            people=people,
            tags=frozenset(tag["name"].lower() for tag in seed.get("tags", ())),
            forgotten=frozenset(self.keys[bytes.fromhex(each)] for each in seed.get("forgotten", ())),
            merge_tags=MERGE_TAGS,
            distrusted=self.distrusted,
        )

    def upstream(self) -> Upstream:
        """The source as it is."""
        self.keys.update(
            {key(row["EMail"]): row["EMail"].strip().lower() for row in self.project.people.values()}
        )
        return Upstream(people=self.project.people, segments=self.project.segments)

    def memory(self, config: Config) -> tuple[Memory, Mapping[str, float | None]]:
        """The ledger as it is, and since when each export has something unfinished."""
        into = self.project._folder("looks")
        with open_ledger(config.home, config.ledger_url, read_only=True) as ledger:
            number = ledger.audience(ACCOUNT, AUDIENCE)
            files = ledger.export_state(number, into)
            unfinished = {name: ledger.unfinished_writing(number, name) for name in self.project.exports}
        members, holds, refusals, tags, foreign = (
            pl.read_parquet(path).to_dicts()
            for path in (files.members, files.holds, files.refusals, files.tags, files.foreign_tags)
        )
        shutil.rmtree(into)
        memory = Memory(adopted={row["tag_key"] for row in tags})
        for row in members:
            assert key(row["address"]) == row["subscriber_hash"]
            memory.members[row["address"].strip().lower()] = Known(
                customer=row["customer_id"], state=row["state"], reason=row["reason"],
                created=bool(row["created_by_us"]), archived_at=row["archived_at"], changed_at=row["changed_at"],
            )  # fmt: skip
        for row in holds:
            fields = self.fields[row["fingerprint"]]
            assert set(row["filled"].split(",")) - {""} == {tag for tag, value in fields.items() if value}
            memory.holds[row["export"], self.keys[row["subscriber_hash"]]] = Held(
                tags=frozenset(tag.lower() for tag in row["tags"]), fields=fields
            )
        for row in refusals:
            memory.refusals[row["export"], self.keys[row["subscriber_hash"]]] = Refusal(
                kind=row["kind"], code=row["code"], customer=row["customer_id"],
                fields=self.fields[row["fingerprint"]], attempts=row["attempts"], retry_at=row["retry_at"],
            )  # fmt: skip
        for tag in memory.adopted:
            memory.foreign[tag] = {
                self.keys[row["subscriber_hash"]] for row in foreign if row["tag_key"] == tag
            }
        return memory, unfinished
