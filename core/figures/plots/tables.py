"""Tables for reading: the visible columns, their order, and the values stated once for all rows.

The one place that decides this; painters and the widget place the columns as given. An export
keeps the columns as they were made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.figures.figure import Column, Table, Text
from core.figures.plots.plot import beginning


@dataclass(frozen=True, slots=True)
class TablePlot:
    """A table, and its columns as `shown`: the keys of its rows, then its results, then all others.
    `places`: the index of each in the `whole`; `shared`: the common values of all rows, in words;
    `head`: the number of first columns that should be in sight together.
    """

    whole: Table
    shown: Table
    places: tuple[int, ...]
    shared: tuple[str, ...]
    head: int


def arrange(table: Table) -> TablePlot:
    """The table for reading. Of a single row, or of rows that are all equal, nothing is shared."""
    order = _order(table)
    columns = {j: [row[j] for row in table.rows] for j in order}
    same = {j for j in order if _is_same(columns[j])}
    if len(table.rows) < 2 or len(same) == len(order):
        same = set()
    places = tuple(j for j in order if j not in same)
    shared = [_said(table.columns[j], columns[j][0]) for j in sorted(same)]
    begins = {}
    for j in places:
        begin = _beginning(table.columns[j], columns[j])
        if begin:
            begins[j] = len(begin)
            shared.append(f"{table.columns[j].name} {begin}*")
    keys = sum(j < table.keys for j in places)
    results = sum(table.columns[j].name in table.results for j in places if j >= table.keys)
    cuts = [(j, begins.get(j, 0)) for j in places]
    columns_shown = tuple(_even(table.columns[j], columns[j]) for j in places)
    rows = tuple(tuple(_after(row[j], count) for j, count in cuts) for row in table.rows)
    shown = replace(table, columns=columns_shown, rows=rows, keys=keys)
    return TablePlot(table, shown, places, tuple(shared), keys + results)


def _order(table: Table) -> list[int]:
    """The places of the columns: the keys of rows, then results as they are named, then the rest.
    Of two columns with one name the first counts."""
    names = [column.name for column in table.columns]
    keys = [*range(table.keys)]
    results = [names.index(name) for name in table.results if name in names]
    first = dict.fromkeys([*keys, *results])
    return [*first, *(j for j in range(len(names)) if j not in first)]


def _even(column: Column, values: Sequence[Text]) -> Column:
    """The column with as many digits in each of its numbers, unless all are whole: 0.20 above
    0.25."""
    numbers = [v for v in values if isinstance(v, int | float) and math.isfinite(v)]
    if not column.form.endswith("g") or all(number == int(number) for number in numbers):
        return column
    return replace(column, form=f"#{column.form}")


def _is_same(values: Sequence[Text]) -> bool:
    return all(value == values[0] for value in values)


def _said(column: Column, value: Text) -> str:
    return f"{column.name} {column.written(value) or 'empty'}"


def _beginning(column: Column, values: Sequence[Text]) -> str:
    """The common beginning of a column's texts."""
    texts = [value for value in values if isinstance(value, str)]
    return "" if column.outside or len(texts) < len(values) else beginning(texts)


def _after(value: Text, count: int) -> Text:
    return value[count:] if count and isinstance(value, str) else value
