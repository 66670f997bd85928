"""Which types of source this installation has, and their options."""

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points

GROUP = "ci_mailchimp_pipeline.sources"
NAMED = ("files", "cdm_folder", "sql", "delta", "dataverse", "spark")  # types that the documentation names

Plugins = Mapping[str, Callable[[], type]]


def installed_plugins(*, only_ours: bool = False) -> Plugins:
    """Return the source types of this installation; calling one imports its class.

    Args:
        only_ours: Leave out what other packages add.
    """
    found = sorted(entry_points(group=GROUP), key=lambda point: (not _is_ours(point), point.name))
    return {point.name: point.load for point in reversed(found) if _is_ours(point) or not only_ours}


def given_plugins(classes: Mapping[str, type]) -> Plugins:
    """Return classes that are loaded already in the form of `installed_plugins`."""

    def returning(plugin: type) -> Callable[[], type]:
        return lambda: plugin

    return {name: returning(plugin) for name, plugin in classes.items()}


def _is_ours(point: EntryPoint) -> bool:
    return point.value.startswith("ci_mailchimp_pipeline.")
