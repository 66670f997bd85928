"""Whatever the refreshes hold: counts add up, a plan of a plan is empty, order and chunks change nothing."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from harness import AUDIENCE, Project
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ADDRESSES = [
    "ada@contoso-mail.internal", "ADA@contoso-mail.internal ", "bob@contoso-mail.internal",
    "cyd@contoso-mail.internal", "dee@contoso-mail.internal", "out@contoso-mail.internal",
    "theirs@contoso-mail.internal", "", "no address", "eve@example.com",
]  # fmt: skip
CUSTOMER = st.fixed_dictionaries(
    {
        "EMail": st.sampled_from(ADDRESSES),
        "FirstName": st.sampled_from(["Ada", "", "Zoë"]),
        "Income": st.sampled_from(["", "1", "20", "much"]),
        "EmailSubscriber": st.sampled_from(["true", "true", "false"]),
        "segments": st.sets(st.sampled_from(["Vip", "News"]), min_size=1),
    }
)
REFRESH = st.dictionaries(
    st.integers(0, 6).map(lambda number: f"c{number}"), CUSTOMER, min_size=1, max_size=7
)


def play(emulator: Any, refreshes: list[dict[str, Any]], on_exit: str, *, backwards: bool) -> list[Any]:
    """Run each refresh and plan again; what came of it, for comparison."""
    emulator.reset()
    emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME", {"tag": "INCOME", "type": "number"}])
    emulator.add_member(AUDIENCE, ADDRESSES[5], status="unsubscribed", cause="contact", tags=["News"])
    emulator.add_member(AUDIENCE, ADDRESSES[6], tags=["Vip", "Theirs"])
    seen: list[Any] = []
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), emulator)
        project.export(
            "vip", segments=["Vip", {"name": "News", "tag": "Newsletter"}], merge_fields={"INCOME": "Income"},
            require={"EmailSubscriber": True}, prefer=["Income desc"], on_exit=on_exit,
        )  # fmt: skip
        for refresh in refreshes:
            project.people.clear()
            project.segments = {"Vip": [], "News": []}
            for customer, row in sorted(refresh.items(), reverse=backwards):
                columns = {key: value for key, value in row.items() if key not in ("EMail", "segments")}
                project.customer(
                    customer, row["EMail"], *sorted(row["segments"], reverse=backwards), **columns
                )
            project.customer("anchor", "anchor@contoso-mail.internal", "Vip", "News")  # both segments exist
            allowed = {"empty_segments": frozenset({"Vip", "News"})}
            planned = project.plan(**allowed)
            report = project.run(**allowed)
            assert report.error is None
            assert report.counts.is_balanced()
            assert planned.counts.is_balanced()
            assert (planned.plan_id, planned.requests) == (report.plan_id, report.requests)
            assert planned.counts == report.counts
            again = project.plan(**allowed)
            assert (again.writes, again.counts.is_balanced()) == (0, True)
            seen.append(
                (report.counts, report.rejected_reasons, report.suppressed_reasons, project.members())
            )
    return seen


@pytest.mark.slow
@settings(
    max_examples=3,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to shrink would take an hour
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    refreshes=st.lists(REFRESH, min_size=2, max_size=2), on_exit=st.sampled_from(["remove_tag", "archive"])
)
def test_order_and_chunks_change_nothing_and_counts_add_up(mailchimp_emulator, refreshes, on_exit):
    """The same two refreshes, forwards at once and backwards in the smallest pieces, end in the same audience."""
    whole = play(mailchimp_emulator, refreshes, on_exit, backwards=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ci_mailchimp_pipeline.plan.economy.BATCH", 1)
        patch.setattr("ci_mailchimp_pipeline.sync.batches.batches_of.__defaults__", (1,))
        patch.setattr("ci_mailchimp_pipeline.plan.inputs.RANGE_ROWS", 2)
        pieces = play(mailchimp_emulator, refreshes, on_exit, backwards=True)

    assert pieces == whole
