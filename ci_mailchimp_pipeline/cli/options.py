"""What several commands take, and how each of them reads the configuration and fails."""

import functools
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError

if TYPE_CHECKING:
    from ci_mailchimp_pipeline.config import Config, Export

P = ParamSpec("P")

CONFIG: dict[str, Any] = {
    "metavar": "FILE",
    "help": "The configuration [default: CI_MAILCHIMP_CONFIG, else ./exports.yaml].",
}


def config_option(command: Callable[P, None]) -> Callable[P, None]:
    """Take ``--config`` after the command, too; the command gets ``config_path``."""

    @functools.wraps(command)
    def with_config(*args: P.args, **kwargs: P.kwargs) -> None:
        given = kwargs.pop("config", None)
        kwargs["config_path"] = given or click.get_current_context().obj
        command(*args, **kwargs)

    return click.option("--config", **CONFIG)(with_config)


def json_option(**empty: Any) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Take ``--json``; a command that fails then prints *empty* and the error as its one document."""

    def decorated(command: Callable[P, None]) -> Callable[P, None]:
        @functools.wraps(command)
        def with_json(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                command(*args, **kwargs)
            except PipelineError as error:
                _fail(error, empty if kwargs.get("as_json") else None)

        return click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")(
            with_json
        )

    return decorated


def failing_in_words(command: Callable[P, None]) -> Callable[P, None]:
    """End with the message, the fix and the exit code of an error of ours; for commands without ``--json``."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PipelineError as error:
            _fail(error, None)

    return guarded


def read_config(path: str | None) -> "Config":
    """The configuration at *path*, or where it is by default."""
    from ci_mailchimp_pipeline.config import load_config

    return load_config(path)


def chosen_exports(config: "Config", names: Iterable[str]) -> "list[Export]":
    """The exports of these *names* in the order given, each once; all of them when there are no names.

    Raises:
        FixConfigError: ``unknown_export``, with the near miss.
    """
    import difflib

    wanted = list(dict.fromkeys(names))
    for name in wanted:
        if name not in config.exports:
            near = difflib.get_close_matches(name, config.exports, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            declared = ", ".join(config.exports) or "none"
            raise FixConfigError(
                "unknown_export",
                f"there is no export '{name}' in {config.path.name}.{hint} Declared: {declared}",
                fix=f"write {near[0]}" if near else "name one of the declared exports, or declare it",
            )
    return [config.exports[name] for name in wanted or config.exports]


def _fail(error: PipelineError, document: dict[str, Any] | None) -> None:
    from ci_mailchimp_pipeline.cli.output import print_error, print_json

    print_error(error)
    if document is not None:
        print_json({**document, "error": error.as_json()})
    sys.exit(error.exit_code)
