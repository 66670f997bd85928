"""Dagster's door: everything declared in exports.yaml, read when the code location loads."""

import dagster as dg

from ci_mailchimp_pipeline.orchestration.loading import BrokenConfigError, load_definitions

__all__ = ["BrokenConfigError", "defs"]


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, jobs and triggers of the exports in CI_MAILCHIMP_CONFIG, else ./exports.yaml.

    Raises:
        BrokenConfigError: Every problem in the file.
    """
    return dg.Definitions.merge(load_definitions(), dg.Definitions(executor=dg.in_process_executor))
