"""YAML text as plain values, with the place of every one of them; no file of any kind can hang or crash it.

Reads the YAML of plain configuration files: text, numbers, true/false/yes/no/on/off, null, lists, mappings,
anchors and aliases. Keys are always text, so ``on:`` is the key ``on``; so are dates. Merge keys
(``<<``), tags and several documents are errors that say so.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeAlias

import yaml

from ci_mailchimp_pipeline.config.phrases import shown
from ci_mailchimp_pipeline.errors import Place, Problem

MAX_DEPTH = 40  # the deepest legal file has 7 levels; the C composer overflows the stack at some thousands
MAX_VALUES = 250_000  # aliases counted each time; 1,000 exports have about 50,000

Value: TypeAlias = str | bool | int | float | tuple["Value", ...] | dict[str, "Value"] | None
Steps: TypeAlias = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = re.compile("|".join(form for word in _BOOLEANS for form in (word, word.title(), word.upper())))
# Anything of more than 18 digits is text. So is 0123: octal to some readers, and 123 to others.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17}|[1-9][0-9]{0,2}(?:_[0-9]{3}){1,5})")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,18}\.[0-9]{0,18}|\.[0-9]{1,18})(?:[eE][-+]?[0-9]{1,3})?")
_KINDS = {"null": _NULL, "bool": _BOOL, "int": _INT, "float": _FLOAT}
_CONSTRUCT: dict[str, Callable[[str], Value]] = {
    "null": lambda _: None,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": int,
    "float": float,
}

# What libyaml and PyYAML say, and what to do about it.
_SYNTAX_FIXES = {
    "cannot start any token": "indent with blanks, not tabs; put text that starts with @, % or ` in quotes",
    "mapping values are not allowed": "put text with ': ' in it in quotes; check the indentation around it",
    "undefined alias": "define the anchor (&name) first, or put text that starts with * in quotes",
    "another document": "keep one document: remove the line ---",
    "end of stream": "close the quote or the bracket that is open",
}


class _Loader(yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader):  # type: ignore[misc]
    """Knows only our kinds of plain scalars."""


for _kind, _first in {
    "null": "~nN",
    "bool": "yYnNtTfFoO",
    "int": "-+0123456789",
    "float": "-+0123456789.",
}.items():
    _form = re.compile(f"^(?:{_KINDS[_kind].pattern})$")
    _Loader.add_implicit_resolver(_TAG + _kind, _form, ["", *_first])


class SyntaxProblem(Exception):  # noqa: N818 - carries a Problem to the caller, which reports it
    """The text is not YAML that we read; nothing more can be said about its content."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


class _Mark(Protocol):
    """A place as both parsers of PyYAML give it, counted from 0."""

    @property
    def line(self) -> int: ...
    @property
    def column(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """The end of a walk down a path: the node there, its key, and the steps that led somewhere."""

    node: yaml.Node | None
    key_node: yaml.Node | None
    steps: tuple[str | int, ...]
    is_exact: bool


class Tree:
    """The values of one YAML text, and where they stand.

    Attributes:
        value: The whole text as plain values; lists are tuples.
        problems: Duplicate keys and what else is wrong in itself; *value* leaves those out.
    """

    def __init__(self, text: str, file: str) -> None:
        """Read *text*.

        Raises:
            SyntaxProblem: It is not YAML, or too large or too deep to be a configuration file.
        """
        self.file = file
        self.problems: list[Problem] = []
        self._entries: dict[yaml.Node, dict[str, tuple[yaml.Node, yaml.Node]]] = {}
        self._values: dict[yaml.Node, tuple[Value, int]] = {}
        self._root = self._compose(text)
        self.value: Value = None if self._root is None else self._read(self._root, 0)[0]
        self._values.clear()

    def place(self, path: Steps, *, key: bool = False) -> Place:
        """Return where the value at *path* starts, or the nearest of its parents that is there.

        Args:
            path: Keys and positions from the top.
            key: The place of the last key instead of its value's.
        """
        found = self._find(path)
        node = found.key_node if found.key_node is not None and (key or not found.is_exact) else found.node
        return Place(self.file, 1, 1) if node is None else self._at(node.start_mark)

    def raw(self, path: Steps) -> str | None:
        """Return the scalar at *path* as it stands in the file, or None if there is none just there."""
        found = self._find(path)
        return found.node.value if found.is_exact and isinstance(found.node, yaml.ScalarNode) else None

    def known(self, path: Steps) -> Steps:
        """Return *path* without the steps that the file does not have."""
        return self._find(path).steps

    def _find(self, path: Steps) -> _Found:
        """Walk down *path*; what an export does not say itself is looked for in the defaults."""
        found = self._walk(path)
        if path[:1] == ("exports",) and len(path) > len(("exports", "id")) and not found.is_exact:
            default = self._walk(("defaults", *path[2:]))
            if len(default.steps) + 1 > len(found.steps):
                return default
        return found

    def _walk(self, path: Steps) -> _Found:
        """Walk down *path*, past steps that lead nowhere: models have more structure than the file."""
        node, key_node = self._root, None
        steps: list[str | int] = []
        for step in path:
            if isinstance(node, yaml.MappingNode) and step in self._entries.get(node, {}):
                key_node, node = self._entries[node][str(step)]
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                key_node, node = None, node.value[step]
            else:
                continue
            steps.append(step)
        is_exact = bool(path) and len(steps) > 0 and steps[-1] == path[-1]
        return _Found(node=node, key_node=key_node, steps=tuple(steps), is_exact=is_exact or not path)

    def _at(self, mark: _Mark | None) -> Place:
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)

    def _compose(self, text: str) -> yaml.Node | None:
        try:
            self._measure(text)
            return yaml.compose(text, _Loader)
        except yaml.MarkedYAMLError as error:
            said = ": ".join(part for part in (error.context, error.problem) if part)
            # The Python parser repeats a part of the text, which might be a secret; libyaml does not.
            said = re.sub(r"'[^' ]{4,}'", "…", said)
            fix = next((fix for part, fix in _SYNTAX_FIXES.items() if part in said), "mend the YAML here")
            problem = Problem(f"this is not YAML: {said}", fix, self._at(error.problem_mark))
        except yaml.YAMLError:
            problem = Problem("this is not YAML", "save the file as UTF-8 text", Place(self.file))
        raise SyntaxProblem(problem)

    def _measure(self, text: str) -> None:
        """Refuse what the composer could not hold: it recurses in C without a limit and keeps every node."""
        depth = 0
        for count, event in enumerate(yaml.parse(text, _Loader)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                self._stop(event.start_mark, f"values are nested more than {MAX_DEPTH} deep")
            if count > MAX_VALUES:
                self._stop(event.start_mark, f"the file holds more than {MAX_VALUES:,} values")

    def _stop(self, mark: _Mark | None, what: str) -> NoReturn:
        raise SyntaxProblem(Problem(what, "make the file smaller and flatter", self._at(mark)))

    def _read(self, node: yaml.Node, depth: int) -> tuple[Value, int]:
        """Return the value of *node* and of how many values it consists. An aliased node is read once."""
        if node in self._values:
            return self._values[node]
        if depth > MAX_DEPTH:
            self._stop(
                node.start_mark,
                "an alias (*name) stands inside its own anchor (&name), or values are nested too deep",
            )
        size = 1
        value: Value
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            value, size = self._read_mapping(node, depth)
        elif isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            items = [self._read(item, depth + 1) for item in node.value]
            value, size = tuple(item for item, _ in items), 1 + sum(count for _, count in items)
        elif isinstance(node, yaml.ScalarNode):
            value = self._read_scalar(node)
        else:
            value = self._refuse_tag(node)
        if size > MAX_VALUES:
            self._stop(node.start_mark, f"aliases make this more than {MAX_VALUES:,} values")
        self._values[node] = value, size
        return value, size

    def _read_mapping(self, node: yaml.MappingNode, depth: int) -> tuple[dict[str, Value], int]:
        values: dict[str, Value] = {}
        entries = self._entries[node] = {}
        size = 1
        for key_node, value_node in node.value:
            value, count = self._read(value_node, depth + 1)
            size += count
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, "a key must be text", "write KEY: VALUE")
            elif key_node.value == "<<" and not key_node.style:
                self._report(
                    key_node,
                    "merge keys (<<) are not read",
                    "put what exports share under `defaults:`, or repeat it",
                )
            elif key_node.value in entries:
                first = self._at(entries[key_node.value][0].start_mark)
                self._report(
                    key_node,
                    f"the key {shown(key_node.value)} is given twice, first at line {first.line}",
                    "remove one of the two",
                )
            else:
                entries[key_node.value] = key_node, value_node
                values[key_node.value] = value
        return values, size

    def _read_scalar(self, node: yaml.ScalarNode) -> Value:
        text: str = node.value
        kind = node.tag.removeprefix(_TAG)
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            self._report(node, "half of a surrogate pair is not a character", "write the character itself")
            return ""
        if kind == "str":
            return text
        if kind not in _KINDS or not _KINDS[kind].fullmatch(text):
            return self._refuse_tag(node)
        return _CONSTRUCT[kind](text)

    def _refuse_tag(self, node: yaml.Node) -> Value:
        self._report(node, "YAML tags (a word after !) are not read", "remove the tag")
        return None

    def _report(self, node: yaml.Node, message: str, fix: str) -> None:
        self.problems.append(Problem(message, fix, self._at(node.start_mark)))
