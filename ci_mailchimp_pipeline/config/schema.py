"""The JSON Schema of exports.yaml, by which editors complete and check it."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ci_mailchimp_pipeline.config.connections import ConnectionKeys
from ci_mailchimp_pipeline.config.models import ExportKeys, File
from ci_mailchimp_pipeline.config.plugins import Plugins, installed_plugins


def json_schema(plugins: Plugins | None = None) -> dict[str, Any]:
    """Return the JSON Schema of the file.

    Args:
        plugins: Source types to describe; the built-in ones unless given, so that it is the same everywhere.
    """
    definitions: dict[str, Any] = {}
    file = _schema(File, definitions)
    definitions["Connection"] = _schema(ConnectionKeys, definitions)
    definitions["Export"] = _schema(ExportKeys, definitions)
    required = definitions["Export"].pop("required")  # each may stand in the defaults instead
    sources = installed_plugins(only_ours=True) if plugins is None else plugins
    keys = file["properties"]
    keys["source"]["anyOf"] = [
        *(_source(name, sources[name](), definitions) for name in sorted(sources)),
        _other(sources),
    ]
    keys["defaults"] = {"description": keys["defaults"]["description"], "$ref": "#/$defs/Export"}
    for section, name in (("connections", "Connection"), ("exports", "Export")):
        (pattern,) = keys[section]["patternProperties"]
        keys[section]["patternProperties"] = {pattern: {"$ref": f"#/$defs/{name}"}}
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **file,
        "if": {"not": {"required": ["defaults"]}},
        "then": {"properties": {"exports": {"additionalProperties": {"required": required}}}},
        "$defs": dict(sorted(definitions.items())),
    }


class _Generator(GenerateJsonSchema):
    """Without titles, which only repeat the keys; a mapping whose keys have a form has no other keys."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002 - pydantic's signature
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        return found | {"additionalProperties": False} if "patternProperties" in found else found


def _schema(model: type[BaseModel], definitions: dict[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return the schema of *model*; the models it uses go to *definitions*, their names after *prefix*."""
    template = f"#/$defs/{prefix}{{model}}"
    schema = model.model_json_schema(schema_generator=_Generator, ref_template=template)
    definitions |= {prefix + name: definition for name, definition in schema.pop("$defs", {}).items()}
    return schema


def _source(name: str, plugin: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(plugin.Options, definitions, prefix=f"{name}.")
    keys = {"type": {"const": name}} | schema.get("properties", {})
    return schema | {"title": name, "properties": keys, "required": ["type", *schema.get("required", [])]}


def _other(sources: Plugins) -> dict[str, Any]:
    """Return the schema of a source that this installation does not know."""
    kind = {"type": "string", "not": {"enum": sorted(sources)}}
    return {"title": "another source", "type": "object", "properties": {"type": kind}, "required": ["type"]}
