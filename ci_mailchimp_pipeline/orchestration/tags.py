"""The tags that every run carries: who started it, for what, which refresh it is about, and how it ended.

What is known before a run starts is given to it; the rest is added by its steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.errors import SafetyStopError

_PREFIX = "ci_mailchimp"
TRIGGER = f"{_PREFIX}/trigger"
EXPORT = f"{_PREFIX}/export"
CONNECTION = f"{_PREFIX}/connection"
REFRESH = f"{_PREFIX}/refresh"
ATTEMPT = f"{_PREFIX}/attempt"
DRY_RUN = f"{_PREFIX}/dry_run"
CONFIG_HASH = f"{_PREFIX}/config_hash"
SCHEDULED = f"{_PREFIX}/scheduled"
OUTCOME = f"{_PREFIX}/outcome"
# With Dagster's own prefix for tags that its page does not show (HIDDEN_TAG_PREFIX): they are for us, not for people.
PROCESS = ".dagster/ci_mailchimp_process"
ALIVE = ".dagster/ci_mailchimp_alive"

PAGE = "page"  # somebody pressed Materialize
CLI = "cli"
BY_REFRESH = "refresh"
BY_SCHEDULE = "schedule"
UNATTENDED = (BY_REFRESH, BY_SCHEDULE)

SEVERAL = "*"  # no export is called so: ids begin with a letter
STOPPED = "stopped"
FAILED = "failed"
GAVE_UP = "gave up"  # the last of the tries at an occasion


def config_hash(config: Config) -> str:
    """Which exports.yaml it was, short enough for a list of runs; the sync's metadata have all of it."""
    return config.digest[:12]


def given_tags(config: Config, export: str) -> dict[str, str]:
    """What a run carries from the start when nobody says otherwise: somebody started it by hand on the page."""
    known = {TRIGGER: PAGE, EXPORT: export, ATTEMPT: "1", CONFIG_HASH: config_hash(config)}
    declared = config.exports.get(export)
    return known | ({CONNECTION: declared.connection} if declared and declared.connection else {})


def complete_tags(
    context: dg.AssetExecutionContext, config: Config, *, dry_run: bool, refresh: str | None = None
) -> None:
    """Add to the run what is known only now; *refresh* is what the run really works on, whatever was asked for."""
    run = context.run
    chosen = {key.path[0] for key in run.asset_selection or () if len(key.path) > 1}
    known = given_tags(config, chosen.pop() if len(chosen) == 1 else SEVERAL)
    known[DRY_RUN] = str(dry_run).lower()
    wanted = {name: value for name, value in known.items() if name not in run.tags}
    if refresh is not None and run.tags.get(REFRESH) != refresh:
        wanted[REFRESH] = refresh
    if wanted:
        context.instance.add_run_tags(run.run_id, wanted)


@contextmanager
def outcome_told(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Tag the run when the step inside fails: whether it may be tried again by itself depends on that."""
    try:
        yield
    except dg.Failure as failure:
        code = failure.metadata.get("exit_code")
        stopped = code is not None and code.value == SafetyStopError.exit_code
        context.instance.add_run_tags(context.run.run_id, {OUTCOME: STOPPED if stopped else FAILED})
        raise
