"""From files to a frame, over the sample in this repository and over Contoso's public contacts."""

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.frame.build import build_frame
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.sources.base import needs_of
from ci_mailchimp_pipeline.sources.files import FilesSource, Options
from ci_mailchimp_pipeline.sources.snapshots import take_snapshot

ROOT = Path(__file__).parents[2]
CONTOSO = (
    Path(os.environ.get("CI_MAILCHIMP_SHARED", ROOT.parent / "shared")) / "data" / "contoso" / "Contact.csv"
)
FIELDS = {
    field.tag: field
    for field in (
        MergeField(tag="FNAME", type="text"),
        MergeField(tag="LNAME", type="text"),
        MergeField(tag="CITY", type="text"),
        MergeField(tag="BIRTHDAY", type="birthday", date_format="MM/DD"),
        MergeField(tag="INCOME", type="number"),
        MergeField(tag="ADDRESS", type="address"),
    )
}


def test_the_sample_shows_every_case(export: Callable[..., Export], tmp_path: Path) -> None:
    """60 invented people: blank, malformed and reserved addresses, one shared address, one newline, one ghost."""
    source = FilesSource(
        Options(profiles="unified_profiles.csv", membership="segment_membership.csv"),
        folder=ROOT / "examples" / "data",
    )
    vip = export(
        first_name="FirstName",
        last_name="LastName",
        merge_fields={"CITY": "City", "BIRTHDAY": "DateOfBirth", "INCOME": "Income"},
        segments=("HighValueSegment", {"name": "NewsletterSubscribers", "tag": "Newsletter"}),
        require={"EmailSubscriber": True},
        prefer=("Income desc",),
    )

    snapshot = take_snapshot(source, needs_of([vip]), tmp_path, settle=False)
    frame = build_frame(vip, snapshot, FIELDS, tmp_path / "frame")

    assert snapshot.customers == 60
    assert frame.rejected_reasons == {"malformed_email": 2, "no_email": 2, "reserved_domain": 1}
    assert (frame.merged, frame.no_profile, frame.cut_values) == (1, 1, 0)
    assert frame.rejected / frame.profiles < 0.1
    rows = {row["mf_FNAME"]: row for row in pl.read_parquet(frame.frame_path).to_dicts()}
    assert rows["Gita Maharani"]["tags"] == ["HighValueSegment", "Newsletter"]
    assert "Zoë" not in rows
    assert rows["Zoe"]["mf_BIRTHDAY"] == "05/08"


@pytest.mark.skipif(not CONTOSO.exists(), reason="needs Contoso's contacts (CI_MAILCHIMP_SHARED)")
def test_contoso_contacts_become_members(export: Callable[..., Export], tmp_path: Path) -> None:
    """A real export of another product: slashed dates, phone numbers, long decimals; nobody is lost."""
    contacts = pl.read_csv(CONTOSO, infer_schema=False)
    contacts.select("ContactId", Segment=pl.lit("All")).write_csv(tmp_path / "membership.csv")
    source = FilesSource(
        Options(profiles=str(CONTOSO), membership="membership.csv", columns={"customer_id": "ContactId"}),
        folder=tmp_path,
    )
    everybody = export(
        first_name="FirstName",
        last_name="LastName",
        merge_fields={
            "BIRTHDAY": "DateOfBirth",
            "INCOME": "Income",
            "ADDRESS": {
                "addr1": "StreetAddress",
                "city": "City",
                "state": "State",
                "zip": "PostCode",
                "country": "Country",
            },
        },
        segments=("All",),
    )

    snapshot = take_snapshot(source, needs_of([everybody]), tmp_path / "snapshots", settle=False)
    frame = build_frame(everybody, snapshot, FIELDS, tmp_path / "frame")

    assert snapshot.profiles == frame.profiles == contacts.height
    assert frame.accepted + frame.rejected + frame.merged == contacts.height
    assert frame.rejected_reasons.get("invalid_merge_value", 0) == 0
    rows = {row["customer_id"]: row for row in pl.read_parquet(frame.frame_path).to_dicts()}
    first = rows["CNTID_1000"]
    assert (first["mf_FNAME"], first["mf_BIRTHDAY"], first["mf_INCOME"]) == (
        "Abbie",
        "05/08",
        "256414.1127086401",
    )
