"""Where Dagster and the runs keep what they know: private to the owner, written once, never overwritten."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ci_mailchimp_pipeline.artifacts import unwritable

PRIVATE = 0o077  # the permission bits that group and others lose
SETTINGS = "dagster.yaml"
WORKSPACE = Path(__file__).with_name("workspace.yaml")  # what Dagster is to load: our definitions

# One sync per connection at a time, whoever starts it: that is the pool. A run that waits for its place there is a
# process that takes 200 MB and a core, so the daemon starts only one run of a connection at a time. A killed run
# gives its place back; nothing is reported to anybody.
_DAGSTER_YAML = """\
# Written once; yours from then on.
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: op}
  runs:
    tag_concurrency_limits:
      - {key: ci_mailchimp/connection, limit: 1, value: {applyLimitPerUniqueValue: true}}
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 60
  poll_interval_seconds: 30
  free_slots_after_run_end_seconds: 60
run_retries: {enabled: false}
retention:
  sensor: {purge_after_days: {skipped: 2, failure: 30, success: 30}}
  schedule: {purge_after_days: {skipped: 2, failure: 30, success: -1}}
"""


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever this process creates meanwhile is readable for its owner only."""
    before = os.umask(PRIVATE)
    try:
        yield
    finally:
        os.umask(before)


def dagster_home(home: Path) -> Path:
    """Where Dagster keeps its runs, below the state folder *home*."""
    return home / "dagster"


def prepare_home(home: Path) -> Path:
    """Create *home* (0700) and Dagster's own folder in it with its settings; return the latter.

    Raises:
        FixConfigError: ``home_not_writable``.
        RunLaterError: ``disk_full``.
    """
    folder = dagster_home(home)
    settings = folder / SETTINGS
    try:
        with private_files():
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            if not settings.exists():
                written = settings.with_suffix(".new")  # half of it would be other settings
                written.write_text(_DAGSTER_YAML, encoding="utf-8")
                written.replace(settings)
    except OSError as error:
        failure = unwritable(error, home)
    else:
        return folder
    raise failure
