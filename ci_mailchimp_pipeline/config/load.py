"""exports.yaml → Config, or every problem in it at once.

Reads the file and the environment, writes nothing.
"""

import hashlib
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from ci_mailchimp_pipeline.config.config import Config
from ci_mailchimp_pipeline.config.declared import Declared
from ci_mailchimp_pipeline.config.phrases import find_api_keys, shown
from ci_mailchimp_pipeline.config.plugins import installed_plugins
from ci_mailchimp_pipeline.config.text import decode, line_and_column, read_file
from ci_mailchimp_pipeline.config.tree import SyntaxProblem, Tree
from ci_mailchimp_pipeline.config.wording import MAX_PROBLEMS
from ci_mailchimp_pipeline.errors import FixConfigError, Place, Problem

_MAX_LEAKS = 20
_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "": False,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def find_config(path: str | Path | None, environ: Mapping[str, str]) -> Path:
    """Return the configuration file: *path*, else CI_MAILCHIMP_CONFIG, else ./exports.yaml.

    Raises:
        FixConfigError: ``config_not_found``: there is nothing at that path.
    """
    if path is not None:
        found, origin = Path(path), "--config"
    elif environ.get("CI_MAILCHIMP_CONFIG"):
        found, origin = Path(environ["CI_MAILCHIMP_CONFIG"]), "CI_MAILCHIMP_CONFIG"
    else:
        found, origin = (
            Path("exports.yaml"),
            "the default, because neither --config nor CI_MAILCHIMP_CONFIG is given",
        )
    try:
        # Not resolve(): where the file is a link, state and relative paths belong beside the link.
        absolute = Path(os.path.normpath(found.expanduser().absolute()))
        if os.path.lexists(absolute):
            return absolute
    except (ValueError, RuntimeError):  # a NUL in the path, or ~name of nobody
        absolute = found
    message = f"there is no configuration file {shown_path(absolute)} ({origin})"
    raise FixConfigError(
        "config_not_found", message, fix="name the file with --config FILE, or set CI_MAILCHIMP_CONFIG"
    )


def find_home(file: Path, environ: Mapping[str, str]) -> Path:
    """Return the state folder of the configuration *file*: CI_MAILCHIMP_HOME, else .ci_mailchimp beside it."""
    given = environ.get("CI_MAILCHIMP_HOME")
    return Path(given).expanduser().absolute() if given else file.parent / ".ci_mailchimp"


def shown_path(path: Path) -> str:
    """Return *path* as messages show it: relative to the current folder when below it."""
    cwd = Path.cwd()
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)


def load_config(
    path: str | Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    plugins: Mapping[str, type] | None = None,
) -> Config:
    """Read the configuration. No network, no data, nothing is created.

    Args:
        path: The file; see `find_config`.
        environ: The environment variables.
        plugins: Source types to know instead of the installed ones, by name.

    Raises:
        FixConfigError: ``config_not_found``, or ``invalid_config`` with every problem, in the file's order.
    """
    file = find_config(path, environ)
    name = shown_path(file)
    data = read_file(file, name)
    text = decode(data, name)
    leaks = [_leak(text, offset, name) for offset in islice(find_api_keys(text), _MAX_LEAKS)]
    try:
        tree = Tree(text, name)
    except SyntaxProblem as error:
        raise _invalid([error.problem, *leaks], name) from None
    sources = (
        installed_plugins()
        if plugins is None
        else {key: lambda loaded=loaded: loaded for key, loaded in plugins.items()}
    )
    declared = Declared(tree, sources)
    problems = [*declared.problems, *leaks]
    sandbox = _SWITCH.get(environ.get("CI_MAILCHIMP_SANDBOX", "").strip().lower())
    if sandbox is None:
        what = f"CI_MAILCHIMP_SANDBOX is {shown(environ['CI_MAILCHIMP_SANDBOX'])} in the environment"
        problems.append(Problem(what, "set it to 1 (every run is a dry run) or remove it"))
    if problems or declared.file is None:
        raise _invalid(problems, name)
    return Config(
        path=file,
        folder=file.parent,
        home=find_home(file, environ),
        ledger_url=environ.get("CI_MAILCHIMP_LEDGER") or None,
        frames_url=environ.get("CI_MAILCHIMP_FRAMES") or None,
        forget_key=environ.get("CI_MAILCHIMP_FORGET_KEY") or None,
        sandbox=bool(sandbox) or declared.file.sandbox,
        source_type=declared.source_type,
        source_options=declared.source_options,
        connections=declared.connections,
        exports=declared.exports,
        alerts=declared.file.alerts,
        digest=hashlib.sha256(data).hexdigest(),
        _tree=tree,
    )


def _leak(text: str, offset: int, name: str) -> Problem:
    line, column = line_and_column(text, offset)
    what = "this looks like a Mailchimp API key; a secret must not stand in this file, not even in a comment"
    fix = "revoke the key in Mailchimp, make a new one, and write {env: NAME} where it is needed"
    return Problem(what, fix, Place(name, line, column))


def _invalid(problems: list[Problem], name: str) -> FixConfigError:
    ordered = sorted(problems, key=_position)
    if len(ordered) > MAX_PROBLEMS:
        more = Problem("there are more problems than these", "mend these and check again", Place(name))
        ordered = [*ordered[:MAX_PROBLEMS], more]
    return FixConfigError("invalid_config", f"{len(ordered):,} to mend in {name}", problems=ordered)


def _position(problem: Problem) -> tuple[int, int]:
    return (problem.place.line or 0, problem.place.column or 0) if problem.place else (0, 0)
