"""What a model found wrong, in our words: where, which value, the legal ones, and what to type."""

import re
import types
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ci_mailchimp_pipeline.config.phrases import near_miss, shown, suggestion, unknown_key
from ci_mailchimp_pipeline.config.rules import LEGAL
from ci_mailchimp_pipeline.config.secrets import SecretRef
from ci_mailchimp_pipeline.config.tree import Steps, Tree
from ci_mailchimp_pipeline.errors import Problem

MAX_PROBLEMS = 1_000  # nobody reads more of them at once
_KEY = "[key]"  # pydantic's last step to a key of a mapping that is wrong itself

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_FIXES = {
    "a text": "write a text",
    "a whole number": "write a whole number, without quotes",
    "a number": "write a number, without quotes",
    "true or false": "write true or false, without quotes",
    "a list": "write a list: [ONE, TWO]",
    "a mapping": "write a mapping: {KEY: VALUE}",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def worded(
    error: ValidationError, *, model: type[BaseModel], tree: Tree, at: Steps = ()
) -> Iterator[tuple[Steps, Problem]]:
    """Yield every problem in *error* with its path within *model*.

    Args:
        error: What *model* raised.
        model: The model that was to be read.
        tree: The file.
        at: Where in the file the model's mapping stands.
    """
    details = error.errors(include_url=False)[:MAX_PROBLEMS]
    meant = {
        (*detail["loc"][:-1], near_miss(str(detail["loc"][-1]), _keys(_kind_at(model, detail["loc"][:-1]))))
        for detail in details
        if detail["type"] == "extra_forbidden"
    }
    for detail in details:
        if detail["type"] == "default_factory_not_called":
            continue  # the key that the default is made of is wrong, and says so
        if detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"]:
            continue  # pydantic counts only the items that are right
        if detail["type"] == "missing" and detail["loc"] in meant:
            continue  # the misspelt key is the problem, and says so
        yield detail["loc"], _problem(detail, model=model, tree=tree, at=at)


def label(path: Steps) -> str:
    """Return a path as people write it: exports.vip.segments[0]."""
    text = ""
    for step in path:
        name = str(step) if re.fullmatch(r"\w{1,60}", str(step)) else shown(step)
        text += f"[{step}]" if isinstance(step, int) else f".{name}" if text else name
    return text


def said(path: Steps, what: str) -> str:
    """Return what is wrong with the name of where it is in front."""
    return f"{label(path)}: {what}" if path else what


def _problem(detail: ErrorDetails, *, model: type[BaseModel], tree: Tree, at: Steps) -> Problem:
    kind, context = detail["type"], detail.get("ctx", {})
    inner = tuple(step for step in detail["loc"] if step != _KEY)
    path = (*at, *inner, *context.get("at", ()))
    if kind == "extra_forbidden":
        what, fix = unknown_key(str(path[-1]), _keys(_kind_at(model, inner[:-1])))
        return Problem(said(tree.known(path)[:-1], what), fix, tree.place(path, key=True))
    if kind == "missing":
        what, fix = _missing(_kind_at(model, inner[:-1]), str(path[-1]))
        return Problem(said(tree.known(path[:-1]), what), fix, tree.place(path))
    is_key = context.get("is_key", False)
    is_secret = any(_kind_at(model, inner[:end]) is SecretRef for end in range(len(inner) + 1))
    found = "the value that is there" if is_secret else shown(detail["input"])
    what, fix = _what(detail, found, tree.raw(path))
    label_path = tree.known(path)[: -1 if is_key else None]
    return Problem(said(label_path, what), fix, tree.place(path, key=is_key or detail["loc"][-1:] == (_KEY,)))


def _what(detail: ErrorDetails, found: str, raw: str | None) -> tuple[str, str]:
    """Return what is wrong and the fix; *found* is the value as it may be shown, *raw* as it was written."""
    value, context = detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "rule":
            what, fix = context["what"], context["fix"]
        case kind if kind in _EXPECTED:
            what, fix = _wrong_type(_EXPECTED[kind], value, found, raw)
        case kind if kind in _BOUNDS:
            name, words = _BOUNDS[kind]
            limit = f"{words} {context[name]:,.9g}"
            what, fix = f"must be {limit}, not {found}", f"write {limit}"
        case "literal_error":
            legal = context["expected"]
            hint = suggestion(value, re.findall(r"'([^']*)'", legal))
            what, fix = f"must be {legal}, not {found}{hint}", f"write {legal}"
        case "string_pattern_mismatch":
            form = f"a text of the form {context['pattern']}"
            legal, fix = LEGAL.get(context["pattern"], (form, f"write {form}"))
            what = f"must be {legal}, not {found}"
        case "too_short":
            what, fix = "is empty", "name at least one"
        case "string_too_short":
            what, fix = "is empty", "write something there"
        case "string_too_long":
            what = f"has {len(value):,} characters; at most {context['max_length']} are allowed"
            fix = "write a shorter one"
        case _:
            what, fix = f"{detail['msg']}, not {found}", "see docs/exports.md for what may stand here"
    return what, fix


def _wrong_type(expected: str, value: object, found: str, raw: str | None) -> tuple[str, str]:
    if expected == "a text" and raw is not None and value is not None:
        kind = found if isinstance(value, bool) else "a number"
        return f"must be a text; YAML reads {raw} as {kind}", f'put it in quotes: "{raw}"'
    return f"must be {expected}, not {found}", _FIXES[expected]


def _missing(kind: Any, key: str) -> tuple[str, str]:
    field = kind.model_fields.get(key) if _is_model(kind) else None
    examples = field.examples if field else None
    # in a list, because a plain scalar of its own ends with the line "..."
    value = (
        yaml.safe_dump([examples[0]], default_flow_style=True, sort_keys=False, width=500)[1:-2]
        if examples
        else "…"
    )
    return f"{shown(key)} is missing", f"add {key}: {value}"


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _keys(kind: Any) -> Sequence[str]:
    return tuple(kind.model_fields) if _is_model(kind) else ()


def _kind_at(kind: Any, loc: Sequence[str | int]) -> Any:
    """Return the annotation that *loc* leads to from the model *kind*, or None."""
    for step in loc:
        kind = _inside(kind, step)
    return _plain(kind)


def _plain(kind: Any) -> Any:
    """Return *kind* without Annotated and Optional."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        return _plain(get_args(kind)[0])
    return kind


def _inside(kind: Any, step: str | int) -> Any:
    kind = _plain(kind)
    if _is_model(kind):
        field = kind.model_fields.get(str(step))
        return field.annotation if field else None
    arguments = get_args(kind)
    if get_origin(kind) is tuple and arguments:
        return arguments[0]
    return arguments[1] if get_origin(kind) is dict else None
