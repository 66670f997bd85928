"""The contract: a frame that breaks it is refused, without showing anybody's values."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from ci_mailchimp_pipeline.config import Export
from ci_mailchimp_pipeline.errors import FixDataError
from ci_mailchimp_pipeline.frame import schema as frame_schema_module
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.frame.schema import frame_schema, validate

FIELDS = {
    field.tag: field
    for field in (
        MergeField(tag="FNAME", type="text", required=True),
        MergeField(tag="BIRTHDAY", type="birthday"),
        MergeField(tag="TIER", type="dropdown", choices=("Gold",)),
    )
}


def _frame(count: int = 3) -> pl.DataFrame:
    addresses = sorted(
        (f"p{n}@contoso-mail.internal" for n in range(count)), key=lambda a: hashlib.md5(a.encode()).digest()
    )
    return pl.DataFrame(
        {
            "subscriber_hash": [hashlib.md5(address.encode()).digest() for address in addresses],
            "customer_id": [f"c{n}" for n in range(count)],
            "email_address": addresses,
            "tags": [["Vip"]] * count,
            "mf_FNAME": ["Ada"] * count,
            "mf_BIRTHDAY": ["05/08", None, "02/29"][:count] + ["01/01"] * (count - 3),
            "mf_TIER": ["Gold"] * count,
            "fingerprint": [bytes(16)] * count,
            "filled": ["FNAME"] * count,
        }
    )


@pytest.fixture
def check(export: Callable[..., Export], tmp_path: Path) -> Callable[[pl.DataFrame], None]:
    """Validate a frame as a file."""
    schema = frame_schema(
        export(first_name="FirstName", merge_fields={"BIRTHDAY": "Born", "TIER": "City"}), FIELDS
    )

    def run(frame: pl.DataFrame) -> None:
        frame.write_parquet(tmp_path / "frame.parquet")
        validate(schema, tmp_path / "frame.parquet")

    return run


@pytest.mark.parametrize("frame", [_frame(), _frame(3).head(0)], ids=["rows", "empty"])
def test_a_frame_that_keeps_the_contract_passes(
    check: Callable[[pl.DataFrame], None], frame: pl.DataFrame
) -> None:
    """Valid rows, and none, pass."""
    check(frame)


def _with(column: str, *values: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda frame: frame.with_columns(pl.Series(column, list(values), dtype=frame[column].dtype))


@pytest.mark.parametrize(
    ("change", "column"),
    [
        pytest.param(lambda frame: frame.drop("email_address"), "email_address", id="no address column"),
        pytest.param(
            _with("email_address", "a@b.internal", "SECRET name", "c@b.internal"),
            "email_address",
            id="no address",
        ),
        pytest.param(
            _with("email_address", "a@b.internal", None, "c@b.internal"), "email_address", id="no value"
        ),
        pytest.param(
            _with("email_address", "a@b.internal", "é@b.internal", "c@b.internal"),
            "email_address",
            id="not ASCII",
        ),
        pytest.param(lambda frame: pl.concat([frame, frame.tail(1)]), "subscriber_hash", id="hash twice"),
        pytest.param(lambda frame: frame.reverse(), "subscriber_hash", id="out of order"),
        pytest.param(_with("subscriber_hash", b"1", b"2", b"3"), "subscriber_hash", id="short hash"),
        pytest.param(_with("tags", ["Vip"], [], ["Vip"]), "tags", id="no tag"),
        pytest.param(_with("tags", ["Vip"], ["Vip", "SECRET"], ["Vip"]), "tags", id="foreign tag"),
        pytest.param(_with("mf_FNAME", "a", None, "c"), "mf_FNAME", id="required field without value"),
        pytest.param(_with("mf_FNAME", "a", "SECRET" * 50, "c"), "mf_FNAME", id="too long"),
        pytest.param(_with("mf_BIRTHDAY", "05/08", "SECRET", None), "mf_BIRTHDAY", id="no birthday"),
        pytest.param(_with("mf_TIER", "Gold", "SECRET", "Gold"), "mf_TIER", id="no choice"),
        pytest.param(_with("customer_id", "a", "", "c"), "customer_id", id="no customer"),
        pytest.param(
            lambda frame: frame.with_columns(mf_SHOE=pl.lit("SECRET")), "mf_SHOE", id="a column more"
        ),
    ],
)
def test_a_frame_that_breaks_the_contract_is_refused(
    check: Callable[[pl.DataFrame], None], change: Callable[[pl.DataFrame], pl.DataFrame], column: str
) -> None:
    """The error names column, check and count, and no value, not even in its context."""
    with pytest.raises(FixDataError) as caught:
        check(change(_frame()))

    assert caught.value.code == "frame_check_failed"
    assert column in caught.value.message
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_rows_are_checked_across_parts(
    check: Callable[[pl.DataFrame], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in a later part, and an order that breaks between two parts, are both found."""
    monkeypatch.setattr(frame_schema_module, "ROWS_AT_ONCE", 3)
    good = _frame(9)
    check(good)

    late = good.with_columns(mf_TIER=pl.Series(["Gold"] * 8 + ["Tin"]))
    swapped = pl.concat([good[3:6], good[0:3], good[6:9]])

    with pytest.raises(FixDataError, match="mf_TIER: 1 rows fail 'is a choice'"):
        check(late)
    with pytest.raises(FixDataError, match="is unique and in order"):
        check(swapped)
