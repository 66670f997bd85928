"""Files as one table: a ``row`` number and ``p_<Column>`` texts, whatever the files' types were."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, array, identifier
from ci_mailchimp_pipeline.errors import FixDataError
from ci_mailchimp_pipeline.sources.listing import Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One Parquet file of a table.

    Attributes:
        rows: Data rows; those of the parts before give the first row its number.
        where: SQL that is true for a data row.
        texts: SQL of each column's text, when the file does not hold ``p_<Column>`` already.
        types: Of the columns in the file. Only files of the same types are scanned together: DuckDB would read the
            others with the types of the first, and a text with zeros as a number.
    """

    path: Path
    rows: int
    where: str = "true"
    texts: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


def check_names(listing: Listing, file: Path, names: Sequence[str]) -> None:
    """Refuse column names that are missing, repeated, or different only in case.

    Raises:
        FixDataError: ``bad_column_names``.
    """
    seen: dict[str, str] = {}
    for number, name in enumerate(names, start=1):
        other = seen.setdefault(name.casefold(), name) if name else name
        if not name:
            what = f"column {number} has no name"
        elif number - 1 != names.index(name):
            what = f"the column '{name}' is there twice"
        elif other != name:
            what = f"the columns '{other}' and '{name}' differ only in case"
        else:
            continue
        raise FixDataError(
            "bad_column_names",
            f"source: {listing.key}: {file}: {what}",
            fix="give every column a name of its own",
        )


def create_table(engine: Engine, name: str, parts: Sequence[Part], columns: Sequence[str]) -> None:
    """Make a view *name* over *parts*: ``row`` (1-based, in their order) and ``p_<Column>`` for *columns*."""
    groups: dict[tuple[tuple[str, ...], str, tuple[str, ...]], list[tuple[Part, int]]] = {}
    start = 0
    for part in parts:  # files of one schema are scanned together: a folder may have hundreds
        groups.setdefault((part.types, part.where, part.texts), []).append((part, start))
        start += part.rows
    selects = []
    for (_, where, texts), members in groups.items():
        staged = [identifier(f"p_{column}") for column in columns]
        values = ", ".join(f"{text} AS {out}" for text, out in zip(texts or staged, staged, strict=True))
        starts = ", ".join(f"({index}, {first})" for index, (_, first) in enumerate(members))
        selects.append(
            f"""SELECT place.first_row + f.file_row_number + 1 AS row, {values}
            FROM read_parquet({array(part.path for part, _ in members)}) f
            JOIN (VALUES {starts}) place(part, first_row) ON f.file_index = place.part WHERE {where}"""
        )
    engine.execute(f"CREATE VIEW {identifier(name)} AS {' UNION ALL '.join(selects)}")
