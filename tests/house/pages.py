"""The repository's pages and files, and the fenced blocks of a Markdown page."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "ci_mailchimp_pipeline"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md")))
FOLDERS = ("ci_mailchimp_pipeline", "tests", "docs", "benchmarks", "examples", ".ci")
_TEXTS = {".py", ".md", ".yaml", ".yml", ".toml", ".json", ".csv", ""}
_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOT_RUN = re.compile(r"<!-- not run in tests: \S.*-->\n\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block; *excused* says that a comment above it tells why no test can run it."""

    page: Path
    line: int
    language: str
    text: str
    excused: bool

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path, language: str | None = None) -> list[Block]:
    """The blocks of *page* in their order; of one language if it is given."""
    text = page.read_text(encoding="utf-8")
    found = (
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            language=match["language"],
            text=match["text"],
            excused=bool(_NOT_RUN.search(text[: match.start()])),
        )
        for match in _FENCE.finditer(text)
    )
    return [block for block in found if language in (None, block.language)]


def files() -> Iterator[Path]:
    """Every text file that belongs to the repository, without what tools leave behind."""
    yield from (each for each in ROOT.iterdir() if each.is_file() and each.suffix in _TEXTS)
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            hidden = any(
                part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT / folder).parts
            )
            if path.is_file() and path.suffix in _TEXTS and not hidden:
                yield path


@cache
def modules(folder: Path) -> dict[Path, ast.Module]:
    """The syntax tree of every Python file below *folder*."""
    return {
        path: ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        for path in sorted(folder.rglob("*.py"))
    }


def name_of(path: Path) -> str:
    """*path* as seen from the repository's root."""
    return path.relative_to(ROOT).as_posix()
