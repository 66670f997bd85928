"""What the pages claim is held to: each threat names a test that exists, each guess a place in the code that does."""

import ast
import importlib
import re
from pathlib import Path

import pytest
from house.pages import PACKAGE, ROOT

TESTS = ROOT / "tests"


def rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the table on *page* whose first line is *heading*."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    table = text.partition(f"{heading}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]


def quoted(cell: str) -> list[str]:
    """What stands between backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def test_every_threat_names_tests_that_exist() -> None:
    """docs/security.md promises nothing that no test shows."""
    threats = rows("security.md", "| what | from | how | shown by |")

    assert len(threats) > 20
    for threat in threats:
        assert len(threat) == 4, threat
        assert threat[2], threat
        assert threat[1], threat
        assert quoted(threat[3]), threat
        for shown in quoted(threat[3]):
            path, _, name = shown.partition("::")
            tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
            assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, shown


def names_something(name: str) -> bool:
    """Whether *name* is a file of the package, or something in one of its modules: first below ``mailchimp``."""
    for base in (PACKAGE / "mailchimp", PACKAGE):
        if name.endswith(".py"):
            if (base / name).is_file():
                return True
            continue
        module, _, attribute = name.rpartition(".")
        if (base / f"{module}.py").is_file() or (base / module / "__init__.py").is_file():
            path = ".".join([*base.relative_to(ROOT).parts, module])
            return hasattr(importlib.import_module(path), attribute)
    return False


def test_every_guess_names_code_that_exists() -> None:
    """docs/mailchimp.md says where the code relies on each guess, whom it would hurt, and what defends them."""
    guesses = rows(
        "mailchimp.md", "| we assume | relied on in | if it were wrong, people would | what defends |"
    )

    assert len(guesses) > 30
    for guess in guesses:
        assert len(guess) == 4, guess
        assert all(guess), guess
        assert quoted(guess[1]), guess
        assert [name for name in quoted(guess[1]) if not names_something(name)] == [], guess


@pytest.mark.parametrize("name", ["bodies.Nobody", "nowhere.py", "nowhere.Upsert", "endpoints.nothing"])
def test_a_name_of_nothing_is_noticed(name: str) -> None:
    """The check above can fail."""
    assert not names_something(name)


def test_the_fuzzing_and_the_hostile_tests_are_all_told_of() -> None:
    """Each module of tests/hostile and tests/fuzz stands behind some line of docs/security.md."""
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    modules: list[Path] = [*(TESTS / "hostile").glob("test_*.py"), *(TESTS / "fuzz").glob("test_*.py")]

    assert [path.name for path in modules if path.name not in page] == []
