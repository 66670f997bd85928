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
import re
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from ci_mailchimp_pipeline.artifacts import unwritable
from ci_mailchimp_pipeline.engine import Engine, array, identifier, quoted
from ci_mailchimp_pipeline.errors import FixDataError, PipelineError, Place
from ci_mailchimp_pipeline.sources.listing import Listing
from ci_mailchimp_pipeline.sources.tables import Part, check_names

MAX_HEADER_BYTES = 1 << 20
BLOCK_BYTES = 1 << 20
MAX_ROW_BYTES = 2_000_000  # DuckDB's own default
BUFFER_BYTES = 32_000_000  # DuckDB's own default
DELIMITERS = (",", ";", "\t")
_NOT_UTF8 = (
    codecs.BOM_UTF16_LE,
    codecs.BOM_UTF16_BE,
)  # the byte order mark of UTF-32 LE starts like that of UTF-16
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_RECORD = re.compile(rf'(?:[^"\r\n]|{_QUOTED.pattern})*')
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
    text = start.decode("utf-8-sig", errors="replace")
    record = _RECORD.match(text)
    newline = re.match(r"\r\n|\r|\n|\Z", text[record.end() :]) if record else None
    if record is None or newline is None or len(start) == MAX_HEADER_BYTES == record.end():
        raise _malformed(listing, file, "has a header that is not closed", fix="close its quotes", line=1)
    if not record[0].strip():
        what = "has no header: the first line is blank"
        raise _malformed(listing, file, what, fix="put the column names into the first line", line=1)
    delimiters = [delimiter for delimiter in DELIMITERS if delimiter in _QUOTED.sub("", record[0])]
    if len(delimiters) > 1:
        what = "has a header that more than one of comma, semicolon and tab would split"
        raise _malformed(
            listing, file, what, fix="put names with such a character into double quotes", line=1
        )
    delimiter = (delimiters or [","])[0]
    columns = tuple(next(csv.reader([record[0]], delimiter=delimiter)))
    if any("\ufffd" in name for name in columns):
        raise _malformed(listing, file, "is not UTF-8", fix="save it as UTF-8", line=1)
    check_names(listing, file, columns)
    return Header(columns=columns, delimiter=delimiter, newline=newline[0] or "\n")


def stage(engine: Engine, listing: Listing, columns: Sequence[str], work: Path) -> list[Part]:
    """Write *columns* of every file of *listing* as Parquet into *work*: text as written, NULL for nothing.

    Raises:
        FixDataError: ``malformed_csv``; a row is too short or too long, a quote is not closed, bytes are
        not UTF-8.
    """
    # A row's number is its place in the Parquet file.
    engine.execute("SET preserve_insertion_order = true")
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
    _copy_sealed(listing, file, sealed, header, seal)
    names = [f"c{n}" for n in range(len(header.columns))]  # by number: a header may hold any text
    chosen = ", ".join(
        f"{names[header.columns.index(column)]} AS {identifier(f'p_{column}')}" for column in columns
    )
    spec = "{" + ", ".join(f"{name}: 'VARCHAR'" for name in names) + "}"
    rows = engine.execute(
        f"""
        COPY (SELECT {chosen}, {names[0]} = {quoted(seal)} AS sealed FROM read_csv({array([sealed])},
            columns = {spec}, auto_detect = false, parallel = false, strict_mode = true, header = true,
            delim = {quoted(header.delimiter)}, quote = '"', escape = '"', comment = '',
            nullstr = '', allow_quoted_nulls = false, max_line_size = {MAX_ROW_BYTES}, buffer_size = {BUFFER_BYTES}
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
    row = header.delimiter.join([seal] * len(header.columns)) + header.newline
    last = b"\n"
    try:
        with to.open("wb") as target:
            for block in _blocks(listing, file):
                target.write(block)
                last = block[-1:]
            target.write(("" if last in b"\r\n" else header.newline).encode() + row.encode())
    except OSError as error:
        raise unwritable(error, to.parent) from None


def _blocks(listing: Listing, file: Path) -> Iterator[bytes]:
    try:
        with _open(listing, file) as opened:
            while block := opened.read(BLOCK_BYTES):
                yield block
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(listing, file, error) from None


def _open(listing: Listing, file: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(file)) if listing.kind == "csv.gz" else file.open("rb")


def _explain(listing: Listing, file: Path, width: int) -> Callable[[Exception], PipelineError | None]:
    def explain(error: Exception) -> PipelineError:
        # The words also hold the row itself, so nothing but numbers is taken from them.
        text = str(error)
        place = re.search(r"CSV Error on Line: (\d+)", text)  # counts rows, the header included
        row = f"data row {int(place[1]) - 1}" if place else "some row"
        for pattern, what, fix in _FAULTS:
            if found := re.search(pattern, text):
                said = what.format(*found.groups(), width=width)
                return _malformed(listing, file, f"{row} {said}", fix=fix)
        what = "line ends are mixed, or quotes do not match"
        return _malformed(listing, file, what, fix="write the file with one kind of line end")

    return explain


_FAULTS = (
    (
        r"Expected Number of Columns: \d+ Found: (\d+)",
        "has {} values, the header has {width}",
        "quote values that hold the delimiter or a newline",
    ),
    ("is not utf-8 encoded", "is not UTF-8", "save the file as UTF-8"),
    (
        "unterminated quote",
        "has a quoted value that is not closed, or goes on after its closing quote",
        "write a quote inside a value twice",
    ),
    ("Maximum line size", f"is longer than {MAX_ROW_BYTES} bytes", "look for a quote that is not closed"),
)


def _malformed(listing: Listing, file: Path, what: str, *, fix: str, line: int | None = None) -> FixDataError:
    return FixDataError(_CODE, f"source: {listing.key}: {what}", fix=fix, place=Place(str(file), line))


def _unreadable(listing: Listing, file: Path, error: Exception) -> FixDataError:
    reason = getattr(error, "strerror", None) or "cut or damaged"
    return FixDataError(
        "source_unreadable",
        f"source: {listing.key}: {file} cannot be read ({reason})",
        fix="write the file again, readable for the pipeline's user",
    )
