"""The tables of scores and of points of task arithmetic, out of a run's measurements.

Owns their columns, rows and orders, and how a point's name is read for figures and placed in them.
Computes nothing that was not measured; draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.engine.measurement import Coordinates, Measurement
from core.figures import significance
from core.figures.figure import Column, Table, Text
from core.figures.records import DropRecord, PointRecord, ScoreRecord
from core.figures.views import Catalogue, Tabulation

SCORE_ORDERS = ("by task", "by model", "largest difference")
POINT_ORDERS = ("by point", "by task", "largest share kept")
ALL = "all"
"""The parts of a point that is not restricted to some."""
DOMAIN = "domain:"
"""Stands before the name of a domain where a row is the mean over its tasks."""

OF = "@"
"""Stands between a task and a domain where several domains have the task: `task@domain`."""

_BESIDE = ("difference", "p_value", "stderr")
Line = tuple[Any, tuple[Text, ...], ScoreRecord | DropRecord | PointRecord]
"""What a row is sorted by, its cells, and the record behind it."""


def scores(asked: Tabulation) -> Table:
    """A line for each model, task and metric: the score, and its difference from the base."""
    beside = _by_place(r for r in asked.rows if r.metric in _BESIDE)
    models = {name: index for index, name in enumerate(asked.catalogue.values("model"))}
    tasks = {name: index for index, name in enumerate(asked.catalogue.values("task"))}
    lines: list[Line] = []
    for row in asked.rows:
        if row.metric in _BESIDE or not row.task:
            continue
        place = row.task, row.metric
        apart = beside.get(("difference", row.model, *place))
        p = beside.get(("p_value", row.model, *place))
        gap = 0.0 if apart is None or apart.value is None else abs(apart.value)
        by = {
            "by task": (tasks.get(row.task, 0), row.metric, models.get(row.model, 0)),
            "by model": (models.get(row.model, 0), tasks.get(row.task, 0), row.metric),
            "largest difference": (-gap, tasks.get(row.task, 0), row.metric),
        }
        cells = (
            row.task, row.metric, row.model, row.value, row.low, row.high,
            *((apart.value, apart.low, apart.high) if apart else (None, None, None)),
            p.value if p else None, row.n,
        )  # fmt: skip
        record = ScoreRecord(row.model, row.task, row.metric, apart)
        lines.append((by.get(asked.choice.order, by["by task"]), cells, record))
    return Table(
        **in_order(lines),
        title=f"Scores {asked.choice.order}",
        keys=3,
        results=(
            *results_by(asked, "score", "Δ vs base", {"largest difference": "Δ vs base"}),
            "Δ low",
            "Δ high",
        ),
        columns=(
            Column(name="task"),
            Column(name="metric"),
            Column(name="model"),
            *numbers("score", "CI low", "CI high"),
            *numbers("Δ vs base", "Δ low", "Δ high", signed=True),
            Column(name="p", align="right", form="p"),
            Column(name="n", align="right", form=",d"),
        ),
        note="Intervals are over items, differences over the same items; p: McNemar.",
    )


def points(asked: Tabulation) -> Table:
    """A line for each point, task and metric of task arithmetic; a task that several domains have
    takes a line for each of them."""
    shares = ("normalised", "regained", "rounding_loss")
    beside = {
        (r.metric, r.setting, r.module, r.task, r.metric_of): r
        for r in asked.rows
        if r.metric in shares
    }
    bases = {
        (r.task, r.metric_of): r
        for r in asked.rows
        if r.metric == "normalised" and r.setting == "base"
    }
    settings = {name: index for index, name in enumerate(asked.catalogue.values("setting"))}
    lines: list[Line] = []
    for row, task in _with_domains(asked.rows, shares):
        place = row.setting, row.module, task, row.metric
        normalised, part = (beside.get((name, *place)) for name in ("normalised", "regained"))
        lost = beside.get(("rounding_loss", row.setting, row.module, "", ""))
        share, base = value_of(normalised), bases.get((task, row.metric))
        by = {
            "by point": (settings.get(row.setting, 0), row.module, task, row.metric),
            "by task": (task, row.metric, settings.get(row.setting, 0), row.module),
            "largest share kept": (share is None, -(share or 0.0)),
        }
        cells = (
            row.setting, row.module or ALL, task, row.metric, row.value, row.low, row.high,
            share, value_of(part), _gap(base), value_of(lost), row.n,
        )  # fmt: skip
        record = PointRecord(row.setting, row.module or ALL, share, base)
        lines.append((by.get(asked.choice.order, by["by point"]), cells, record))
    return Table(
        **in_order(lines),
        title=f"Points {asked.choice.order}",
        keys=4,
        results=results_by(asked, "score", "normalised", {"largest share kept": "normalised"}),
        columns=(
            Column(name="coefficients"),
            Column(name="parts"),
            Column(name="task"),
            Column(name="metric"),
            *numbers("score", "CI low", "CI high", "normalised", "regained"),
            Column(name="gap"),
            *numbers("rounding loss"),
            Column(name="n", align="right", form=",d"),
        ),
        note="Normalised: over the domain's own model, 1 keeps all of it. Regained: 0 is the base, "
        "1 the domain's own model. Gap: does the base's share differ from 1? Where its interval "
        "includes 1, shares say little.",
    )


def _with_domains(
    rows: Sequence[Measurement], shares: Collection[str]
) -> Iterator[tuple[Measurement, str]]:
    """Each score, with the tasks that its shares stand under: its own, or `task@domain`s."""
    scores = [row for row in rows if row.metric not in shares]
    known = {row.task for row in scores}
    named: dict[str, dict[str, None]] = {}
    for row in rows:
        task = row.task.rpartition(OF)[0]
        if row.metric in shares and row.task not in known and task in known:
            named.setdefault(task, {})[row.task] = None
    for row in scores:
        for task in named.get(row.task, {row.task: None}):
            yield row, task


def _gap(base: Measurement | None) -> str | None:
    """Does the base's share differ from 1, the domain's own model? Nothing without an interval."""
    if base is None or base.low is None or base.high is None:
        return None
    return significance.held(base.low, base.high, 1.0).words


def is_domain(task: str) -> bool:
    """Is this row the mean over a domain's tasks?"""
    return task.startswith(DOMAIN)


def kind_of_point(setting: str) -> str:
    """The kind of model at a point, from its name."""
    if setting == "base":
        return "base"
    method = setting.rpartition(":")[0]
    if method:
        return method.partition("(")[0]
    values = [*(coefficients(setting) or {}).values()]
    if len(values) == 1:
        return "negation" if values[0] < 0 else "one vector"
    return "sum" if values else "unknown"


def coefficients(setting: str) -> dict[str, float] | None:
    """The coefficients of a plain point; None for any other, and for a foreign database's name that
    is no point."""
    if setting == "base":
        return {}
    if ":" in setting:
        return None
    terms = (term.partition("=") for term in setting.split(","))
    try:
        return {name: float(value) for name, _, value in terms}
    except ValueError:
        return None


def is_plain(setting: str) -> bool:
    """Is a point nothing but base plus vectors?"""
    return coefficients(setting) is not None


@dataclass(frozen=True, slots=True)
class PairGrid:
    """Points of two vectors by their coefficients: (of the first, of the second), 0 where a point
    leaves one out. Points of other vectors have no place, nor have any without a pair."""

    names: tuple[str, str]
    of: tuple[str, str] = ("", "")

    def __call__(self, row: Coordinates) -> tuple[float, float] | None:
        point = coefficients(row.setting)
        if point is None or not self.names[0] or not point.keys() <= set(self.names):
            return None
        return point.get(self.names[0], 0.0), point.get(self.names[1], 0.0)


def pair_grid(catalogue: Catalogue) -> PairGrid:
    """The grid of the pair of vectors that most points lie on; of equal ones the first."""
    parsed = map(coefficients, catalogue.values("setting"))
    points = [point for point in parsed if point is not None]
    pairs = dict.fromkeys(tuple(point) for point in points if len(point) == 2)
    if not pairs:
        return PairGrid(("", ""))
    first, second = max(pairs, key=lambda pair: sum(f.keys() <= set(pair) for f in points))
    return PairGrid((first, second))


def in_order(lines: list[Line]) -> dict[str, Any]:
    """The rows of a table and the records behind them, both in the order of the lines' keys."""
    lines.sort(key=lambda line: line[0])
    return {"rows": tuple(line[1] for line in lines), "records": tuple(line[2] for line in lines)}


def results_by(
    asked: Tabulation, first: str, second: str, orders: Mapping[str, str]
) -> tuple[str, ...]:
    """The names of the two columns that a table is about, the sorted one first."""
    leads = orders.get(asked.choice.order, first)
    return (leads, second if leads == first else first)


def count_of(number: float | None) -> int | None:
    return int(number) if number is not None and math.isfinite(number) else None


def _by_place(rows: Iterable[Measurement]) -> dict[tuple[str, ...], Measurement]:
    return {(r.metric, r.model, r.task, r.metric_of): r for r in rows}


def value_of(row: Measurement | None) -> float | None:
    return None if row is None else row.value


def numbers(*names: str, signed: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name=n, align="right", form=".4g", signed=signed) for n in names)
