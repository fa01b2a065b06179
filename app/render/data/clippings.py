"""A figure as a table of its values, whole or a row of it: as CSV or as Markdown.

Numbers are written so that reading gives the same number again. Knows no clipboard and no file.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from app.render.data.cells import Rows
from app.render.data.report import escaped
from core.figures.figure import Figure, Table, Text
from core.figures.plots.resolution import resolve


@dataclass(frozen=True, slots=True)
class Clipping:
    """A head, and rows of as many values."""

    head: tuple[str, ...]
    rows: tuple[tuple[Text, ...], ...]

    def row(self, names: Sequence[str]) -> Clipping:
        """Only the rows whose first values are these names."""
        size = len(names)
        rows = tuple(r for r in self.rows if tuple(map(str, r[:size])) == tuple(names))
        return Clipping(self.head, rows)


def clipping(figure: Figure) -> Clipping:
    """The values that a figure shows. Curves: a row for each x of each panel."""
    if isinstance(figure, Table):
        return Clipping(tuple(column.name for column in figure.columns), figure.rows)
    table = resolve(figure).table()
    rows = []
    for row in table.rows:
        values = (None if value is None else value.cell.shown for value in row.values)
        part = (row.part,) if table.part_name else ()
        rows.append((*part, *row.names, *values))
    return Clipping((*filter(None, [table.part_name]), *table.head), tuple(rows))


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


def _cell(value: Text) -> str:
    return "" if value is None else escaped(str(value))
