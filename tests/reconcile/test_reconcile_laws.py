"""Whatever people do in Mailchimp: a run leaves no drift, a repair leaves nothing to repair, and both only what is ours."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from harness import AUDIENCE, Project, address
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from reconcile.desk import FIELDS, Desk, differs

from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = range(6)
NO = ("unsubscribed", "cleaned", "archived")
DEEDS: dict[str, dict[str, Any]] = {
    "untag": {"tags": ["Vip", "News"]},
    "tag": {"tags": ["News", "Own"]},
    "change_field": {"merge_fields": {"FNAME": "Edited"}},
    "change_address": {},
    "delete_permanent": {},
    "unsubscribe": {},
    "bounce": {},
    "archive": {},
    "vanish": {},
}
DEED = st.tuples(st.sampled_from(sorted(DEEDS)), st.sampled_from(PEOPLE))


def act(desk: Desk, deed: str, number: int) -> None:
    """Do it, to whoever is still there under the address."""
    if address(number) not in desk.project.members():
        return
    if deed == "vanish":
        desk.vanish(number)
        return
    new = {"new_address": f"moved{number}@contoso-mail.internal"} if deed == "change_address" else {}
    desk.people(deed, number, **DEEDS[deed], **new)


@pytest.mark.slow
@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    deeds=st.lists(DEED, min_size=2, max_size=7), on_exit=st.sampled_from(["remove_tag", "archive", "keep"])
)
def test_a_repair_ends_all_that_can_be_repaired(
    mailchimp_emulator: Emulator, deeds: list[tuple[str, int]], on_exit: str
) -> None:
    """And what is not ours, and whoever said no, is as it was before."""
    mailchimp_emulator.reset()
    mailchimp_emulator.add_audience(AUDIENCE, merge_fields=FIELDS)
    mailchimp_emulator.add_member(AUDIENCE, "theirs@contoso-mail.internal", tags=["News", "Own"])
    with tempfile.TemporaryDirectory() as folder:
        project = Project(Path(folder), mailchimp_emulator)
        project.export("vip", segments=["Vip", "News"], on_exit=on_exit)
        project.customers(PEOPLE)
        project.customer("c00000", address(0), "Vip", "News")
        project.customer("theirs", "theirs@contoso-mail.internal", "Vip")
        desk = Desk(project)
        desk.run()
        assert differs(desk.look()) == {}
        mailchimp_emulator.add_member(AUDIENCE, "stranger@contoso-mail.internal", tags=["Vip"])
        for deed in deeds:
            act(desk, *deed)
        before = project.members()

        found = desk.repair()

        after = project.members()
        again = desk.look()
        assert again.repairable == again.writes == 0
        assert found.repaired <= found.repairable
        for who, member in before.items():
            assert who in after
            if member["status"] in NO:
                assert after[who] == member
        assert after["stranger@contoso-mail.internal"] == before["stranger@contoso-mail.internal"]
        assert {"News", "Own"} < set(after["theirs@contoso-mail.internal"]["tags"])
        for number in PEOPLE:
            if address(number) in before:
                assert {"Own"} & set(before[address(number)]["tags"]) <= set(after[address(number)]["tags"])
