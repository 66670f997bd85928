"""The command line: one module a command, heavy imports inside the command."""

from ci_mailchimp_pipeline.cli.app import main

__all__ = ["main"]
