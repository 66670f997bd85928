"""The values of the file as models, read so that what is wrong in one section hides nothing in another."""

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from ci_mailchimp_pipeline.config.connections import Connection, ConnectionKeys
from ci_mailchimp_pipeline.config.models import Export, ExportKeys, File
from ci_mailchimp_pipeline.config.phrases import listed, shown, suggestion
from ci_mailchimp_pipeline.config.plugins import NAMED, Plugins
from ci_mailchimp_pipeline.config.relations import Draft, column_spellings, conflicts, unknown_connections
from ci_mailchimp_pipeline.config.tree import Steps, Tree
from ci_mailchimp_pipeline.config.wording import MAX_PROBLEMS, said, worded
from ci_mailchimp_pipeline.errors import Problem

_M = TypeVar("_M", bound=BaseModel)

# What an export is taken to say where it says something wrong, so that the rest can be checked all the same.
_STAND_INS: dict[str, Any] = {
    "display_name": "-",
    "connection": None,
    "audience_id": "000000",
    "owner": {"name": "-", "role": "administrator"},
    "email": "-",
    "segments": ("-",),
}


class Declared:
    """Everything that the file declares, and everything that is wrong with it.

    Attributes:
        file: The keys at the top, or None if something there is wrong.
        source_type: The name of the source's plugin.
        source_options: Its options.
        connections: By id.
        exports: By id. Like all of the above complete only if there is no problem.
    """

    def __init__(self, tree: Tree, plugins: Plugins) -> None:
        self._tree = tree
        self._found = dict.fromkeys(tree.problems)
        self._marred = {problem.place for problem in tree.problems}
        self.file: File | None = None
        self.source_type = ""
        self.source_options: Any = None
        self.connections: dict[str, Connection] = {}
        self.exports: dict[str, Export] = {}
        top = tree.value
        if not isinstance(top, dict):
            what = "the file is empty" if top is None else f"the file must be a mapping, not {shown(top)}"
            self._add(
                [Problem(what, "start with version: 1, then source, connections and exports", tree.place(()))]
            )
            return
        self.file = self._model(File, top, ())
        source = top.get("source")
        if isinstance(source, dict):
            self._read_source(source, plugins)
        connections = _mapping(top.get("connections"))
        self._read_connections(connections)
        drafts = self._read_exports(_mapping(top.get("defaults")), _mapping(top.get("exports")))
        self._add(unknown_connections(drafts, connections, tree))
        self._add(conflicts(drafts, self.connections, tree))
        self._add(column_spellings(drafts, tree))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, each thing once."""
        return tuple(self._found)

    @property
    def _is_full(self) -> bool:
        return len(self._found) > MAX_PROBLEMS

    def _add(self, problems: Iterable[Problem]) -> None:
        # A value that is not read at all needs no second word about its type, and what is wrong in the
        # defaults is found again in every export.
        for problem in problems:
            if self._is_full:
                return
            if problem.place not in self._marred:
                self._found[problem] = None

    def _model(self, model: type[_M], value: object, at: Steps) -> _M | None:
        try:
            return model.model_validate(value)
        except ValidationError as error:
            self._add(problem for _, problem in worded(error, model=model, tree=self._tree, at=at))
            return None

    def _read_source(self, raw: dict[str, Any], plugins: Plugins) -> None:
        kind = raw.get("type")
        path = ("source", "type")
        legal = f"the types that this installation has are: {listed(plugins)}"
        if not isinstance(kind, str) or kind not in plugins:
            if kind is None:
                what, fix = "'type' is missing", f"add type: NAME; {legal}"
            elif kind in NAMED:
                what = f"the source type {shown(kind)} is not installed"
                fix = f"install the package that brings it; {legal}"
            else:
                what, fix = f"there is no source type {shown(kind)}{suggestion(kind, plugins)}", legal
            self._add([Problem(said(self._tree.known(path), what), fix, self._tree.place(path))])
            return
        try:
            plugin: Any = plugins[kind]()
        except ImportError as error:
            module = shown(error.name) if error.name else "it needs"
            what = f"the source type {shown(kind)} cannot be loaded: the module {module} is missing"
            self._add([Problem(said(path, what), "install the module", self._tree.place(path))])
            return
        self.source_type = kind
        options = {key: value for key, value in raw.items() if key != "type"}
        self.source_options = self._model(plugin.Options, options, ("source",))

    def _read_connections(self, raw: dict[str, Any]) -> None:
        for name, value in raw.items():
            if not isinstance(value, dict):
                continue  # said by the model of the file
            keys = self._model(ConnectionKeys, value, ("connections", name))
            if keys is not None:
                self.connections[name] = Connection.model_construct(id=name, **_values(keys))

    def _read_exports(self, defaults: dict[str, Any], raw: dict[str, Any]) -> list[Draft]:
        self._check_defaults(defaults)
        drafts = []
        for name, own in raw.items():
            if self._is_full:
                break
            if not isinstance(own, dict):
                continue  # said by the model of the file
            value = defaults | own
            if isinstance(own.get("guards"), dict) and isinstance(defaults.get("guards"), dict):
                value["guards"] = defaults["guards"] | own["guards"]
            draft = self._draft(name, value)
            if draft is not None:
                drafts.append(draft)
                self.exports[name] = draft.export
        return drafts

    def _check_defaults(self, defaults: dict[str, Any]) -> None:
        """Report what is wrong in the defaults, even if no export takes it from there."""
        try:
            ExportKeys.model_validate(defaults)
        except ValidationError as error:
            found = worded(error, model=ExportKeys, tree=self._tree, at=("defaults",))
            self._add(problem for loc, problem in found if loc[0] in defaults)

    def _draft(self, name: str, value: dict[str, Any]) -> Draft | None:
        """Return the export as far as it can be read, and report what cannot."""
        try:
            return Draft(export=_export(name, value))
        except ValidationError as error:
            found = list(worded(error, model=ExportKeys, tree=self._tree, at=("exports", name)))
        self._add(problem for _, problem in found)
        bad = frozenset(str(loc[0]) for loc, _ in found)
        try:
            fit = {
                key: one for key, one in value.items() if key not in bad and key in ExportKeys.model_fields
            }
            return Draft(export=_export(name, _STAND_INS | fit), bad=bad)
        except ValidationError:
            return None


def _export(name: str, value: dict[str, Any]) -> Export:
    return Export.model_construct(id=name, **_values(ExportKeys.model_validate(value)))


def _values(model: BaseModel) -> dict[str, Any]:
    return {key: getattr(model, key) for key in type(model).model_fields}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
