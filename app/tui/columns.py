"""A table as lines of text, for what is read and not acted on."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content

from app.render.terminal.lines import fitted, folded
from app.text import plain

WIDEST = 24
"""Columns of a cell, but for the last of its row."""
LEAST = 4
GAP = 2


def table(
    head: Sequence[str], rows: Sequence[tuple[str, ...]], width: int, *, least: int = LEAST
) -> list[Content]:
    """Columns as wide as they need to be; the last is folded into what is left of `width`. Where
    that is fewer than `least` columns, it stands below its row, without a header."""
    if not rows:
        return []
    cells = [tuple(plain(word) for word in row) for row in (head, *rows)]
    widths = [min(WIDEST, max(cell_len(row[i]) for row in cells)) for i in range(len(head) - 1)]
    left = width - sum(widths) - GAP * len(widths)
    if left < least and least > LEAST:
        return _below(cells, _squeezed(widths, width), width)
    lines = []
    for place, row in enumerate(cells):
        words = _row(row, widths)
        for part in folded(row[-1], max(LEAST, left)) or [""]:
            style = "$muted" if place == 0 else ""
            lines.append(Content.styled(f"{words}{' ' * GAP}{part}".rstrip(), style))
            words = " " * cell_len(words)
    return lines


def _below(cells: Sequence[tuple[str, ...]], widths: Sequence[int], width: int) -> list[Content]:
    """The rows, the last cell of each in lines of its own."""
    head, *rows = cells
    lines = [Content.styled(_row(head, widths).rstrip(), "$muted")]
    for row in rows:
        lines.append(Content(_row(row, widths).rstrip()))
        parts = folded(row[-1], max(LEAST, width - GAP))
        lines += [Content.assemble(" " * GAP, (part, "$muted")) for part in parts]
    return lines


def _squeezed(widths: Sequence[int], width: int) -> list[int]:
    """Widths that fit into a row together, the widest cut first."""
    fitting = list(widths)
    while sum(fitting) + GAP * (len(fitting) - 1) > width and max(fitting) > 1:
        fitting[fitting.index(max(fitting))] -= 1
    return fitting


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    return (" " * GAP).join(fitted(word, w) for word, w in zip(row, widths, strict=False))
