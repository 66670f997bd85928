"""A small picture of where the people of an export went; numbers and nothing else.

Dagster's page shows an SVG only as an image with a data address, and stores it with the run: so it is
drawn with few strokes, and in colours that can be read on its light and its dark background.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from ci_mailchimp_pipeline.plan.model import Counts

_WIDTH = 620
_TALL = 132.0  # what all profiles together are high
_THIN = 1.5  # one person among a million is still a line
_BAR = 7
_COLUMNS = (1, 200, 420)
_LINE = 15  # between two labels
_RISE = 4  # from the middle of a letter down to the line it stands on
_TEXT = "#6f7b88"
_COLOURS = {
    "profiles": "#5b6bc0",
    "accepted": "#5b6bc0",
    "added": "#2f9e6d",
    "updated": "#3b82c4",
    "moved": "#2aa3a3",
    "unchanged": "#93a0ad",
    "suppressed": "#c88a1d",
    "refused": "#cf4f40",
    "rejected": "#cf4f40",
    "merged": "#9070b8",
    "excluded": "#93a0ad",
}
_SENT = ("added", "updated", "moved", "unchanged", "suppressed", "refused")
_NOT_SENT = ("merged", "excluded", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """So many people in one bucket, as a bar."""

    name: str
    people: int
    x: float
    y: float
    height: float


def picture(counts: Counts) -> str:
    """A Markdown image: profiles → accepted or why not → what became of them; empty when there are no profiles."""
    if counts.profiles == 0:
        return ""
    return f"![{_told(counts)}](data:image/svg+xml;base64,{base64.b64encode(_svg(counts).encode()).decode()})"


def _told(counts: Counts) -> str:
    """The picture in words, for those who cannot see it."""
    first = [f"{counts.profiles:,} profiles", f"{counts.accepted:,} accepted"]
    rest = [f"{people:,} {name}" for name, people in _buckets(counts, (*_NOT_SENT, *_SENT))]
    return ", ".join([*first, *rest])


def _svg(counts: Counts) -> str:
    scale = _TALL / counts.profiles
    placed = _column(_buckets(counts, _SENT), _COLUMNS[2], scale)
    accepted_height = max(sum(node.height for node in placed), counts.accepted * scale)
    middle = _column(
        [("accepted", counts.accepted)] * (counts.accepted > 0) + _buckets(counts, _NOT_SENT),
        _COLUMNS[1],
        scale,
        accepted=accepted_height,
    )
    height = sum(node.height for node in middle)
    first = _Node(name="profiles", people=counts.profiles, x=_COLUMNS[0], y=6, height=height)
    bands = _bands(first, middle)
    if counts.accepted and placed:
        bands += _bands(middle[0], placed)
    nodes = [first, *middle, *placed]
    tall = max(max(node.y + node.height, _label(node) + 5) for node in nodes) + 3
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{tall:.0f}" '
        f'font-family="sans-serif" font-size="12" fill="{_TEXT}">'
        + "".join(bands)
        + "".join(_drawn(node) for node in nodes)
        + "</svg>"
    )


def _buckets(counts: Counts, names: Sequence[str]) -> list[tuple[str, int]]:
    """Those of *names* that hold somebody."""
    numbers = counts.as_json()
    return [(name, numbers[name]) for name in names if numbers[name]]


def _column(
    buckets: Sequence[tuple[str, int]], x: float, scale: float, accepted: float | None = None
) -> list[_Node]:
    """Bars below each other, far enough apart for their labels; *accepted* is the height of the accepted ones."""
    nodes: list[_Node] = []
    y = 6.0
    for name, people in buckets:
        height = accepted if accepted is not None and name == "accepted" else max(_THIN, people * scale)
        if nodes:
            y = max(nodes[-1].y + nodes[-1].height + 4, _label(nodes[-1]) + _LINE - height / 2 - _RISE)
        nodes.append(_Node(name=name, people=people, x=x, y=y, height=height))
    return nodes


def _bands(source: _Node, targets: Sequence[_Node]) -> list[str]:
    """From one bar to those that its people went to."""
    found = []
    top, left = source.y, source.x + _BAR
    for node in targets:
        middle = (left + node.x) / 2
        low, high = top + node.height, node.y + node.height
        found.append(
            f'<path fill="{_COLOURS[node.name]}" fill-opacity=".22" d="M{left:.0f} {top:.1f}'
            f"C{middle:.0f} {top:.1f} {middle:.0f} {node.y:.1f} {node.x:.0f} {node.y:.1f}V{high:.1f}"
            f'C{middle:.0f} {high:.1f} {middle:.0f} {low:.1f} {left:.0f} {low:.1f}Z"/>'
        )
        top = low
    return found


def _drawn(node: _Node) -> str:
    return (
        f'<rect x="{node.x:.0f}" y="{node.y:.1f}" width="{_BAR}" height="{node.height:.1f}" '
        f'fill="{_COLOURS[node.name]}"/>'
        f'<text x="{node.x + _BAR + 5:.0f}" y="{_label(node):.1f}">{node.people:,} {node.name}</text>'
    )


def _label(node: _Node) -> float:
    """The line on which the text stands: beside the middle of its bar."""
    return node.y + node.height / 2 + _RISE
