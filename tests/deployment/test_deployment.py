"""What the triggers do in Dagster as it is deployed: processes that start, fail, are canceled and are killed."""

from itertools import pairwise

import dagster as dg
import pytest
from harness import AUDIENCE

S = dg.DagsterRunStatus
OTHER = "b1b2c3d4e5"
EXPORTS = ("vip", "news")
pytestmark = pytest.mark.deployment


def everyone_is_there(deployed):
    """Both audiences hold the addresses of the source, subscribed, and no other."""
    wanted = {row["EMail"]: "subscribed" for row in deployed.project.people.values()}
    for audience in (AUDIENCE, OTHER):
        held = deployed.project.members(audience)
        assert {address: member["status"] for address, member in held.items()} == wanted


def spans(deployed, runs):
    """When the sync of each run began and ended, in order."""
    found = []
    for run in runs:
        (step,) = deployed.instance.get_run_step_stats(run.run_id, [f"{run.job_name}__mailchimp_sync"])
        found.append((step.start_time, step.end_time))
    return sorted(found)


def ended(deployed, job, status):
    """The runs of a job that ended so."""
    return [run for run in deployed.runs(job) if run.status == status]


def test_first_sight_and_one_refresh(deployed):
    """Loading runs nothing; a refresh touched twice quickly is read at most twice and sent once to each audience."""
    deployed.looked(2)
    assert deployed.runs() == []
    assert deployed.project.emulator.requests() == []

    deployed.slowly(300)  # long enough for two syncs to meet if they could
    deployed.refresh(100)
    deployed.refresh(101)
    deployed.until(lambda: deployed.runs("vip") and deployed.runs("news"), "both exports run")
    deployed.quiet()
    deployed.slowly(0)

    reads, runs = deployed.runs("upstream_refresh"), [*deployed.runs("vip"), *deployed.runs("news")]
    assert 1 <= len(reads) <= 2
    assert {run.status for run in [*reads, *runs]} == {S.SUCCESS}
    last = reads[-1].tags["ci_mailchimp/refresh"]
    for name in EXPORTS:
        (run,) = deployed.runs(name, refresh=last)
        told = {
            key.removeprefix("ci_mailchimp/"): text
            for key, text in run.tags.items()
            if key.startswith("ci_mailchimp/")
        }
        assert told == {
            "trigger": "refresh", "export": name, "refresh": last, "attempt": "1", "dry_run": "false",
            "config_hash": deployed.config.digest[:12], "connection": "main",
        }  # fmt: skip
    for earlier, later in pairwise(spans(deployed, runs)):
        assert earlier[1] <= later[0], "two syncs of one connection at once"
    everyone_is_there(deployed)


def test_a_file_that_is_edited_or_broken_sends_nothing(deployed):
    """The page says what is wrong and stays; the mended file loads; nothing is sent for the refresh seen before."""
    runs = len(deployed.runs())
    deployed.project.export("vip", display_name="Another name", segments=["Vip", "News"])
    right = deployed.project.declare()
    text = right.path.read_text()

    right.path.write_text(text.replace("audience_id", "audiense_id"))
    broken = deployed.reload()
    right.path.write_text(text)
    mended = deployed.reload()

    assert broken["__typename"] == "PythonError"
    assert "Did you mean 'audience_id'?" in str(broken)
    assert mended["__typename"] == "RepositoryLocation"
    deployed.looked(2)
    assert len(deployed.runs()) == runs
    deployed.config = right


def test_mailchimp_down_for_two_attempts_then_one_success(deployed):
    """While nobody answers, each export fails and is tried again; once somebody does, the refresh is sent, once."""
    deployed.project.emulator.fail("reset_before", times=None)
    deployed.refresh(200)
    for name in EXPORTS:
        deployed.until(lambda name=name: len(ended(deployed, name, S.FAILURE)) >= 2, f"{name} failed twice")
    deployed.project.emulator.heal()
    deployed.quiet()

    for name in EXPORTS:
        last = deployed.runs(name)[-1].tags["ci_mailchimp/refresh"]
        attempts = deployed.runs(name, refresh=last)
        *failed, success = [run.status for run in attempts]
        assert (set(failed), success) == ({S.FAILURE}, S.SUCCESS)
        for earlier, later in pairwise(attempts):
            # The daemon may notice only now that the file was edited: that starts the count afresh.
            same_file = earlier.tags["ci_mailchimp/config_hash"] == later.tags["ci_mailchimp/config_hash"]
            expected = int(earlier.tags["ci_mailchimp/attempt"]) + 1 if same_file else 1
            assert int(later.tags["ci_mailchimp/attempt"]) == expected
    everyone_is_there(deployed)


def test_a_daemon_killed_in_the_middle_goes_on_where_it_was(deployed):
    """SIGKILL for the daemon, and the runs it started, while an export writes: started again, everyone is sent."""
    deployed.slowly(1500)
    deployed.refresh(*range(1000, 3000))
    writing = deployed.until(lambda: deployed.writing("news") or deployed.writing("vip"), "an export writes")
    deployed.kill("daemon")
    deployed.slowly(0)
    deployed.start("daemon")
    deployed.quiet()

    again = deployed.runs(writing.job_name, refresh=writing.tags["ci_mailchimp/refresh"])
    assert [run.status for run in again].count(S.SUCCESS) == 1
    assert deployed.instance.event_log_storage.get_concurrency_info("mailchimp_main").claimed_slots == []
    everyone_is_there(deployed)


def test_a_canceled_run_leaves_everything_in_order(deployed):
    """Terminate ends a sync within seconds; it is not started again by itself; a run by hand finishes the work."""
    deployed.slowly(4000)
    deployed.refresh(*range(3000, 3600))
    run = deployed.until(lambda: deployed.writing("vip"), "vip writes")
    deployed.terminate(run)
    deployed.until(lambda: ended(deployed, "vip", S.CANCELED), "the run is canceled", seconds=60)
    deployed.slowly(0)
    deployed.until(lambda: "canceled: not started again" in deployed.skips("vip_on_refresh")[0], "left alone")

    done = deployed.say("run", "vip")

    assert done.returncode == 0, done.stderr
    deployed.quiet()
    everyone_is_there(deployed)
    (by_hand,) = deployed.runs("vip", trigger="cli")
    assert by_hand.status == S.SUCCESS


def test_a_schedule_runs_at_its_time(deployed):
    """A cron export runs by itself within a minute or two, and no longer for each refresh."""
    deployed.project.export("vip", schedule={"cron": "* * * * *", "timezone": "Europe/Berlin"})
    deployed.config = deployed.project.declare()
    assert deployed.reload()["__typename"] == "RepositoryLocation"

    run = deployed.until(lambda: ended_by_schedule(deployed), "vip ran by its schedule", seconds=200)

    assert run.tags["ci_mailchimp/scheduled"].endswith(":00+00:00")
    assert ended(deployed, "vip", S.FAILURE) == [
        run for run in ended(deployed, "vip", S.FAILURE) if run.tags["ci_mailchimp/trigger"] == "refresh"
    ]


def ended_by_schedule(deployed):
    """The first run that a schedule started and that succeeded."""
    return next((run for run in deployed.runs("vip", trigger="schedule") if run.status == S.SUCCESS), None)
