"""The whole configuration as one value."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.config.connections import Connection
from ci_mailchimp_pipeline.config.models import Alert, Export
from ci_mailchimp_pipeline.config.tree import Tree
from ci_mailchimp_pipeline.errors import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One exports.yaml, read and found to be right in itself.

    Attributes:
        path: The file.
        folder: Its folder; relative paths in the file are relative to it.
        home: Where state lives. Not created by reading the configuration.
        ledger_url: A database URL for the ledger, if it does not live in *home*.
        frames_url: Where frames and snapshots are shared with other machines, if they are.
        forget_key: The key of forgotten people, if it is not kept in *home*.
        sandbox: Every run is a dry run.
        source_type: The name of the source plugin.
        source_options: The plugin's own options, as an object of its ``Options``.
        connections: By id.
        exports: By id.
        alerts: Who hears of what.
        digest: SHA-256 of the file's bytes, in hex.
    """

    path: Path
    folder: Path
    home: Path
    ledger_url: str | None = field(repr=False)  # may hold a password
    frames_url: str | None = field(repr=False)  # may hold a password
    forget_key: str | None = field(repr=False)
    sandbox: bool
    source_type: str
    source_options: Any = field(repr=False)
    connections: dict[str, Connection]
    exports: dict[str, Export]
    alerts: tuple[Alert, ...]
    digest: str
    _tree: Tree = field(repr=False, compare=False)

    def place(self, *path: str | int) -> Place:
        """Return where a value stands, like ``place("exports", "vip", "email")``.

        If it is not in the file, its nearest parent that is. What an export takes from the defaults stands
        there.
        """
        return self._tree.place(path)

    def connection_of(self, export: Export) -> Connection | None:
        """Return the connection of *export*, or None if it is detached."""
        return None if export.connection is None else self.connections[export.connection]
