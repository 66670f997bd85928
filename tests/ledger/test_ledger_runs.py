"""The history of runs, and since when writes may be missing."""

from dataclasses import replace

import pytest

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger import RunRow


def row(run_id, export="vip", **changes):
    """A run that has just started."""
    values = {"connection": "newsletter", "trigger": "sensor", "config_digest": "d" * 64, "started_at": 100.0}
    return RunRow(run_id=run_id, export=export, **values | changes)


@pytest.fixture
def run(ledger, lease):
    """Do a whole run: started, begun to write at *wrote* (None: never), ended with *status* (None: killed)."""

    def do(run_id, *, export="vip", wrote=None, status="success", dry_run=False):
        ledger.start_run(row(run_id, export, audience=lease.audience, dry_run=dry_run))
        if wrote is not None:
            ledger.begin_writing(run_id, export, lease, wrote)
        if status is not None:
            ledger.finish_run(run_id, export, status, document="{}")

    return do


def test_a_run_is_found_as_it_was_told(ledger, audience, lease, clock):
    """Start, first write and end are all in the row, with times, counts and document."""
    started = row("r1", trigger="manual", started_at=clock.now)
    ledger.start_run(started)
    assert ledger.last_run("vip") == started

    ledger.begin_writing("r1", "vip", lease, 1_799_999_990.0)
    clock.now += 7
    ledger.finish_run("r1", "vip", "success", document='{"counts": {}}', plan_id="p", members=5)

    assert ledger.runs() == [
        replace(
            started,
            audience=audience,
            status="success",
            plan_id="p",
            finished_at=clock.now,
            mailchimp_time=1_799_999_990.0,
            members=5,
            document='{"counts": {}}',
        )
    ]


def test_the_newest_runs_come_first(ledger):
    """The list is by start, of one export or of all, and not longer than asked."""
    for number in (2, 3, 1):
        for export in ("vip", "other"):
            ledger.start_run(row(f"r{number}", export, started_at=float(number)))

    assert [run.run_id for run in ledger.runs("vip")] == ["r3", "r2", "r1"]
    assert [(run.run_id, run.export) for run in ledger.runs(limit=3)] == [
        ("r3", "other"),
        ("r3", "vip"),
        ("r2", "other"),
    ]
    assert ledger.last_run("unknown") is None


def test_the_last_success_is_a_real_one(ledger, run):
    """Dry runs, failures and runs of other exports are no success of this export."""
    assert ledger.last_success("vip") is None
    run("r1")
    run("r2", status="failed")
    run("r3", dry_run=True)
    run("r4", export="other")

    assert ledger.last_success("vip").run_id == "r1"


@pytest.mark.parametrize("status", ["failed", "stopped", None])
def test_a_run_that_broke_off_leaves_its_time(ledger, audience, run, status):
    """After a failure, a guard's stop or a kill in mid-writing, the next run knows since when to look."""
    run("r1", wrote=50.0)
    assert ledger.unfinished_writing(audience, "vip") is None

    run("r2", wrote=60.0, status=status)

    assert ledger.unfinished_writing(audience, "vip") == 60.0


def test_the_earliest_of_several_broken_runs_counts_until_one_succeeds(ledger, audience, run):
    """Uncertainty adds up over broken runs, also when clocks jump, and ends with a success."""
    run("r1", wrote=70.0, status="failed")
    run("r2", wrote=60.0, status="failed")
    run("r3", status="failed")
    assert ledger.unfinished_writing(audience, "vip") == 60.0

    run("r4", wrote=80.0)

    assert ledger.unfinished_writing(audience, "vip") is None


def test_a_success_that_wrote_nothing_settles_as_well(ledger, audience, run):
    """The run that looked, and found everything where it should be, ends the uncertainty."""
    run("r1", wrote=70.0, status=None)

    run("r2")

    assert ledger.unfinished_writing(audience, "vip") is None


def test_only_the_exports_own_real_success_settles(ledger, audience, run):
    """A dry run repairs nothing, and another export has not looked at this one's tags."""
    run("r1", wrote=70.0, status="failed")

    run("r2", dry_run=True)
    run("r3", export="other", wrote=80.0)

    assert ledger.unfinished_writing(audience, "vip") == 70.0
    assert ledger.unfinished_writing(audience, "other") is None


def test_other_audiences_are_not_concerned(ledger, run):
    """Uncertainty belongs to one audience."""
    run("r1", wrote=70.0, status="failed")

    assert ledger.unfinished_writing(ledger.audience("account-1", "f6g7h8i9j0"), "vip") is None


def test_a_retry_of_a_run_keeps_what_the_first_try_left_open(ledger, audience, lease, run):
    """The same run once more starts over, but its first try's writes stay uncertain until it succeeds."""
    run("r1", wrote=60.0, status="failed")

    ledger.start_run(row("r1", audience=audience, started_at=200.0))
    assert ledger.unfinished_writing(audience, "vip") == 60.0
    assert ledger.last_run("vip").status == "running"
    ledger.begin_writing("r1", "vip", lease, 90.0)
    assert ledger.unfinished_writing(audience, "vip") == 60.0

    ledger.finish_run("r1", "vip", "success", document="{}")
    assert ledger.unfinished_writing(audience, "vip") is None


def test_a_run_that_was_overtaken_stays_uncertain(ledger, audience, lease, run):
    """A run that still sent while a later one succeeded reports its failure last, and is looked at again."""
    run("r1", wrote=60.0, status=None)
    run("r2", wrote=70.0)
    assert ledger.unfinished_writing(audience, "vip") is None

    ledger.finish_run("r1", "vip", "failed", document="{}")

    assert ledger.unfinished_writing(audience, "vip") == 60.0


def test_the_audience_may_be_learned_at_the_end(ledger, audience, run):
    """A run that was started before its audience was known, and wrote nothing, settles it all the same."""
    run("r1", wrote=60.0, status="failed")
    ledger.start_run(row("r2"))

    ledger.finish_run("r2", "vip", "success", document="{}", audience=audience)

    assert ledger.unfinished_writing(audience, "vip") is None


def test_a_run_that_never_started_cannot_go_on(ledger, lease):
    """Noting the end of an unknown run is a bug that shows."""
    with pytest.raises(PipelineError) as caught:
        ledger.finish_run("r1", "vip", "success", document="{}")
    assert caught.value.code == "run_not_started"

    with pytest.raises(PipelineError):
        ledger.begin_writing("r1", "vip", lease, 1.0)
