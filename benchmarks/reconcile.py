"""Reconcile a large audience with ``ci-mailchimp reconcile``: wall and CPU seconds, requests, peak memory.

    uv run python benchmarks/reconcile.py [--profiles 200000]

One run first, then: a look at what does not differ, a look after people changed 1 in 200 members by hand, a repair,
and a look at what that left. The local Mailchimp is a process of its own.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from million import AUDIENCE, YAML, make_source

from ci_mailchimp_pipeline.testing import Emulator
from ci_mailchimp_pipeline.testing.emulator import API_KEY

ONE_IN = 200
DEEDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("untag", {"tags": ["Everybody"]}),
    ("change_field", {"merge_fields": {"CITY": "Elsewhere"}}),
    ("unsubscribe", {}),
    ("delete_permanent", {}),
)


def say(folder: Path, what: str, *words: str) -> dict[str, Any]:
    """One command as a user starts it, in a process of its own; returns its export's entry."""
    environment = {
        **os.environ,
        "MAILCHIMP_API_KEY": API_KEY,
        "CI_MAILCHIMP_CONFIG": str(folder / "exports.yaml"),
    }
    began = time.monotonic()
    with (folder / "out.json").open("w") as out:
        command = [sys.executable, "-m", "ci_mailchimp_pipeline", *words, "--json"]
        process = subprocess.Popen(command, stdout=out, env=environment, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - began
    document = json.loads((folder / "out.json").read_text())
    if status != 0:
        raise SystemExit(f"{what}: exit {os.waitstatus_to_exitcode(status)}: {document}")
    entry: dict[str, Any] = document["exports"][0]
    found = {kind: people for kind, people in entry.get("drift", {}).items() if people}
    print(
        f"{what:<16} {wall:>7.1f} s wall {usage.ru_utime + usage.ru_stime:>7.1f} s cpu "
        f"{usage.ru_maxrss / 1024:>6.0f} MB {entry['requests']:>6,} requests  {found or ''}",
        flush=True,
    )
    return entry


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--profiles", type=int, default=200_000)
    profiles = parser.parse_args().profiles
    folder = Path(tempfile.mkdtemp(prefix="ci-mailchimp-bench-"))
    with Emulator.start(in_process=False) as emulator:
        emulator.add_audience(AUDIENCE, merge_fields=["FNAME", "LNAME", "CITY"])
        (folder / "exports.yaml").write_text(YAML.format(url=emulator.url))
        make_source(folder, profiles)
        say(folder, "run, all new", "run", "everybody")
        say(folder, "look", "reconcile", "everybody")
        for number in range(0, profiles, ONE_IN):
            action, more = DEEDS[number // ONE_IN % len(DEEDS)]
            emulator.people(action, AUDIENCE, f"person{number}@contoso-mail.internal", **more)
        found = say(folder, "look at changes", "reconcile", "everybody")
        say(folder, "repair", "reconcile", "everybody", "--repair", "--plan-id", found["plan_id"])
        say(folder, "look again", "reconcile", "everybody")
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
