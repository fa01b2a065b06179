"""Pairs of tunings: their table, and their figures in one plain sentence.

Owns the columns and orders of the table. Computes nothing that was not measured; draws nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from core.engine.measurement import Measurement
from core.figures import significance
from core.figures.figure import Cell, Column, Grid, Table
from core.figures.findings import CONTROLS, of_largest, place
from core.figures.records import PairRecord
from core.figures.views import Tabulation
from core.sizes import counted

ORDERS = ("most conflict", "least conflict", "by pair")
_COLUMNS = {
    "sign_conflict": "sign conflict", "overlap": "overlap",
    "subspace_overlap_write": "write overlap", "subspace_overlap_read": "read overlap",
}  # fmt: skip


def table(asked: Tabulation) -> Table:
    """A line for each pair of models: its measures beside their chance levels."""
    order = {name: place for place, name in enumerate(asked.catalogue.values("model"))}
    by_metric: dict[tuple[str, str], dict[str, Measurement]] = {}
    for row in asked.rows:
        if order.get(row.model, 0) < order.get(row.reference, 0):
            by_metric.setdefault((row.model, row.reference), {})[row.metric] = row
    by_pair = sorted(by_metric, key=lambda pair: tuple(order.get(name, 0) for name in pair))
    if asked.choice.order != "by pair":
        turn = -1 if asked.choice.order == "most conflict" else 1
        by_pair.sort(key=lambda pair: turn * (_value(by_metric[pair].get("sign_conflict")) or 0.0))
    rows, records = [], []
    for pair in by_pair:
        metric_rows = [by_metric[pair].get(metric) for metric in _COLUMNS]
        numbers = (
            number for row in metric_rows for number in (_value(row), row.chance if row else None)
        )
        rows.append((*pair, *numbers))
        control = bool(asked.catalogue.controls & set(pair))
        records.append(PairRecord(*pair, _value(metric_rows[0]), control))
    return Table(
        title=f"Pairs · {asked.choice.order}",
        columns=(
            Column(name="model"),
            Column(name="and"),
            *(
                Column(name=name, align="right", form=".3f")
                for measure in _COLUMNS.values()
                for name in (measure, f"chance of {measure}")
            ),
        ),
        rows=tuple(rows),
        records=tuple(records),
        keys=2,
        results=tuple(_COLUMNS.values()),
        note="Each measure has its chance level beside it. A pair with a control is the better "
        "yardstick, because a control is tuned on nothing new.",
        chosen={"module": asked.choice.module},
    )


def of_table(figure: Table) -> str:
    """The pairs whose signs are opposed most and least."""
    records: tuple[PairRecord, ...] = figure.records
    known = [(r.conflict, r) for r in records if r.conflict is not None and not r.control]
    if not known:
        return CONTROLS if records else ""
    ordered = sorted(known, key=operator.itemgetter(0))
    extremes = [
        f"{r.model} and {r.reference} ({value:.3f})" for value, r in (ordered[-1], ordered[0])
    ]
    if len(known) == 1:
        extremes[0] = f"{extremes[0]}, the only pair"
    else:
        extremes[0] = f"{extremes[0]}, least between {extremes[1]}"
    return (
        f"Signs are opposed most between {extremes[0]}, as a share by weight; "
        "unrelated signs give 0.5."
    )


def of_matrix(figure: Grid) -> str:
    """The pairs with the largest and with the smallest value, beside chance and the controls."""
    cells = sorted(_pairs(figure), key=lambda pair: pair[0])
    if not cells:
        return (
            CONTROLS if len(figure.rows) > 1 else "There is no pair of tuning vectors to compare."
        )
    (least, _, low), (most, cell, high) = cells[0], cells[-1]
    measure = _COLUMNS.get(figure.measure, figure.measure)
    words = f"{place(figure)}{measure} is largest between {high} ({most:.3f})"
    if least < most:
        words += f", smallest between {low} ({least:.3f})"
    words += "" if cell.chance is None else f"; chance is {cell.chance:.2f}"
    if cell.control is None:
        return f"{words}."
    beyond = sum(not significance.is_null(each) for _, each, _ in cells)
    lie = "lies" if beyond == 1 else "lie"
    return (
        f"{words}, and {beyond} of {counted(len(cells), 'pair')} {lie} further from it than any "
        "pair with a control."
    )


def of_modules(figure: Grid) -> str:
    """Where the value of one pair is largest and smallest."""
    text = of_largest(figure, at_zero="0 in each of their matrices", zeros_are="0")
    return text.replace(":", f" and {figure.chosen['reference']}:", 1)


def _pairs(figure: Grid) -> Iterator[tuple[float, Cell, str]]:
    """Each pair of models once, without controls: its value, its cell, and its names."""
    for i, row in enumerate(figure.cells):
        for j, cell in enumerate(row):
            names = figure.rows[i], figure.columns[j]
            if j <= i or cell is None or cell.value is None or set(names) & figure.controls:
                continue
            yield cell.value, cell, " and ".join(names)


def _value(row: Measurement | None) -> Any:
    return None if row is None else row.value
