"""What ``explain`` does besides answering: one request, no trace, the right exit code."""

import pytest
from harness import AUDIENCE

ANA = "ana@contoso-mail.internal"


@pytest.fixture
def settled(desk):
    """Ana is a member after one run."""
    desk.project.customer("c1", ANA)
    desk.run()
    desk.project.emulator.forget_requests()
    return desk


@pytest.fixture
def declared(desk):
    """Ana is in the source, and nothing ever ran."""
    desk.project.customer("c1", ANA)
    desk.project.write()
    return desk


def _files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_request_that_reads_and_no_file(declared):
    """It asks Mailchimp once, and leaves every file of the project as it was."""
    before = _files(declared.project.folder)

    declared.ask(ANA)

    (request,) = declared.project.emulator.requests()
    assert request["method"] == "GET"
    assert _files(declared.project.folder) == before


def test_a_changed_address_takes_one_request_more(settled):
    """Whether the person opted out under the earlier address is for Mailchimp to say."""
    settled.project.customer("c1", "new.ana@contoso-mail.internal")
    settled.project.write()

    settled.ask("new.ana@contoso-mail.internal")

    assert [request["method"] for request in settled.project.emulator.requests()] == ["GET", "GET"]


def test_nothing_names_the_person(declared, logged):
    """The address is in no log line and not in what is printed; the hash of it is in no log line."""
    done = declared.say("vip", ANA)

    assert done.exit_code == 0
    assert "ana@" not in done.output.lower()
    assert "ana@" not in logged().lower()
    assert "GET /lists" in logged()
    path = declared.project.emulator.requests()[0]["path"]
    assert path.rpartition("/")[2] not in logged()


def test_a_chain_for_people(settled):
    """One line a step, with a mark, and what would change it at the end."""
    done = settled.say("vip", ANA)

    lines = done.stdout.splitlines()
    assert lines[0] == "vip: member"
    assert [line.split()[:2] for line in lines[3:8]] == [
        ["✓", name] for name in ("source", "segment", "frame", "ledger", "mailchimp")
    ]
    assert done.stderr.startswith("next: nothing")


def test_the_address_can_be_typed(declared):
    """A dash reads it from standard input, so that no shell remembers it."""
    done = declared.say("vip", "-", typed=f"{ANA}\n")

    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "vip: member (not_sent)")


@pytest.mark.parametrize("address", ["", "  ", "\u00a0"])
def test_a_blank_address_is_nobodys(desk, address):
    """Without an address there is nobody to explain."""
    done = desk.say("vip", address, "--json")

    assert done.exit_code == 2
    assert '"code": "no_address"' in done.stdout


def test_bytes_that_are_no_text(desk):
    """What a terminal could not decode is looked for like anything else, and found nowhere."""
    assert desk.verdict("a\udcff@contoso-mail.internal") == ("not_in_source", None)
    assert desk.verdict('it\'s "quoted"@contoso-mail.internal') == ("not_in_source", None)


def test_an_export_that_is_not_declared(desk):
    """A slip of the pen is told with the near miss."""
    done = desk.say("vp", ANA)

    assert done.exit_code == 2
    assert "Did you mean 'vip'?" in done.stderr


def test_a_column_that_the_source_lacks(desk):
    """Who cannot be looked up for want of a column is a matter of the configuration."""
    desk.project.export("vip", email="Mail")
    desk.project.write()

    done = desk.say("vip", ANA, "--json")

    assert done.exit_code == 2
    assert '"code": "unknown_column"' in done.stdout
    assert '"verdict": null' in done.stdout


def test_mailchimp_out_of_reach_is_for_later(declared):
    """What Mailchimp shows is half of the truth: without it there is no answer."""
    declared.project.connection["api_root"] = "http://127.0.0.1:9/3.0"
    declared.project.write()

    done = declared.say("vip", ANA, "--json")

    assert done.exit_code == 4
    assert '"code": "mailchimp_busy"' in done.stdout
    assert "ana@" not in done.output


def test_a_wrong_key_is_for_the_configuration(declared):
    """A key that is not accepted ends with 2."""
    declared.project.emulator.switch(accepted_keys=["f" * 32 + "-us1"])

    assert declared.say("vip", ANA).exit_code == 2


def test_an_audience_that_is_gone_is_for_the_configuration(settled):
    """It is no member who was taken out: a repair would not bring anybody back."""
    settled.project.emulator.reset([])

    done = settled.say("vip", ANA, "--json")

    assert (done.exit_code, '"code": "unknown_audience"' in done.stdout) == (2, True)


def test_a_refresh_under_way_is_for_later(declared):
    """While the source is being written nobody can say what it holds."""
    path = declared.project.folder / "exports.yaml"
    path.write_text(
        path.read_text().replace("type: files", "type: files\n  ready: data/_SUCCESS"), encoding="utf-8"
    )

    done = declared.say("vip", ANA, "--json")

    assert (done.exit_code, '"code": "source_not_ready"' in done.stdout) == (4, True)


def test_a_damaged_frame_is_for_the_data(settled):
    """A frame that is not what was written explains nothing."""
    (frame,) = (settled.project.folder / ".ci_mailchimp" / "frames" / "vip").glob("*/frame.parquet")
    frame.write_bytes(frame.read_bytes()[:-1])

    done = settled.say("vip", ANA, "--json")

    assert (done.exit_code, '"code": "frame_not_good"' in done.stdout) == (3, True)


def test_another_accounts_audience_is_not_taken_for_this_one(settled):
    """The ledger may know an audience of the same id in another account: the frame says which one it is."""
    with settled.project.ledger() as ledger:
        ledger.audience("another-account", AUDIENCE)

    assert settled.verdict(ANA)[0] == "member"
