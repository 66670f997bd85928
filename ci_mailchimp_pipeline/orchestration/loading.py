"""From exports.yaml to definitions, or one error with every problem in it."""

import os
from pathlib import Path

import dagster as dg

from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.orchestration.jobs import build_definitions
from ci_mailchimp_pipeline.orchestration.upstream import Upstream


class BrokenConfigError(Exception):
    """What is wrong with exports.yaml, all of it, each with its place; the page shows it and stays up."""


def load_definitions(path: Path | None = None, upstream: Upstream | None = None) -> dg.Definitions:
    """Assets, jobs and triggers of the exports in *path*, else in CI_MAILCHIMP_CONFIG, else in ./exports.yaml.

    Raises:
        BrokenConfigError: Every problem in the file.
    """
    try:
        return build_definitions(load_config(path, environ=os.environ), upstream=upstream or Upstream())
    except PipelineError as error:
        problems = str(error)
    raise BrokenConfigError(f"\n{problems}")
