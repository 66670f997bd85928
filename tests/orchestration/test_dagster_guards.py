"""What stops a run: nothing is sent, and the page, the report and the ledger say the same."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import address

from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.orchestration.folders import run_folders
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions

FRAME = ["vip", "export_frame"]
SYNC = ["vip", "mailchimp_sync"]
UPSTREAM = [["unified_profiles"], ["segment_membership"]]


def test_too_many_rejected_rows_stop_before_anything_is_sent(bench: Any) -> None:
    """The blocking check fails with its numbers, the sync does not run, the ledger remembers why."""
    bench.project.export("vip", guards={"max_rejected_percent": 5})

    run = bench.run()

    assert not run.result.success
    assert run.checks()["rejection_rate"] is False
    assert run.report.status == "stopped"
    assert run.report.error is not None
    assert run.report.error.code == "max_rejected_percent"
    assert run.report.counts.rejected == 2
    assert "fix:" in run.failure()
    assert "not.an.address" not in run.stored()
    assert bench.project.writes() == 0
    with bench.project.ledger() as ledger:
        assert [row.status for row in ledger.runs("vip")] == ["stopped"]


def test_sync_alone_refuses_a_frame_that_failed_its_checks(bench: Any) -> None:
    """A blocking check does not stop a sync that is selected later by itself; the frame's verdict does."""
    bench.project.export("vip", guards={"max_rejected_percent": 5})
    bench.run()

    run = bench.run(SYNC)

    assert run.report.error is not None
    assert run.report.error.code == "frame_not_good"
    assert bench.project.writes() == 0


def test_sync_alone_sends_the_newest_good_frame(bench: Any) -> None:
    """A sync that is selected by itself sends what was validated last."""
    bench.run(*UPSTREAM, FRAME)

    run = bench.run(SYNC)

    assert run.report.status == "success"
    assert run.report.counts.added == 24


def test_sync_alone_refuses_a_frame_of_another_declaration(bench: Any) -> None:
    """A frame holds the tags that were declared when it was made."""
    bench.run(*UPSTREAM, FRAME)
    bench.project.export("vip", segments=[{"name": "Vip", "tag": "Other"}])

    run = bench.run(SYNC)

    assert run.report.error is not None
    assert run.report.error.code == "stale_frame"
    assert bench.project.writes() == 0


def test_another_time_is_no_other_declaration_of_what_is_sent(bench: Any) -> None:
    """When an export runs or is compared, and how people call it, changes nothing about its frame."""
    bench.run(*UPSTREAM, FRAME)
    bench.project.export("vip", display_name="Better", schedule="off", drift={"cron": "0 4 * * 1"})

    run = bench.run(SYNC)

    assert run.report.status == "success"


def test_sync_alone_refuses_a_frame_that_was_changed_afterwards(bench: Any) -> None:
    """A frame that is not what was written is not sent."""
    bench.run(*UPSTREAM, FRAME)
    (folder,) = run_folders(bench.project.write(), "vip")
    with (folder / "frame.parquet").open("ab") as file:
        file.write(b"more")

    run = bench.run(SYNC)

    assert run.report.error is not None
    assert run.report.error.code == "frame_not_good"
    assert bench.project.writes() == 0


def test_sync_without_any_frame_says_what_to_do(bench: Any) -> None:
    """Nothing to send is an error with a fix, not a crash."""
    run = bench.run(SYNC)

    assert run.report.error is not None
    assert run.report.error.code == "no_frame"
    assert "vip/export_frame" in run.failure()


def test_frame_without_upstream_says_what_to_do(bench: Any) -> None:
    """A frame that is selected before the source was ever read asks for it."""
    run = bench.run(FRAME)

    assert run.report.error is not None
    assert run.report.error.code == "no_snapshot"


def test_frame_alone_refuses_a_snapshot_without_its_segment(bench: Any) -> None:
    """A segment that was declared after the source was read would look empty."""
    bench.project.segments["New"] = ["c00001"]
    bench.run(*UPSTREAM)
    bench.project.export("vip", segments=["Vip", "New"])

    run = bench.run(FRAME)

    assert run.report.error is not None
    assert run.report.error.code == "stale_snapshot"


def test_mass_exit_stops_the_sync_and_fails_its_check(bench: Any) -> None:
    """The check and the failure name the number and the way to allow it once."""
    bench.project.export("vip", guards={"max_exit_percent": 20, "max_rejected_percent": None})
    bench.run()
    bench.project.emulator.forget_requests()
    for number in range(1, 13):
        bench.project.leave(f"c{number:05}")

    run = bench.run()

    assert run.checks()["exit_rate"] is False
    assert run.checks()["segments_present"] is True
    assert "--allow-exit-percent 50" in run.failure()
    assert run.report.error is not None
    assert run.report.error.exit_code == 5
    assert bench.project.writes() == 0


def test_mass_exit_may_be_allowed_for_one_run(bench: Any) -> None:
    """What the launchpad allows is allowed once."""
    bench.project.export("vip", guards={"max_exit_percent": 20, "max_rejected_percent": None})
    bench.run()
    for number in range(1, 13):
        bench.project.leave(f"c{number:05}")

    run = bench.run(allow_exit_percent=50)

    assert run.report.status == "success"
    assert run.report.counts.exited == 12


def test_missing_consent_stops_before_mailchimp_is_asked(bench: Any) -> None:
    """Without consent not even the key is used."""
    del bench.project.connection["consent"]

    run = bench.run()

    assert run.checks()["consent"] is False
    assert run.report.error is not None
    assert run.report.error.code == "consent"
    assert bench.project.emulator.requests() == []


def test_source_without_the_address_column_fails_its_check(bench: Any) -> None:
    """The required column is a check of its own, and the message has the near miss."""
    bench.project.export("vip", email="Email")

    run = bench.run()

    assert run.checks()["email_column"] is False
    assert "Did you mean 'EMail'?" in run.failure()
    assert run.report.error is not None
    assert run.report.error.exit_code == 2


def test_unreadable_source_is_told_to_the_export_that_waits(bench: Any) -> None:
    """A failure of the upstream reaches the report and the ledger of the export's own job."""
    bench.project.write()
    real = bench.project.write
    bench.project.write = lambda: _without_source(real())

    run = bench.run()

    assert run.report.status == "failed"
    assert run.report.error is not None
    assert run.report.error.exit_code == 2


def _without_source(config: Any) -> Any:
    (config.folder / "data" / "profiles.csv").unlink()
    return config


def test_dry_run_writes_neither_to_mailchimp_nor_to_the_ledger(bench: Any) -> None:
    """A dry run, chosen in the launchpad, decides and leaves no trace but in Dagster."""
    run = bench.run(dry_run=True)

    kept = run.result.asset_materializations_for_node("vip__mailchimp_sync")[0].metadata
    assert run.report.counts.added == 24
    assert kept["dry_run"].value is True
    assert bench.project.writes() == 0
    assert bench.project.ledger_rows() == {}


def test_failed_dry_run_leaves_no_row_in_the_ledger(bench: Any) -> None:
    """Not even the failure of a dry run is remembered as a run."""
    bench.project.export("vip", guards={"max_rejected_percent": 5})

    run = bench.run(dry_run=True)

    assert run.report.status == "stopped"
    assert bench.project.ledger_rows() == {}


def test_another_plan_than_the_one_looked_at_is_not_carried_out(bench: Any) -> None:
    """A plan id is a promise about every operation."""
    run = bench.run(plan_id="0000000000000000")

    assert run.report.error is not None
    assert run.report.error.code == "plan_changed"
    assert bench.project.writes() == 0


def test_disabled_and_detached_exports_have_no_assets(bench: Any) -> None:
    """The page shows what can run."""
    bench.project.export("off", enabled=False, segments=["Other"])
    bench.project.export("loose", connection=None, segments=["Third"])

    definitions = build_definitions(bench.project.write())

    groups = {spec.group_name for spec in definitions.resolve_all_asset_specs()}
    assert groups == {"customer_insights", "vip"}
    jobs = {job.name for job in definitions.jobs or ()}
    assert jobs == {"vip", "upstream_refresh", "run_all_exports"}


def test_syncs_of_one_connection_share_a_pool(bench: Any) -> None:
    """One sync per Mailchimp account at a time."""
    bench.project.export("other", segments=["Other"])

    definitions = build_definitions(bench.project.write())

    pools = {
        name: definitions.resolve_job_def(name).get_node_named(f"{name}__mailchimp_sync").definition.pool
        for name in ("vip", "other")
    }
    assert pools == {"vip": "mailchimp_main", "other": "mailchimp_main"}


def test_old_frames_go_and_strangers_stay(bench: Any) -> None:
    """After a sync the newest three frames are there; what is no run folder is never touched."""
    base = bench.project.write().home / "frames" / "vip"
    for _ in range(4):
        bench.run(*UPSTREAM, FRAME)
    (base / "notes").mkdir()

    run = bench.run()

    assert run.report.run_id == run_folders(bench.project.write(), "vip")[0].name
    assert len(run_folders(bench.project.write(), "vip")) == 3
    assert (base / "notes").is_dir()


def test_opted_out_people_are_told_apart(bench: Any) -> None:
    """Who unsubscribed is counted as such, and was not written to."""
    run = bench.run()

    assert run.report.suppressed_reasons == {"unsubscribed": 1}
    assert run.checks()["opt_outs_honoured"] is True
    assert bench.project.members()[address(0)]["status"] == "unsubscribed"


def test_what_a_person_should_know_is_a_warning_not_a_failure(bench: Any) -> None:
    """A warning check may fail while the run goes on."""
    bench.project.export("vip", first_name="FirstName")
    bench.project.customer("long", address(900), FirstName="x" * 300)

    run = bench.run()

    assert run.result.success
    assert run.checks()["no_warnings"] is False


@pytest.mark.parametrize("key", ["owner@contoso.example", "ben@contoso.ex", "Ben"])
def test_any_owner_loads(bench: Any, key: str) -> None:
    """Dagster takes only addresses as owners; other names are no reason not to load."""
    bench.project.export("vip", owner={"name": key, "role": "administrator"})

    assert build_definitions(bench.project.write()).resolve_all_asset_specs()


def test_names_and_segments_of_any_characters_load(bench: Any, tmp_path: Path) -> None:
    """Display names and segments are people's words, not identifiers."""
    bench.project.export("vip", display_name="Größe | *VIP* <b>", segments=["Vip", "a | b `c`"])

    definitions = build_definitions(load_config(bench.project.write().path, environ={}))

    described = {spec.key.path[-1]: spec.description or "" for spec in definitions.resolve_all_asset_specs()}
    assert r"a \| b \`c\`" in described["mailchimp_sync"]
    assert (
        yaml.safe_load((tmp_path / "exports.yaml").read_text())["exports"]["vip"]["segments"][1]
        == "a | b `c`"
    )
