"""The ``files`` source: profiles and membership as Parquet or CSV files on this machine."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from ci_mailchimp_pipeline.artifacts import temporary
from ci_mailchimp_pipeline.engine import MEMORY_LIMIT, Engine, array, identifier, open_engine, quoted, trimmed
from ci_mailchimp_pipeline.errors import FixConfigError
from ci_mailchimp_pipeline.sources.base import (
    MAX_SEGMENT_NAMES,
    Needs,
    NotReady,
    SourceSchema,
)
from ci_mailchimp_pipeline.sources.csv_files import read_header, stage
from ci_mailchimp_pipeline.sources.listing import FileState, Listing, file_state, list_files
from ci_mailchimp_pipeline.sources.names import column_problems
from ci_mailchimp_pipeline.sources.parquet_files import parquet_parts, read_columns
from ci_mailchimp_pipeline.sources.tables import create_table

_READING = "files/1"  # of what we make of the same files; another number makes every content a new version
_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True)

Name = Annotated[str, StringConstraints(min_length=1)]


class Columns(BaseModel):
    """What the columns with the customer id and the segment's name are called."""

    model_config = _STRICT

    customer_id: Name = Field(
        default="CustomerId", description="In both profiles and membership: who.", examples=["CustomerId"]
    )
    segment: Name = Field(
        default="Segment", description="In membership: the segment's name.", examples=["Segment"]
    )


class Options(BaseModel):
    """The keys of ``source:`` for ``type: files``."""

    model_config = _STRICT

    profiles: Name = Field(
        description="File, folder or glob: .parquet, .csv or .csv.gz; one row a profile.",
        examples=["data/unified_profiles.parquet"],
    )
    membership: Name = Field(
        description="File, folder or glob: .parquet, .csv or .csv.gz; one row a customer and segment.",
        examples=["data/segment_membership.parquet"],
    )
    columns: Columns = Field(default=Columns(), description="Names of the columns that join the two.")
    ready: Name | None = Field(
        default=None,
        description="A marker file that the writer makes last: complete when it is not older than any file.",
        examples=["data/_SUCCESS"],
    )
    settle_seconds: Annotated[float, Field(ge=0, strict=False)] = Field(
        default=10,
        description="Without `ready`: a refresh is complete when nothing has changed for so long.",
    )


class FilesSource:
    """Reads files where they are; nothing but what is needed is copied.

    The version covers name, size and time of every file that would be read, and the column mapping:
    a file that is written again is a new version, another file beside it is not.
    """

    Options: ClassVar[type] = Options

    def __init__(self, options: Any, *, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._options: Options = options
        self._folder = folder
        self._clock = clock

    def version(self, *, settle: bool = True) -> str:
        """A hash of the files' names, sizes and times; with *settle*, one that has stopped changing.

        Raises:
            NotReady: The marker is missing or older than a file, or a file has just changed.
            FixConfigError: ``path_not_found``, ``mixed_files``, ``unknown_file_kind`` or ``remote_path``.
        """
        options = self._options
        state = file_state(
            self._listings(),
            self._folder,
            extra=f"{_READING}\0{options.columns.customer_id}\0{options.columns.segment}",
        )
        if options.ready is not None:
            self._check_marker(self._folder / Path(options.ready).expanduser(), state)
        # A time in the future is another machine's clock; waiting for it could take for ever.
        elif settle and 0 <= (age := self._clock() - state.newest_ns / 1e9) < options.settle_seconds:
            raise NotReady(
                f"source: a file changed {age:.0f} s ago; settle_seconds is {options.settle_seconds:g}",
                fix="run again when the files are complete, or let the writer make a marker last ('ready')",
            )
        return state.digest

    def describe(self) -> SourceSchema:
        """The columns of the profiles, and the segments with their rows; reads all membership."""
        profiles, membership = self._listings()
        names = self._options.columns
        version = self.version(settle=False)
        with (
            temporary() as work,
            open_engine(work, memory_limit=MEMORY_LIMIT) as engine,
        ):
            columns = _columns_of(engine, profiles)
            _check_columns(columns, (names.customer_id,), profiles.key)
            _open_table(engine, membership, (names.customer_id, names.segment), work)
            segment = trimmed(identifier(f"p_{names.segment}"))
            rows = engine.execute(
                f"""SELECT {segment}, count(*) FROM membership WHERE {segment} IS NOT NULL
                GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MAX_SEGMENT_NAMES}"""
            )
        return SourceSchema(version=version, columns=columns, segments=dict(rows))

    def read(self, needs: Needs, into: Path, *, memory_limit: str = MEMORY_LIMIT) -> None:
        """Write the four files of the `Source` contract into *into*.

        Raises:
            FixConfigError: ``unknown_column``, and what `version` raises.
            FixDataError: A file cannot be read as what it is; the message names file and line.
        """
        profiles, membership = self._listings()
        names = self._options.columns
        columns = tuple(dict.fromkeys((names.customer_id, *needs.columns)))
        work = into / "staged"
        work.mkdir(mode=0o700)
        with open_engine(into, memory_limit=memory_limit) as engine:
            _open_table(engine, membership, (names.customer_id, names.segment), work)
            _open_table(engine, profiles, columns, work)
            customer, segment = (
                trimmed(identifier(f"p_{names.customer_id}")),
                trimmed(identifier(f"p_{names.segment}")),
            )
            kept = "".join(f", {identifier(f'p_{column}')}" for column in needs.columns)
            pairs = f"read_parquet({quoted(work / 'pairs.parquet')})"
            if needs.holder is None:
                chosen = f"SELECT * FROM {pairs} WHERE list_contains({array(needs.segments)}, segment)"
                wanted = f"{customer} IN (SELECT customer_id FROM ({chosen}))"
            else:
                column, text = needs.holder
                wanted = (
                    f"{customer} IS NOT NULL AND lower({trimmed(identifier(f'p_{column}'))}) = {quoted(text)}"
                )
                chosen = f"SELECT * FROM {pairs} WHERE customer_id IN (SELECT {customer} FROM profiles WHERE {wanted})"
            for query, target in (
                (
                    f"""SELECT DISTINCT {customer} AS customer_id, {segment} AS segment FROM membership
                    WHERE {customer} IS NOT NULL AND {segment} IS NOT NULL""",
                    work / "pairs.parquet",
                ),
                (chosen, into / "membership.parquet"),
                (
                    f"SELECT segment, count(*) AS customers FROM {pairs} GROUP BY segment",
                    into / "segments.parquet",
                ),
                (
                    f"SELECT row, {customer} AS customer_id{kept} FROM profiles WHERE {wanted}",
                    into / "profiles.parquet",
                ),
                (
                    f"""SELECT DISTINCT unhex(md5({customer})) AS customer_key FROM profiles
                    WHERE {customer} IS NOT NULL""",
                    into / "customers.parquet",
                ),
            ):
                engine.execute(f"COPY ({query}) TO {quoted(target)} (FORMAT parquet)")

    def _listings(self) -> tuple[Listing, Listing]:
        return (
            list_files("profiles", self._options.profiles, self._folder),
            list_files("membership", self._options.membership, self._folder),
        )

    def _check_marker(self, marker: Path, state: FileState) -> None:
        try:
            made = marker.stat().st_mtime_ns
        except OSError:
            raise NotReady(f"source: the marker {marker} is not there yet") from None
        if made < state.newest_ns:
            raise NotReady(
                f"source: the marker {marker} is older than the newest file: a refresh is under way"
            )


def _columns_of(engine: Engine, listing: Listing) -> tuple[str, ...]:
    first = listing.files[0]
    if listing.kind == "parquet":
        return tuple(read_columns(engine, listing)[first])
    return read_header(listing, first).columns


def _open_table(engine: Engine, listing: Listing, columns: Sequence[str], work: Path) -> None:
    _check_columns(_columns_of(engine, listing), columns, listing.key)
    parts = (
        parquet_parts(engine, listing, columns)
        if listing.kind == "parquet"
        else stage(engine, listing, columns, work)
    )
    create_table(engine, listing.key, parts, columns)


def _check_columns(columns: Sequence[str], wanted: Sequence[str], key: str) -> None:
    problems = column_problems(columns, dict.fromkeys(wanted), of=key)
    if problems:
        raise FixConfigError("unknown_column", problems[0].message, problems=problems)
