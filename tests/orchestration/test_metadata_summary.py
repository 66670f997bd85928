"""What the page shows of a run: the words, the tables and the picture."""

import base64
import re
import xml.etree.ElementTree as ET
from typing import Any

import dagster as dg
import pytest
from harness import address
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.config.fields import Schedule, Segment
from ci_mailchimp_pipeline.config.models import Export
from ci_mailchimp_pipeline.orchestration.flow import picture
from ci_mailchimp_pipeline.orchestration.summary import numbers_table, told
from ci_mailchimp_pipeline.pipeline.report import Report
from ci_mailchimp_pipeline.plan.guards import Guard
from ci_mailchimp_pipeline.plan.model import Counts

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = Counts(
    profiles=1200, rejected=40, merged=15, excluded=120, accepted=1025, added=300, updated=120, moved=4,
    unchanged=560, suppressed=35, refused=6, exited=7,
)  # fmt: skip


def _export(**keys: object) -> Export:
    return Export.model_validate(
        {
            "id": "vip", "display_name": "VIP", "connection": "main", "audience_id": "a1b2c3d4e5",
            "owner": {"name": "Ben", "role": "administrator"}, "email": "EMail",
            "segments": (Segment(name="Vip", tag="Vip"),), **keys,
        }
    )  # fmt: skip


def _drawn(counts: Counts) -> ET.Element:
    found = re.fullmatch(r"!\[[^\]]*\]\(data:image/svg\+xml;base64,([^)]*)\)", picture(counts))
    assert found is not None
    return ET.fromstring(base64.b64decode(found[1]))


counts_of_anything = st.builds(
    lambda sent, kept: Counts(
        **dict(zip(("added", "updated", "moved", "unchanged", "suppressed", "refused"), sent, strict=True)),
        **dict(zip(("rejected", "merged", "excluded"), kept, strict=True)),
        accepted=sum(sent),
        profiles=sum(sent) + sum(kept),
    ),
    st.lists(st.sampled_from([0, 1, 2, 77, 4_000, 999_990]), min_size=6, max_size=6),
    st.lists(st.sampled_from([0, 1, 5, 300, 120_000]), min_size=3, max_size=3),
)


@given(counts=counts_of_anything)
def test_picture_is_small_whole_and_readable(counts: Counts) -> None:
    """Whatever the numbers: under 10 KB, everything inside its edges, every number written, no two texts on each other."""
    if not counts.profiles:
        assert picture(counts) == ""
        return
    drawing = _drawn(counts)
    tall = float(drawing.attrib["height"])
    texts = [
        (float(each.attrib["x"]), float(each.attrib["y"]), each.text or "")
        for each in drawing.iter(f"{SVG}text")
    ]
    shown = {name: number for name, number in counts.as_json().items() if number}

    assert len(picture(counts)) < 10_000
    assert sorted(text for _, _, text in texts) == sorted(
        f"{number:,} {name}" for name, number in shown.items()
    )
    assert all(0 < y < tall for _, y, _ in texts)
    for bar in drawing.iter(f"{SVG}rect"):
        assert float(bar.attrib["height"]) > 0
        assert float(bar.attrib["y"]) + float(bar.attrib["height"]) <= tall
    for x, y, _ in texts:
        assert [other for left, other, _ in texts if left == x and 0 < abs(other - y) < 12] == []


def test_picture_is_told_in_words_too() -> None:
    """Who cannot see it hears it."""
    assert picture(COUNTS).startswith(
        "![1,200 profiles, 1,025 accepted, 15 merged, 120 excluded, 40 rejected, 300 added"
    )


def test_heights_are_in_proportion() -> None:
    """Twice as many people are twice as high."""
    heights = [
        float(bar.attrib["height"])
        for bar in _drawn(Counts(profiles=90, accepted=90, added=30, updated=60)).iter(f"{SVG}rect")
    ]

    assert heights[3] == pytest.approx(2 * heights[2], abs=0.2)
    assert heights[0] == pytest.approx(heights[2] + heights[3], abs=0.2)


def test_run_is_told_in_pieces() -> None:
    """A marketer reads the first, an engineer the last."""
    report = Report(
        export="vip", status="success", run_id="r", counts=COUNTS, members=984, requests=12, writes=3,
        seconds=4.25, steps={"upstream": 1.0, "frame": 1.25, "plan": 0.5, "apply": 1.5},
        rejected_reasons={"malformed_email": 40}, suppressed_reasons={"unsubscribed": 35},
        warnings=("the audience asks for double opt-in",),
    )  # fmt: skip

    pieces = told(report, _export())

    assert list(pieces) == ["summary", "picture", "reasons", "warnings", "cost", "next"]
    assert pieces["summary"].startswith("**984 members under this export's tags now**")
    assert "| profiles | 1,200 | ██████████ | in the chosen segments |" in pieces["summary"]
    assert "| added | 300 | ██ | new in the audience |" in pieces["summary"]
    assert "| moved | 4 | ▏ | new address, same person |" in pieces["summary"]
    assert "| rejected | `malformed_email` | 40 |" in pieces["reasons"]
    assert "| suppressed | `unsubscribed` | 35 |" in pieces["reasons"]
    assert pieces["warnings"] == "- the audience asks for double opt-in"
    assert "12 requests: 3 to write (the fewest that can do it), 9 to read or to try again." in pieces["cost"]
    assert (
        "4.2 s: reading the source 1.0 s, validating 1.2 s, planning 0.5 s, sending 1.5 s." in pieces["cost"]
    )
    assert "- after the next refresh of the source" in pieces["next"]
    assert "`ci-mailchimp rejected vip`" in pieces["next"]


def test_dry_run_is_told_as_the_plan() -> None:
    """What would happen, what the guards say, what it would need, and how to do just that."""
    report = Report(
        export="vip", status="success", dry_run=True, plan_id="0123456789abcdef", counts=COUNTS, requests=12,
        writes=3, minutes=0.02,
        guards=(
            Guard(guard="max_exit_percent", value=4.2, limit=20, stopped=False),
            Guard(guard="max_growth_percent", value=1234.5, limit=None, stopped=False),
            Guard(guard="max_profiles", value=1_200_000, limit=1_000_000, stopped=True),
        ),
    )  # fmt: skip

    pieces = told(report, _export())

    assert "**Dry run: nothing was sent. This is plan 0123456789abcdef**" in pieces["summary"]
    assert "| would be | people |" in pieces["summary"]
    assert "12 requests (3 of them write: the fewest that can do it) and less than a minute" in pieces["cost"]
    assert "| `max_exit_percent` | 4.2 | 20 | passes |" in pieces["guards"]
    assert "| `max_growth_percent` | 1,234.5 | off | passes |" in pieces["guards"]
    assert "| `max_profiles` | 1,200,000 | 1,000,000 | **stops** |" in pieces["guards"]
    assert "`ci-mailchimp run vip --plan-id 0123456789abcdef`" in pieces["next"]


def test_people_are_shown_without_a_click() -> None:
    """Dagster's page hides Markdown of 1,000 characters and more behind a link; every count at its longest is shorter."""
    full = Counts(**dict.fromkeys(COUNTS.as_json(), 1_000_000))
    report = Report(export="vip", status="success", dry_run=True, plan_id="0" * 16, counts=full)

    assert len(told(report, _export())["summary"]) < 1000


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        pytest.param(Schedule(kind="refresh"), "after the next refresh of the source", id="refresh"),
        pytest.param(Schedule(kind="off"), "on demand", id="off"),
        pytest.param(
            Schedule(kind="cron", cron="0 6 * * *", timezone="Europe/Berlin"),
            "`0 6 * * *` (Europe/Berlin)",
            id="cron",
        ),
    ],
)
def test_page_says_when_the_next_run_is(schedule: Schedule, says: str) -> None:
    """Nobody has to look into the file for it."""
    pieces = told(Report(export="vip", status="success"), _export(schedule=schedule))

    assert pieces["next"] == f"- {says}"


def test_run_that_had_nothing_to_write_says_so() -> None:
    """An unchanged refresh costs reads alone."""
    pieces = told(Report(export="vip", status="success", requests=9), _export())

    assert "9 requests: none to write, 9 to read or to try again." in pieces["cost"]


def test_names_cannot_break_a_table() -> None:
    """A segment may be called anything."""
    assert r"| a \| b | 1,204 |" in numbers_table(("segment", "customers"), {"a | b": 1204})
    assert numbers_table(("segment", "customers"), {}) == "none"


def test_pieces_of_a_finished_run_are_on_the_page_and_hold_nobody(finished: Any) -> None:
    """What Dagster keeps has each piece, a picture among them, and no person in any."""
    event = finished.instance.get_latest_materialization_event(dg.AssetKey(["vip", "mailchimp_sync"]))
    kept = event.asset_materialization.metadata

    shown = {name: kept[name].value for name in ("summary", "picture", "reasons", "cost", "next")}
    drawn = base64.b64decode(shown["picture"].partition("base64,")[2].rstrip(")")).decode()
    for personal in (address(3), address(0), "contoso-mail", "not.an.address", "Firstc", "c00003"):
        assert personal not in drawn + "".join(shown.values())
    assert "24 unchanged" in drawn
    assert len(kept["config_hash"].value) < 20
