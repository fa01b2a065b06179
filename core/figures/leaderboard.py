"""The leaderboard: each model's mean over every domain, and its score on every task.

Owns the choice of a task's first metric, the tasks of a domain's mean, and the orders of
models. Computes nothing but the means; draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from core.engine.measurement import Better, Measurement
from core.figures.figure import Cell, ColumnMeasure, Grid
from core.figures.significance import excludes
from core.figures.views import Catalogue, Domain, Tabulation
from core.sizes import counted

ORDERS = ("in the study's order", "highest means first", "most tasks better", "most tasks worse")
BASE = "base"
MEAN = "mean "
"""Stands before the name of a domain in that of its column."""

LEVEL, WORSE = "does not differ from", "is worse than"
"""Why the mean of a domain leaves a task out: its own model beside the base."""

_BESIDE = ("difference", "p_value", "stderr")
_Column = dict[str, Cell]
"""The cell of each model."""


def board(asked: Tabulation) -> Grid:
    """A mean for each domain, then models × tasks: the score and its difference from the base."""
    scores = _Scores(asked.rows, asked.catalogue)
    tasks = {task: scores.column(task) for task in scores.metrics}
    domains = [each for each in asked.catalogue.domains if each.own in scores.models]
    means = {MEAN + each.name: scores.means(each) for each in domains}
    columns = {**{name: column for name, column in means.items() if column}, **tasks}
    each = {
        task: ColumnMeasure(metric, scores.better(task)) for task, metric in scores.metrics.items()
    }
    each |= {name: ColumnMeasure("mean share", "higher", signed=True) for name in means}
    models = _in_order(scores.models, columns, asked.choice.order)
    return Grid(
        title=f"Scores beside the base · {asked.choice.order}",
        measure="score",
        unit="",
        row_name="model",
        column_name="task",
        row_of="model",
        column_of="task",
        rows=models,
        columns=tuple(columns),
        cells=tuple(tuple(column.get(model) for column in columns.values()) for model in models),
        each=each,
        empty="the harness gave no number, or a mean lacks a task",
        controls=asked.catalogue.controls,
        mark_name="best",
        note=" ".join(_left_out(scores, asked.catalogue.domains)),
    )


def of_board(figure: Grid) -> str:
    """One plain sentence on the numbers of better and of worse scores than the base's."""
    known = [
        difference
        for row in figure.cells
        for cell in row
        if cell is not None and (difference := cell.difference) is not None
        if difference.value is not None
    ]
    sure = [each for each in known if _is_certain(each)]
    better, worse = (sum(_is_better(each) is way for each in sure) for way in (True, False))
    if not known:
        return ""
    if better + worse:
        words = f"{better} {'is' if better == 1 else 'are'} better and {worse} worse"
        words = f"{words}, with intervals that exclude 0"
    else:
        words = f"{len(sure)} {'has' if len(sure) == 1 else 'have'} an interval that excludes 0"
    return f"Of {counted(len(known), 'difference')} from the base, {words}."


def _is_certain(difference: Cell) -> bool:
    """Does its interval exclude 0? A difference of scores without items has none."""
    return excludes(difference.low, difference.high)


def _is_better(difference: Cell) -> bool | None:
    """Is it one for the better? None where no direction is known."""
    if difference.better == "neither" or not difference.value:
        return None
    return (difference.value > 0) == (difference.better == "higher")


@dataclass(frozen=True)
class _Scores:
    """The rows of a run's scores, and their ranges."""

    rows: Sequence[Measurement]
    catalogue: Catalogue

    @cached_property
    def models(self) -> tuple[str, ...]:
        """The models that were scored, in the study's order."""
        scored = {row.model for row in self.rows}
        return tuple(name for name in self.catalogue.values("model") if name in scored)

    @cached_property
    def metrics(self) -> dict[str, str]:
        """The metric of each task: the first that it has."""
        order = self.catalogue.values("metric")
        metric_of: dict[str, str] = {}
        for task in self.catalogue.values("task"):
            present = {r.metric for r in self.rows if r.task == task and r.metric not in _BESIDE}
            if first := next((metric for metric in order if metric in present), ""):
                metric_of[task] = first
        return metric_of

    @cached_property
    def values(self) -> Mapping[tuple[str, str], Measurement]:
        """The score of each model and task."""
        return {(r.model, r.task): r for r in self.rows if r.metric == self.metrics.get(r.task)}

    @cached_property
    def differences(self) -> Mapping[tuple[str, str], Measurement]:
        """The difference from the base of each model and task."""
        return {
            (r.model, r.task): r
            for r in self.rows
            if r.metric == "difference" and r.metric_of == self.metrics.get(r.task)
        }

    def better(self, task: str) -> Better:
        """The better direction of a task's metric."""
        return self.catalogue.better.get(self.metrics[task], "neither")

    def column(self, task: str) -> _Column:
        """Every model's score, the best of them marked, and the domain's own models."""
        better, owners = (
            self.better(task),
            {d.own for d in self.catalogue.domains if task in d.tasks},
        )
        by_model = {m: row for m in self.models if (row := self.values.get((m, task))) is not None}
        known = [row.value for row in by_model.values() if row.value is not None]
        best = max(known, default=None) if better == "higher" else min(known, default=None)
        cells: _Column = {}
        for model, row in by_model.items():
            apart = self.differences.get((model, task))
            cells[model] = Cell(
                row.value, row.value, low=row.low, high=row.high, n=row.n, better=better,
                mark=better != "neither" and row.value == best is not None, own=model in owners,
                difference=None if apart is None else _difference(apart, better),
            )  # fmt: skip
        return cells

    def counted(self, domain: Domain) -> tuple[str, ...]:
        """The tasks on which the domain's own model gains for certain. Of a metric without a known
        direction, any certain difference counts."""
        return tuple(
            t for t in domain.tasks if self.differs(domain, t) and not self.lost(domain, t)
        )

    def differs(self, domain: Domain, task: str) -> bool:
        """Does the domain's own model differ from the base for certain?"""
        row = self.differences.get((domain.own, task))
        return row is not None and excludes(row.low, row.high)

    def lost(self, domain: Domain, task: str) -> bool:
        """Is the domain's own model worse than the base?"""
        row = self.differences.get((domain.own, task))
        return row is not None and _is_better(_difference(row, self.better(task))) is False

    def means(self, domain: Domain) -> _Column:
        """The mean of each model's share of the own model's gain, over the counted tasks."""
        tasks = self.counted(domain)
        gains = [self.differences[domain.own, task].value for task in tasks]
        cells: _Column = {}
        for model in self.models if tasks else ():
            rows = [self.differences.get((model, task)) for task in tasks]
            shares = [0.0] * len(tasks) if model == BASE else _shares(rows, gains)
            mean = sum(shares) / len(tasks) if len(shares) == len(tasks) else None
            cells[model] = Cell(mean, mean, n=len(tasks), better="higher", own=model == domain.own)
        return cells


def _difference(row: Measurement, better: Better) -> Cell:
    return Cell(
        row.value, row.value, row.chance, row.chance_sd, low=row.low, high=row.high, n=row.n,
        better=better,
    )  # fmt: skip


def _shares(rows: Sequence[Measurement | None], gains: Sequence[float | None]) -> list[float]:
    return [
        row.value / gain
        for row, gain in zip(rows, gains, strict=True)
        if row is not None and row.value is not None and gain
    ]


def _in_order(models: Sequence[str], columns: Mapping[str, _Column], order: str) -> tuple[str, ...]:
    """The models in an order; equal ones as in the study."""

    def tasks(model: str, *, better: bool) -> int:
        cells = [column[model].difference for column in columns.values() if model in column]
        return sum(c is not None and _is_certain(c) and _is_better(c) is better for c in cells)

    def mean(model: str) -> float:
        cells = [c[model].value for name, c in columns.items() if name.startswith(MEAN)]
        known = [value for value in cells if value is not None]
        return sum(known) / len(known) if known else float("-inf")

    keys = {
        "highest means first": lambda model: -mean(model),
        "most tasks better": lambda model: -tasks(model, better=True),
        "most tasks worse": lambda model: -tasks(model, better=False),
    }
    return tuple(sorted(models, key=keys.get(order, lambda model: 0)))


def _left_out(scores: _Scores, domains: Sequence[Domain]) -> Iterator[str]:
    """The tasks that the means leave out, and why."""
    silent = [
        f"{task} ({domain.own} {WORSE if scores.differs(domain, task) else LEVEL} the base there)"
        for domain in domains
        if domain.own in scores.models
        for task in domain.tasks
        if task in scores.metrics and task not in scores.counted(domain)
    ]
    if silent:
        yield f"The means leave out {', '.join(silent)}."
    without = [domain.name for domain in domains if domain.own not in scores.models]
    if without:
        yield f"{' or '.join(without)} has no model of its own, so it has no mean."
