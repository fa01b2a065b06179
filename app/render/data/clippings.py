"""A figure as a table of its values, whole or a row of it: as CSV or as Markdown.

Numbers are written so that reading gives the same number again. Knows no clipboard and no file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from app.render.data.cells import Rows
from app.render.data.report import escaped
from core.figures.figure import Cell, Figure, Grid, Lines, Scatter, Text


@dataclass(frozen=True, slots=True)
class Clipping:
    """A head, and rows of as many values."""

    head: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]

    def row(self, names: Sequence[str]) -> Clipping:
        """Only the rows whose first values are these names."""
        size = len(names)
        own = tuple(r for r in self.rows if tuple(map(str, r[:size])) == tuple(names))
        return Clipping(self.head, own)


def clipping(figure: Figure) -> Clipping:
    """The values that a figure shows. Curves: a row for each x of each panel."""
    if isinstance(figure, Lines):
        return _of_lines(figure)
    if isinstance(figure, Grid):
        head = (f"{figure.row_name} \\ {figure.column_name}", *figure.columns)
        pairs = zip(figure.rows, figure.cells, strict=True)
        return Clipping(head, tuple((name, *map(_shown, cells)) for name, cells in pairs))
    if isinstance(figure, Scatter):
        head = (figure.point_name, "kind", figure.x_name, figure.y_name)
        points = ((p.name, p.group, _shown(p.x), _shown(p.y)) for p in figure.points)
        return Clipping(head, tuple(points))
    return Clipping(tuple(column.name for column in figure.columns), figure.rows)


def as_csv(clip: Clipping) -> str:
    """Comma-separated, with its head."""
    text = io.StringIO()
    rows = Rows(text)
    rows.write(clip.head)
    rows.write_all(clip.rows)
    return text.getvalue()


def as_markdown(clip: Clipping) -> str:
    """A table of Markdown in which no text is markup."""
    head, *rows = (map(_cell, line) for line in (clip.head, *clip.rows))
    lines = (head, ["---"] * len(clip.head), *rows)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _of_lines(figure: Lines) -> Clipping:
    names = list(dict.fromkeys(s.name for panel in figure.panels for s in panel.series))
    rows: list[tuple[Text, ...]] = []
    for panel in figure.panels:
        known = {s.name: dict(zip(s.xs, s.cells, strict=True)) for s in panel.series}
        for x in sorted({x for series in panel.series for x in series.xs}):
            called = figure.x_names[x] if figure.x_names else x
            cells = [known.get(name, {}).get(x) for name in names]
            rows.append((panel.title, called, *map(_shown, cells)))
    return Clipping((figure.panel_name, figure.x_label, *names), tuple(rows))


def _shown(cell: Cell | None) -> Text:
    return None if cell is None else cell.shown


def _cell(value: Text) -> str:
    return "" if value is None else escaped(str(value))
