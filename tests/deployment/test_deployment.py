"""What the triggers do in Dagster as it is deployed: processes that start, fail, are canceled and are killed."""

import subprocess
import sys
from itertools import pairwise

import dagster as dg
import pytest
from harness import API_KEY, AUDIENCE

S = dg.DagsterRunStatus
SYNC = "{}__mailchimp_sync"
pytestmark = pytest.mark.deployment


def sent(deployed, audience=AUDIENCE):
    """The addresses that Mailchimp holds."""
    return set(deployed.project.members(audience))


def wanted(deployed):
    """The addresses that are in the source."""
    return {row["EMail"] for row in deployed.project.people.values()}


def spans(deployed, runs):
    """When the sync of each run began and ended, in order."""
    found = []
    for run in runs:
        (step,) = deployed.instance.get_run_step_stats(run.run_id, [SYNC.format(run.job_name)])
        found.append((step.start_time, step.end_time))
    return sorted(found)


def test_first_sight_and_one_refresh(deployed):
    """Loading runs nothing; a refresh written in two goes is read at most twice and sent once to each audience."""
    deployed.looked(2)
    assert deployed.runs() == []
    assert deployed.project.emulator.requests() == []

    deployed.project.emulator.switch(latency_ms=300)  # long enough for two syncs to meet if they could
    deployed.refresh(100)
    deployed.refresh(101)
    deployed.until(lambda: deployed.runs("vip") and deployed.runs("news"), "both exports run")
    deployed.quiet()
    deployed.project.emulator.switch(latency_ms=0)

    reads, runs = deployed.runs("upstream_refresh"), [*deployed.runs("vip"), *deployed.runs("news")]
    assert 1 <= len(reads) <= 2
    assert {run.status for run in [*reads, *runs]} == {S.SUCCESS}
    last = reads[-1].tags["ci_mailchimp/refresh"]
    for name in ("vip", "news"):
        assert len(deployed.runs(name, refresh=last)) == 1
        (tags,) = (run.tags for run in deployed.runs(name, refresh=last))
        told = {
            key.removeprefix("ci_mailchimp/"): text for key, text in tags.items() if "ci_mailchimp/" in key
        }
        assert told == {
            "trigger": "refresh", "export": name, "refresh": last, "attempt": "1", "dry_run": "false",
            "config_hash": deployed.config.digest[:12],
        }  # fmt: skip
    (first, second) = spans(deployed, runs)[-2:]
    assert first[1] <= second[0], "two syncs of one connection at once"
    assert sent(deployed) == wanted(deployed)


def test_a_file_that_is_edited_or_broken_sends_nothing(deployed):
    """The page says what is wrong and stays; the mended file loads; nothing is sent for the refresh seen before."""
    runs = len(deployed.runs())
    deployed.project.export("vip", display_name="Another name", segments=["Vip", "News"])
    right = deployed.project.declare()
    text = right.path.read_text()

    right.path.write_text(text.replace("audience_id", "audiense_id"))
    broken = deployed.reload()["locationOrLoadError"]
    right.path.write_text(text)
    mended = deployed.reload()["locationOrLoadError"]

    assert broken["__typename"] == "PythonError"
    assert "Did you mean 'audience_id'?" in str(broken)
    assert mended["__typename"] == "RepositoryLocation"
    deployed.looked(2)
    assert len(deployed.runs()) == runs
    deployed.config = right


def test_failed_attempts_end_in_one_success(deployed):
    """While Mailchimp refuses, an export fails and is tried again; once it does not, the refresh is sent, once."""
    deployed.project.emulator.switch(accepted_keys=["f" * 32 + "-us1"])
    deployed.refresh(200)
    deployed.until(lambda: len(finished(deployed, "news", S.FAILURE)) >= 2, "two failed attempts")
    deployed.project.emulator.switch(accepted_keys=[])
    deployed.quiet()
    last = deployed.runs("news")[-1]
    attempts = deployed.runs("news", refresh=last.tags["ci_mailchimp/refresh"])
    assert [run.status for run in attempts].count(S.SUCCESS) == 1
    assert attempts[-1].status == S.SUCCESS
    for earlier, later in pairwise(attempts):
        # The daemon may notice only now that the file was edited: that starts the count afresh.
        same_file = earlier.tags["ci_mailchimp/config_hash"] == later.tags["ci_mailchimp/config_hash"]
        expected = int(earlier.tags["ci_mailchimp/attempt"]) + 1 if same_file else 1
        assert int(later.tags["ci_mailchimp/attempt"]) == expected
    assert sent(deployed) == wanted(deployed)


def finished(deployed, job, status):
    """The runs of a job that ended so."""
    return [run for run in deployed.runs(job) if run.status == status]


def test_a_canceled_run_leaves_everything_in_order(deployed):
    """Terminate ends a sync within seconds; it is not started again by itself; a run by hand finishes the work."""
    deployed.project.emulator.switch(latency_ms=4000)
    deployed.refresh(*range(1000, 1600))
    run = deployed.until(
        lambda: next((run for run in deployed.runs("vip") if writes(deployed, run)), None), "vip writes"
    )
    deployed.terminate(run)
    deployed.until(lambda: finished(deployed, "vip", S.CANCELED), "the run is canceled", seconds=60)
    deployed.project.emulator.switch(latency_ms=0)
    deployed.until(lambda: "canceled: not started again" in deployed.skips("vip_on_refresh")[0], "left alone")

    done = say(deployed, "run", "vip")

    assert done.returncode == 0, done.stderr
    deployed.quiet()
    assert sent(deployed) == wanted(deployed)
    (by_hand,) = deployed.runs("vip", trigger="cli")
    assert by_hand.status == S.SUCCESS


def writes(deployed, run):
    """Whether a run is in the middle of its sync."""
    if run.status != S.STARTED:
        return False
    stats = deployed.instance.get_run_step_stats(run.run_id, [SYNC.format(run.job_name)])
    return any(step.start_time and not step.end_time for step in stats)


def say(deployed, *words):
    """Type a command beside the open page."""
    return subprocess.run(
        [sys.executable, "-m", "ci_mailchimp_pipeline", *words],
        cwd=deployed.project.folder,
        env=deployed.environment | {"MAILCHIMP_API_KEY": API_KEY},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
