"""Take a person out of Parquet files: the rows that are theirs, and their address in the rows of others.

A snapshot or frame is rewritten, not deleted: the run that comes next may need it. What its manifest says of it
is made to fit.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ci_mailchimp_pipeline.artifacts import CUT, MANIFEST, draft, load_manifest, publish
from ci_mailchimp_pipeline.engine import Engine, identifier, quoted
from ci_mailchimp_pipeline.errors import FixDataError, PipelineError
from ci_mailchimp_pipeline.frame.build import recounted
from ci_mailchimp_pipeline.pipeline.traces import Traces, customer_sql
from ci_mailchimp_pipeline.sync.forget import counted

ADDRESS_COLUMNS = frozenset({"email_address", "address", "old_address"})  # in the files that are ours
_TEXT, _BYTES = "VARCHAR", "BLOB"


@dataclass(slots=True, kw_only=True)
class Scrubbed:
    """What was done to the files of one place.

    Attributes:
        rows: The person's.
        cut: Rows of others, out of which the address was cut.
        files: Rewritten.
        damaged: Deleted, because nobody could say what they hold.
    """

    rows: int = 0
    cut: int = 0
    files: int = 0
    damaged: int = 0

    def __str__(self) -> str:
        told = [f"{counted(self.files, 'file')} rewritten"] if self.files else []
        told += [f"cut out of {counted(self.cut, 'row')} of others"] if self.cut else []
        told += [f"{counted(self.damaged, 'damaged file')} deleted"] if self.damaged else []
        return ", ".join(told) or "nothing found"


@dataclass(frozen=True, kw_only=True)
class Scrubber:
    """Looks for one person in Parquet files, and takes them out.

    Attributes:
        engine: Keeps the order of rows.
        emails: Columns that hold a customer's address.
    """

    engine: Engine
    traces: Traces
    emails: frozenset[str] = field(default=ADDRESS_COLUMNS)

    def customers(self, file: Path, remembered: str) -> tuple[set[str], set[str]]:
        """The customer ids that stand beside the person's address or hash, and all that were *remembered*.

        *remembered* is SQL over ``customer_id``. A file that cannot be read holds nobody.
        """
        columns = self._columns(file)
        if columns is None or columns.get("customer_id") != _TEXT:
            return set(), set()
        rows = self.engine.execute(
            f"""
            SELECT customer_id, bool_or(mine) FROM (
                SELECT customer_id, {self._theirs(columns, self.traces.customers)} AS mine FROM {_rows(file)}
                WHERE customer_id IS NOT NULL
            ) WHERE mine OR {remembered} GROUP BY 1
            """
        )
        return {customer for customer, mine in rows if mine}, {customer for customer, _ in rows}

    def scrub(self, folder: Path, files: Iterable[Path], done: Scrubbed) -> None:
        """Rewrite those of *files*, all directly in *folder*, that hold the person; count it in *done*."""
        found = {file: self._look(file) for file in files}
        unreadable = [file for file, seen in found.items() if seen is None]
        touched = {file: seen for file, seen in found.items() if seen and (seen[1] or seen[2])}
        manifest = self._manifest(folder) if (folder / MANIFEST).exists() and (touched or unreadable) else {}
        if manifest is None or (manifest and unreadable):
            unreadable, touched = list(found), {}  # nobody could tell it from what it was
        for file in unreadable:
            file.unlink(missing_ok=True)
            done.damaged += 1
        if manifest and touched:
            self._publish(folder, manifest, {file.name: seen[2] > 0 for file, seen in touched.items()})
        else:
            for file, seen in touched.items():
                self._rewrite(file, file, cut=seen[2] > 0)
        done.files += len(touched)
        done.rows += sum(seen[0] for seen in touched.values())
        done.cut += sum(seen[2] for seen in touched.values())

    def left(self, file: Path) -> int:
        """How many rows of *file* are the person's, or name them."""
        mine, _, named = self._look(file) or (0, 0, 0)
        return mine + named

    def _look(self, file: Path) -> tuple[int, int, int] | None:
        """Rows of the person; rows to take out; other rows that name them. None when it cannot be read."""
        columns = self._columns(file)
        if columns is None:
            return None
        texts = [f"{identifier(name)}::VARCHAR" for name, kind in columns.items() if kind != _BYTES]
        named = self.traces.named_sql(f"concat_ws(chr(1), {', '.join(texts)})") if texts else "false"
        mine, gone, others = self.engine.execute(
            f"""
            SELECT count(*) FILTER (mine), count(*) FILTER (gone), count(*) FILTER (named AND NOT gone) FROM (
                SELECT {self._theirs(columns, self.traces.customers)} AS mine,
                       {self._theirs(columns, self.traces.forgotten)} AS gone, {named} AS named
                FROM {_rows(file)}
            )
            """
        )[0]
        return mine, gone, others

    def _columns(self, file: Path) -> dict[str, str] | None:
        try:
            described = self.engine.execute(f"DESCRIBE SELECT * FROM {_rows(file)}")
        except PipelineError as error:
            if error.code != "engine_failed":
                raise
            return None
        return {name: kind for name, kind, *_ in described}

    def _theirs(self, columns: Mapping[str, str], customers: frozenset[str]) -> str:
        """SQL: whether a row is the person's, or one of *customers*'."""
        tests = [self.traces.hash_sql(name, customers) for name, kind in columns.items() if kind == _BYTES]
        tests += [
            self.traces.named_sql(identifier(name))
            for name in sorted(self.emails)
            if columns.get(name) == _TEXT
        ]
        if columns.get("customer_id") == _TEXT:
            tests.append(customer_sql(customers))
        return f"({' OR '.join(tests)})" if tests else "false"

    def _rewrite(self, file: Path, into: Path, *, cut: bool) -> None:
        columns = self._columns(file) or {}
        texts = [identifier(name) for name, kind in columns.items() if kind == _TEXT]
        without = ", ".join(f"{self.traces.cut_sql(text)} AS {text}" for text in texts)
        written = into.with_name(f".{into.name}.new")
        self.engine.execute(
            f"""COPY (SELECT * {f"REPLACE ({without})" if cut and texts else ""} FROM {_rows(file)}
            WHERE NOT {self._theirs(columns, self.traces.forgotten)}) TO {quoted(written)} (FORMAT parquet)"""
        )
        written.chmod(0o600)
        written.replace(into)

    def _publish(self, folder: Path, manifest: Mapping[str, Any], touched: Mapping[str, bool]) -> None:
        with draft(folder) as work:
            for name in manifest["files"]:
                if name in touched:
                    self._rewrite(folder / name, work / name, cut=touched[name])
                else:
                    (work / name).hardlink_to(folder / name)
            facts = {key: value for key, value in manifest.items() if key not in {"files", "format"}}
            facts[CUT] = True
            if "accepted" in facts:  # a frame
                facts = recounted(self.engine, facts, work)
            rows = {
                name: self.engine.one(f"SELECT count(*) FROM {_rows(work / name)}")
                for name in manifest["files"]
            }
            used = (folder / MANIFEST).stat().st_mtime
            publish(work, folder, rows=rows, facts=facts)
            os.utime(folder / MANIFEST, (used, used))  # which snapshots are kept goes by it

    def _manifest(self, folder: Path) -> dict[str, Any] | None:
        with contextlib.suppress(FixDataError):
            return load_manifest(folder)
        return None


def _rows(file: Path) -> str:
    return f"read_parquet({quoted(file)})"
