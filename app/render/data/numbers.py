"""The numbers behind a figure, as tables of text: what each report prints below its charts.

Owns what is said of a cell beside its value. Escapes nothing: each report does so in its own way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.figures.figure import Cell, Figure, Grid, Lines, Scatter, Table
from core.figures.significance import sd_words

Entry = tuple[str, str]
"""What is shown, and what is to be read beside it: the raw value, the level of chance."""

LISTED = 50
"""Rows of a table that a report lists."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One table: its rows begin with a name. `title` is empty where there is but one table.

    `texts` are the places in `head` of columns of text, which may be broken into lines.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    note: str = ""
    texts: frozenset[int] = frozenset()


def numbers(figure: Figure) -> Iterator[Numbers]:
    """A figure's tables: one a panel, or one for any other figure."""
    if isinstance(figure, Grid):
        rows = tuple(
            (name, tuple(entry(cell, figure) for cell in cells))
            for name, cells in zip(figure.rows, figure.cells, strict=True)
        )
        yield Numbers("", (f"{figure.row_name} \\ {figure.column_name}", *figure.columns), rows)
    elif isinstance(figure, Lines):
        yield from _panels(figure)
    elif isinstance(figure, Scatter):
        rows = tuple(
            (p.name, ((p.group, ""), entry(p.x, figure), entry(p.y, figure))) for p in figure.points
        )
        yield Numbers("", (figure.point_name, "kind", figure.x_name, figure.y_name), rows)
    else:
        yield _listing(figure)


def entry(cell: Cell | None, figure: Grid | Lines | Scatter) -> Entry:
    """What is shown, and beside it what chance alone would give."""
    if cell is None:
        return "", ""
    if cell.shown is None:
        return "undefined", ""
    beside = []
    if cell.value is not None and cell.shown != cell.value:
        beside.append(f"raw {cell.value:.4g}")
    if cell.chance is not None and cell.shown != cell.chance:
        beside.append(f"chance {cell.chance:.4g}{sd_words(cell.chance_sd)}")
    if cell.mark and not isinstance(figure, Lines):
        beside.append(figure.mark_name)
    return f"{cell.shown:{'+' if figure.signed else ''}.4g}", ", ".join(beside)


def _panels(figure: Lines) -> Iterator[Numbers]:
    for panel in figure.panels:
        if panel.series:
            names = [s.name + (" (control)" if s.control else "") for s in panel.series]
            known = [dict(zip(s.xs, s.cells, strict=True)) for s in panel.series]
            xs = sorted({x for series in panel.series for x in series.xs})
            called = figure.x_names or {x: str(x) for x in xs}
            lines = tuple((called[x], tuple(entry(k.get(x), figure) for k in known)) for x in xs)
            yield Numbers(panel.title, (figure.x_label, *names), lines)


def _listing(table: Table) -> Numbers:
    """The first rows of a table: all of them are a matter for the files beside the report."""
    rows = []
    for row in table.rows[:LISTED]:
        words = [column.written(value) for column, value in zip(table.columns, row, strict=True)]
        rows.append((words[0], tuple((text, "") for text in words[1:])))
    notes = [table.note] if table.note else []
    if len(table.rows) > LISTED:
        notes.append(f"Listed here are the first {LISTED} of these {len(table.rows):,} rows.")
    texts = frozenset(at for at, column in enumerate(table.columns) if column.align == "left")
    head = tuple(column.name for column in table.columns)
    return Numbers("", head, tuple(rows), " ".join(notes), texts)
