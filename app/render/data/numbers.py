"""The numbers behind a figure, as tables of text, which reports print below its charts.

Owns the words beside a cell's value. Escapes nothing: each report has its own escapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from core.figures.figure import Figure, Table
from core.figures.plots.plot import Plot, Row
from core.figures.plots.resolution import resolve
from core.figures.plots.values import Value, of_difference
from core.figures.significance import sd_words

Entry = tuple[str, str]
"""The shown value, and the raw value or the chance level to read beside it."""

LISTED = 50
"""Rows of a table that a report lists."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """One table: its rows begin with a name. `title` is empty for a single table.

    `texts`: the indexes of columns of text, which may be broken into lines.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    note: str = ""
    texts: frozenset[int] = frozenset()


def numbers(figure: Figure) -> Iterator[Numbers]:
    """A figure's tables: one per panel of curves, else one."""
    if isinstance(figure, Table):
        yield _listing(figure)
        return
    plot = resolve(figure)
    table = plot.table()
    for part, rows in groupby(table.rows, key=lambda row: row.part):
        yield _part(part, list(rows), table.head, plot)


def entry(value: Value | None, plot: Plot) -> Entry:
    """The value, followed by the raw value and the chance level."""
    if value is None:
        return "", ""
    cell = value.cell
    if cell.shown is None:
        return "undefined", ""
    beside = []
    if cell.value is not None and cell.shown != cell.value:
        beside.append(f"raw {cell.value:.4g}")
    if cell.chance is not None and cell.shown != cell.chance:
        beside.append(f"chance {cell.chance:.4g}{sd_words(cell.chance_sd, nominal=cell.nominal)}")
    if cell.difference is not None and cell.difference.value is not None:
        beside += of_difference(cell.difference)
    if cell.mark and plot.star_name:
        beside.append(plot.star_name)
    return f"{cell.shown:{'+' if value.signed else ''}.4g}", ", ".join(beside)


def _part(title: str, rows: list[Row], head: Sequence[str], plot: Plot) -> Numbers:
    """The rows of one panel, without the columns of series that it does not have."""
    names, columns = len(rows[0].names), range(len(rows[0].values))
    used = [j for j in columns if not title or any(row.values[j] is not None for row in rows)]
    lines = []
    for row in rows:
        first, *others = row.names
        entries = [(name, "") for name in others] + [entry(row.values[j], plot) for j in used]
        lines.append((first, tuple(entries)))
    return Numbers(title, (*head[:names], *(head[names + j] for j in used)), tuple(lines))


def _listing(table: Table) -> Numbers:
    """The first rows of a table; the files beside the report have all of them."""
    rows = []
    for row in table.rows[:LISTED]:
        words = [column.written(value) for column, value in zip(table.columns, row, strict=True)]
        rows.append((words[0], tuple((text, "") for text in words[1:])))
    notes = [table.note] if table.note else []
    if len(table.rows) > LISTED:
        notes.append(f"The table lists the first {LISTED} of {len(table.rows):,} rows.")
    texts = frozenset(index for index, column in enumerate(table.columns) if column.align == "left")
    head = tuple(column.name for column in table.columns)
    return Numbers("", head, tuple(rows), " ".join(notes), texts)
