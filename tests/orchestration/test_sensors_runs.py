"""What a sensor makes of the runs that it finds: waits for them, tries again, or lets them count."""

import dagster as dg
import pytest
from orchestration.looks import TAG, S, pending_request, told

from ci_mailchimp_pipeline.orchestration.attempts import MAX_ATTEMPTS, Pace


@pytest.mark.parametrize("status", [S.NOT_STARTED, S.STARTING, S.STARTED, S.CANCELING])
def test_a_run_in_progress_is_waited_for(pending, status):
    """Whoever started it: by hand for any refresh, or by the sensor."""
    pending.run(status, {f"{TAG}trigger": "page", f"{TAG}export": "vip"})

    assert told(pending.look()).endswith("a run is in progress")


def test_a_run_of_all_exports_is_waited_for(pending):
    """What runs everything runs this one, too."""
    pending.run(S.STARTED, {f"{TAG}export": "*"}, "run_all_exports")

    assert told(pending.look()).endswith("a run is in progress")


def test_a_run_of_another_export_is_not_waited_for(pending):
    """Each export goes its own way; the pool keeps them apart."""
    pending.run(S.STARTED, {f"{TAG}export": "news"}, "news")

    assert isinstance(pending.look(), dg.RunRequest)


def test_a_failed_run_is_tried_again_later(pending):
    """First the wait, then the next attempt under a key of its own."""
    first = pending.look()
    pending.start(first, S.FAILURE, outcome="failed")

    assert "attempt 1 failed, the next one in" in told(pending.look())
    pending.pace = Pace(retry_seconds=0)
    second = pending.look()
    assert isinstance(second, dg.RunRequest)
    assert second.tags[f"{TAG}attempt"] == "2"
    assert second.run_key != first.run_key


def test_it_is_given_up_after_a_while(pending):
    """A bounded number of attempts for one refresh; the next refresh starts afresh."""
    pending.pace = Pace(retry_seconds=0)
    for _ in range(MAX_ATTEMPTS):
        pending.start(pending_request(pending), S.FAILURE, outcome="failed")

    assert "gave up after" in told(pending.look())
    last, *earlier = pending.instance.get_runs()
    assert last.tags[f"{TAG}outcome"] == "gave up"
    assert {run.tags[f"{TAG}outcome"] for run in earlier} == {"failed"}
    pending.read(pending.refresh(3))
    assert isinstance(pending.look(), dg.RunRequest)


def test_what_a_guard_stopped_waits_for_another_file_or_refresh(pending):
    """Not repeated for the same refresh, unless exports.yaml changed since."""
    pending.start(pending.look(), S.FAILURE, outcome="stopped")

    assert "stopped by a guard" in told(pending.look())
    pending.declared["exports"]["vip"]["guards"] = {"max_exit_percent": 50}
    assert isinstance(pending.look(), dg.RunRequest)


def test_what_somebody_canceled_is_not_started_again(pending):
    """The next refresh is."""
    pending.start(pending.look(), S.CANCELED)

    assert "canceled" in told(pending.look())
    pending.read(pending.refresh(3))
    assert isinstance(pending.look(), dg.RunRequest)


@pytest.mark.parametrize("trigger", ["cli", "page"])
def test_a_run_by_hand_counts(pending, trigger):
    """Who ran the export by hand has sent the refresh; nothing is left to do."""
    pending.sent(pending.version, trigger=trigger)

    assert told(pending.look()).endswith("done")


def test_a_failed_run_by_hand_is_no_attempt(pending):
    """What a person tried in vain does not keep the sensor from trying."""
    pending.run(S.FAILURE, {f"{TAG}trigger": "cli", f"{TAG}export": "vip", f"{TAG}refresh": pending.version})

    assert isinstance(pending.look(), dg.RunRequest)


def test_a_dry_run_by_hand_does_not_count(pending):
    """Looking is not sending."""
    pending.sent(pending.version, dry_run=True)

    assert isinstance(pending.look(), dg.RunRequest)


def test_in_a_sandbox_each_refresh_is_tried_once(pending):
    """A dry run that started by itself counts, also on the day that the sandbox ends."""
    pending.declared["sandbox"] = True
    assert isinstance(pending.look(), dg.RunRequest)
    pending.sent(pending.version, dry_run=True, trigger="refresh")

    assert told(pending.look()).endswith("done")
    pending.declared["sandbox"] = False
    assert told(pending.look()).endswith("done")


def test_running_one_export_by_hand_starts_no_other(page):
    """Reading the baseline for one export is no refresh for the other."""
    version = page.refresh(1)
    page.look()
    page.look("news_on_refresh")

    page.read(version)

    assert "is the baseline" in told(page.look("news_on_refresh"))
