"""Runs exports on disks of several sizes, each full at another moment: a program of its own.

``filling.py fill|again URL FOLDER SIZE…`` (KiB), both in one mount namespace: first on the small disks, then,
as another process, with room. Prints a JSON list of the runs. There is an audience for each size.
"""

import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import Project

from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.testing import Emulator

PEOPLE = 3_200


def ended(project: Project) -> dict[str, object]:
    """How a run ended, wherever its error comes out."""
    try:
        report = project.run()
    except PipelineError as error:
        return {"code": error.code, "exit_code": error.exit_code}
    error = report.error
    counts = {"balanced": report.counts.is_balanced(), "unchanged": report.counts.unchanged}
    return {"code": error.code, "exit_code": error.exit_code} if error else {"code": "", **counts}


def run_on(project: Project, size: int, *, again: bool) -> dict[str, object]:
    """A run on a disk of *size* KiB, or again on the same one when it has room."""
    disk = project.folder / ".ci_mailchimp"
    if not again:
        disk.mkdir(mode=0o700, parents=True)
    options = "remount,size=64m" if again else f"size={size}k,mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", disk], check=True)
    project.export("vip", audience_id=f"a{size:09}")
    project.customers(range(PEOPLE))
    return ended(project)


if __name__ == "__main__":
    phase, url, folder, *sizes = sys.argv[1:]
    emulator = Emulator(url, lambda: None)
    projects = {int(size): Project(Path(folder, size), emulator) for size in sizes}
    print(json.dumps([run_on(project, size, again=phase == "again") for size, project in projects.items()]))
