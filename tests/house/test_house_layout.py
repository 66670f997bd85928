"""The rules of the house: what may import what, how long a module may be, and what no file may say."""

import ast
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
from house.pages import PACKAGE, ROOT, files, modules, name_of

import ci_mailchimp_pipeline
from ci_mailchimp_pipeline import errors
from ci_mailchimp_pipeline.cli.app import app

LONGEST_MODULE = 400  # lines; 300 is what to aim at
HEAVY = {"dagster", "duckdb", "pandera", "polars", "pydantic", "requests", "sqlalchemy"}
NEVER = {
    "attribute", "cache", "cohort", "delete", "execute", "job", "label", "lead", "list", "preview", "push", "state",
    "stream", "subscriber", "user",
}  # fmt: skip
NAMELESS = {"common", "helper", "helpers", "manager", "misc", "tools", "util", "utils"}
# A letter in brackets, so that this line is none of those it looks for.
LOOSE = re.compile(
    r"/w[o]rk/|/f[a]rm/|python[h]osted|registry\.npm[j]s|pypi\.org/simp[l]e|\bTOD[O]\b|\bFIXM[E]\b|\bXX[X]\b|sub[a]gent"
)
AUDITED = """
import importlib, pkgutil, sys
sys.dont_write_bytecode = True
WRITING = {"os.mkdir", "os.rename", "os.remove", "socket.connect", "socket.bind"}

def watch(event, args):
    writes = event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")
    if (writes or event in WRITING) and sys._getframe(1).f_globals.get("__name__", "").startswith("ci_mailchimp"):
        print(event, args[0])

import ci_mailchimp_pipeline
sys.addaudithook(watch)
for module in pkgutil.walk_packages(ci_mailchimp_pipeline.__path__, "ci_mailchimp_pipeline."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def _python(*arguments: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )


def _imported(*arguments: str) -> set[str]:
    """The top-level packages that a program loads."""
    done = _python("-X", "importtime", *arguments)
    assert done.returncode == 0, done.stderr[-500:]
    return {
        line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line
    }


def test_each_part_imports_only_what_it_may() -> None:
    """The contracts of import-linter in pyproject.toml are kept."""
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(
    ("library", "parts"),
    [
        pytest.param("requests", {"mailchimp"}, id="requests"),
        pytest.param("urllib3", {"mailchimp"}, id="urllib3"),
        pytest.param("sqlalchemy", {"ledger"}, id="sqlalchemy"),
        pytest.param("sqlite3", {"ledger"}, id="sqlite3"),
        pytest.param("psycopg", {"ledger"}, id="psycopg"),
        pytest.param("duckdb", {"engine.py"}, id="duckdb"),
        pytest.param("fsspec", {"storage.py"}, id="fsspec"),
        pytest.param("pandera", {"frame", "orchestration"}, id="pandera"),
        pytest.param("yaml", {"config"}, id="yaml"),
        pytest.param("dagster", {"orchestration", "definitions.py", "component.py"}, id="dagster"),
        pytest.param("click", {"cli"}, id="click"),
        pytest.param("rich", {"cli"}, id="rich"),
        pytest.param("starlette", {"emulator"}, id="starlette"),
        pytest.param("uvicorn", {"emulator"}, id="uvicorn"),
    ],
)
def test_an_outside_library_is_known_in_one_place(library: str, parts: set[str]) -> None:
    """A library is imported only by the part that is there for it, also inside functions."""
    importers = {
        path.relative_to(PACKAGE).parts[0]
        for path, tree in modules(PACKAGE).items()
        for node in ast.walk(tree)
        if library in _libraries(node)
    }

    assert importers <= parts


def _libraries(node: ast.AST) -> set[str]:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom) and node.module:
        names.append(node.module)
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        pytest.param("ci_mailchimp_pipeline", HEAVY, id="the package"),
        pytest.param("ci_mailchimp_pipeline.errors", HEAVY, id="errors"),
        pytest.param("ci_mailchimp_pipeline.config", HEAVY - {"pydantic"}, id="config"),
    ],
)
def test_importing_is_light(module: str, heavy: set[str]) -> None:
    """Importing the package, its errors or its configuration loads no engine, no Dagster, no client."""
    loaded = _imported("-c", f"import {module}")

    assert "ci_mailchimp_pipeline" in loaded
    assert not loaded & heavy


def test_nothing_happens_at_import(tmp_path: Path) -> None:
    """Importing every module writes no file, makes no folder and opens no connection."""
    done = _python("-c", AUDITED, folder=tmp_path)

    assert (done.returncode, done.stdout) == (0, ""), done.stderr[-2000:]
    assert list(tmp_path.iterdir()) == []


def test_no_module_is_too_long() -> None:
    """A module of the package that a reader cannot hold in mind is two modules."""
    lengths = {name_of(path): path.read_text(encoding="utf-8").count("\n") for path in modules(PACKAGE)}

    assert {name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE} == {}


def test_every_module_has_a_name_that_says_something() -> None:
    """No module or package is called after nothing in particular."""
    names = {
        part.removesuffix(".py") for path in modules(PACKAGE) for part in path.relative_to(PACKAGE).parts
    }

    assert "plan" in names
    assert not names & NAMELESS


def test_people_read_one_word_for_one_thing() -> None:
    """No key of exports.yaml, no command and no option uses a word that the vocabulary excludes."""
    schema = json.loads((ROOT / "exports.schema.json").read_text(encoding="utf-8"))
    keys = {key for part in (schema, *schema["$defs"].values()) for key in part.get("properties", {})}
    options = {name for each in app.commands.values() for option in each.params for name in option.opts}

    words = {
        word for name in keys | options | set(app.commands) for word in re.split(r"[^a-z]+", name.lower())
    }

    assert {"audience", "segments", "exports", "json"} <= words
    assert not words & NEVER


def test_public_names_are_there() -> None:
    """Every name that a module declares public exists in it."""
    found = pkgutil.walk_packages(ci_mailchimp_pipeline.__path__, "ci_mailchimp_pipeline.")
    declared = [
        importlib.import_module(module.name) for module in found if not module.name.endswith("__main__")
    ]

    missing = [
        f"{module.__name__}.{name}"
        for module in declared
        for name in getattr(module, "__all__", ())
        if not hasattr(module, name)
    ]

    assert len(declared) > 50
    assert missing == []


def test_every_error_says_what_happens_next() -> None:
    """Each class of error has a docstring, and an exit code that no other has."""
    classes = [
        each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)
    ]

    codes = sorted(each.exit_code for each in classes)

    assert codes == [1, 2, 3, 4, 5]
    assert all(each.__doc__ for each in classes)


def _tests() -> list[tuple[str, ast.FunctionDef]]:
    return [
        (f"{name_of(path)}:{node.lineno} {node.name}", node)
        for path, tree in modules(ROOT / "tests").items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


def test_every_test_promises_something() -> None:
    """Each test has a docstring of one paragraph that ends like a sentence and does not say that it is a test."""
    told = [(name, ast.get_docstring(node) or "") for name, node in _tests()]

    wanting = [
        name
        for name, text in told
        if not text.rstrip(")`\"'").endswith(".")
        or "\n\n" in text
        or re.match(r"(Tests?|Checks?) (that|if|whether|the)\b", text)
    ]

    assert len(told) > 300
    assert wanting == []


def test_no_test_waits_or_pretends() -> None:
    """Tests neither sleep nor replace our own code by mocks; those of whole programs wait for real processes."""
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in modules(ROOT / "tests").items()
        if not {"e2e", "deployment"} & set(path.parts)
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in {"time.sleep", "sleep", "Mock", "MagicMock", "patch"}
        )
        or "mock" in _libraries(node)
        or (isinstance(node, ast.ImportFrom) and node.module == "unittest")
    ]

    assert found == []


def test_files_speak_of_the_project_alone() -> None:
    """No file names a machine's folder, a registry's host, or work that is left to do."""
    found = [
        f"{name_of(path)}:{number} {match[0]}"
        for path in files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for match in LOOSE.finditer(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    "name", ["LICENSE", "CHANGELOG.md", "README.md", "Makefile", "uv.lock", "ci_mailchimp_pipeline/py.typed"]
)
def test_what_belongs_to_a_repository_is_there(name: str) -> None:
    """The files that people and tools look for exist."""
    assert (ROOT / name).is_file()


def test_shell_scripts_are_right() -> None:
    """Bash can read what CI runs, and CI may run it."""
    script = ROOT / ".ci" / "run"

    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert script.stat().st_mode & 0o111


def test_make_and_ci_share_their_commands() -> None:
    """Every section that the Makefile asks for is one of ``.ci/run``, and every target explains itself."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    functions = re.findall(r"^(\w+)\(\) \{", (ROOT / ".ci" / "run").read_text(encoding="utf-8"), re.MULTILINE)

    asked = {name for call in re.findall(r"\.ci/run((?: [a-z_]+)+)", makefile) for name in call.split()}
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    explained = set(re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE))

    assert asked
    assert asked <= set(functions)
    assert targets == explained
