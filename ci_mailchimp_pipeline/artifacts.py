"""Folders that are complete or absent: written privately under another name, manifest last, then renamed."""

import errno
import json
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.errors import FixConfigError, FixDataError, PipelineError, RunLaterError

MANIFEST = "manifest.json"
PARTIAL = ".partial"
FORMAT = 1  # of the manifest
CUT = "cut"  # in the manifest: somebody was erased from the files since they were made
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the last where the size of files is limited (ulimit -f)
_NUMBER = re.compile(r"\(os error (\d+)\)")  # how the data frames' library quotes the system


@contextmanager
def draft(final: Path) -> Iterator[Path]:
    """Yield a new private folder beside *final* to write in; afterwards it is gone, published or not.

    Raises:
        FixConfigError: ``home_not_writable``.
        RunLaterError: ``disk_full``.
    """
    work = final.with_name(f".{final.name}.{secrets.token_hex(4)}{PARTIAL}")
    try:
        final.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        work.mkdir(mode=0o700)
    except OSError as error:
        raise unwritable(error, final.parent) from None
    try:
        with room_in(final.parent):
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Tell in our words that the disk of *folder* is full; every other failure passes as it is.

    Raises:
        RunLaterError: ``disk_full``.
    """
    full: PipelineError | None = None
    try:
        yield
    except Exception as error:
        full = no_room(error, folder)
        if full is None:
            raise
    if full is not None:
        raise full from None


@contextmanager
def temporary() -> Iterator[Path]:
    """Yield a private folder outside of the state folder; it is gone afterwards.

    Raises:
        FixConfigError: ``no_temporary_folder``.
        RunLaterError: ``disk_full``.
    """
    try:
        made = tempfile.TemporaryDirectory(prefix="ci-mailchimp-", ignore_cleanup_errors=True)
    except OSError:
        made = None
    if made is None:
        raise FixConfigError(
            "no_temporary_folder",
            "no folder for temporary files can be written: full, or read-only",
            fix="free space in /tmp, or set TMPDIR to a folder that can be written",
        )
    with made as folder, room_in(Path(folder)):
        yield Path(folder)


def no_room(error: Exception, folder: Path) -> PipelineError | None:
    """The error to raise when *error* says that the disk of *folder* is full; None for another one."""
    quoted = _NUMBER.search(str(error))
    number = error.errno if isinstance(error, OSError) else int(quoted[1]) if quoted else None
    if number not in _FULL:
        return None
    return RunLaterError("disk_full", f"the disk of {folder} is full", fix="free disk space, then run again")


def unwritable(error: OSError, folder: Path) -> PipelineError:
    """The error to raise when *folder*, where the state is kept, could not be written."""
    if full := no_room(error, folder):
        return full
    reason = os.strerror(error.errno or errno.EIO)
    return FixConfigError(
        "home_not_writable",
        f"{folder} cannot be written ({reason})",
        fix="let the pipeline's user write there, or set CI_MAILCHIMP_HOME to another folder",
    )


def publish(
    work: Path,
    final: Path,
    *,
    rows: Mapping[str, int],
    facts: Mapping[str, Any],
    done: Callable[[], object] = lambda: False,
) -> None:
    """Make the files of *rows* (name → row count) in the draft *work* the folder *final*, with a manifest.

    The manifest also holds *facts*, which are JSON values. Other files in the draft are dropped; other
    files that *final* holds already stay. Where *final* is there and *done* says that it is as good (another
    process was faster), it is left alone: somebody may be reading it.
    """
    files = {name: {"rows": count, "sha256": _sha256(work / name)} for name, count in sorted(rows.items())}
    manifest = json.dumps({"format": FORMAT, "files": files, **facts}, indent=1)
    (work / MANIFEST).write_text(manifest, encoding="utf-8")
    for path in list(work.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name in (*rows, MANIFEST):
            path.chmod(0o600)
        else:
            path.unlink()
    if _took_place(work, final) or done() or _took_place(work, final):
        return
    (final / MANIFEST).unlink(missing_ok=True)  # without it the folder counts as absent
    for name in (*rows, MANIFEST):
        (work / name).rename(final / name)


def _took_place(work: Path, final: Path) -> bool:
    """Rename *work* to *final*, unless a folder with something in it is there."""
    try:
        work.rename(final)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def load_manifest(folder: Path, *, code: str = "folder_not_good") -> dict[str, Any]:
    """The manifest of a published folder, after comparing every file with it. Reads only.

    Raises:
        FixDataError: *code*; the manifest is missing or unreadable, or a file is not the one it describes.
    """
    fix = f"delete {folder} and run again"
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wrong = [name for name, file in manifest["files"].items() if _sha256(folder / name) != file["sha256"]]
        known = manifest["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        what = "it has no readable manifest, or a file is missing"
        raise FixDataError(code, f"{folder} is not complete: {what}", fix=fix) from None
    if not known:
        raise FixDataError(code, f"{folder} was written by another version of this package", fix=fix)
    if wrong:
        raise FixDataError(code, f"{folder}: {', '.join(wrong)} changed after it was written", fix=fix)
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
