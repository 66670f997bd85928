"""Recorded traffic against Mailchimp's own OpenAPI document, so that client and emulator stay true to it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

_OK = 200
_PROBLEM = 400


def openapi_errors(
    spec: Mapping[str, Any], requests: Sequence[Mapping[str, Any]], *, newer: Mapping[str, Any] | None = None
) -> list[str]:
    """What in recorded requests and their answers the document does not allow; needs ``jsonschema``.

    Values of merge fields are not checked: the document is wrong about them.

    Args:
        spec: An OpenAPI 3.0 document of the Marketing API.
        requests: From `Emulator.requests`, with the switch ``record_bodies`` on.
        newer: Operations by path and method, each with ``query`` and ``requestBody``, that override ``spec``.

    Returns:
        One line each, without any value of the traffic.
    """
    found: list[str] = []
    for request in requests:
        found += _errors_of(spec, request, newer or {})
    return list(dict.fromkeys(found))


def _errors_of(
    spec: Mapping[str, Any], request: Mapping[str, Any], newer: Mapping[str, Any]
) -> Iterator[str]:
    method = request["method"].lower()
    template, operation = _operation(spec["paths"], method, request["path"])
    where = f"{request['method']} {template or 'unknown path'}"
    if operation is None:
        yield f"{where}: no such operation"
        return
    _, override = _operation(newer.get("paths", {}), method, f"/3.0{request['path']}")
    override = override or {}
    parameters = [_resolved(spec, parameter) for parameter in operation.get("parameters", ())]
    known = {p["name"]: p.get("schema", {}) for p in parameters if p["in"] == "query"}
    known |= override.get("query", {})
    for name, value in parse_qsl(request["query"]):
        if name not in known:
            yield f"{where}: query parameter {name} is not known"
        else:
            yield from _violations(spec, known[name], _typed(known[name], value), f"{where}: query {name}")
    schema = override.get("requestBody") or _json_schema(spec, operation.get("requestBody"))
    if request["body"] is not None:
        if schema is None:
            yield f"{where}: has a body, the document knows none"
        else:
            yield from _violations(spec, schema, request["body"], f"{where}: body")
    elif schema is not None and schema.get("required"):
        yield f"{where}: has no body"
    if _OK <= request["status"] < _PROBLEM and request["answer"] is not None:
        answers = _json_schema(spec, operation["responses"].get(str(request["status"])))
        yield from _violations(spec, answers or {}, request["answer"], f"{where}: answer")


def _operation(paths: Mapping[str, Any], method: str, path: str) -> tuple[str, Mapping[str, Any] | None]:
    for template, methods in paths.items():
        pattern = re.sub(r"\\\{[^}]+\\\}", "[^/]+", re.escape(template))
        if method in methods and re.fullmatch(pattern, path):
            return template, methods[method]
    return "", None


def _resolved(spec: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in value:
        place: Any = spec
        for name in value["$ref"].removeprefix("#/").split("/"):
            place = place[name]
        value = place
    return value


def _json_schema(spec: Mapping[str, Any], part: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    content = _resolved(spec, part or {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    return None if schema is None else _resolved(spec, schema)


def _typed(schema: Mapping[str, Any], value: str) -> Any:
    if schema.get("type") == "integer" and value.isdecimal():
        return int(value)
    if schema.get("type") == "boolean" and value in ("true", "false"):
        return value == "true"
    if schema.get("type") == "array":  # Mailchimp takes them with commas between
        return value.split(",")
    return value


def _violations(spec: Mapping[str, Any], schema: Mapping[str, Any], value: Any, where: str) -> Iterator[str]:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # noqa: PLC0415

    whole = {**schema, "components": spec["components"]}
    for error in Draft202012Validator(whole).iter_errors(value):
        if "merge_fields" in list(error.absolute_path)[:-1]:
            continue  # the document calls every value an object, Mailchimp takes and gives texts and numbers
        place = ".".join("*" if isinstance(step, int) else str(step) for step in error.absolute_path)
        yield f"{where}: {place or 'top'} breaks {error.validator}"
