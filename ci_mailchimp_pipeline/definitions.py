"""Dagster's door: everything declared in exports.yaml, read when the code location loads."""

import os

import dagster as dg

from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions


class BrokenConfigError(Exception):
    """What is wrong with exports.yaml, all of it, each with its place; the page shows it and stays up."""


@dg.definitions
def defs() -> dg.Definitions:
    """Assets, jobs and triggers of the exports in CI_MAILCHIMP_CONFIG, else ./exports.yaml.

    Raises:
        BrokenConfigError: Every problem in the file.
    """
    try:
        return build_definitions(load_config(environ=os.environ))
    except PipelineError as error:
        problems = str(error)
    raise BrokenConfigError(f"\n{problems}")
