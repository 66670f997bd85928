"""What exports may not do to each other in one audience, and what must be written alike in the whole file."""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ci_mailchimp_pipeline.config.connections import Connection
from ci_mailchimp_pipeline.config.fields import MergeSource
from ci_mailchimp_pipeline.config.models import Export
from ci_mailchimp_pipeline.config.phrases import listed, shown, suggestion
from ci_mailchimp_pipeline.config.tree import Steps, Tree
from ci_mailchimp_pipeline.config.wording import said
from ci_mailchimp_pipeline.errors import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An export as far as it could be read.

    Attributes:
        export: Its keys; those in *bad* hold stand-ins.
        bad: Keys that have a problem of their own, and say nothing here.
    """

    export: Export
    bad: frozenset[str] = frozenset()


@dataclass(slots=True)
class _Audience:
    """What the exports read so far do in one audience, and the path of the first that does it."""

    segments: dict[tuple[str, str], Steps] = field(default_factory=dict)
    tags: dict[str, tuple[str, Steps]] = field(default_factory=dict)
    sources: dict[str, tuple[MergeSource, Steps]] = field(default_factory=dict)


def unknown_connections(drafts: Iterable[Draft], ids: Iterable[str], tree: Tree) -> Iterator[Problem]:
    """Yield a problem for each export whose connection is not one of *ids*."""
    legal = tuple(ids)
    for draft in drafts:
        name = draft.export.connection
        if name is None or name in legal or "connection" in draft.bad:
            continue
        path = ("exports", draft.export.id, "connection")
        there = f"the connections are: {listed(legal)}" if legal else "there are no connections"
        what = f"there is no connection {shown(name)}{suggestion(name, legal)}"
        yield Problem(
            said(path, what),
            f"name one that is there ({there}), or null to detach the export",
            tree.place(path),
        )


def conflicts(
    drafts: Iterable[Draft], connections: Mapping[str, Connection], tree: Tree
) -> Iterator[Problem]:
    """Yield a problem for each pair of exports of one audience that contradict each other."""
    audiences: dict[Hashable, _Audience] = {}
    for draft in drafts:
        export = draft.export
        is_placed = export.connection is not None and not {"connection", "audience_id"} & draft.bad
        account = _account(export.connection, connections) if is_placed else export.id
        audience = audiences.setdefault((account, export.audience_id), _Audience())
        if "segments" not in draft.bad:
            yield from _segment_conflicts(export, audience, tree)
        yield from _source_conflicts(draft, audience, tree)


def _account(connection: str | None, connections: Mapping[str, Connection]) -> Hashable:
    """Return what two connections to the same account have in common."""
    known = connections.get(connection or "")
    return (known.api_key, known.token, known.api_root) if known else connection


def _segment_conflicts(export: Export, audience: _Audience, tree: Tree) -> Iterator[Problem]:
    for index, segment in enumerate(export.segments):
        path = ("exports", export.id, "segments", index)
        first = audience.segments.setdefault((segment.name, segment.tag), path)
        if first != path:
            what = (
                f"segment {shown(segment.name)} goes to this audience under tag {shown(segment.tag)} "
                f"already, by export {shown(first[1])} at {tree.place(first)}"
            )
            yield Problem(
                said(path, what), "remove it from one of the two, or give it another tag", tree.place(path)
            )
        tag, first = audience.tags.setdefault(segment.tag.casefold(), (segment.tag, path))
        if tag != segment.tag:
            what = (
                f"the tag {shown(segment.tag)} differs from {shown(tag)} at {tree.place(first)} "
                "only in capitals; for Mailchimp they are one"
            )
            yield Problem(said(path, what), "write both alike, or choose another tag", tree.place(path))


def _source_conflicts(draft: Draft, audience: _Audience, tree: Tree) -> Iterator[Problem]:
    export = draft.export
    sources = {"EMAIL": MergeSource(tag="EMAIL", column=export.email)} | export.fields
    for tag, source in sources.items():
        path = _path(export, tag)
        if path[2] in draft.bad:
            continue
        other, first = audience.sources.setdefault(tag, (source, path))
        if (other.column, other.address) != (source.column, source.address):
            name = "the address" if tag == "EMAIL" else f"merge field {shown(tag)}"
            what = (
                f"{name} of this audience comes from {_columns(source)} here, "
                f"but from {_columns(other)} in export {shown(first[1])} at {tree.place(first)}"
            )
            yield Problem(said(path, what), "take it from the same place in both exports", tree.place(path))


def _path(export: Export, tag: str) -> Steps:
    single = {"EMAIL": "email"}
    if tag not in export.merge_fields:
        single |= {"FNAME": "first_name", "LNAME": "last_name"}
    steps = (single[tag],) if tag in single else ("merge_fields", tag)
    return ("exports", export.id, *steps)


def _columns(source: MergeSource) -> str:
    return listed(source.columns)


def column_spellings(drafts: Iterable[Draft], tree: Tree) -> Iterator[Problem]:
    """Yield a problem for each profile column that is written with other capitals than before."""
    seen: dict[str, tuple[str, str]] = {}
    for draft in drafts:
        for column in draft.export.columns:
            spelling, export = seen.setdefault(column.casefold(), (column, draft.export.id))
            if spelling != column:
                path = ("exports", draft.export.id)
                what = f"the column {shown(column)} is written {shown(spelling)} in export {shown(export)}"
                yield Problem(
                    said(path, what), "write the column as the source has it", tree.place(path, key=True)
                )
