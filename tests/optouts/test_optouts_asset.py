"""The asset of opt-outs, as Dagster makes it."""

import dagster as dg
import pytest
from harness import AUDIENCE, address

from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.orchestration.launch import open_instance


def _definitions(opt_outs, **keys):
    opt_outs.project.export("vip", opt_outs={"cron": "0 5 * * *", "timezone": "Europe/Berlin"}, **keys)
    (opt_outs.project.folder / "key").write_text(opt_outs.project.environ["MAILCHIMP_API_KEY"])
    opt_outs.project.connection["api_key"] = {"file": "key"}
    return build_definitions(opt_outs.project.write())


def test_the_asset_is_the_list_and_names_nobody(opt_outs):
    """Its metadata are counts, a path and what the columns mean; Dagster stores neither address nor customer."""
    opt_outs.project.emulator.people("unsubscribe", AUDIENCE, address(1))
    opt_outs.project.emulator.people("bounce", AUDIENCE, address(2))
    opt_outs.project.emulator.add_member(AUDIENCE, "stranger@contoso-mail.internal", status="cleaned")
    job = _definitions(opt_outs).resolve_job_def("vip_opt_outs")
    config = load_config(opt_outs.project.folder / "exports.yaml", environ=opt_outs.project.environ)

    with open_instance(config.home) as instance:
        result = job.execute_in_process(instance=instance)

    (made,) = result.asset_materializations_for_node("vip__opt_outs")
    found = {name: value.value for name, value in made.metadata.items()}
    assert made.asset_key == dg.AssetKey(["vip", "opt_outs"])
    assert (found["unsubscribed"], found["cleaned"], found["archived"], found["unknown"]) == (1, 1, 0, 1)
    assert found["dagster/row_count"] == 2
    assert (config.home / found["path"]).is_file()
    assert [column.name for column in found["dagster/column_schema"].columns] == [
        "customer_id", "status", "since", "reason",
    ]  # fmt: skip
    stored = b"".join(path.read_bytes() for path in (config.home / "dagster").rglob("*") if path.is_file())
    assert b"@contoso-mail.internal" not in stored.replace(b"ben@contoso-mail.internal", b"")
    assert b"c00001" not in stored


def test_a_schedule_of_its_own_and_no_part_of_a_run(opt_outs):
    """At its own times, and in no other job: a list that fails fails no run."""
    definitions = _definitions(opt_outs)

    schedule = definitions.resolve_schedule_def("vip_opt_outs")
    asset = dg.AssetKey(["vip", "opt_outs"])

    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 5 * * *", "Europe/Berlin")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    for name in ("vip", "run_all_exports"):
        assert asset not in definitions.resolve_job_def(name).asset_layer.selected_asset_keys


def test_without_times_only_on_demand(opt_outs):
    """An export that declares none has the asset, to be made by hand, and neither job nor schedule for it."""
    definitions = build_definitions(opt_outs.project.write())

    assert dg.AssetKey(["vip", "opt_outs"]) in definitions.resolve_asset_graph().get_all_asset_keys()
    with pytest.raises(dg.DagsterInvariantViolationError):
        definitions.resolve_job_def("vip_opt_outs")


def test_a_failure_is_told_in_our_words(opt_outs):
    """Dagster stores the message and the fix, and it is no failed run of the export."""
    job = _definitions(opt_outs).resolve_job_def("vip_opt_outs")
    opt_outs.project.emulator.switch(permission="none")

    with dg.DagsterInstance.ephemeral(tempdir=str(opt_outs.project.folder)) as instance:
        result = job.execute_in_process(instance=instance, raise_on_error=False)

    (event,) = (each for each in result.all_events if each.is_step_failure)
    assert event.step_failure_data.user_failure_data.metadata["code"].value == "mailchimp_not_permitted"
    with opt_outs.project.ledger() as ledger:
        assert ledger.last_run("vip") is None


def test_an_export_cannot_be_called_like_the_job(opt_outs):
    """Two things of one name on Dagster's page would be one too many."""
    opt_outs.project.export("vip_opt_outs", segments=["News"])
    with pytest.raises(FixConfigError) as caught:
        _definitions(opt_outs)

    assert caught.value.code == "reserved_id"
