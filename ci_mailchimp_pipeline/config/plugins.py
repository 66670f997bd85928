"""Which types of source this installation has, and their options."""

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

GROUP = "ci_mailchimp_pipeline.sources"
_OURS = "ci_mailchimp_pipeline."
NAMED = ("files", "cdm_folder", "sql", "delta", "dataverse", "spark")  # types that the documentation names

Plugins = Mapping[str, Callable[[], type]]


def installed_plugins(*, only_ours: bool = False) -> Plugins:
    """Return the source types of this installation; calling one imports its class.

    Args:
        only_ours: Leave out what other packages add.
    """
    points = _installed()
    ours = {point.name: point.load for point in points if point.value.startswith(_OURS)}
    others = {point.name: point.load for point in points if not only_ours}
    return others | ours


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """Looked up once a process: it reads the folder of every package, some 10 ms."""
    return tuple(entry_points(group=GROUP))


def given_plugins(classes: Mapping[str, type]) -> Plugins:
    """Return classes that are loaded already in the form of `installed_plugins`."""

    def returning(plugin: type) -> Callable[[], type]:
        return lambda: plugin

    return {name: returning(plugin) for name, plugin in classes.items()}
