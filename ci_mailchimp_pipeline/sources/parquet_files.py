"""Parquet files of the ``files`` source: their columns, and the canonical text of each type."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ci_mailchimp_pipeline.engine import Engine, array, identifier
from ci_mailchimp_pipeline.errors import FixDataError, PipelineError
from ci_mailchimp_pipeline.sources.listing import Listing
from ci_mailchimp_pipeline.sources.tables import Part, check_names

_AS_WRITTEN = ("VARCHAR", "JSON", "UUID", "BOOLEAN", "DATE", "TIME", "DECIMAL", "ENUM")
_INTEGERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "UHUGEINT",
)


def read_columns(engine: Engine, listing: Listing) -> dict[Path, dict[str, str]]:
    """Per file, its columns in order and their types in DuckDB's words.

    Raises:
        FixDataError: ``source_unreadable`` or ``bad_column_names``.
    """
    rows = engine.execute(
        f"""SELECT file_name, name, coalesce(num_children, 0), duckdb_type
        FROM parquet_schema({array(listing.files)})""",
        explain=_explain(listing),
    )
    schemas: dict[Path, list[tuple[str, str]]] = {file: [] for file in listing.files}
    open_nodes: dict[Path, list[int]] = {}
    for (
        file_name,
        name,
        children,
        duckdb_type,
    ) in rows:  # the nodes of each file's tree, depth first, the root first
        file = Path(file_name)
        depth = open_nodes.setdefault(file, [])
        if len(depth) == 1:
            schemas[file].append((name, duckdb_type))
        depth.append(children)
        while depth and depth[-1] == 0:
            depth.pop()
            if depth:
                depth[-1] -= 1
    for file, schema in schemas.items():
        check_names(listing, file, [name for name, _ in schema])
    return {file: dict(schema) for file, schema in schemas.items()}


def parquet_parts(engine: Engine, listing: Listing, columns: Sequence[str]) -> list[Part]:
    """The files of *listing* as parts of a table of *columns*; nothing is copied.

    Raises:
        FixDataError: ``source_unreadable``, ``bad_column_names`` or ``unsupported_type``.
    """
    schemas = read_columns(engine, listing)
    counts = engine.execute(
        f"SELECT file_name, num_rows FROM parquet_file_metadata({array(listing.files)})",
        explain=_explain(listing),
    )
    rows = {Path(name): count for name, count in counts}
    parts = []
    for file in listing.files:
        texts = tuple(_text(listing, file, schemas[file], column) for column in columns)
        types = tuple(schemas[file][column] for column in columns)
        parts.append(Part(path=file, rows=rows[file], texts=texts, types=types))
    return parts


def _text(listing: Listing, file: Path, schema: dict[str, str], column: str) -> str:
    where = f"source: {listing.key}: {file}"
    if column not in schema:
        raise FixDataError(
            "source_unreadable",
            f"{where} has no column '{column}', which other files have",
            fix="write all files with the same columns",
        )
    kind, value = schema[column], f"f.{identifier(column)}"
    text = f"CAST({value} AS VARCHAR)"
    base = kind.split("(")[0]
    if "[" not in kind and base in (*_AS_WRITTEN, *_INTEGERS):
        return text
    if kind in ("FLOAT", "DOUBLE"):
        # Whole numbers as integers (-0.0 as 0); beyond 1e15 a double no longer tells neighbours apart.
        whole = f"{value} = trunc({value}) AND abs({value}) < 1e15"
        return f"CASE WHEN {whole} THEN CAST(CAST({value} AS BIGINT) AS VARCHAR) ELSE {text} END"
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"replace(replace({text}, ' ', 'T'), '+00', 'Z')"
    if kind.startswith("TIMESTAMP"):
        return f"replace({text}, ' ', 'T')"
    raise FixDataError(
        "unsupported_type",
        f"{where}: the column '{column}' has the type {base.lower()}, which is no single value as text",
        fix="write it as text",
    )


def _explain(listing: Listing) -> Callable[[Exception], PipelineError | None]:
    def explain(error: Exception) -> PipelineError:
        text = str(error)
        named = [str(file) for file in listing.files if str(file) in text]
        where = named[0] if len(named) == 1 else f"one of {len(listing.files)} files"
        return FixDataError(
            "source_unreadable",
            f"source: {listing.key}: {where} cannot be read as Parquet",
            fix="write it again; it may have been cut, or is no Parquet file",
        )

    return explain
