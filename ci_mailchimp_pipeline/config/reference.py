"""Write what is made from the models: exports.schema.json and the tables in docs/exports.md.

Run ``python -m ci_mailchimp_pipeline.config.reference`` in the root of the repository after changing a model.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.config.schema import json_schema

START = "<!-- made by python -m ci_mailchimp_pipeline.config.reference: change the models, not this -->\n"
END = "<!-- end of what is made -->\n"

_Schema = dict[str, Any]
# Heading and name of each mapping, in the order of the file.
_SECTIONS = (
    ("The file", ""),
    ("A connection", "Connection"),
    ("Consent", "Consent"),
    ("A reference to a secret", "SecretRef"),
    ("An export", "Export"),
    ("Owner", "Owner"),
    ("A segment", "Segment"),
    ("A merge field", "MergeSource"),
    ("A schedule", "Schedule"),
    ("Times", "Times"),
    ("Guards", "Guards"),
    ("An alert", "Alert"),
)
_NAMES = {"string": "text", "boolean": "true, false", "null": "null", "object": "mapping"}
_HEADINGS = {name: heading for heading, name in _SECTIONS}


def made(docs: str) -> dict[str, str]:
    """Return the texts that are made from the models, by path below the root of the repository.

    Args:
        docs: The present text of docs/exports.md, of which everything outside the two markers stays.
    """
    schema = json_schema()
    written = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    before, _, rest = docs.partition(START)
    _, _, after = rest.partition(END)
    tables = "\n".join(_tables(schema))
    return {
        "exports.schema.json": written,
        "docs/exports.md": f"{before}{START}\n{tables}\n{END}{after}",
    }


def _tables(schema: _Schema) -> Iterator[str]:
    definitions = schema["$defs"]
    required = schema["then"]["properties"]["exports"]["additionalProperties"]["required"]
    definitions["Export"]["required"] = required
    for heading, name in _SECTIONS:
        found = definitions[name] if name else schema
        yield f"### {heading}\n"
        for mapping in _mappings(found):
            yield from _table(mapping)
        if not name:
            for source in schema["properties"]["source"]["anyOf"][:-1]:
                yield f"### Source: {source['title']}\n"
                yield from _table(source)
                for key in source["properties"].values():
                    yield from _nested(key, definitions)


def _nested(key: _Schema, definitions: dict[str, _Schema]) -> Iterator[str]:
    """Yield the table of a mapping that only this source has."""
    name = key.get("$ref", "").rpartition("/")[2]
    model = name.rpartition(".")[2]
    if name and model not in _HEADINGS:
        yield f"`{model.lower()}` holds:\n"
        yield from _table(definitions[name])


def _mappings(schema: _Schema) -> list[_Schema]:
    """Return the mappings that a value may be: it may be one of several, or a text besides."""
    return [form for form in schema.get("anyOf", [schema]) if "properties" in form]


def _table(mapping: _Schema) -> Iterator[str]:
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for key, schema in mapping["properties"].items():
        has_default = schema.get("default") is not None
        default = f"`{json.dumps(schema['default'], ensure_ascii=False)}`" if has_default else ""
        if key in mapping.get("required", []):
            default = "required"
        yield f"| `{key}` | {_value(schema)} | {default} | {schema.get('description', '')} |"
    yield ""


def _value(schema: _Schema) -> str:
    """Return in words what may stand for a key."""
    match schema:
        case {"$ref": str(reference)}:
            heading = _HEADINGS.get(re.split("[/.]", reference)[-1], "")
            link = heading.lower().replace(" ", "-")
            text = f"[{heading[0].lower()}{heading[1:]}](#{link})" if heading else "mapping"
        case {"const": value}:
            text = f"`{value}`"
        case {"enum": values}:
            text = ", ".join(f"`{value}`" for value in values)
        case {"anyOf": forms}:
            text = " or ".join(dict.fromkeys(map(_value, forms)))
        case {"type": "array", "items": items}:
            text = f"list of {_value(items)}"
        case {"patternProperties": patterns}:
            text = f"mapping to {_value(next(iter(patterns.values())))}"
        case {"type": "integer" | "number"}:
            text = _number(schema)
        case {"format": "date"}:
            text = "date"
        case _:
            text = _NAMES.get(str(schema.get("type")), "text, number, true or false")
    return text


def _number(schema: _Schema) -> str:
    name = "whole number" if schema["type"] == "integer" else "number"
    match schema:
        case {"minimum": lowest, "maximum": highest}:
            return f"{name}, {lowest:,} to {highest:,}"
        case {"minimum": lowest}:
            return f"{name}, at least {lowest:,}"
        case {"exclusiveMinimum": bound}:
            return f"{name} above {bound:,}"
    return name


def main() -> None:
    """Write the made texts into the repository whose root is the current folder."""
    for name, text in made(Path("docs/exports.md").read_text(encoding="utf-8")).items():
        Path(name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
