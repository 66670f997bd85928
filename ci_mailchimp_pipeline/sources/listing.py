"""Which files a path means, and a name for their state; looks at names and times only."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError
from ci_mailchimp_pipeline.sources.base import NotReady

Kind = Literal["parquet", "csv", "csv.gz"]
KINDS: tuple[Kind, ...] = ("parquet", "csv.gz", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The files behind one key of ``source:``, all of one kind, sorted by path, never empty."""

    key: str
    kind: Kind
    files: tuple[Path, ...]


def list_files(key: str, text: str, folder: Path) -> Listing:
    """The files that *text* under the key *key* means: one file, those directly in a folder, or a glob's.

    Relative paths are relative to *folder*. In a folder or a glob, names that start with ``.`` or ``_``
    (markers, temporary files) and other kinds of files are left out. Sub-folders are not entered: they are
    often older refreshes.

    Raises:
        FixConfigError: ``path_not_found``, ``mixed_files``, ``unknown_file_kind`` or ``remote_path``.
        FixDataError: ``source_unreadable``.
    """
    if "://" in text:
        raise FixConfigError(
            "remote_path",
            f"source: {key}: {text.partition('://')[0]}:// paths need an extra that does not exist yet",
            fix="copy the files to this machine, or mount the storage, and name the local path",
        )
    path = Path(os.path.normpath(folder / Path(text).expanduser()))
    try:
        found = _candidates(key, path)
    except OSError as error:
        raise FixDataError(
            "source_unreadable",
            f"source: {key}: {path} cannot be read ({os.strerror(error.errno or 0)})",
            fix="let the pipeline's user read it",
        ) from None
    kinds = sorted({kind for _, kind in found})
    if len(kinds) > 1:
        raise FixConfigError(
            "mixed_files",
            f"source: {key}: {path} holds {' and '.join(kinds)} files",
            fix="name one kind with a glob, for example *.parquet",
        )
    return Listing(key=key, kind=kinds[0], files=tuple(sorted(file for file, _ in found)))


def _candidates(key: str, path: Path) -> list[tuple[Path, Kind]]:
    if path.is_file():
        kind = _kind(path)
        if kind is None:
            raise FixConfigError(
                "unknown_file_kind",
                f"source: {key}: {path} is neither .parquet nor .csv nor .csv.gz",
                fix="give it the ending of what it is",
            )
        return [(path, kind)]
    if path.is_dir():
        names, none = list(path.iterdir()), f"{path} has no .parquet, .csv or .csv.gz file directly in it"
    elif set(str(path)) & set("*?["):
        anchor = Path(path.anchor)
        names = list(anchor.glob(str(path.relative_to(anchor))))
        none = f"no .parquet, .csv or .csv.gz file matches {path}"
    else:
        names, none = [], f"{path} does not exist"
    found = [
        (file, kind)
        for file in names
        if file.name[0] not in "._" and file.is_file() and (kind := _kind(file))
    ]
    if not found:
        raise FixConfigError(
            "path_not_found",
            f"source: {key}: {none}",
            fix=f"correct '{key}' under 'source', or write the files",
        )
    return found


def _kind(path: Path) -> Kind | None:
    name = path.name.lower()
    return next((kind for kind in KINDS if name.endswith(f".{kind}")), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """All files at one moment: a hash of names, sizes and times, and the newest time (epoch nanoseconds)."""

    digest: str
    newest_ns: int


def file_state(listings: Iterable[Listing], folder: Path, *, extra: str) -> FileState:
    """Look at every file of *listings* now; *extra* goes into the digest as well.

    Raises:
        NotReady: A file vanished while we looked.
    """
    digest, newest = hashlib.sha256(extra.encode()), 0
    for listing in listings:
        for file in listing.files:
            try:
                seen = file.stat()
            except OSError:
                raise NotReady(f"source: {listing.key}: {file} vanished while it was looked at") from None
            newest = max(newest, seen.st_mtime_ns)
            name = os.path.relpath(file, folder)
            digest.update(f"\0{listing.key}\0{name}\0{seen.st_size}\0{seen.st_mtime_ns}".encode())
    return FileState(digest=digest.hexdigest()[:32], newest_ns=newest)
