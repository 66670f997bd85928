"""Who is on the list of opt-outs, and what is said of them."""

import stat

import polars as pl
import pytest
from harness import AUDIENCE, address
from ledgers import lose_ledger
from optouts.listed import rows

from ci_mailchimp_pipeline.sync.opted_out import LONGEST_REASON, plain_reason


@pytest.mark.both_ledgers
def test_who_may_no_longer_be_mailed(opt_outs):
    """Opt-outs, complaints, bounces and who somebody else archived are listed; nobody else is."""
    act = opt_outs.project.emulator.people
    act("unsubscribe", AUDIENCE, address(1))
    act("complain", AUDIENCE, address(2))
    act("bounce", AUDIENCE, address(3))
    act("archive", AUDIENCE, address(4))
    act("unsubscribe", AUDIENCE, address(5))
    act("resubscribe", AUDIENCE, address(5))

    found = opt_outs.read()

    listed = {row[0]: row[1] for row in rows(found)}
    assert listed == {
        "c00001": "unsubscribed", "c00002": "unsubscribed", "c00003": "cleaned", "c00004": "archived",
    }  # fmt: skip
    assert found.counts == {"unsubscribed": 2, "archived": 1, "cleaned": 1}
    assert found.unknown == 0


def test_exactly_four_columns_and_no_address(opt_outs):
    """Customer id, status, since and reason; the file is the owner's alone."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    opt_outs.project.emulator.people("bounce", AUDIENCE, address(2))

    found = opt_outs.read()

    frame = pl.read_parquet(found.path)
    assert frame.schema == dict.fromkeys(("customer_id", "status", "since", "reason"), pl.String)
    first, second = frame.rows(named=True)
    assert first["reason"]
    assert second["reason"] is None
    assert pl.Series([first["since"]]).str.to_datetime("%Y-%m-%dT%H:%M:%S%z").dt.year().item() > 2000
    assert "@" not in str(frame.rows())
    for path in found.path.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(found.path.parent.stat().st_mode) == 0o700


def test_members_of_no_known_customer_are_counted(opt_outs):
    """Somebody who came by themselves and opted out is nobody whom the source could leave out."""
    opt_outs.project.emulator.add_member(AUDIENCE, "stranger@contoso-mail.internal", status="unsubscribed")

    found = opt_outs.read()

    assert (rows(found), found.unknown) == ([], 1)


def test_the_frame_knows_who_was_never_sent(opt_outs):
    """An opt-out from before the first run is in no ledger; the newest frame says which customer it is."""
    opt_outs.project.emulator.add_member(AUDIENCE, address(99), status="unsubscribed")
    opt_outs.project.customer("c00099", address(99).upper())
    opt_outs.run()
    lose_ledger(opt_outs.project.folder, opt_outs.project.environ)

    assert [row["customer_id"] for row in opt_outs.document()["opt_outs"]] == ["c00099"]


def test_whom_we_archived_is_not_listed(opt_outs):
    """Who left the segment and was archived by us may be brought back: they opted out of nothing."""
    opt_outs.project.export("vip", on_exit="archive")
    opt_outs.project.leave("c00001")
    opt_outs.run()
    before = opt_outs.read()
    opt_outs.project.emulator.advance_clock(3600)
    opt_outs.project.emulator.people("change_field", AUDIENCE, address(1), merge_fields={"FNAME": "Zoe"})

    assert rows(before) == []
    assert [row[:2] for row in rows(opt_outs.read())] == [("c00001", "archived")]


def test_a_bounce_is_the_addresss_an_opt_out_the_persons(opt_outs):
    """With another address a bounced customer is wanted again; one who opted out is not."""
    opt_outs.project.emulator.people("bounce", AUDIENCE, address(1))
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(2))
    opt_outs.project.customer("c00001", "new.one@contoso-mail.internal")
    opt_outs.project.customer("c00002", "new.two@contoso-mail.internal")
    opt_outs.run()

    assert [row["customer_id"] for row in opt_outs.document()["opt_outs"]] == ["c00002"]


def test_the_gravest_status_of_a_customer_counts(opt_outs):
    """A customer of two addresses is listed once, and as opted out when one of them is."""
    opt_outs.project.customer("c00001", "new.one@contoso-mail.internal")
    opt_outs.project.emulator.add_member(AUDIENCE, "new.one@contoso-mail.internal")
    opt_outs.run()
    opt_outs.project.emulator.people("archive", AUDIENCE, "new.one@contoso-mail.internal")
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))

    assert [row[:2] for row in rows(opt_outs.read())] == [("c00001", "unsubscribed")]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", None),
        ("No longer interested", "No longer interested"),
        ("write me at ana@contoso-mail.internal", "other"),
        ('=HYPERLINK("http://contoso-mail.internal")', 'HYPERLINK("http://contoso-mail.internal")'),
        ("+-=1", "1"),
        ("two\nlines\u0000and\ttabs", "two lines and tabs"),
        ("x" * 400, "x" * LONGEST_REASON),
        ("---", None),
    ],
)
def test_a_reason_is_plain(text, kept):
    """People write what they like: no address, no formula for a spreadsheet and no line break is passed on."""
    assert plain_reason(text) == kept
