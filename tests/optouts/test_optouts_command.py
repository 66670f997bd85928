"""``optouts`` on the command line: tables, files, documents, and what it leaves behind."""

import csv
import stat

import polars as pl
import pytest
from harness import AUDIENCE, address


@pytest.fixture
def two_gone(opt_outs):
    """One unsubscribed, one bounced, and a stranger who unsubscribed."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    opt_outs.project.emulator.people("bounce", AUDIENCE, address(2))
    opt_outs.project.emulator.add_member(AUDIENCE, "stranger@contoso-mail.internal", status="unsubscribed")
    opt_outs.requests()
    return opt_outs


def test_a_table_for_people(two_gone):
    """Customer, status, since and reason, and how many more there are."""
    done = two_gone.say("vip")

    assert done.exit_code == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:4]] == [
        ["c00001", "unsubscribed"], ["c00002", "cleaned"],
    ]  # fmt: skip
    assert "vip: unsubscribed 1, cleaned 1" in done.stdout
    assert "1 more members" in done.stderr
    assert "@" not in done.output


@pytest.mark.parametrize("name", ["gone.csv", "GONE.CSV", "gone.parquet"])
def test_a_file_by_its_suffix(two_gone, name):
    """The same four columns as CSV or Parquet, for the owner alone; what was there is replaced."""
    path = two_gone.project.folder / name
    path.write_text("old")

    document = two_gone.document("--output", str(path))

    if path.suffix.lower() == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = pl.read_parquet(path).rows(named=True)
    assert [list(row) for row in rows] == [["customer_id", "status", "since", "reason"]] * 2
    assert [row["customer_id"] for row in rows] == ["c00001", "c00002"]
    assert (document["output"], document["opt_outs"]) == (str(path), [])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(path.parent.glob(".*.partial"))


def test_a_document_for_programs(two_gone):
    """Counts, when Mailchimp was read, and every customer; only requests that read."""
    document = two_gone.document()

    assert document["counts"] == {"unsubscribed": 1, "archived": 0, "cleaned": 1, "unknown": 1}
    assert [each["customer_id"] for each in document["opt_outs"]] == ["c00001", "c00002"]
    assert set(document["opt_outs"][0]) == {"customer_id", "status", "since", "reason"}
    assert document["read_at"].endswith("+00:00")
    assert document["error"] is None
    assert document["requests"] == len(two_gone.requests())


def test_full_on_demand(two_gone):
    """The second reading asks for changes, ``--full`` does not."""
    two_gone.document()
    two_gone.requests()
    two_gone.document()
    changes = two_gone.requests()
    two_gone.document("--full")
    everything = two_gone.requests()

    assert sum("since_last_changed" in each["query"] for each in changes) == 3
    assert not any("since_last_changed" in each["query"] for each in everything)


def test_nobody_is_said_too(opt_outs):
    """An audience that everybody may be mailed in has an empty list."""
    assert opt_outs.say("vip").stdout == "vip: nobody\n"
    assert opt_outs.document()["opt_outs"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "exit_code"),
    [
        pytest.param(("vip", "--output", "gone.xlsx"), "unknown_output", 2, id="a kind of file"),
        pytest.param(("vip", "--output", "nowhere/gone.csv"), "output_not_writable", 2, id="a folder"),
        pytest.param(("vp",), "unknown_export", 2, id="an export"),
    ],
)
def test_what_cannot_be_done_is_told(two_gone, arguments, code, exit_code):
    """A code, a fix and the right exit code."""
    done = two_gone.say(*arguments, "--json")

    assert done.exit_code == exit_code
    assert f'"code": "{code}"' in done.stdout
    assert "fix: " in done.stderr


def test_a_detached_export_has_no_list(opt_outs):
    """Without a connection nobody can be asked."""
    opt_outs.project.export("vip", connection=None)
    opt_outs.project.write()

    assert '"code": "detached"' in opt_outs.say("vip", "--json").stdout
