r"""CSV files of the ``files`` source: header, then every value as text into Parquet.

DuckDB reads the rows. Compared with Python's reader on random files, DuckDB 2.0.0 loses or mixes up rows
without a word in three cases, which are closed here:

- Its parallel scanner misplaces quotes and newlines where two buffers meet. We read with ``parallel =
false``.
- Without it, a quote that is never closed swallows the rest of the file. We read a copy that ends in a
seal, and
  the seal has to come out.
- Given ``new_line = '\r\n'`` it can drop every row. We let it see for itself.
"""

import codecs
import csv
import gzip
import io
import re
import secrets
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ci_mailchimp_pipeline.engine import Engine, array, identifier, quoted
from ci_mailchimp_pipeline.errors import FixDataError, PipelineError, Place
from ci_mailchimp_pipeline.sources.listing import Listing
from ci_mailchimp_pipeline.sources.tables import Part, check_names

MAX_HEADER_BYTES = 1 << 20
MAX_ROW_BYTES = 2_000_000  # DuckDB's own default
DELIMITERS = (",", ";", "\t")
_NOT_UTF8 = (
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
)  # the byte order mark of UTF-32 LE starts like that of UTF-16
_CODE = "malformed_csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first row of a CSV file, and how its rows are separated."""

    columns: tuple[str, ...]
    delimiter: str
    newline: str


def read_header(listing: Listing, file: Path) -> Header:
    """The header of *file*; the delimiter is the one of comma, semicolon and tab that splits it.

    Raises:
        FixDataError: ``malformed_csv``, ``bad_column_names`` or ``source_unreadable``; no header, not
        UTF-8, names
            missing, repeated or different only in case, two delimiters that would both do.
    """
    try:
        with _open(listing, file) as opened:
            start = opened.read(MAX_HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(listing, file, error) from None
    if start.startswith(_NOT_UTF8) or b"\0" in start[:4]:
        raise _malformed(listing, file, "is UTF-16, not UTF-8", fix="save it as UTF-8", line=1)
    lines = io.StringIO(start.decode("utf-8-sig", errors="replace"), newline="").readlines()
    if not lines or not lines[0].strip():
        raise _malformed(
            listing,
            file,
            "has no header: the first line is blank",
            fix="put the column names into the first line",
            line=1,
        )
    splits = [header for delimiter in DELIMITERS if (header := _split(lines, delimiter))]
    header = splits[0] if len(splits) == 1 else _split(lines, DELIMITERS[0], least=1) if not splits else None
    if header is None:
        reason = "can be split at more than one of comma, semicolon and tab, or is not closed"
        raise _malformed(
            listing,
            file,
            f"has a header that {reason}",
            fix="put names that hold such a character into double quotes",
            line=1,
        )
    if any("\ufffd" in name for name in header.columns):
        raise _malformed(listing, file, "is not UTF-8", fix="save it as UTF-8", line=1)
    check_names(listing, file, header.columns)
    return header


def _split(lines: list[str], delimiter: str, *, least: int = 2) -> Header | None:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = next(reader)
    except csv.Error:
        return None
    last = lines[reader.line_num - 1]
    newline = last[len(last.rstrip("\r\n")) :] or "\n"
    return (
        Header(columns=tuple(columns), delimiter=delimiter, newline=newline)
        if len(columns) >= least
        else None
    )


def stage(engine: Engine, listing: Listing, columns: Sequence[str], work: Path) -> list[Part]:
    """Write *columns* of every file of *listing* as Parquet into *work*: text as written, NULL for nothing.

    Raises:
        FixDataError: ``malformed_csv``; a row is too short or too long, a quote is not closed, bytes are
        not UTF-8.
    """
    engine.execute(
        "SET preserve_insertion_order = true"
    )  # the row number of a CSV file is its place in the Parquet file
    parts = [
        _stage_file(engine, listing, file, columns, work / f"{listing.key}-{n}.parquet")
        for n, file in enumerate(listing.files)
    ]
    engine.execute("SET preserve_insertion_order = false")
    return parts


def _stage_file(engine: Engine, listing: Listing, file: Path, columns: Sequence[str], part: Path) -> Part:
    header = read_header(listing, file)
    lacking = [column for column in columns if column not in header.columns]
    if lacking:
        raise _malformed(
            listing,
            file,
            f"has no column '{lacking[0]}', which other files have",
            fix="write all files with the same columns",
            line=1,
        )
    seal, sealed = secrets.token_hex(16), part.with_suffix(".csv")
    try:
        _copy_sealed(listing, file, sealed, header, seal)
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(listing, file, error) from None
    names = [
        f"c{n}" for n in range(len(header.columns))
    ]  # the real ones may differ only in case from a keyword or each other
    chosen = ", ".join(
        f"{names[header.columns.index(column)]} AS {identifier(f'p_{column}')}" for column in columns
    )
    spec = "{" + ", ".join(f"{name}: 'VARCHAR'" for name in names) + "}"
    rows = engine.execute(
        f"""
        COPY (SELECT {chosen}, {names[0]} = {quoted(seal)} AS sealed FROM read_csv({array([sealed])},
            columns = {spec}, auto_detect = false, parallel = false, strict_mode = true, header = true,
            delim = {quoted(header.delimiter)}, quote = '"', escape = '"', comment = '',
            nullstr = '', allow_quoted_nulls = false, max_line_size = {MAX_ROW_BYTES}
        )) TO {quoted(part)} (FORMAT parquet)
        """,
        explain=_explain(listing, file, len(header.columns)),
    )[0][0]
    sealed.unlink()
    if engine.one(f"SELECT count(*) FROM read_parquet({array([part])}) WHERE sealed") != 1:
        raise _malformed(
            listing,
            file,
            f"ends inside a quoted value that opens in data row {rows + 1}",
            fix="write the file again; it may have been cut",
        )
    return Part(path=part, rows=rows - 1, where="NOT coalesce(sealed, false)")


def _copy_sealed(listing: Listing, file: Path, to: Path, header: Header, seal: str) -> None:
    with _open(listing, file) as source, to.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
        ending = "" if _last_byte(to) in b"\r\n" else header.newline
        row = header.delimiter.join([seal] * len(header.columns))
        target.write(f"{ending}{row}{header.newline}".encode())


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-1, io.SEEK_END)
        return file.read()


def _open(listing: Listing, file: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file)) if listing.kind == "csv.gz" else file.open("rb")


def _explain(listing: Listing, file: Path, width: int) -> Callable[[Exception], PipelineError | None]:
    def explain(error: Exception) -> PipelineError:
        text = str(error)
        line = re.search(r"CSV Error on Line: (\d+)", text)
        at = int(line[1]) if line else None
        if found := re.search(r"Expected Number of Columns: \d+ Found: (\d+)", text):
            what, fix = (
                f"a row has {found[1]} values, the header has {width}",
                "quote values that hold the delimiter or a newline",
            )
        elif "not utf-8" in text:
            what, fix = "a row is not UTF-8", "save the file as UTF-8"
        elif "unterminated quote" in text:
            what, fix = (
                "a quoted value is not closed, or goes on after its closing quote",
                "write a quote inside a value twice",
            )
        elif "Maximum line size" in text:
            what, fix = f"a row is longer than {MAX_ROW_BYTES} bytes", "look for a quote that is not closed"
        else:
            what, fix = (
                "line ends are mixed, or quotes do not match",
                "write the file with one kind of line end",
            )
        return _malformed(listing, file, what, fix=fix, line=at)

    return explain


def _malformed(listing: Listing, file: Path, what: str, *, fix: str, line: int | None = None) -> FixDataError:
    return FixDataError(_CODE, f"source: {listing.key}: {what}", fix=fix, place=Place(str(file), line))


def _unreadable(listing: Listing, file: Path, error: Exception) -> FixDataError:
    reason = getattr(error, "strerror", None) or "cut or damaged"
    return FixDataError(
        "source_unreadable",
        f"source: {listing.key}: {file} cannot be read ({reason})",
        fix="write the file again, readable for the pipeline's user",
    )
