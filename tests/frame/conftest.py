"""Small snapshots, and frames built from them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.frame.build import Frame, build_frame
from ci_mailchimp_pipeline.frame.fields import MergeField

Person = Mapping[str, str | None]
COLUMNS = ("EMail", "FirstName", "City", "Born", "Income", "Consent", "Street", "State", "Zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The two files of a snapshot that a frame is built from."""

    profiles_path: Path
    membership_path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A frame and its rows."""

    frame: Frame
    accepted: list[dict[str, Any]]
    rejected: list[dict[str, Any]]


def make_export(**changes: Any) -> Export:
    """A valid export of the segment Vip; *changes* override its keys."""
    return Export.model_validate(
        {
            "id": "vip",
            "display_name": "VIP",
            "connection": None,
            "audience_id": "a1b2c3d4e5",
            "owner": {"name": "ben", "role": "administrator"},
            "email": "EMail",
            "segments": ("Vip",),
        }
        | changes
    )


def write_snapshot(
    folder: Path, people: Sequence[Person], membership: Iterable[tuple[str, str]] | None = None
) -> Upstream:
    """Write *people* (``id`` and columns) and their membership; everybody is in Vip unless given."""
    ids = [person["id"] for person in people]
    values = {f"p_{column}": [person.get(column) for person in people] for column in COLUMNS}
    schema = {"row": pl.Int64, "customer_id": pl.String, **dict.fromkeys(values, pl.String)}
    table = pl.DataFrame({"row": range(1, len(ids) + 1), "customer_id": ids, **values}, schema=schema)
    table.write_parquet(folder / "profiles.parquet")
    pairs = sorted({(one, "Vip") for one in ids if one} if membership is None else set(membership))
    names = {"customer_id": pl.String, "segment": pl.String}
    pl.DataFrame(pairs, schema=names, orient="row").write_parquet(folder / "membership.parquet")
    return Upstream(profiles_path=folder / "profiles.parquet", membership_path=folder / "membership.parquet")


@pytest.fixture
def export() -> Callable[..., Export]:
    """Make an export of the segment Vip; keyword arguments override its keys."""
    return make_export


@pytest.fixture
def snapshot() -> Callable[..., Upstream]:
    """Write a snapshot into a folder."""
    return write_snapshot


@pytest.fixture
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Built]:
    """Build the frame of some people, each in Vip unless membership is given; other keywords are the export's."""

    def make(
        people: Sequence[Person],
        *,
        membership: Iterable[tuple[str, str]] | None = None,
        fields: Iterable[MergeField] = (),
        **changes: Any,
    ) -> Built:
        folder = tmp_path_factory.mktemp("frame")
        upstream = write_snapshot(folder, people, membership)
        known = {field.tag: field for field in fields}
        frame = build_frame(make_export(**changes), upstream, known, folder / "out")
        tables = (pl.read_parquet(path).to_dicts() for path in (frame.frame_path, frame.rejected_path))
        return Built(frame=frame, accepted=next(tables), rejected=next(tables))

    return make
