"""The pages say what is true: every code, reason, command and link, and every example that can be read."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from house.pages import PACKAGE, PAGES, ROOT, Block, blocks, modules

from ci_mailchimp_pipeline.cli.app import app
from ci_mailchimp_pipeline.config import load_config
from ci_mailchimp_pipeline.frame.reasons import REASONS
from ci_mailchimp_pipeline.mailchimp.refusals import _RULES, MEANINGS
from ci_mailchimp_pipeline.sync.upserts import NOT_WRITABLE

EXIT_CODES = {
    "PipelineError": 1,
    "FixConfigError": 2,
    "FixDataError": 3,
    "RunLaterError": 4,
    "SafetyStopError": 5,
}
PASSED_ON = {
    "code",
    "name",
    "guard.guard",
    "stopped[0].guard",
}  # codes that are literals where they come from
COMMAND_LINE = (2, "usage")  # what click itself finds
PARTS = {"version", "source", "connections", "defaults", "exports", "alerts", "sandbox"}
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
YAML, PYTHON = ([block for page in PAGES for block in blocks(page, kind)] for kind in ("yaml", "python"))
ELSEWHERE = {"deployment.md"}  # whose YAML is Dagster's and other programs': tests/storage reads that


def _codes() -> set[tuple[int, str]]:
    """Every (exit code, code) that the package raises."""
    found = set()
    for tree in modules(PACKAGE).values():
        constants = {
            node.targets[0].id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            if isinstance(node.func, ast.Name) and node.func.id in EXIT_CODES and node.args:
                code = _literal(node.args[0], constants)
                if code not in PASSED_ON:
                    found.add((EXIT_CODES[node.func.id], code))
            called = ast.unparse(node.func)
            for keyword in node.keywords:
                if called == "Guard" and keyword.arg == "guard":
                    found |= {(5, code) for code in _guards(keyword.value)}
                if called == "load_manifest" and keyword.arg == "code":
                    found.add((3, _literal(keyword.value, constants)))
    return found


def _literal(node: ast.expr, constants: dict[str, Any]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return str(constants.get(ast.unparse(node), ast.unparse(node)))


def _guards(node: ast.expr) -> set[str]:
    """The guard's name, or the two that ``name`` stands for in the loop over segments."""
    return {node.value} if isinstance(node, ast.Constant) else {"empty_segment", "missing_segment"}


def _documented_codes() -> set[tuple[int, str]]:
    page = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    sections = re.split(r"^## Exit code (\d).*$", page, flags=re.MULTILINE)[1:]
    return {
        (int(number), code)
        for number, section in zip(sections[::2], sections[1::2], strict=True)
        for code in re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    }


def test_every_error_code_is_documented_under_its_exit_code() -> None:
    """docs/errors.md has each code that is raised and no other, each under its exit code."""
    raised = _codes() | {COMMAND_LINE}

    documented = _documented_codes()

    assert len(raised) > 60
    assert documented - raised == set()
    assert raised - documented == set()


def test_every_reason_is_documented() -> None:
    """docs/how-it-decides.md explains each reason for which somebody is rejected, suppressed or refused."""
    page = (ROOT / "docs" / "how-it-decides.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE))

    reasons = {
        *REASONS,
        *NOT_WRITABLE,
        *(code for _, _, code in _RULES),
        *MEANINGS,
    }
    reasons |= {"opted_out_before_move"}

    assert reasons - explained == set()


def test_every_way_to_leave_is_documented() -> None:
    """docs/how-it-decides.md explains each value of ``on_exit``."""
    from ci_mailchimp_pipeline.plan.model import PlanSettings

    page = (ROOT / "docs" / "how-it-decides.md").read_text(encoding="utf-8")

    ways = get_args(PlanSettings.__annotations__["on_exit"])

    assert len(ways) == 3
    assert all(f"| `{way}` |" in page for way in ways)


def test_every_command_is_in_the_readme() -> None:
    """The README's table has each command, and no command that is not there."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = readme.partition("| command | effect |")[2].partition("\n\n")[0].splitlines()

    listed = {
        name
        for row in rows
        for name in re.findall(r"`([a-z]+)[^`]*`", row.split("|")[1] if "|" in row else "")
    }

    assert listed == set(app.commands)


def test_every_folder_of_the_package_is_on_the_map() -> None:
    """docs/architecture.md has a row for each part of the package."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    parts = {path.name + "/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    parts |= {path.name for path in PACKAGE.glob("*.py") if not path.name.startswith("__")}

    assert parts == set(
        re.findall(r"^\| `([\w./]+)` \|.*\|.*\|$", page.partition("## Data plane")[0], re.MULTILINE)
    )


def test_every_dependency_has_a_reason() -> None:
    """docs/why.md says for each runtime dependency what it is for."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "why.md").read_text(encoding="utf-8")
    cells = " ".join(row.split("|")[1] for row in page.splitlines() if row.startswith("| "))

    names = {re.split(r"[^\w-]", dependency)[0] for dependency in project["dependencies"]}

    assert {name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", cells)} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Each link of a page to another page, and to a heading of it, leads there."""
    broken = []
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if path.startswith("http"):
            continue
        there = (page.parent / path) if path else page
        if not there.exists() or (heading and heading not in _anchors(there)):
            broken.append(target)

    assert broken == []


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_what_it_is(page: Path) -> None:
    """A block names its language, so that a test knows how to try it."""
    known = {"sh", "yaml", "python", "text", "mermaid", "ini", "dockerfile", "toml"}

    assert [str(block) for block in blocks(page) if block.language not in known] == []


def _is_ours(block: Block) -> bool:
    """Whether an example is of exports.yaml, not of another program's file (dagster.yaml)."""
    return not PARTS.isdisjoint(yaml.safe_load(block.text))


def _laid_over(shown: dict[str, Any]) -> str:
    """The repository's exports.yaml with what an example shows instead; a connection may leave out what it has."""
    base = yaml.safe_load((ROOT / "exports.yaml").read_text(encoding="utf-8"))
    whole = base | shown
    (usual,) = base["connections"].values()
    added = {name: usual | keys for name, keys in shown.get("connections", {}).items()}
    whole["connections"] = base["connections"] | added
    return yaml.safe_dump(whole, sort_keys=False)


@pytest.mark.parametrize("block", [block for block in YAML if block.page.name not in ELSEWHERE], ids=str)
def test_yaml_examples_load(block: Any, tmp_path: Path) -> None:
    """Each YAML example is read without a problem: alone, or laid over the repository's exports.yaml."""
    shown = yaml.safe_load(block.text)
    path = tmp_path / "exports.yaml"
    path.write_text(block.text if "source" in shown else _laid_over(shown), encoding="utf-8")

    config = load_config(path, environ={})

    assert set(shown) <= PARTS
    assert config.path == path


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_examples_run(block: Any, tmp_path: Path) -> None:
    """Each Python example is a test that passes as it stands."""
    (tmp_path / "test_example.py").write_text(block.text, encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE)


def test_changelog_begins_with_what_is_not_released() -> None:
    """The changelog has the form of Keep a Changelog, and no version that the package does not have."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    versions = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    kinds = set(re.findall(r"^### (.+)$", text, re.MULTILINE))

    assert versions[0] == "Unreleased"
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
