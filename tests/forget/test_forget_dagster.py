"""Dagster's own records, and what machines share: searched, cleaned, and of use afterwards."""

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from forget.conftest import ANN, hurried, traces_of
from harness import API_KEY, AUDIENCE, Project, address
from house.pages import ROOT, blocks

from ci_mailchimp_pipeline.config import Config, load_config
from ci_mailchimp_pipeline.errors import RunLaterError
from ci_mailchimp_pipeline.orchestration.assets import SyncConfig
from ci_mailchimp_pipeline.orchestration.forgetting import forget
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.orchestration.launch import open_instance, run_export
from ci_mailchimp_pipeline.orchestration.session import Session
from ci_mailchimp_pipeline.pipeline.forgetting import Forgetting
from ci_mailchimp_pipeline.testing import Emulator

SILENT = dg.RunConfig(loggers={"console": {"config": {"log_level": "CRITICAL"}}})


@pytest.fixture
def project(tmp_path: Path, mailchimp_emulator: Emulator) -> Project:
    """Ann and five others; the key is in a file."""
    mailchimp_emulator.add_audience(AUDIENCE)
    project = Project(tmp_path, mailchimp_emulator)
    project.customers(range(5))
    project.customer("ann", ANN)
    (tmp_path / "mailchimp.key").write_text(API_KEY)
    project.connection["api_key"] = {"file": "mailchimp.key"}
    return project


def exported(config: Config) -> str:
    """Run the export through Dagster; returns the run's id."""
    with open_instance(config.home) as instance:
        report = run_export(config, config.exports["vip"], SyncConfig(), instance=instance, session=Session())
    assert report.error is None
    return str(report.run_id)


def synced_alone(config: Config) -> bool:
    """Materialize the sync alone, from the newest frame that is there."""
    with open_instance(config.home) as instance:
        job = build_definitions(config).resolve_job_def("vip")
        done = job.execute_in_process(
            instance=instance, raise_on_error=False, run_config=SILENT,
            asset_selection=[dg.AssetKey(["vip", "mailchimp_sync"])],
        )  # fmt: skip
    return done.success


def place_of(done: Any, name: str) -> Any:
    (found,) = (place for place in done.places if place.place == name)
    return found


def test_dagster_holds_nothing_and_goes_on(project: Project) -> None:
    """After real runs nothing is found in its records, and a sync alone goes on from the frame that was rewritten."""
    config = project.write()
    exported(config)

    done = forget(config, ANN)

    assert done.error is None
    assert place_of(done, "Dagster").done == "searched: nothing found"
    assert traces_of(config.home) == []
    project.emulator.forget_requests()
    assert synced_alone(config)
    assert project.writes() == 0
    assert set(project.members()) == {address(number) for number in range(5)}


def test_what_dagster_holds_is_found_and_told(project: Project) -> None:
    """Somebody wrote the address into a run's tags: it is not ours to delete, and the proof says that it is there."""
    config = project.write()
    run_id = exported(config)
    with open_instance(config.home) as instance:
        instance.add_run_tags(run_id, {"note": f"asked by {ANN}"})

    done = forget(config, ANN)

    assert done.error is not None
    assert (done.error.code, done.as_json()["forgotten"]) == ("person_left", False)
    assert place_of(done, "Dagster").found == 1
    assert "dagster" in done.error.fix
    assert ANN not in str(done.as_json())


def test_nothing_is_done_while_a_run_makes_copies(project: Project) -> None:
    """A run that has begun holds no lease yet, and may have read her from the source: exit 4."""
    config = project.write()
    with open_instance(config.home) as instance:
        run = instance.create_run_for_job(build_definitions(config).resolve_job_def("vip"))
        instance.report_run_failed(run)
        instance.handle_new_event(_started(run))

    with pytest.raises(RunLaterError) as caught:
        forget(config, ANN)

    assert caught.value.code == "runs_in_progress"
    assert project.emulator.requests() == []
    assert not (config.home / "forget.key").exists()


def _started(run: dg.DagsterRun) -> dg.EventLogEntry:
    event = dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name)
    return dg.EventLogEntry(
        error_info=None, level=10, user_message="", run_id=run.run_id, timestamp=0.0, job_name=run.job_name,
        dagster_event=event,
    )  # fmt: skip


def test_dagster_in_postgresql_is_searched_too(
    project: Project, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there after a run; what somebody put there is found."""
    (shown,) = (
        block.text
        for block in blocks(ROOT / "docs" / "deployment.md", "yaml")
        if "postgres_url" in block.text
    )
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres)
    config = project.write()
    (config.home / "dagster").mkdir(parents=True, mode=0o700)
    (config.home / "dagster" / "dagster.yaml").write_text(shown)
    run_id = exported(config)

    clean = forget(config, ANN)
    with open_instance(config.home) as instance:
        instance.add_run_tags(run_id, {"note": ANN.upper()})
    told = forget(config, ANN)

    assert clean.error is None
    assert place_of(clean, "Dagster").found == 0
    assert told.error is not None
    assert place_of(told, "Dagster").found > 0


def test_a_ledger_in_postgresql_forgets_as_well(project: Project, postgres: str) -> None:
    """The key is the environment's; the rows go; the next runs recognize her there, under a new address too."""
    project.environ |= {"CI_MAILCHIMP_LEDGER": postgres, "CI_MAILCHIMP_FORGET_KEY": "0123456789abcdef" * 4}
    assert project.run().error is None
    project.customer("ann", "ann.new@contoso-mail.internal")

    erasure = Forgetting(config=project.write(), address=ANN, environ=project.environ, connect=hurried)
    erasure.carry_out()
    report = project.run()

    (ledger,) = (place for place in erasure.places if place.place == "ledger")
    assert "1 member, 1 hold" in ledger.done
    assert report.suppressed_reasons == {"forgotten": 1}
    assert set(project.members()) == {address(number) for number in range(5)}
    assert traces_of(project.folder / ".ci_mailchimp") == []


def test_what_machines_share_is_cleaned(project: Project, tmp_path: Path) -> None:
    """Frames and snapshots of another machine, and an upload that broke off; a third machine goes on from them."""
    shared = tmp_path / "shared"

    def on(machine: str) -> Config:
        environ = {
            "CI_MAILCHIMP_LEDGER": f"sqlite:///{tmp_path / 'ledger' / 'ledger.sqlite'}",
            "CI_MAILCHIMP_FORGET_KEY": "0123456789abcdef" * 4,
            **project.environ,
            "CI_MAILCHIMP_HOME": str(tmp_path / machine),
            "CI_MAILCHIMP_FRAMES": shared.as_uri(),
        }
        return load_config(project.folder / "exports.yaml", environ=environ)

    project.write()
    exported(on("one"))
    (verdict,) = shared.glob("frames/vip/*/verdict.json")
    exported(on("one"))
    verdict.unlink()

    done = forget(on("two"), ANN)

    assert done.error is None
    told = place_of(done, "shared frames and snapshots")
    assert told.found > 0
    assert "1 unfinished upload deleted" in told.done
    assert not verdict.parent.exists()
    assert len(list(shared.rglob("*.parquet"))) == 5, "three files of a snapshot, two of a frame"
    assert traces_of(shared) == traces_of(tmp_path / "ledger") == traces_of(tmp_path / "two") == []
    project.emulator.forget_requests()
    assert synced_alone(on("three"))
    assert project.writes() == 0
    (frame,) = (tmp_path / "three").glob("frames/vip/*/frame.parquet")
    assert pl.read_parquet(frame).height == 5
