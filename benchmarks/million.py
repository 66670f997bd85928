"""Profiles through ``ci-mailchimp run`` against the local Mailchimp: seconds by step, requests, peak memory.

    uv run python benchmarks/million.py [--profiles 1000000] [--compare 100000] [--plot million.png]

Each size is run four times in one folder: everybody new, nothing changed, 1 % changed, 1 % left. Sizes are run
in one go, so that their ratios mean something on a noisy machine. The local Mailchimp is a process of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from ci_mailchimp_pipeline.testing import Emulator
from ci_mailchimp_pipeline.testing.emulator import API_KEY

AUDIENCE = "a1b2c3d4e5"
YAML = """\
version: 1
source: {{type: files, profiles: profiles.parquet, membership: membership.parquet, settle_seconds: 0}}
connections:
  main:
    type: mailchimp
    display_name: Benchmark
    api_key: {{env: MAILCHIMP_API_KEY}}
    consent: {{agreed_by: bench@contoso-mail.internal, agreed_on: 2026-11-23}}
    max_connections: 8
    api_root: {url}
exports:
  everybody:
    display_name: Everybody
    connection: main
    audience_id: a1b2c3d4e5
    owner: {{name: bench@contoso-mail.internal, role: administrator}}
    email: EMail
    first_name: FirstName
    last_name: LastName
    merge_fields: {{CITY: City}}
    segments: [Everybody]
"""


@dataclass
class Measured:
    """One run: its JSON document, wall and CPU seconds of the process, and its peak memory in MB."""

    what: str
    profiles: int
    document: dict[str, Any]
    wall: float
    cpu: float
    peak_mb: float
    writes: int
    by_route: dict[str, int] = field(default_factory=dict)

    def row(self) -> str:
        """One line of the table."""
        steps = "  ".join(f"{name} {seconds:.1f}" for name, seconds in self.document["steps"].items())
        return (
            f"{self.profiles:>9,} {self.what:<16} {self.wall:>7.1f} s wall {self.cpu:>7.1f} s cpu "
            f"{self.peak_mb:>6.0f} MB  {self.writes:>5,} writes {self.document['requests']:>5,} requests   {steps}"
        )


def make_source(folder: Path, profiles: int, *, changed: bool = False, left: bool = False) -> None:
    """Invented people with 20 columns, as Parquet; 1 in 100 changed or gone."""
    with duckdb.connect() as connection:
        wide = ", ".join(f"md5('{n}' || i) AS Attribute{n}" for n in range(14))
        town = (
            "CASE WHEN i % 100 = 7 THEN 'Newtown' ELSE 'Town ' || i % 500 END"
            if changed
            else "'Town ' || i % 500"
        )
        rows = f"FROM range({profiles}) t(i)" + (" WHERE i % 100 <> 13" if left else "")
        connection.execute(
            f"""
            COPY (SELECT md5('c' || i) AS CustomerId, 'First' || i % 900 AS FirstName, 'Last' || i AS LastName,
                  'person' || i || '@contoso-mail.internal' AS EMail, {town} AS City, i / 7.0 AS Income, {wide} {rows})
            TO '{folder / "profiles.parquet"}' (FORMAT parquet)
            """
        )
        connection.execute(
            f"COPY (SELECT md5('c' || i) AS CustomerId, 'Everybody' AS Segment {rows}) "
            f"TO '{folder / 'membership.parquet'}' (FORMAT parquet)"
        )


def run(folder: Path, what: str, profiles: int, emulator: Emulator) -> Measured:
    """One ``ci-mailchimp run`` as a user starts it, in a process of its own."""
    emulator.forget_requests()
    environment = {
        **os.environ,
        "MAILCHIMP_API_KEY": API_KEY,
        "CI_MAILCHIMP_CONFIG": str(folder / "exports.yaml"),
    }
    began = time.monotonic()
    with (folder / "out.json").open("w") as out:
        command = [sys.executable, "-m", "ci_mailchimp_pipeline", "run", "everybody", "--json"]
        process = subprocess.Popen(command, stdout=out, env=environment, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    document = json.loads((folder / "out.json").read_text())
    if status != 0:
        raise SystemExit(f"{what}: exit {os.waitstatus_to_exitcode(status)}: {document}")
    stats = emulator.stats()
    writes = sum(count for route, count in stats["by_route"].items() if not route.startswith("GET"))
    return Measured(
        what, profiles, document["exports"][0], wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, writes,
        stats["by_route"],
    )  # fmt: skip


def measure(profiles: int) -> list[Measured]:
    """The four runs of one size."""
    folder = Path(tempfile.mkdtemp(prefix="ci-mailchimp-bench-"))
    found = []
    with Emulator.start(in_process=False) as emulator:
        emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME", "CITY"])
        (folder / "exports.yaml").write_text(YAML.format(url=emulator.url))
        for what, options in (
            ("all new", {}),
            ("nothing changed", {}),
            ("1 % changed", {"changed": True}),
            ("1 % left", {"changed": True, "left": True}),
        ):
            make_source(folder, profiles, **options)
            found.append(run(folder, what, profiles, emulator))
            print(found[-1].row(), flush=True)
    shutil.rmtree(folder)
    return found


def plot(measured: list[Measured], path: Path) -> None:
    """Seconds by step, stacked, one bar a run."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(12, 4.5), width_ratios=(3, 1))
    labels = [f"{each.profiles:,}\n{each.what}" for each in measured]
    bottom = [0.0] * len(measured)
    for step in dict.fromkeys(name for each in measured for name in each.document["steps"]):
        heights = [each.document["steps"].get(step, 0.0) for each in measured]
        axes[0].bar(labels, heights, bottom=bottom, label=step)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes[0].bar(labels, [m.wall - b for m, b in zip(measured, bottom, strict=True)], bottom=bottom,
                label="start, Dagster, end", color="lightgrey")  # fmt: skip
    axes[0].set(ylabel="seconds", title="ci-mailchimp run, by step")
    axes[0].tick_params(axis="x", labelsize=7)
    axes[0].legend()
    axes[1].bar(labels, [each.peak_mb for each in measured], color="tab:green")
    axes[1].set(ylabel="MB", title="peak memory of the process")
    axes[1].tick_params(axis="x", labelsize=6, rotation=60)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, plot."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profiles", type=int, default=1_000_000)
    parser.add_argument(
        "--compare", type=int, default=100_000, help="a smaller size to compare memory with; 0: none"
    )
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    measured = [each for size in (options.compare, options.profiles) if size for each in measure(size)]
    if options.compare:
        small, large = measured[0], measured[4]
        print(f"peak memory: {large.peak_mb / small.peak_mb:.2f} × that of {small.profiles:,} profiles")
    if options.plot:
        plot(measured, options.plot)


if __name__ == "__main__":
    main()
