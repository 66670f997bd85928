"""Many exports in one file: CPU seconds to load them into Dagster, and of a round of looks of their sensors.

    uv run python benchmarks/load.py [--exports 10 100 1000] [--plot load.png]

Each size in a process of its own, as a code server is one. A round is one look of every sensor with nothing to do,
each with Dagster's records closed as a code server has them; an idle sensor asks for them as rarely as it can.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXPORT = """\
  export_{number}:
    display_name: Export {number}
    connection: main
    audience_id: a1b2c3d4e5
    owner: {{name: bench@contoso-mail.internal, role: administrator}}
    email: EMail
    first_name: FirstName
    last_name: LastName
    merge_fields: {{CITY: City}}
    segments: [Segment{number}]
"""
HEAD = """\
version: 1
source: {type: files, profiles: profiles.csv, membership: membership.csv, settle_seconds: 0}
connections:
  main:
    type: mailchimp
    display_name: Benchmark
    api_key: {env: MAILCHIMP_API_KEY}
    consent: {agreed_by: bench@contoso-mail.internal, agreed_on: 2026-11-23}
exports:
"""
PICTURE = "x" * 6_000  # what a sync stores besides its numbers


def measure(exports: int) -> dict[str, float]:
    """CPU seconds by step, in this process."""
    from ci_mailchimp_pipeline.config import load_config

    found: dict[str, float] = {}
    last = time.process_time()

    def lap(name: str) -> None:
        nonlocal last
        found[name] = time.process_time() - last
        last = time.process_time()

    import dagster as dg
    from dagster._core.remote_representation.external_data import RepositorySnap

    from ci_mailchimp_pipeline.orchestration.home import prepare_home
    from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
    from ci_mailchimp_pipeline.orchestration.probe import source_of
    from ci_mailchimp_pipeline.orchestration.sensors import export_keys
    from ci_mailchimp_pipeline.orchestration.sight import Look
    from ci_mailchimp_pipeline.orchestration.tags import config_hash

    lap("imports")
    with tempfile.TemporaryDirectory(prefix="ci-mailchimp-bench-") as name:
        folder = Path(name)
        (folder / "exports.yaml").write_text(
            HEAD + "".join(EXPORT.format(number=number) for number in range(exports))
        )
        last = time.process_time()
        config = load_config(folder / "exports.yaml", environ=os.environ)
        lap("file")
        definitions = build_definitions(config)
        lap("definitions")
        repository = definitions.get_repository_def()
        repository.load_all_definitions()
        lap("repository")
        RepositorySnap.from_def(repository, defer_snapshots=True)
        lap("told to the page")

        sensors = [each for each in definitions.sensors or () if each.name.endswith("_on_refresh")]
        with dg.DagsterInstance.from_config(str(prepare_home(folder / "home"))) as instance:
            reference = instance.get_ref()
            for key in ("unified_profiles", "segment_membership"):
                made = dg.AssetMaterialization(key, metadata={"version": "2"})
                instance.report_runless_asset_event(made)
            for export in config.exports.values():
                metadata = {"refresh": "2", "dry_run": False, "trigger": "refresh", "picture": PICTURE}
                sync = dg.AssetMaterialization(export_keys(export)[-1], metadata=metadata)
                instance.report_runless_asset_event(sync)
        look = Look(of=source_of(config), file=config_hash(config), now=int(time.time()))
        cursor = look.at("1").encode()
        last = time.process_time()
        for sensor in sensors:
            with dg.SensorEvaluationContext(reference, cursor=cursor, sensor_name=sensor.name) as context:
                assert sensor.evaluate_tick(context).skip_message.endswith("done")
        lap("round of looks")
    return found


def measure_apart(exports: int) -> dict[str, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--one", str(exports)]
    environment = {**os.environ, "MAILCHIMP_API_KEY": "0123456789abcdef0123456789abcdef-us1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def plot(measured: dict[int, dict[str, float]], path: Path) -> None:
    """Seconds by step for one export, by how many there are: flat lines grow no faster than the file."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5))
    for step in [name for name in next(iter(measured.values())) if name != "imports"]:
        axes.plot(
            list(measured), [1000 * each[step] / size for size, each in measured.items()], "o-", label=step
        )
    axes.set(
        xscale="log", yscale="log", xlabel="exports", ylabel="CPU ms an export", title="Loading many exports"
    )
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--exports", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return
    measured = {}
    for exports in options.exports:
        measured[exports] = measure_apart(exports)
        steps = "  ".join(f"{name} {seconds:.2f}" for name, seconds in measured[exports].items())
        print(f"{exports:>6,} exports, CPU s: {steps}", flush=True)
    if options.plot:
        plot(measured, options.plot)


if __name__ == "__main__":
    main()
