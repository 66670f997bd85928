"""What the page shows of a run: the words, the tables and the picture."""

import base64
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ci_mailchimp_pipeline.config.fields import Schedule, Segment
from ci_mailchimp_pipeline.config.models import Export
from ci_mailchimp_pipeline.orchestration.flow import picture
from ci_mailchimp_pipeline.orchestration.summary import numbers_table, summary
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


def test_summary_of_a_run_has_people_reasons_requests_seconds_and_what_is_next() -> None:
    """A marketer reads the top, an engineer the bottom."""
    report = Report(
        export="vip", status="success", run_id="r", counts=COUNTS, members=984, requests=12, writes=3,
        seconds=4.25, steps={"upstream": 1.0, "frame": 1.25, "plan": 0.5, "apply": 1.5},
        rejected_reasons={"malformed_email": 40}, suppressed_reasons={"unsubscribed": 35},
        warnings=("the audience asks for double opt-in",),
    )  # fmt: skip

    told = summary(report, _export(), audience="https://us1.admin.mailchimp.com/lists/members/?id=7")

    for wanted in (
        "**984 members under this export's tags now**",
        "| added | 300 | new in the audience |",
        "| rejected | `malformed_email` | 40 |",
        "| suppressed | `unsubscribed` | 35 |",
        "- warning: the audience asks for double opt-in",
        "12 requests: 3 to write (the fewest that can do it), 9 to read or to try again.",
        "4.2 s: reading the source 1.0 s, validating 1.2 s, planning 0.5 s, sending 1.5 s.",
        "- next run: after the next refresh of the source",
        "`ci-mailchimp rejected vip`",
        "[the audience in Mailchimp](https://us1.admin.mailchimp.com/lists/members/?id=7)",
    ):
        assert wanted in told
    assert "guard" not in told


def test_summary_of_a_dry_run_is_the_plan() -> None:
    """What would happen, what the guards say, what it would need, and how to do just that."""
    report = Report(
        export="vip", status="success", dry_run=True, plan_id="0123456789abcdef", counts=COUNTS, requests=12,
        writes=3, minutes=0.02,
        guards=(
            Guard(guard="max_exit_percent", value=4.2, limit=20, stopped=False),
            Guard(guard="max_growth_percent", value=1234.5, limit=None, stopped=False),
            Guard(guard="max_profiles", value=1200, limit=1000, stopped=True),
        ),
    )  # fmt: skip

    told = summary(report, _export())

    for wanted in (
        "**Dry run: nothing was sent. This is plan 0123456789abcdef**",
        "| would be | people | because |",
        "A run would need 12 requests (3 of them write: the fewest that can do it) and less than a minute.",
        "| `max_exit_percent` | 4.2 | 20 | passes |",
        "| `max_growth_percent` | 1,234.5 | off | passes |",
        "| `max_profiles` | 1,200 | 1,000 | **stops** |",
        "`ci-mailchimp run vip --plan-id 0123456789abcdef`",
    ):
        assert wanted in told


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
def test_summary_says_when_the_next_run_is(schedule: Schedule, says: str) -> None:
    """Nobody has to look into the file for it."""
    told = summary(Report(export="vip", status="success"), _export(schedule=schedule))

    assert f"- next run: {says}" in told


def test_run_that_had_nothing_to_write_says_so() -> None:
    """An unchanged refresh costs reads alone."""
    told = summary(Report(export="vip", status="success", requests=9), _export())

    assert "9 requests: none to write, 9 to read or to try again." in told


def test_names_cannot_break_a_table() -> None:
    """A segment may be called anything."""
    assert r"| a \| b | 1,204 |" in numbers_table(("segment", "customers"), {"a | b": 1204})
    assert numbers_table(("segment", "customers"), {}) == "none"
