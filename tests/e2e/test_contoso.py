"""Contoso's 5,000 contacts, through four refreshes, against an oracle that shares no code with the pipeline."""

import csv
import hashlib
import os
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path

import pytest
import yaml
from harness import AUDIENCE, Project

from ci_mailchimp_pipeline.config import Config, load_config

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (
    Path(os.environ.get("CI_MAILCHIMP_SHARED", ROOT.parent / "shared")) / "data" / "contoso" / "Contact.csv"
)
FIELDS = [
    "FNAME",
    "LNAME",
    "CITY",
    {"tag": "BORN", "name": "Born", "type": "date"},
    {"tag": "BDAY", "name": "Birthday", "type": "birthday"},
    {"tag": "ZIP", "name": "Zip", "type": "zip"},
    {"tag": "INCOME", "name": "Income", "type": "number"},
]
NUMBERS = re.compile(r"\d+")

Row = dict[str, str]


@dataclass
class Contoso(Project):
    """The contacts as the source, the tiers and the newsletter's subscribers as segments."""

    contacts: dict[str, Row] = field(default_factory=dict)
    outside: set[tuple[str, str]] = field(default_factory=set)

    def membership(self) -> list[tuple[str, str]]:
        """(customer, segment) of everybody who has not left."""
        tiers = [(key, row["Loyalty Tier"]) for key, row in self.contacts.items()]
        readers = [
            (key, "Newsletter") for key, row in self.contacts.items() if row["Email Subscriber"] == "Yes"
        ]
        return [each for each in tiers + readers if each not in self.outside]

    def write(self) -> Config:
        """Write the refresh and the declaration, and load it."""
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        with (data / "profiles.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(next(iter(self.contacts.values()))))
            writer.writeheader()
            writer.writerows(self.contacts.values())
        with (data / "membership.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("ContactId", "Segment"), *self.membership()])
        document = {
            "version": 1,
            "source": {
                "type": "files", "profiles": "data/profiles.csv", "membership": "data/membership.csv",
                "columns": {"customer_id": "ContactId"},
            },
            "connections": {"main": self.connection},
            "exports": self.exports,
        }  # fmt: skip
        path = self.folder / "exports.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return load_config(path, environ=self.environ)


@dataclass
class Wanted:
    """One address as an export wants it."""

    customer: str
    written: str
    tags: set[str]
    values: dict[str, object]


@dataclass
class Oracle:
    """The audience as it must be, computed from the rules in plain Python, and the fewest requests for it."""

    members: dict[str, dict[str, object]] = field(default_factory=dict)
    customer_of: dict[str, str] = field(default_factory=dict)
    holds: dict[str, dict[str, Wanted]] = field(default_factory=lambda: defaultdict(dict))

    def wanted(self, contoso: Contoso, export: str) -> tuple[dict[str, Wanted], Counter[str], set[str]]:
        """Who is wanted by address, the counts of the others, and the customers whose row is rejected."""
        segments: dict[str, set[str]] = defaultdict(set)
        chosen = {"vip": {"high", "low"}, "newsletter": {"Newsletter"}}[export]
        for customer, segment in contoso.membership():
            if segment in chosen:
                segments[customer].add(segment)
        found: dict[str, Wanted] = {}
        counts: Counter[str] = Counter()
        rejected = set()
        for customer in sorted(segments):
            row = contoso.contacts[customer]
            counts["profiles"] += 1
            if export == "newsletter" and row["Gender"] != "Female":
                counts["excluded"] += 1
                continue
            written = row["EMail"].strip()
            key = written.lower()
            local, at, domain = key.partition("@")
            if not (local and at and "." in domain and "@" not in domain) or domain == "example.com":
                counts["rejected"] += 1
                rejected.add(customer)
                continue
            if key in found:
                found[key].tags |= segments[customer]
                counts["merged"] += 1
                continue
            found[key] = Wanted(customer, written, set(segments[customer]), values_of(export, row))
            counts["accepted"] += 1
        return found, counts, rejected

    def run(self, contoso: Contoso, export: str) -> tuple[Counter[str], int]:
        """Carry one run out; the counts, and the fewest requests that write."""
        wanted, counts, rejected = self.wanted(contoso, export)
        mine, others = self.holds[export], [held for name, held in self.holds.items() if name != export]
        posts = archives = 0
        adds: Counter[str] = Counter()
        removes: Counter[str] = Counter()
        moved: dict[str, str] = {}
        address_of = {customer: key for key, customer in self.customer_of.items()}
        for key, want in wanted.items():
            old = address_of.get(want.customer)
            if key not in self.members and old is not None and old not in wanted:
                moved[key] = old
                self.move(old, key, want.written)
        for key, want in wanted.items():
            held = mine.get(key)
            new = key not in self.members
            member = self.members.setdefault(
                key, {"email": want.written, "status": "subscribed", "tags": set(), "values": {}}
            )
            bucket = "moved" if key in moved else "added" if new else "unchanged"
            lost = (held.tags if held else set()) - want.tags - tags_held(others, key)
            gained = want.tags - (held.tags if held else set())
            changed = held is None or held.values != want.values
            if changed or gained or lost:
                bucket = "updated" if bucket == "unchanged" else bucket
            posts += changed and key not in moved
            adds.update(gained if not changed and key not in moved else ())
            removes.update(lost)
            if changed or key in moved:
                cleared = {tag: "" for tag in (held.values if held else {}) if tag not in want.values}
                member["values"] = {**member["values"], **cleared, **want.values}
                self.customer_of[key] = want.customer
            member["tags"] = (member["tags"] - lost) | want.tags
            counts[bucket] += 1
        for key in [key for key in mine if key not in wanted and mine[key].customer not in rejected]:
            lost = mine[key].tags - tags_held(others, key)
            counts["exited"] += 1
            if export == "vip" and not any(key in held for held in others):
                self.members[key]["status"] = "archived"
                archives += 1
            else:
                self.members[key]["tags"] -= lost
                removes.update(lost)
            del mine[key]
        mine.update(wanted)
        called = sum(ceil(max(adds[tag], removes[tag]) / 500) for tag in adds | removes)
        riding = ceil((posts + adds.total()) / 500) + sum(ceil(count / 500) for count in removes.values())
        return counts, len(moved) + archives + min(ceil(posts / 500) + called, riding)

    def move(self, old: str, new: str, written: str) -> None:
        self.members[new] = self.members.pop(old) | {"email": written}
        del self.customer_of[old]
        for held in self.holds.values():
            if old in held:
                held[new] = held.pop(old)


def tags_held(holds: list[dict[str, Wanted]], key: str) -> set[str]:
    return set().union(*(held[key].tags for held in holds if key in held))


def values_of(export: str, row: Row) -> dict[str, object]:
    """The merge fields as Mailchimp reads them back; what is blank is not there."""
    row = {column: text.strip() for column, text in row.items()}
    values: dict[str, object] = {"FNAME": row["FirstName"], "LNAME": row["LastName"]}
    if export == "vip":
        values["CITY"] = row["City"]
    else:
        values |= {"ZIP": row["PostCode"], "INCOME": float(row["Income"]) if row["Income"] else ""}
        if row["DateOfBirth"]:
            month, day, year = NUMBERS.findall(row["DateOfBirth"])
            values |= {
                "BORN": f"{year}-{int(month):02}-{int(day):02}",
                "BDAY": f"{int(month):02}/{int(day):02}",
            }
    return {tag: value for tag, value in values.items() if value != ""}


@pytest.fixture
def contoso(tmp_path, mailchimp_emulator) -> Contoso:
    """The contacts, with the dirt that real sources have, and two exports into one audience."""
    if not SOURCE.exists():
        pytest.skip("Contoso's contacts are not here")
    with SOURCE.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows):
        if number % 97 == 0:
            row["EMail"] = f"\t {row['EMail'].upper()} "
        elif number % 101 == 0:
            row["EMail"] = rows[number - 1]["EMail"].strip().title()
        elif number % 113 == 0:
            row["EMail"] = ""
        elif number % 127 == 0:
            row["EMail"] = row["EMail"].replace("@", "@@")
        elif number % 131 == 0:
            row["EMail"] = row["EMail"].partition("@")[0] + "@example.com"
    mailchimp_emulator.add_audience(AUDIENCE, merge_fields=FIELDS)
    project = Contoso(tmp_path, mailchimp_emulator, contacts={row["ContactId"]: row for row in rows})
    project.exports.clear()
    project.export("vip", segments=["high", "low"], merge_fields={"CITY": "City"}, on_exit="archive")
    project.export(
        "newsletter", segments=["Newsletter"], require={"Email Subscriber": True, "Gender": "Female"},
        merge_fields={"BORN": "DateOfBirth", "BDAY": "DateOfBirth", "ZIP": "PostCode", "INCOME": "Income"},
    )  # fmt: skip
    return project


def chosen(key: str, one_in: int, salt: str) -> bool:
    """A fixed choice of one in so many, the same on every machine."""
    return int(hashlib.md5(f"{salt} {key}".encode()).hexdigest(), 16) % one_in == 0


def a_day(contoso: Contoso) -> None:
    """1 % changed, 5 % left a segment or all, a few changed tier, ten changed their address."""
    for key, row in contoso.contacts.items():
        if chosen(key, 100, "changed"):
            row["FirstName"], row["City"] = f"{row['FirstName']} II", ""
        if chosen(key, 20, "left"):
            contoso.outside.add((key, row["Loyalty Tier"]))
            if chosen(key, 2, "all"):
                contoso.outside.add((key, "Newsletter"))
        if row["Loyalty Tier"] == "high" and chosen(key, 40, "tier"):
            row["Loyalty Tier"] = "low"
    vips = [key for key, row in contoso.contacts.items() if row["Loyalty Tier"] == "high"]
    for key in [key for key in vips if "@" in contoso.contacts[key]["EMail"]][7:300:30]:
        contoso.contacts[key]["EMail"] = f"moved.{key.lower()}@contoso-mail.internal"


def judge(contoso: Contoso, oracle: Oracle, export: str) -> tuple[int, Counter[str]]:
    """Run, and compare counts, requests and the whole audience with the oracle; the requests and the counts."""
    before = contoso.writes()
    counts, floor = oracle.run(contoso, export)

    report = contoso.run(export)

    assert report.status == "success", report.error
    assert report.counts.is_balanced()
    told = report.counts.as_json()
    for name in ("profiles", "excluded", "rejected", "merged", "accepted", "added", "updated", "moved", "unchanged",
                 "exited"):  # fmt: skip
        assert told[name] == counts[name], name
    assert contoso.writes() - before == report.writes == floor
    assert {who.lower(): seen(who, there) for who, there in contoso.members().items()} == {
        key: (there["email"], there["status"], sorted(there["tags"]), filled(there["values"]))
        for key, there in oracle.members.items()
    }
    return floor, counts


def seen(who: str, there: dict[str, object]) -> tuple[object, ...]:
    return who, there["status"], there["tags"], filled(there["merge_fields"])


def filled(values: dict[str, object]) -> dict[str, object]:
    """Without what is blank, which is how Mailchimp says that there is no value."""
    return {tag: value for tag, value in values.items() if value != ""}


def test_contoso_through_four_refreshes_is_as_the_oracle_says(contoso):
    """First, again, a day later, again: members, tags, fields, counts and requests, each as computed apart."""
    oracle = Oracle()
    first = [judge(contoso, oracle, export) for export in ("vip", "newsletter")]
    again = [judge(contoso, oracle, export) for export in ("vip", "newsletter")]
    a_day(contoso)
    day = [judge(contoso, oracle, export) for export in ("vip", "newsletter")]
    settled = [judge(contoso, oracle, export) for export in ("vip", "newsletter")]

    assert [requests for requests, _ in first] == [2, 2]
    assert [requests for requests, _ in again + settled] == [0, 0, 0, 0]
    happened = sum((counts for _, counts in day), Counter())
    assert happened["moved"] == 10
    assert min(happened["updated"], happened["exited"], happened["unchanged"], happened["rejected"]) > 10
