"""Contoso's own assets: they write the two files that the exports read."""

import csv
from pathlib import Path

import dagster as dg

PROFILES = [
    ["CustomerId", "FirstName", "LastName", "EMail"],
    ["c1", "Ada", "Ek", "ada@contoso-mail.internal"],
    ["c2", "Bo", "Lind", "bo@contoso-mail.internal"],
    ["c3", "Cy", "Moe", "not an address"],
]
SEGMENTS = [["CustomerId", "Segment"], ["c1", "Vip"], ["c2", "Vip"], ["c3", "Vip"]]


def write_rows(name: str, rows: list[list[str]]) -> None:
    """Write *rows* into the folder that exports.yaml reads, whole or not at all."""
    folder = Path(__file__).parent / "newsletter" / "data"
    folder.mkdir(exist_ok=True)
    new = folder / f"{name}.new"
    with new.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    new.replace(folder / name)


@dg.asset(key=["warehouse", "profiles"], group_name="warehouse")
def profiles() -> None:
    """One row a customer."""
    write_rows("profiles.csv", PROFILES)


@dg.asset(key=["warehouse", "segments"], group_name="warehouse")
def segments() -> None:
    """One row for each segment that a customer is in."""
    write_rows("segments.csv", SEGMENTS)


# One job makes both, so that the exports know when a refresh is complete.
refresh = dg.define_asset_job("refresh_warehouse", selection=["warehouse/profiles", "warehouse/segments"])
