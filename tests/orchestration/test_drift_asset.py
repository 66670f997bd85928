"""The asset ``<export>/mailchimp_drift``: counts as numbers, a warning, a repair when asked for, a schedule of its own."""

from typing import Any

import dagster as dg
from harness import AUDIENCE, address

from ci_mailchimp_pipeline.orchestration.drift import DriftConfig
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions, drift_job, export_job

KEY = dg.AssetKey(["vip", "mailchimp_drift"])


def compare(bench: Any, **chosen: Any) -> dg.ExecuteInProcessResult:
    """Materialize the asset, as a person does on the page."""
    config = bench.project.write()
    return drift_job(config, config.exports["vip"]).execute_in_process(
        instance=bench.instance,
        raise_on_error=False,
        run_config=dg.RunConfig(
            ops={"vip__mailchimp_drift": DriftConfig(**chosen)},
            loggers={"console": {"config": {"log_level": "CRITICAL"}}},
        ),
    )


def numbers(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the materialization holds."""
    (event,) = result.get_asset_materialization_events()
    found = event.materialization.metadata
    return {name: value.value for name, value in found.items()}


def test_drift_is_shown_and_repaired_when_asked_for(bench: Any) -> None:
    """Counts are numbers that Dagster plots, the check warns and blocks nothing; nobody is in the events."""
    bench.run()
    before = bench.project.writes()
    calm = compare(bench)
    bench.project.emulator.people("untag", AUDIENCE, address(3), tags=["Vip"])

    found = compare(bench)

    assert bench.project.writes() == before
    (check,) = found.get_asset_check_evaluations()
    assert (check.passed, check.severity, check.description) == (
        False,
        dg.AssetCheckSeverity.WARN,
        "tag_missing 1",
    )
    assert [each.passed for each in calm.get_asset_check_evaluations()] == [True]
    shown = numbers(found)
    assert (shown["read"], shown["tag_missing"], shown["missing"], shown["repaired"]) == (25, 1, 0, 0)
    assert not any("@" in repr(each) for each in found.all_events)

    done = compare(bench, repair=True, plan_id=shown["plan_id"])
    assert (numbers(done)["repaired"], numbers(done)["repair"]) == (1, True)
    assert bench.project.members()[address(3)]["tags"] == ["Vip"]


def test_a_failed_comparison_is_no_run_of_the_export(bench: Any) -> None:
    """Dagster has the failure in our words; the ledger has no row, so that no alert and no list is about it."""
    failed = compare(bench)

    (event,) = (each for each in failed.all_events if each.is_step_failure)
    assert event.step_failure_data.user_failure_data is not None
    assert "has no frame yet" in str(event.step_failure_data.user_failure_data.description)
    with bench.project.ledger() as ledger:
        assert ledger.runs("vip") == []


def test_a_comparison_is_made_only_when_asked_for_or_due(bench: Any) -> None:
    """Not part of the export's job; a schedule, and a job, only where the file declares one."""
    config = bench.project.write()
    quiet = build_definitions(config)
    bench.project.export("vip", drift={"cron": "0 4 * * 1", "timezone": "Europe/Berlin"})
    config = bench.project.write()

    declared = build_definitions(config)

    assert KEY not in export_job(config, config.exports["vip"]).asset_layer.executable_asset_keys
    assert KEY in {key for asset in declared.assets or () for key in asset.keys}  # type: ignore[union-attr]
    assert "vip_drift" not in {each.name for each in quiet.schedules or ()}
    (schedule,) = (each for each in declared.schedules or () if each.name == "vip_drift")
    assert isinstance(schedule, dg.ScheduleDefinition)
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 4 * * 1", "Europe/Berlin")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    tick = schedule.evaluate_tick(dg.build_schedule_context(instance=bench.instance))
    assert [request.tags["ci_mailchimp/export"] for request in tick.run_requests or ()] == ["vip"]
    job = declared.resolve_job_def("vip_drift")
    assert job.asset_layer.executable_asset_keys == {KEY}


def test_a_comparison_waits_for_its_connection(bench: Any) -> None:
    """It shares the pool of the syncs: no more connections than were declared."""
    config = bench.project.write()
    pools = {
        key.path[-1]: asset.op.pool
        for asset in build_definitions(config).assets or ()
        if isinstance(asset, dg.AssetsDefinition)
        for key in asset.keys
    }

    assert pools["mailchimp_drift"] == pools["mailchimp_sync"] == "mailchimp_main"
