"""Folders in a place that several machines share: object storage, or a folder of the file system, by URL.

A folder is complete or absent there, too: its last file says which, and is written last.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fsspec

from ci_mailchimp_pipeline.artifacts import draft
from ci_mailchimp_pipeline.errors import FixConfigError, PipelineError, RunLaterError

VARIABLE = "CI_MAILCHIMP_FRAMES"
# The protocol of a URL, and what brings it.
EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
    "gs": "gcs",
    "gcs": "gcs",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Folders below a URL. Names are relative paths with ``/``.

    Every method raises:
        FixConfigError: ``storage_not_permitted``.
        RunLaterError: ``storage_unreachable``.
    """

    protocol: str
    root: str = field(repr=False)  # the URL, which may hold a password, is in neither message nor repr
    files: Any = field(repr=False)  # fsspec's file system; it has no types

    def put(self, folder: Path, name: str, *, last: str) -> None:
        """Make the files of *folder* the folder *name*; its file *last* is written last."""
        with self._answering():
            there = self._path(name)
            self.files.makedirs(there, exist_ok=True)
            if self.files.exists(f"{there}/{last}"):
                self.files.rm(f"{there}/{last}")
            paths = sorted(path for path in folder.iterdir() if path.is_file())
            for path in sorted(paths, key=lambda path: path.name == last):
                self.files.put_file(str(path), f"{there}/{path.name}")

    def get(self, name: str, into: Path, *, last: str) -> bool:
        """Copy the folder *name* into the private folder *into*; False when it is absent, and nothing is done."""
        with self._answering():
            there = self._path(name)
            if not self.files.exists(f"{there}/{last}"):
                return False
            with draft(into) as work:
                for remote in self._list(there):
                    self.files.get_file(remote, str(work / remote.rpartition("/")[2]))
                into.mkdir(mode=0o700, exist_ok=True)
                for path in sorted(work.iterdir(), key=lambda path: path.name == last):
                    path.chmod(0o600)
                    path.replace(into / path.name)
        return True

    def has(self, name: str, file: str) -> bool:
        """Whether the folder *name* has *file*."""
        with self._answering():
            return bool(self.files.exists(f"{self._path(name)}/{file}"))

    def read(self, name: str, file: str) -> bytes | None:
        """The content of a small file; None when it is not there."""
        with self._answering():
            try:
                found: bytes = self.files.cat_file(f"{self._path(name)}/{file}")
            except FileNotFoundError:
                return None
            return found

    def names(self, name: str) -> list[str]:
        """The names in the folder *name*, without it; none when it is absent."""
        with self._answering():
            try:
                return [path.rpartition("/")[2] for path in self._list(self._path(name))]
            except FileNotFoundError:
                return []

    def age_key(self, name: str, file: str) -> Any:
        """Something that sorts folders by when their *file* was written."""
        with self._answering():
            return self.files.modified(f"{self._path(name)}/{file}")

    def remove(self, name: str, *, last: str) -> None:
        """Delete the folder *name*; its file *last*, without which it counts as absent, goes first."""
        with self._answering():
            there = self._path(name)
            if self.files.exists(f"{there}/{last}"):
                self.files.rm(f"{there}/{last}")
            if self.files.exists(there):
                self.files.rm(there, recursive=True)

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _list(self, path: str) -> list[str]:
        self.files.invalidate_cache()  # another machine may have written since
        found = (str(each).rstrip("/") for each in self.files.ls(path, detail=False))
        return sorted(each for each in found if each.rpartition("/")[2] and each != path)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """Tell what failed without the library's own words: they may quote the URL or an answer."""
        failure: PipelineError | None = None
        try:
            yield
        except PipelineError:
            raise
        except Exception as error:  # noqa: BLE001  (each library has errors of its own)
            failure = self._failure(error)
        if failure is not None:
            raise failure from None

    def _failure(self, error: Exception) -> PipelineError:
        what = f"{VARIABLE} ({self.protocol}): {type(error).__name__}"
        if isinstance(error, PermissionError) or "Credential" in type(error).__name__:
            return FixConfigError(
                "storage_not_permitted",
                f"{what}: the storage does not let us read and write there",
                fix="give this machine credentials that may read, write, list and delete below the URL",
            )
        return RunLaterError(
            "storage_unreachable",
            f"{what}: the storage could not be used",
            fix="look whether the bucket or folder exists and the storage is well, then run again",
        )


def open_store(url: str, *, find: Callable[[str], tuple[Any, str]] = fsspec.url_to_fs) -> Store:
    """The store at *url*: ``s3://bucket/path``, ``abfs://…``, ``gs://…``, ``file:///path``, ``memory://name``.

    Raises:
        FixConfigError: ``unknown_storage``; ``storage_needs_extra``.
    """
    protocol = url.partition("://")[0] if "://" in url else ""
    try:
        if protocol:
            files, root = find(url)
            return Store(protocol=protocol, root=root.rstrip("/"), files=files)
        missing = False
    except ImportError:
        missing = True
    except Exception:  # noqa: BLE001  (a URL that the library cannot read; its words may quote a password)
        missing = False
    if missing:
        extra = EXTRAS.get(protocol)
        wanted = f"'ci-mailchimp-pipeline[{extra}]'" if extra else f"what fsspec needs for {protocol}"
        raise FixConfigError(
            "storage_needs_extra",
            f"{VARIABLE} is a {protocol} URL, and what reads those is not installed",
            fix=f"pip install {wanted}",
        )
    raise FixConfigError(
        "unknown_storage",
        f"{VARIABLE} is no URL that is known",
        fix="write s3://BUCKET/PATH, abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH, gs://BUCKET/PATH or "
        "file:///absolute/path, or unset it",
    )
