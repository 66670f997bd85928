"""P9: no personal data where it does not belong."""

import json
import logging
import stat
import traceback

import pytest
from harness import API_KEY, AUDIENCE, Project, address
from ledgers import ledger_files
from promises.promised import meanwhile

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import open_ledger

MARKED = "zz-marked@contoso-mail.internal"
MOVED = "zz-moved@contoso-mail.internal"
FIRST, LAST, TOWN = "Zzfirst", "Zzlast", "Zztown"
ID = "zz-customer"
SECRET = API_KEY.partition("-")[0]
MARKS = ("zz-marked", "zz-moved", "zzfirst", "zzlast", "zztown", SECRET)


def marked(project: Project, email: str = MARKED, **columns: str) -> None:
    project.customer(ID, email, FirstName=FIRST, LastName=LAST, **{"City": TOWN, **columns})


def steady(project: Project) -> None:
    """A run that simply succeeds."""


def refused(project: Project) -> None:
    project.emulator.switch(too_many_signups="zz-marked")


def deleted(project: Project) -> None:
    project.emulator.add_member(AUDIENCE, MARKED)
    project.emulator.people("delete_permanent", AUDIENCE, MARKED)


def opted_out(project: Project) -> None:
    project.emulator.add_member(AUDIENCE, MARKED, status="unsubscribed", cause="contact")


def rejected(project: Project) -> None:
    marked(project, f"{MARKED} {FIRST}")


def misfit(project: Project) -> None:
    project.emulator.reset(
        [
            {
                "id": AUDIENCE,
                "merge_fields": ["FNAME", "LNAME", {"tag": "CITY", "name": "City", "type": "number"}],
            }
        ]
    )


def malformed_file(project: Project) -> None:
    plain = project.write

    def write():
        config = plain()
        with (project.folder / "data" / "profiles.csv").open("a", encoding="utf-8") as file:
            file.write(f'"{MARKED}",{FIRST},"unfinished {LAST}\n')
        return config

    project.write = write


def no_key(project: Project) -> None:
    project.emulator.switch(accepted_keys=["another-us1"])


def no_permission(project: Project) -> None:
    project.emulator.switch(permission="read")


def down(project: Project) -> None:
    project.emulator.fail("503", on="writes", times=None)


def cut(project: Project) -> None:
    project.emulator.fail("cut", on="writes", times=None)


def resets(project: Project) -> None:
    project.emulator.fail("reset_after", on="writes", times=None)


def strange(project: Project) -> None:
    project.emulator.fail("other_json", on="writes", times=None)


def reads_down(project: Project) -> None:
    project.emulator.fail("not_json", match="members", times=None)


def too_many(project: Project) -> None:
    project.export("vip", max_profiles=1)


def pending(project: Project) -> None:
    project.emulator.switch(force_status="pending")


SITUATIONS = [steady, refused, deleted, opted_out, rejected, misfit, malformed_file, no_key, no_permission, down, cut,
              resets, strange, reads_down, too_many, pending]  # fmt: skip


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Everything that anybody logs, at every level."""
    caplog.set_level(logging.DEBUG)
    for name in ("ci_mailchimp_pipeline", "urllib3", "requests", "sqlalchemy.engine"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def told(project: Project, **more: object) -> list[str]:
    """Everything that a run and a plan tell: reports, their representation, errors with all that hangs on them."""
    texts = []
    for act in (project.plan, project.run):
        try:
            report = act(**(more if act == project.run else {}))
        except PipelineError as error:
            texts += [
                str(error),
                repr(error),
                json.dumps(error.as_json()),
                "".join(traceback.format_exception(error)),
            ]
            continue
        texts += [repr(report), json.dumps(report.as_json())]
        if report.error is not None:
            texts += [str(report.error), "".join(traceback.format_exception(report.error))]
    return texts


def clean(texts: list[str]) -> None:
    for text in texts:
        found = [mark for mark in MARKS if mark in text.lower()]
        assert not found, f"{found} in: {text[:2_000]}"


@pytest.mark.parametrize("situation", SITUATIONS)
def test_nobody_is_in_a_log_a_report_or_an_error(project, logged, capfd, situation):
    """Whatever goes wrong, and when nothing does: no address, name, value or key in what anybody is shown."""
    project.export("vip", merge_fields={"CITY": "City"})
    project.customers([1, 2])
    marked(project)
    situation(project)

    texts = told(project)

    clean(texts)
    clean([logging.Formatter().format(record) for record in logged.records])
    clean([json.dumps(record.__dict__, default=str) for record in logged.records])
    clean(list(capfd.readouterr()))
    clean(ledger_texts(project))


@pytest.mark.parametrize("kind", ["none", "503", "reset_after", "refused", "taken"])
def test_nobody_is_told_of_a_move_an_exit_or_a_refusal(project, logged, kind):
    """The requests that name one person in their address or answer tell nobody of it."""
    project.export("vip", on_exit="archive", merge_fields={"CITY": "City"})
    project.customers([1, 2, 3])
    marked(project)
    project.run()
    marked(project, MOVED)
    project.leave("c00001")
    wrap = {}
    if kind == "taken":
        wrap = {
            "client": meanwhile("PUT", "members", lambda: project.emulator.people("sign_up", AUDIENCE, MOVED))
        }
    elif kind == "refused":
        project.emulator.people("delete_permanent", AUDIENCE, MARKED)
    elif kind != "none":
        project.emulator.fail(kind, match="^(PUT|DELETE)", times=None)

    texts = told(project, **wrap)

    clean(texts)
    clean([logging.Formatter().format(record) for record in logged.records])
    clean(ledger_texts(project))


def ledger_texts(project: Project) -> list[str]:
    """Everything that the ledger holds but the two columns in which it needs people."""
    return [
        str(value)
        for rows in project.ledger_rows().values()
        for row in rows
        for column, value in row.items()
        if column not in {"address", "customer_id"}
    ]


@pytest.mark.both_ledgers
def test_values_of_merge_fields_are_not_in_the_ledger(project):
    """The ledger knows that a field was filled, not with what; nobody's name can be read from its file."""
    project.export("vip", merge_fields={"CITY": "City"})
    marked(project)
    project.run()

    files = [*project.folder.rglob("ledger.sqlite"), *ledger_files(project.environ)]
    raw = b"".join(path.read_bytes() for path in files).lower()

    assert b"zz-marked" in raw, "the address is needed to take a tag from somebody whose profile is gone"
    for mark in ("zzfirst", "zzlast", "zztown", SECRET):
        assert mark.encode() not in raw


def test_all_state_is_private_to_its_owner(project):
    """Files 0600 and folders 0700, the plan's and the ledger's too."""
    project.export("vip", on_exit="archive")
    project.customers([1, 2])
    project.plan()
    project.run()
    project.leave("c00001")
    project.run()

    for path in (project.folder / ".ci_mailchimp").rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), (
            f"{path.relative_to(project.folder)} is {oct(mode)}"
        )


def test_the_key_is_in_no_file(project):
    """A secret stays where it is: the environment."""
    project.customers([1])
    project.run()

    for path in project.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path.name


def test_the_values_that_hold_people_do_not_print_them(project):
    """The ledger's records and the client's answers name nobody when they are printed."""
    from ci_mailchimp_pipeline.ledger import Acknowledged
    from ci_mailchimp_pipeline.mailchimp.bodies import upsert

    record = Acknowledged(
        subscriber_hash=b"1" * 16, address=MARKED, customer_id=ID, created_by_us=True, tags=(), fingerprint=b"",
        filled="",
    )  # fmt: skip
    body = upsert(email_address=MARKED, status_if_new="subscribed", merge_fields={"FNAME": FIRST}, tags=())

    clean([repr(record), repr(body), repr(project.write()), repr(open_ledger)])
    assert address(1)
