"""Partial answers: Mailchimp's ``fields`` and ``exclude_fields``, dotted paths from the top of the answer."""

from collections.abc import Mapping
from typing import Any, Self

Tree = dict[str, "Tree"]
"""Names and, for each, the names below it; an empty tree takes in everything below."""


class Selection:
    """Which parts of an answer were asked for."""

    __slots__ = ("_exclude", "_include")

    def __init__(self, include: Tree, exclude: Tree) -> None:
        self._include = include
        self._exclude = exclude

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read the two query parameters; without them everything is wanted."""
        return cls(_tree(query.get("fields", "")), _tree(query.get("exclude_fields", "")))

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self._include or self._exclude)

    def goes_below(self) -> bool:
        """Whether it takes some of the wanted members of the object apart."""
        return any(self._include.values()) or any(self._exclude.values())

    def wants(self, name: str) -> bool:
        """Whether any part of this member of the object is wanted."""
        if self._include and name not in self._include:
            return False
        return name not in self._exclude or bool(self._exclude[name])

    def below(self, name: str) -> "Selection":
        """What is wanted of one member of the object."""
        return Selection(self._include.get(name, {}), self._exclude.get(name, {}))

    def of_value(self, value: Any) -> Any:
        """The wanted parts of a JSON value; an array is taken element by element.

        A function among an object's values is called with what is wanted of it, so that large parts are
        made only as far as they are wanted.
        """
        if isinstance(value, list):
            return [self.of_value(element) for element in value] if self else value
        if not isinstance(value, dict):
            return value
        return {name: self._part(name, part) for name, part in value.items() if self.wants(name)}

    def _part(self, name: str, part: Any) -> Any:
        if callable(part):
            return part(self.below(name))
        if isinstance(part, dict | list) and self:
            return self.below(name).of_value(part)
        return part


def _tree(paths: str) -> Tree:
    tree: Tree = {}
    for names in sorted((path.strip().split(".") for path in paths.split(",") if path.strip()), key=len):
        place = tree
        for name in names:
            if name in place and not place[name]:
                break  # a shorter path, which came first, takes in everything below
            place = place.setdefault(name, {})
    return tree


EVERYTHING = Selection({}, {})
