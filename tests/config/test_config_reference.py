"""What is made from the models is what is committed, and says what the loader does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ci_mailchimp_pipeline.config import Config, json_schema, load_config
from ci_mailchimp_pipeline.config.connections import ConnectionKeys
from ci_mailchimp_pipeline.config.models import ExportKeys, File
from ci_mailchimp_pipeline.config.plugins import given_plugins
from ci_mailchimp_pipeline.config.reference import made
from ci_mailchimp_pipeline.config.tree import Tree
from ci_mailchimp_pipeline.errors import FixConfigError

LoadText = Callable[..., Config]

ROOT = Path(__file__).parents[2]


def accepts(schema: dict[str, Any], text: str) -> bool:
    """Tell whether *schema* accepts a YAML text, as an editor would read it."""
    document = json.loads(json.dumps(Tree(text, "exports.yaml").value))
    return bool(jsonschema.Draft202012Validator(schema).is_valid(document))


@pytest.mark.parametrize("name", ["exports.schema.json", "docs/exports.md"])
def test_what_is_made_from_the_models_is_current(name: str) -> None:
    """After a change: python -m ci_mailchimp_pipeline.config.reference."""
    docs = (ROOT / "docs/exports.md").read_text(encoding="utf-8")

    assert made(docs)[name] == (ROOT / name).read_text(encoding="utf-8")


def test_making_twice_changes_nothing() -> None:
    """The made part replaces itself, and leaves the rest alone."""
    docs = made("before\n")["docs/exports.md"]
    written = "# Title\n\n" + docs.removeprefix("before\n") + "after\n"

    assert made(written)["docs/exports.md"] == written


@pytest.mark.parametrize("model", [File, ConnectionKeys, ExportKeys])
def test_every_key_is_explained(model: type[File | ConnectionKeys | ExportKeys]) -> None:
    """No key is without a description, and none is missing in the reference."""
    docs = (ROOT / "docs/exports.md").read_text(encoding="utf-8")

    assert [key for key, field in model.model_fields.items() if not field.description] == []
    assert [key for key in model.model_fields if f"| `{key}` |" not in docs] == []


def test_the_schema_is_a_schema() -> None:
    """The committed file is itself valid."""
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_the_sample_is_right() -> None:
    """exports.yaml at the root loads, and its own schema accepts it."""
    text = (ROOT / "exports.yaml").read_text(encoding="utf-8")

    config = load_config(ROOT / "exports.yaml", environ={})

    assert list(config.exports) == ["vip_newsletter"]
    assert accepts(json_schema(), text)


def test_the_example_in_the_reference_is_right(tmp_path: Path) -> None:
    """What people copy from docs/exports.md loads, and does what the page says."""
    text = (ROOT / "docs/exports.md").read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "exports.yaml").write_text(text, encoding="utf-8")

    export = load_config(tmp_path / "exports.yaml", environ={}).exports["vip_newsletter"]

    assert (export.guards.max_exit_percent, export.guards.max_rejected_percent) == (5, 5)
    assert accepts(json_schema(), text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version: 1", "version: 2"),
        ("version: 1", "version: 1\nzebra: 1"),
        ("rows: 5", "rows: -5"),
        ("rows: 5", "row: 5"),
        ("type: mailchimp", "type: other"),
        ("{env: MAILCHIMP_API_KEY}", "inline"),
        ("{env: MAILCHIMP_API_KEY}", "{env: A, file: B}"),
        ("  mc:", "  m-c:"),
        ("  vip:", "  1:"),
        ("    email: EMail\n", ""),
        ("email: EMail", "email: null"),
        ("email: EMail", "emial: EMail"),
        ("a1b2c3d4e5", "A1B2C3D4E5"),
        ("[High]", "[]"),
        ("[High]", "[5]"),
        ("[High]", "[{tag: A}]"),
        ("[High]", "[High]\n    merge_fields: {city: City}"),
        ("[High]", "[High]\n    merge_fields: {A: {addr1: S}}"),
        ("[High]", "[High]\n    merge_fields: {A: {column: C, type: address}}"),
        ("[High]", "[High]\n    schedule: sometimes"),
        ("[High]", "[High]\n    schedule: {timezone: UTC}"),
        ("[High]", "[High]\n    require: {A: null}"),
        ("[High]", "[High]\n    on_exit: stay"),
        ("[High]", "[High]\n    max_profiles: 2000000"),
        ("[High]", "[High]\n    guards: {max_exit_percent: 101}"),
    ],
)
def test_an_editor_marks_what_the_loader_refuses(
    load_text: LoadText, valid: str, old: str, new: str, plugins: dict[str, type]
) -> None:
    """Schema and loader agree on what is wrong with a single value."""
    schema = json_schema(given_plugins(plugins))
    text = valid.replace(old, new)

    assert accepts(schema, valid)
    assert not accepts(schema, text)
    with pytest.raises(FixConfigError):
        load_text(text)


@pytest.mark.parametrize(
    "tail",
    [
        "    schedule: off\n",
        "    schedule: {cron: '0 6 * * *'}\n",
        "    drift: {cron: '0 4 * * 1'}\n",
        "    merge_fields: {A: B, C: {column: D, type: date}, E: {addr1: F, city: G, state: H, zip: I}}\n",
        "    require: {A: true, B: [1, 2], C: x}\n",
        "    prefer: [A desc]\n    fresh_within_hours: 1.5\n    guards: {max_growth_percent: 300}\n",
        "    first_name: null\n    connection2: null\n".replace("    connection2: null\n", ""),
        "defaults: {on_exit: keep}\n",
        "alerts: [{to: {file: a}}]\nsandbox: true\n",
    ],
)
def test_an_editor_accepts_what_the_loader_accepts(
    load_text: LoadText, valid: str, tail: str, plugins: dict[str, type]
) -> None:
    """Nothing that is right is underlined."""
    load_text(valid + tail)

    assert accepts(json_schema(given_plugins(plugins)), valid + tail)


def test_keys_that_the_defaults_give_are_not_missing_to_an_editor(
    valid: str, plugins: dict[str, type]
) -> None:
    """With defaults, no key of an export is required by the schema; the loader knows better."""
    schema = json_schema(given_plugins(plugins))
    text = valid.replace("    email: EMail\n", "") + "defaults: {email: EMail}\n"

    assert accepts(schema, text)


def test_a_source_of_another_package_is_accepted_by_an_editor(valid: str, plugins: dict[str, type]) -> None:
    """The committed schema does not know every plugin, and does not refuse it."""
    schema = json_schema(given_plugins(plugins))

    assert accepts(schema, valid.replace("type: memory, rows: 5", "type: theirs, anything: 1"))
