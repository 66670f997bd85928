"""Columns and segments that an export names and the source lacks, with the near miss."""

import difflib
from collections.abc import Iterable, Mapping

from ci_mailchimp_pipeline.errors import Place, Problem

_LISTED = 20  # names in a message


def column_problems(
    columns: Iterable[str], wanted: Mapping[str, Place | None], *, of: str = "profiles"
) -> list[Problem]:
    """One problem for each of *wanted* that *of* (profiles or membership) lacks; names match exactly."""
    return _unknown("column", f"the {of} lack the column", list(columns), wanted)


def segment_problems(segments: Iterable[str], wanted: Mapping[str, Place | None]) -> list[Problem]:
    """One problem for each of *wanted* that is not among *segments*; names match exactly, case included."""
    return _unknown("segment", "the membership lacks the segment", list(segments), wanted)


def _unknown(kind: str, lacks: str, names: list[str], wanted: Mapping[str, Place | None]) -> list[Problem]:
    shown = ", ".join(sorted(names)[:_LISTED]) + (
        f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    )
    problems = []
    for name, place in wanted.items():
        if name in names:
            continue
        folded = {other.casefold(): other for other in names}
        near = difflib.get_close_matches(name.casefold(), folded, n=1)
        hint = f" Did you mean '{folded[near[0]]}'?" if near else ""
        fix = f"write '{folded[near[0]]}'" if near else f"name a {kind} that the source has, or add it there"
        problems.append(Problem(f"{lacks} '{name}'.{hint} There are: {shown or 'none'}", fix, place))
    return problems
