"""Failures as Dagster stores them, and signals as a run heeds them."""

import os
import signal
from pathlib import Path

import dagster as dg
import pytest
from harness import API_KEY

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.mailchimp.authorization import Authorization
from ci_mailchimp_pipeline.mailchimp.client import MailchimpClient
from ci_mailchimp_pipeline.orchestration.failures import Step, guarded
from ci_mailchimp_pipeline.orchestration.session import Session, attended, waits

SECRET = "jane.doe@contoso-mail.internal"


@pytest.fixture
def step(tmp_path: Path) -> Step:
    """A step of the upstream, whose export nobody knows."""
    (tmp_path / "exports.yaml").write_text(
        "version: 1\nsource: {type: files, profiles: a.csv, membership: b.csv}\nexports: {}\n",
        encoding="utf-8",
    )
    config: Config = load_config(tmp_path / "exports.yaml", environ={})
    return Step(config=config, export=None, name="upstream", run_id="1", trigger="page", dry_run=False)


def _client() -> MailchimpClient:
    return MailchimpClient(
        api_root="http://127.0.0.1:9/3.0",
        authorization=Authorization.from_api_key(API_KEY),
        max_connections=1,
    )


def _stumble() -> None:
    try:
        {}[SECRET]  # type: ignore[index]
    except KeyError as cause:
        raise ValueError(f"bad row {SECRET}") from cause


def test_unknown_error_is_stored_without_its_words(step: Step) -> None:
    """Neither the failure nor the private file repeats what the exception said, or what caused it."""
    with pytest.raises(dg.Failure) as caught, guarded(step):
        _stumble()

    (path,) = (step.config.home / "errors").iterdir()
    assert "ValueError" in str(caught.value.description)
    assert path.stem in str(caught.value.description)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None
    assert SECRET not in path.read_text() + str(caught.value.description) + repr(caught.value.metadata)
    assert "builtins.KeyError" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    assert caught.value.allow_retries is False


def test_error_of_ours_keeps_message_fix_and_code(step: Step) -> None:
    """The page shows what the command line would say."""
    with pytest.raises(dg.Failure) as caught, guarded(step):
        raise RunLaterError("mailchimp_busy", "Mailchimp is busy", fix="run again")

    assert caught.value.description == "Mailchimp is busy\n\nfix: run again"
    told = {name: value.value for name, value in caught.value.metadata.items()}
    assert told == {"code": "mailchimp_busy", "fix": "run again", "exit_code": 4}


def test_interruptions_pass_as_they_are(step: Step) -> None:
    """Dagster cancels a run by an interruption; it must see it."""
    with pytest.raises(dg.DagsterExecutionInterruptedError), guarded(step):
        raise dg.DagsterExecutionInterruptedError


def test_files_made_in_a_step_are_private(step: Step, tmp_path: Path) -> None:
    """Whatever a step writes is the owner's alone, and the process is as before afterwards."""
    before = os.umask(0o022)
    try:
        with guarded(step):
            (tmp_path / "made").write_text("x")
        (tmp_path / "later").write_text("x")
    finally:
        os.umask(before)

    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "later").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_lets_requests_in_flight_finish(step: Step, number: signal.Signals) -> None:
    """The client stops, nothing is raised in the middle of recording, and the session knows the signal."""
    session = Session()
    with attended(session), _client() as client, guarded(step), session.writing_through(client):
        os.kill(os.getpid(), number)
        with pytest.raises(RunLaterError) as stopped:
            client.call("GET", "/", what="to try", answer=None)

    assert stopped.value.code == "interrupted"
    assert session.received == number


def test_a_signal_that_comes_twice_at_the_same_time_is_one(step: Step) -> None:
    """``timeout`` sends one to the process and one to its group; requests in flight still finish."""
    session = Session()
    with attended(session), _client() as client, guarded(step), session.writing_through(client):
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    assert session.received == signal.SIGTERM


def test_signal_outside_of_writing_interrupts_at_once(step: Step) -> None:
    """While nothing is written there is nothing to finish."""
    session = Session()
    with pytest.raises(dg.DagsterExecutionInterruptedError), attended(session), guarded(step):
        os.kill(os.getpid(), signal.SIGTERM)

    assert session.received == signal.SIGTERM


def test_signals_are_as_before_after_a_step(step: Step) -> None:
    """A step leaves the handlers of the process alone, and a run that nobody waits for never touches them."""
    before = signal.getsignal(signal.SIGINT)
    with attended(Session()), guarded(step):
        during = signal.getsignal(signal.SIGINT)
    with guarded(step):
        unattended = signal.getsignal(signal.SIGINT)

    assert during is not before
    assert unattended is before
    assert signal.getsignal(signal.SIGINT) is before
    assert not waits()
