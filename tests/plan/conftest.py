"""A small world for the plan: people, the ledger, and what Mailchimp shows, as the Parquet files it reads."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ci_mailchimp_pipeline.plan.build import build_plan
from ci_mailchimp_pipeline.plan.model import Counts, Plan, PlanInputs, PlanSettings

SCHEMAS: dict[str, dict[str, Any]] = {
    "frame": {
        "subscriber_hash": pl.Binary, "customer_id": pl.String, "email_address": pl.String,
        "tags": pl.List(pl.String), "mf_FNAME": pl.String, "fingerprint": pl.Binary, "filled": pl.String,
    },
    "rejected": {
        "row": pl.Int64, "customer_id": pl.String, "reason": pl.String, "field": pl.String, "email_address": pl.String,
    },
    "customers": {"customer_key": pl.Binary},
    "members": {
        "subscriber_hash": pl.Binary, "address": pl.String, "customer_id": pl.String, "state": pl.String,
        "reason": pl.String, "created_by_us": pl.Int64, "archived_at": pl.Float64, "changed_at": pl.Float64,
    },
    "holds": {
        "export": pl.String, "subscriber_hash": pl.Binary, "tags": pl.List(pl.String), "fingerprint": pl.Binary,
        "filled": pl.String,
    },
    "refusals": {
        "export": pl.String, "subscriber_hash": pl.Binary, "customer_id": pl.String, "kind": pl.String,
        "code": pl.String, "field": pl.String, "fingerprint": pl.Binary, "attempts": pl.Int64, "retry_at": pl.Float64,
    },
    "foreign_tags": {"tag_key": pl.String, "subscriber_hash": pl.Binary},
    "forgotten": {"kind": pl.String, "digest": pl.Binary, "key_id": pl.String},
    "seen": {"subscriber_hash": pl.Binary, "status": pl.String, "last_changed": pl.Float64},
}  # fmt: skip


def key(address: str) -> bytes:
    return hashlib.md5(address.strip().lower().encode()).digest()


def print_of(first_name: str | None) -> bytes:
    return hashlib.md5(f"FNAME={first_name}".encode()).digest()


SETTINGS = PlanSettings(
    export="vip", on_exit="remove_tag", new_members="subscribed", merge_tags=("FNAME",),
    known_tags=frozenset({"vip", "news", "old"}), now=1_000.0,
)  # fmt: skip


@dataclass
class World:
    """Rows per input file; ``plan`` writes them and builds the plan."""

    folder: Path
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {name: [] for name in SCHEMAS})
    settings: PlanSettings = SETTINGS
    runs: int = 0

    def want(
        self, address: str, *tags: str, customer: str | None = None, first_name: str | None = "Ada"
    ) -> None:
        self.rows["frame"].append(
            {
                "subscriber_hash": key(address), "customer_id": customer or address, "email_address": address,
                "tags": sorted(tags or ("VIP",)), "mf_FNAME": first_name, "fingerprint": print_of(first_name),
                "filled": "FNAME" if first_name else "",
            }
        )  # fmt: skip
        self.rows["customers"].append({"customer_key": hashlib.md5((customer or address).encode()).digest()})

    def member(
        self, address: str, *, customer: str | None = None, state: str = "active", ours: bool = True,
        archived_at: float | None = None, reason: str | None = None,
    ) -> None:  # fmt: skip
        self.rows["members"].append(
            {
                "subscriber_hash": key(address), "address": address, "customer_id": customer or address,
                "state": state, "reason": reason, "created_by_us": int(ours), "archived_at": archived_at,
                "changed_at": 1.0,
            }
        )  # fmt: skip

    def hold(self, address: str, *tags: str, export: str = "vip", first_name: str | None = "Ada") -> None:
        self.rows["holds"].append(
            {
                "export": export, "subscriber_hash": key(address), "tags": list(tags or ("VIP",)),
                "fingerprint": print_of(first_name), "filled": "FNAME" if first_name else "",
            }
        )  # fmt: skip

    def held(self, address: str, *tags: str, **member: Any) -> None:
        self.member(address, **member)
        self.hold(address, *tags)

    def see(self, address: str, status: str, last_changed: float | None = 0.0) -> None:
        self.rows["seen"].append(
            {"subscriber_hash": key(address), "status": status, "last_changed": last_changed}
        )

    def refuse(
        self, address: str, kind: str, code: str, *, retry_at: float | None = None, first_name: str = "Ada"
    ) -> None:
        self.rows["refusals"].append(
            {
                "export": "vip", "subscriber_hash": key(address), "customer_id": address, "kind": kind, "code": code,
                "field": None, "fingerprint": print_of(first_name), "attempts": 1, "retry_at": retry_at,
            }
        )  # fmt: skip

    def plan(self, **settings: Any) -> Plan:
        self.runs += 1
        base = self.folder / f"run{self.runs}"
        base.mkdir(mode=0o700)
        for name, schema in SCHEMAS.items():
            rows = self.rows[name]
            if name == "frame":
                rows = sorted(rows, key=lambda row: row["subscriber_hash"])
            pl.DataFrame(rows, schema=schema, orient="row").write_parquet(base / f"{name}.parquet")
        into = base / "plan"
        into.mkdir(mode=0o700)
        accepted, rejected = len(self.rows["frame"]), len(self.rows["rejected"])
        return build_plan(
            PlanInputs(**{name: base / f"{name}.parquet" for name in SCHEMAS}),
            replace(self.settings, **settings),
            Counts(profiles=accepted + rejected, accepted=accepted, rejected=rejected),
            into,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)
