"""The table of Mailchimp's answers on docs/mailchimp.md is what the code does, over real HTTP, row by row."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError
from ci_mailchimp_pipeline.mailchimp import endpoints, refusals
from ci_mailchimp_pipeline.mailchimp.bodies import Move, upsert
from ci_mailchimp_pipeline.sync.writer import RETRY_AFTER_SECONDS

PAGE = Path(__file__).parents[2] / "docs" / "mailchimp.md"
ADDRESS = "grace.hopper@contoso-mail.internal"
OLD = b"h" * 16
ROW = re.compile(r"^\| (\d{3}) \|([^|]*)\|([^|]*)\|([^|]*)\| (\w+) \| `(\w+)` \|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """One row of the table."""

    status: int
    title: str
    text: str
    field: str
    follows: str
    code: str

    def __str__(self) -> str:
        return f"{self.status} {self.title or 'no document'}: {self.text[:40]}"


ROWS = [
    Row(int(found[1]), *(found[cell].strip().replace("ADDRESS ", f"{ADDRESS} ") for cell in (2, 3, 4)), found[5], found[6])
    for found in ROW.finditer(PAGE.read_text(encoding="utf-8"))
]  # fmt: skip
PEOPLE = [row for row in ROWS if row.follows in ("permanent", "temporary", "suppress")]


def _document(row: Row) -> bytes:
    if not row.title:
        return f"<html>{row.text}</html>".encode() if row.text else b""
    detail, errors = row.text, []
    if row.field:
        errors = [{"field": row.field, "message": row.text}]
    return json.dumps(
        {"title": row.title, "status": row.status, "detail": detail, "instance": "", "errors": errors}
    ).encode()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_call_about_one_person(client_of, raw_server, http_answer, row):
    """What follows from each answer to a change of address, and its code, are those of the table."""
    client = client_of(raw_server(http_answer(_document(row), status=row.status)).url)
    body = Move(email_address=ADDRESS, merge_fields={})

    if row.follows in ("stop", "repeat"):
        with pytest.raises(PipelineError) as caught:
            endpoints.move_member(client, "a1", OLD, body)
        stops = "repeat" if isinstance(caught.value, RunLaterError) else "stop"
        assert (stops, caught.value.code) == (row.follows, row.code)
        ours = row.code in ("mailchimp_refused_request", "mailchimp_busy")
        assert isinstance(caught.value, FixConfigError) is not ours
        assert ADDRESS not in str(caught.value)
        return
    answer = endpoints.move_member(client, "a1", OLD, body)
    assert answer.refusal is not None
    assert (answer.refusal.kind, answer.refusal.code) == (row.follows, row.code)
    assert (answer.kind == "address_taken") == (row.code == "contact_exists")


@pytest.mark.parametrize("row", PEOPLE, ids=str)
def test_a_row_of_a_batch(client_of, raw_server, http_answer, row):
    """The same texts in the errors of the 500-member call come to the same."""
    error = {
        "email_address": ADDRESS, "error": row.text, "error_code": "ERROR_GENERIC", "field": row.field,
        "field_message": row.text if row.field else "",
    }  # fmt: skip
    answer = {"total_created": 0, "total_updated": 0, "error_count": 1, "errors": [error]}
    client = client_of(raw_server(http_answer(json.dumps(answer).encode())).url)
    member = upsert(email_address=ADDRESS, status_if_new="subscribed", merge_fields={}, tags=[])

    (refused,) = endpoints.upsert_members(client, "a1", [member]).refused

    assert (refused.kind, refused.code) == (row.follows, row.code)


@pytest.mark.parametrize("text", ["", "Whatever it says"])
def test_the_one_code_of_a_batch_that_tells(text):
    """ERROR_CONTACT_EXISTS needs no words."""
    refusal = refusals.classify(subscriber_hash=OLD, text=text, error_code="ERROR_CONTACT_EXISTS")

    assert (refusal.kind, refusal.code) == ("temporary", "contact_exists")


def test_the_table_is_closed():
    """Every rule of the code has a row on the page, and every code a meaning in words."""
    told = [f"{row.title} {row.text}".lower() for row in ROWS]
    rules = {rule[0] for rule in refusals._RULES} | set(refusals._OUR_FAULT)

    assert len(ROWS) > 35
    assert {rule for rule in rules if not any(rule in each for each in told)} == set()
    assert {row.code for row in PEOPLE} <= set(refusals.MEANINGS)


def test_the_rhythm_is_the_pages():
    """Five minutes, one day, two days, then every seven days: as the page says."""
    assert RETRY_AFTER_SECONDS == (5 * 60, 86_400, 2 * 86_400, 7 * 86_400)
    assert "after 5 minutes, 1 day, 2 days, then every 7 days" in PAGE.read_text(encoding="utf-8")
