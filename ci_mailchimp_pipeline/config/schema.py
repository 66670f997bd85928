"""The JSON Schema of exports.yaml, by which editors complete and check it."""

from typing import Any

from pydantic import BaseModel

from ci_mailchimp_pipeline.config.models import ConnectionKeys, ExportKeys, File
from ci_mailchimp_pipeline.config.plugins import Plugins, installed_plugins

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(plugins: Plugins | None = None) -> dict[str, Any]:
    """Return the JSON Schema of the file.

    Args:
        plugins: Source types to describe; the built-in ones unless given, so that it is the same everywhere.
    """
    schema = File.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    definitions["Connection"] = _definition(ConnectionKeys, definitions)
    definitions["Export"] = _definition(ExportKeys, definitions)
    keys = definitions["Export"]
    definitions["Defaults"] = {key: keys[key] for key in keys if key != "required"}
    sources = installed_plugins(only_ours=True) if plugins is None else plugins
    known = {name: _source(name, load(), definitions) for name, load in sorted(sources.items())}
    other = {
        "description": "A source of your own.",
        "type": "object",
        "properties": {"type": {"type": "string", "not": {"enum": sorted(known)}}},
        "required": ["type"],
    }
    properties = schema["properties"]
    properties["source"] |= {"anyOf": [*known.values(), other]}
    properties["defaults"] |= {"$ref": "#/$defs/Defaults"}
    for section, definition in (("connections", "Connection"), ("exports", "Export")):
        properties[section]["additionalProperties"] = False
        pattern, _ = properties[section].pop("patternProperties").popitem()
        properties[section]["patternProperties"] = {pattern: {"$ref": f"#/$defs/{definition}"}}
    return {
        "$schema": DIALECT,
        **schema,
        "title": "exports.yaml",
        "description": "Exports of segments to Mailchimp audiences.",
    }


def _definition(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of *model*, its own definitions moved to *definitions*."""
    schema = model.model_json_schema()
    definitions |= schema.pop("$defs", {})
    return schema


def _source(name: str, plugin: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _definition(plugin.Options, definitions)
    properties = {"type": {"const": name}} | schema.get("properties", {})
    return schema | {
        "title": name,
        "properties": properties,
        "required": ["type", *schema.get("required", [])],
    }
