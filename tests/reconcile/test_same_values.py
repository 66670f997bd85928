"""What Mailchimp makes of a value by itself is no drift; anything else is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import AUDIENCE, Project
from reconcile.desk import Desk, differs

from ci_mailchimp_pipeline.engine import Engine, open_engine, quoted
from ci_mailchimp_pipeline.frame.fields import MergeField
from ci_mailchimp_pipeline.sync.values import same_sql
from ci_mailchimp_pipeline.testing import Emulator

STREET = '{"addr1":"Main 1","city":"Bonn","state":"NRW","zip":"53111"'
LONG = "x" * 255


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """One engine for all values."""
    with open_engine(tmp_path_factory.mktemp("values")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("kind", "ours", "theirs", "same"),
    [
        ("text", "Ann", "Ann", True),
        ("text", "Ann", " Ann ", True),
        ("text", "Ann", "ann", False),
        ("text", "Ann", None, False),
        ("text", LONG, LONG[:250], True),
        ("text", LONG, LONG[:100], False),
        ("text", LONG, "y" * 250, False),
        ("number", "12.5", "12.50", True),
        ("number", "1000000", "1e6", True),
        ("number", "0.1", "0.1", True),
        ("number", "12", "13", False),
        ("number", "12", "twelve", False),
        ("date", "1990-03-04", "1990-03-04", True),
        ("date", "1990-03-04", "03/04/1990", True),
        ("date", "1990-03-04", "04/03/1990", False),
        ("birthday", "03/04", "3/4", True),
        ("birthday", "03/04", "04/03", False),
        ("phone", "555-123-4567", "(555) 123-4567", True),
        ("phone", "555-123-4567", "555-123-4568", False),
        ("phone", "ask", "ask", True),
        ("zip", "01234", "01234", True),
        ("zip", "01234", "1234", False),
        ("dropdown", "gold", "silver", False),
        ("url", "https://a.b/c", "https://a.b/c", True),
        ("address", STREET + "}", STREET + ',"addr2":"","country":"US"}', True),
        ("address", STREET + ',"country":"de"}', STREET + ',"country":"DE"}', True),
        ("address", STREET + ',"country":"DE"}', STREET + ',"country":"FR"}', False),
        ("address", STREET + ',"country":"Germany"}', STREET + ',"country":"DE"}', True),
        ("address", STREET + "}", STREET.replace("Bonn", "Rome") + "}", False),
        ("address", STREET + "}", None, False),
        ("address", STREET + "}", "not JSON", False),
    ],
)
def test_values(engine: Engine, kind: str, ours: str, theirs: str | None, *, same: bool) -> None:
    """A value is the same after Mailchimp's own way of writing it."""
    there = "NULL::VARCHAR" if theirs is None else quoted(theirs)
    row = f"(SELECT {quoted(ours)} AS ours, {there} AS theirs)"

    found = engine.one(
        f"SELECT {same_sql(MergeField(tag='X', type=kind), 'r.ours', 'r.theirs')} FROM {row} r"
    )

    assert found is same


def test_every_type_reads_back_as_sent(tmp_path: Path, mailchimp_emulator: Emulator) -> None:
    """Numbers, dates, birthdays, phones, addresses: after a run nothing differs, and each change is seen."""
    kinds = ("number", "date", "birthday", "phone", "address", "url")
    mailchimp_emulator.add_audience(
        AUDIENCE, merge_fields=["FNAME", "LNAME", *({"tag": kind.upper(), "type": kind} for kind in kinds)]
    )
    project = Project(tmp_path, mailchimp_emulator)
    whole = dict.fromkeys(("addr1", "city", "state", "zip"), "FirstName")
    project.export(
        "vip", first_name=None,
        merge_fields={"NUMBER": "Income", "DATE": "City", "BIRTHDAY": "City", "PHONE": "LastName", "ADDRESS": whole,
                      "URL": "EmailSubscriber"},
    )  # fmt: skip
    for number in range(7):
        project.customer(
            f"c{number}", f"p{number}@contoso-mail.internal", City="03/14/1990", Income="012.50",
            LastName="+49 (30) 1234", FirstName="12345", EmailSubscriber="https://contoso-mail.internal/x",
        )  # fmt: skip
    desk = Desk(project)
    desk.run()
    assert differs(desk.look()) == {}

    others = [
        {"NUMBER": 12.6}, {"DATE": "1990-03-15"}, {"BIRTHDAY": "03/15"}, {"PHONE": "+49 30 9"}, {"URL": ""},
        {"ADDRESS": {"addr1": "2", "city": "12345", "state": "12345", "zip": "12345"}},
    ]  # fmt: skip
    for number, fields in enumerate(others):
        mailchimp_emulator.people(
            "change_field", AUDIENCE, f"p{number}@contoso-mail.internal", merge_fields=fields
        )
    mailchimp_emulator.people(
        "change_field", AUDIENCE, "p6@contoso-mail.internal", merge_fields={"PHONE": "4930-1234"}
    )

    done = desk.repair()

    assert (differs(done), done.repaired) == ({"field_differs": 6}, 6)
    assert differs(desk.look()) == {}
