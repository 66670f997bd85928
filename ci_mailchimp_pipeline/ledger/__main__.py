"""``python -m ci_mailchimp_pipeline.ledger --to VERSION``: make the ledger fit for an earlier program."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.ledger.migrations import NEWEST
from ci_mailchimp_pipeline.ledger.opening import change_version


def main(arguments: Sequence[str] | None = None) -> int:
    """Bring the ledger to a version and say so; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ci_mailchimp_pipeline.ledger",
        description="Bring the ledger to a version, for whoever must return to an earlier program.",
    )
    parser.add_argument("--to", type=int, choices=range(1, NEWEST + 1), default=NEWEST, help="the version")
    parser.add_argument("--config", type=Path, help="exports.yaml, if it is elsewhere")
    parser.add_argument(
        "--although-forgotten", action="store_true", help="even if that program would send the erased again"
    )
    given = parser.parse_args(arguments)
    try:
        config = load_config(given.config)
        change_version(
            config.home, config.ledger_url, to=given.to, although_forgotten=given.although_forgotten
        )
    except PipelineError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"the ledger has version {given.to}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
