"""``ci_mailchimp_pipeline.MailchimpExports`` in a project of somebody's own."""

import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from harness import AUDIENCE

import ci_mailchimp_pipeline
from ci_mailchimp_pipeline.orchestration.loading import BrokenConfigError
from ci_mailchimp_pipeline.testing import Emulator

PROFILES, SEGMENTS = (dg.AssetKey(["warehouse", name]) for name in ("profiles", "segments"))
FRAME, SYNC = (dg.AssetKey(["vip", name]) for name in ("export_frame", "mailchimp_sync"))
BESIDES = {dg.AssetKey(["vip", name]) for name in ("mailchimp_drift", "opt_outs")}


def _load(root: Path) -> dg.Definitions:
    return dg.load_from_defs_folder(path_within_project=root)


def _run(defs: dg.Definitions, job: str, instance: dg.DagsterInstance) -> bool:
    silent = dg.RunConfig(loggers={"console": {"config": {"log_level": "CRITICAL"}}})
    done = defs.resolve_job_def(job).execute_in_process(
        instance=instance, raise_on_error=False, run_config=silent
    )
    return done.success


def _tick(defs: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    (sensor,) = (each for each in defs.sensors or () if each.name == "vip_on_refresh")
    with dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs) as context:
        return sensor.evaluate_tick(context)


def test_frames_depend_on_the_projects_own_assets(example: Path) -> None:
    """The frame is downstream of the mapped assets; ours, their job and their sensor do not exist."""
    defs = _load(example)

    graph = defs.resolve_asset_graph()
    assert graph.get(FRAME).parent_keys == {PROFILES, SEGMENTS}
    assert graph.get(SYNC).parent_keys == {FRAME}
    assert set(graph.get_all_asset_keys()) == {PROFILES, SEGMENTS, FRAME, SYNC, *BESIDES}
    assert "vip_on_refresh" in (names := {each.name for each in defs.sensors or ()})
    assert "upstream_refresh" not in names


def test_nothing_that_belongs_to_the_project_is_brought(example: Path) -> None:
    """No executor, no logger, no resource: a project with its own executor merges."""
    defs = _load(example)

    merged = dg.Definitions.merge(defs, dg.Definitions(executor=dg.multiprocess_executor))

    assert defs.executor is None
    assert not defs.loggers
    assert not defs.resources
    dg.Definitions.validate_loadable(merged)


def test_example_exports_what_its_warehouse_wrote(
    example: Path, instance: dg.DagsterInstance, mailchimp_emulator: Emulator
) -> None:
    """Refresh, then export: who has an address arrives, with the tag."""
    defs = _load(example)

    refreshed = _run(defs, "refresh_warehouse", instance)
    exported = _run(defs, "vip", instance)

    assert (refreshed, exported) == (True, True)
    members = mailchimp_emulator.members(AUDIENCE)
    assert set(members) == {"ada@contoso-mail.internal", "bo@contoso-mail.internal"}
    assert {tag for member in members.values() for tag in member["tags"]} == {"Vip"}


def test_sensor_waits_until_both_mapped_assets_are_of_one_refresh(
    example: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing there: baseline. Profiles alone: wait. Both by one run: one run of the export, then none."""
    declared = example / "contoso" / "defs" / "newsletter" / "exports.yaml"
    text = declared.read_text(encoding="utf-8")
    declared.write_text(
        text.replace("segments.csv\n", "segments.csv\n  settle_seconds: 0\n"), encoding="utf-8"
    )
    defs = _load(example)
    first = _tick(defs, instance, None)
    assert _run(defs, "refresh_warehouse", instance)

    both = _tick(defs, instance, first.cursor)
    profiles_alone = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, asset_selection=[PROFILES]
    )
    half = _tick(defs, instance, both.cursor)
    assert _run(defs, "refresh_warehouse", instance)
    assert _run(defs, "vip", instance)
    done = _tick(_load(example), instance, both.cursor)  # anew: what is shared may be seconds old

    assert first.run_requests == []
    assert len(both.run_requests) == 1
    assert set(both.run_requests[0].asset_selection) == {FRAME, SYNC}
    assert profiles_alone.success
    assert half.run_requests == []
    assert done.run_requests == []
    assert "done" in done.skip_message


def _project(root: Path, **components: dict[str, Any]) -> Path:
    """A project of nothing but components: folder → attributes; each has an exports.yaml with an export of its name."""
    sample = yaml.safe_load((Path(__file__).parents[2] / "exports.yaml").read_text(encoding="utf-8"))
    (export,) = sample["exports"].values()
    (root / "pyproject.toml").write_text(
        '[tool.dg]\ndirectory_type = "project"\n[tool.dg.project]\nroot_module = "mine"\n'
    )
    for name, attributes in components.items():
        folder = root / "mine" / "defs" / name
        folder.mkdir(parents=True)
        defs = {"type": "ci_mailchimp_pipeline.MailchimpExports", "attributes": attributes}
        (folder / "defs.yaml").write_text(yaml.safe_dump(defs))
        (folder / "exports.yaml").write_text(yaml.safe_dump(sample | {"exports": {name: export}}))
    for package in (root / "mine", root / "mine" / "defs"):
        (package / "__init__.py").write_text("")
    return root


def test_two_components_stand_side_by_side(importable: Path) -> None:
    """A prefix keeps what they share apart; each frame is downstream of its own upstream."""
    root = _project(importable, gold={"prefix": "east"}, silver={"prefix": "west"})

    defs = _load(root)
    dg.Definitions.validate_loadable(defs)

    graph = defs.resolve_asset_graph()
    for export, prefix in (("gold", "east"), ("silver", "west")):
        parents = graph.get(dg.AssetKey([export, "export_frame"])).parent_keys
        assert parents == {dg.AssetKey([prefix, name]) for name in ("unified_profiles", "segment_membership")}
    names = [each.name for each in defs.sensors or ()]
    assert len(names) == len(set(names))
    assert {"east_upstream_refresh", "west_upstream_refresh", "gold_on_refresh", "silver_on_refresh"} < set(
        names
    )


def test_component_is_one_line_by_default(importable: Path) -> None:
    """Without attributes it reads exports.yaml beside it and makes the two upstream assets itself."""
    root = _project(importable, gold={})

    keys = set(_load(root).resolve_asset_graph().get_all_asset_keys())

    assert {dg.AssetKey("unified_profiles"), dg.AssetKey("segment_membership")} < keys


def test_mistake_in_the_file_is_told_with_its_place(importable: Path) -> None:
    """All problems of exports.yaml are in the error that Dagster shows."""
    root = _project(importable, gold={})
    path = root / "mine" / "defs" / "gold" / "exports.yaml"
    path.write_text(path.read_text().replace("audience_id", "audience_idd"))

    with pytest.raises(Exception, match="gold") as caught:
        _load(root)

    cause: BaseException | None = caught.value
    while cause is not None and not isinstance(cause, BrokenConfigError):
        cause = cause.__cause__
    assert re.search(r"exports\.yaml:\d+:\d+: .*audience_idd.*Did you mean 'audience_id'\?", str(cause))


def test_registry_of_components_finds_it_without_loading_dagster() -> None:
    """The entry point names the package; ``dir`` shows the component; nothing heavy is imported for that."""
    (entry,) = entry_points(group="dagster_dg_cli.registry_modules", name="ci_mailchimp_pipeline")
    look = "import sys, ci_mailchimp_pipeline as p; print('MailchimpExports' in dir(p), 'dagster' in sys.modules)"

    seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout

    assert entry.value == "ci_mailchimp_pipeline"
    assert seen == "True False\n"
    assert issubclass(ci_mailchimp_pipeline.MailchimpExports, dg.Component)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ci_mailchimp_pipeline.Nothing  # type: ignore[attr-defined]


@pytest.mark.slow
def test_dg_checks_the_example(example: Path, tmp_path: Path, machine_environment: dict[str, str]) -> None:
    """``dg check defs`` reads the component's YAML and loads the example, in a process of its own."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    environ = machine_environment | {
        "DAGSTER_HOME": str(home), "MAILCHIMP_API_KEY": os.environ["MAILCHIMP_API_KEY"], "HOME": str(home),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), machine_environment["PATH"]]),
    }  # fmt: skip

    done = subprocess.run(
        ["dg", "check", "defs"], cwd=example, env=environ, capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    assert "All component YAML validated successfully" in done.stdout
    assert "All definitions loaded successfully" in done.stdout
