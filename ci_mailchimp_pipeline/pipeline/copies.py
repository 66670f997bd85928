"""Where a person may be besides Mailchimp and the ledger: our copies of the source, here and where machines share.

Everything below the state folder is looked at, whatever made it; only Dagster's own folder is somebody else's.
"""

import contextlib
import os
import re
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ci_mailchimp_pipeline.artifacts import PARTIAL
from ci_mailchimp_pipeline.config import Config
from ci_mailchimp_pipeline.engine import MEMORY_LIMIT
from ci_mailchimp_pipeline.errors import PipelineError
from ci_mailchimp_pipeline.pipeline.scrubbing import Scrubbed, Scrubber
from ci_mailchimp_pipeline.pipeline.traces import Traces, found_in
from ci_mailchimp_pipeline.sources.base import Needs, open_source
from ci_mailchimp_pipeline.storage import Store
from ci_mailchimp_pipeline.sync.forget import Place, counted

ALWAYS_TOLD = ("snapshots", "frames")
SHOWN = 5  # files named in a message
TEMPORARY = re.compile(r"ci-mailchimp-((plan|explain|reconcile)-)?\w{8}")  # of commands that only look
ABANDONED_SECONDS = 3600  # a command that only looks is done by then


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedFolder:
    """A folder where machines share: complete when its file *last* is there."""

    name: str
    last: str


@dataclass(slots=True, kw_only=True)
class Copies:
    """The files of one project.

    Attributes:
        work: A private folder below the state folder, for what is fetched.
        foreign: Folders below the state folder that are not ours.
        store: Where machines share, with its *shared* folders.
    """

    config: Config
    work: Path
    foreign: Sequence[Path] = ()
    store: Store | None = None
    shared: Sequence[SharedFolder] = ()
    _fetched: dict[SharedFolder, Path] = field(default_factory=dict)

    def fetch(self) -> int:
        """Bring shared folders here; delete what an interrupted upload left there, and return how many."""
        removed = 0
        for number, folder in enumerate(self.shared if self.store else ()):
            assert self.store is not None  # noqa: S101  (for mypy)
            into = self.work / "shared" / str(number)
            if self.store.get(folder.name, into, last=folder.last):
                self._fetched[folder] = into
            else:
                self.store.remove(folder.name, last=folder.last)
                removed += 1
        return removed

    def ask_source(self, address: str) -> Place:
        """How many customers have *address* at the source now; what it says of them is kept for `parquet`."""
        columns = sorted({export.email for export in self.config.exports.values()})
        try:
            source = open_source(
                self.config.source_type, self.config.source_options, folder=self.config.folder
            )
            for number, column in enumerate(columns):
                into = self.work / "source" / str(number)
                into.mkdir(mode=0o700, parents=True)
                source.read(
                    Needs(columns=(column,), segments=(), holder=(column, address)),
                    into,
                    memory_limit=MEMORY_LIMIT,
                )
        except PipelineError as error:
            return Place(place="source", found=0, done=f"could not be asked ({error.code})")
        return Place(place="source", found=0, done="asked")

    def parquet(self) -> Iterator[Path]:
        """Every Parquet file: of the state folder, and what was fetched."""
        yield from (path for path in self._home() if path.suffix == ".parquet")
        yield from sorted(self.work.rglob("*.parquet"))

    def drop_drafts(self) -> Place | None:
        """Delete what killed runs and commands left half-written, here and among this user's temporary files."""
        drafts = [path for path in self.config.home.rglob(f".*{PARTIAL}") if not self._is_foreign(path)]
        for path in Path(tempfile.gettempdir()).iterdir():
            with contextlib.suppress(FileNotFoundError):  # a command that has just ended
                if TEMPORARY.fullmatch(path.name) and _is_abandoned(path.lstat()):
                    drafts.append(path)
        for path in drafts:
            shutil.rmtree(path, ignore_errors=True)
        return Place(place="unfinished files", found=len(drafts), done="deleted") if drafts else None

    def scrub(self, scrubber: Scrubber) -> Iterator[Place]:
        """Take the person out of each file, and say so for each folder of the state folder."""
        done = {name: Scrubbed() for name in ALWAYS_TOLD}
        folders: dict[Path, list[Path]] = defaultdict(list)
        for path in self._home():
            if path.suffix == ".parquet":
                folders[path.parent].append(path)
        for folder, files in folders.items():
            top = folder.relative_to(self.config.home).parts[:1] or (".",)
            scrubber.scrub(folder, files, done.setdefault(top[0], Scrubbed()))
        yield from (Place(place=name, found=each.rows, done=str(each)) for name, each in done.items())

    def scrub_shared(self, scrubber: Scrubber, removed: int) -> Place | None:
        """Take the person out of the fetched folders, and put back those that changed."""
        if self.store is None:
            return None
        done = Scrubbed(damaged=0)
        for folder, here in self._fetched.items():
            before = (done.files, done.damaged)
            scrubber.scrub(here, sorted(here.glob("*.parquet")), done)
            if (done.files, done.damaged) != before:
                self.store.put(here, folder.name, last=folder.last)
        told = f"{done}; {counted(removed, 'unfinished upload')} deleted" if removed else str(done)
        return Place(place="shared frames and snapshots", found=done.rows, done=told)

    def search(self, scrubber: Scrubber, traces: Traces) -> Place:
        """Look into every file of the state folder, byte by byte, and Parquet also row by row."""
        left = [
            path
            for path in (*self._home(), *(self.work / "shared").rglob("*"))
            if path.is_file()
            and (found_in(path, traces) or (path.suffix == ".parquet" and scrubber.left(path)))
        ]
        place = f"all files below {self.config.home}"
        if not left:
            return Place(place=place, found=0, done="searched: nothing found")
        named = [traces.shown(path.relative_to(self.config.home)) for path in left[:SHOWN]]
        more = f" and {len(left) - SHOWN} more" if len(left) > SHOWN else ""
        return Place(
            place=place,
            found=len(left),
            done="searched: still there",
            left=f"delete or overwrite {', '.join(named)}{more}",
        )

    def _home(self) -> Iterator[Path]:
        for path in sorted(self.config.home.rglob("*")):
            if path.is_file() and not self._is_foreign(path):
                yield path

    def _is_foreign(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in (self.work, *self.foreign))


def _is_abandoned(seen: os.stat_result) -> bool:
    return seen.st_uid == os.getuid() and time.time() - seen.st_mtime > ABANDONED_SECONDS
