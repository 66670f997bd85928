"""Law: any sequence of records leaves what a plain dictionary would hold."""

import itertools
from contextlib import contextmanager
from dataclasses import dataclass, field

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ci_mailchimp_pipeline.ledger import (
    Acknowledged,
    Archived,
    Moved,
    Refused,
    Released,
    Renamed,
    Retagged,
    Suppressed,
    open_ledger,
)

EXPORTS = ("vip", "other")
PEOPLE = 4  # few, so that records meet


def hash_of(number):
    """A subscriber hash of its own for each number."""
    return bytes([number]) * 16


@dataclass
class Model:
    """The ledger as dictionaries: by hash, and by (export, hash)."""

    members: dict = field(default_factory=dict)
    holds: dict = field(default_factory=dict)
    refusals: dict = field(default_factory=dict)

    def record(self, row, export):
        """Do what *row* says."""
        key = (export, row.subscriber_hash)
        member = self.members.get(row.subscriber_hash)
        match row:
            case Acknowledged():
                created = member["created_by_us"] if member else int(row.created_by_us)
                self.members[row.subscriber_hash] = self.member(row, "active", created)
                self.holds[key] = {
                    "tags": sorted(set(row.tags)),
                    "fingerprint": row.fingerprint,
                    "filled": row.filled,
                }
                self.refusals.pop(key, None)
            case Refused():
                before = self.refusals.get(key)
                same = before is not None and before["fingerprint"] == row.fingerprint
                self.refusals[key] = {
                    "kind": row.kind,
                    "fingerprint": row.fingerprint,
                    "attempts": before["attempts"] + 1 if same else 1,
                }
            case Suppressed():
                created = member["created_by_us"] if member else 0
                self.members[row.subscriber_hash] = self.member(row, "suppressed", created)
            case Renamed() if member:
                member["customer_id"] = row.customer_id
            case Retagged():
                if key in self.holds:
                    gone = {name.lower() for name in (*row.added, *row.removed)}
                    kept = [name for name in self.holds[key]["tags"] if name.lower() not in gone]
                    self.holds[key]["tags"] = sorted({*kept, *row.added})
            case Released():
                self.holds.pop(key, None)
            case Archived() | Renamed() if member:
                archived = isinstance(row, Archived)
                member |= {"state": "archived_by_us"} if archived else {"customer_id": row.customer_id}
            case Moved():
                self.move(row)

    @staticmethod
    def member(row, state, created):
        """The values of a member as *row* leaves it."""
        return {
            "address": row.address,
            "customer_id": row.customer_id,
            "state": state,
            "created_by_us": created,
        }

    def move(self, row):
        """Carry everything of the old hash to the new one."""
        if row.old_hash not in self.members:
            return
        member = self.members.pop(row.old_hash)
        held = {export: self.holds.pop((export, row.old_hash), None) for export in EXPORTS}
        self.members[row.subscriber_hash] = member | {
            "address": row.address,
            "customer_id": row.customer_id,
        }
        for export in EXPORTS:
            for number_hash in (row.old_hash, row.subscriber_hash):
                self.holds.pop((export, number_hash), None)
                self.refusals.pop((export, number_hash), None)
            if held[export]:
                self.holds[export, row.subscriber_hash] = held[export]


hashes = st.integers(1, PEOPLE).map(hash_of)
texts = st.sampled_from(["a", "b", 'quo"te', "Ümläut", ""])
tags = st.lists(texts, max_size=3).map(tuple)
prints = st.sampled_from([b"one", b"two"])
records = st.one_of(
    st.builds(
        Acknowledged,
        subscriber_hash=hashes,
        address=texts,
        customer_id=texts,
        created_by_us=st.booleans(),
        tags=tags,
        fingerprint=prints,
        filled=texts,
    ),
    st.builds(
        Refused,
        subscriber_hash=hashes,
        customer_id=texts,
        kind=st.sampled_from(["permanent", "temporary", "suppress"]),
        code=texts,
        field=st.none() | texts,
        fingerprint=prints,
        retry_at=st.none() | st.just(1.0),
    ),
    st.builds(Suppressed, subscriber_hash=hashes, address=texts, customer_id=texts, reason=texts),
    st.builds(Moved, old_hash=hashes, subscriber_hash=hashes, address=texts, customer_id=texts),
    st.builds(Renamed, subscriber_hash=hashes, customer_id=texts),
    st.builds(Renamed, subscriber_hash=hashes, customer_id=texts),
    st.builds(Retagged, subscriber_hash=hashes, added=tags, removed=tags),
    st.builds(Released, subscriber_hash=hashes),
    st.builds(Archived, subscriber_hash=hashes, archived_at=st.just(2.0)),
)
batches = st.lists(st.tuples(st.sampled_from(EXPORTS), st.lists(records, max_size=8)), max_size=8)


def told(files):
    """What the ledger says, in the model's words."""
    members = {
        row["subscriber_hash"]: {
            name: row[name] for name in ("address", "customer_id", "state", "created_by_us")
        }
        for row in pl.read_parquet(files.members).iter_rows(named=True)
    }
    holds = {
        (row["export"], row["subscriber_hash"]): {
            name: row[name] for name in ("tags", "fingerprint", "filled")
        }
        for row in pl.read_parquet(files.holds).iter_rows(named=True)
    }
    refusals = {
        (row["export"], row["subscriber_hash"]): {
            name: row[name] for name in ("kind", "fingerprint", "attempts")
        }
        for row in pl.read_parquet(files.refusals).iter_rows(named=True)
    }
    return Model(members, holds, refusals)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shelf(request, tmp_path_factory):
    """One ledger for all examples; each example takes an audience of its own."""
    folder = tmp_path_factory.mktemp("model")
    fresh = itertools.count()

    @contextmanager
    def take():
        audience = ledger.audience("account-1", f"audience-{next(fresh)}")
        with ledger.lease(audience, "host:1") as lease:
            yield lease, lambda: told(ledger.export_state(audience, folder / "out"))

    url = request.getfixturevalue("ledger_database") if request.param == "postgresql" else None
    with open_ledger(folder, url) as ledger:
        yield ledger, take


@settings(max_examples=30, deadline=None)
@given(batches)
def test_the_ledger_is_the_model(shelf, batches):
    """Members, holds and refusals equal the model's after any records, chains of moves included."""
    ledger, take = shelf
    model = Model()
    with take() as (lease, tell):
        for export, rows in batches:
            ledger.record(lease, rows, export=export)
            for row in rows:
                model.record(row, export)
        assert tell() == model


@settings(max_examples=30, deadline=None)
@given(batches, records.filter(lambda row: not isinstance(row, Refused)))
def test_recording_something_twice_is_recording_it_once(shelf, batches, last):
    """Requests in flight are repeated after a crash; recording them again changes nothing but attempts."""
    ledger, take = shelf
    with take() as (lease, tell):
        for export, rows in batches:
            ledger.record(lease, rows, export=export)
        ledger.record(lease, [last], export="vip")
        once = tell()
        ledger.record(lease, [last], export="vip")
        assert tell() == once
