"""The view of one domain against another: means of shares over the tasks that tell models apart.

A domain's own row is the plain mean over all of its tasks. A task on which the domain's own model
does not differ from the base gives every model a share near 1, the base too, and so says nothing of
the trade; of a task on which it is worse, the base keeps more than all. The figure leaves such
tasks out, as the leaderboard does, and names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from core.engine.measurement import Measurement, MetricSpec
from core.figures import leaderboard, score_tables
from core.figures.figure import BASE, Scatter
from core.figures.kinds.scatters import ScatterPlot
from core.figures.significance import excludes
from core.figures.views import Catalogue, Choice, Coordinate, Domain, Value

NORMALISED = "normalised"


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainPairs(ScatterPlot):
    """A point each value of `points`: its mean share of one domain against that of another."""

    further: ClassVar[tuple[str, ...]] = (NORMALISED,)

    def chosen(
        self, choice: Choice, coordinate: Coordinate, catalogue: Catalogue
    ) -> tuple[Value, ...]:
        """The domains, and the tasks that they are means over."""
        values = ScatterPlot.chosen(self, choice, coordinate, catalogue)
        if coordinate != self.across:
            return values
        domains = (each for each in catalogue.domains if score_tables.DOMAIN + each.name in values)
        return (
            *values,
            *(name for each in domains for t in each.tasks for name in _names(each, t)),
        )

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Scatter:
        means = [row for row in rows if score_tables.is_domain(row.task)]
        notes: list[str] = []
        for name in dict.fromkeys((getattr(choice, self.across), choice.against)):
            for domain in catalogue.domains:
                if name == score_tables.DOMAIN + domain.name:
                    shares = _Shares(rows, catalogue, domain, choice.measure)
                    means = [*shares.replaced(means)]
                    notes += shares.notes()
        made = ScatterPlot.lay_out(self, choice, means, catalogue, spec)
        return replace(made, note=" ".join(notes))


def _names(domain: Domain, task: str) -> tuple[str, str]:
    """The names that a task's rows may have: alone, or where several domains have the task."""
    return task, f"{task}{score_tables.OF}{domain.name}"


class _Shares:
    """The shares that points keep of one domain's tasks, each task by its first metric."""

    def __init__(
        self, rows: Sequence[Measurement], catalogue: Catalogue, domain: Domain, measure: str
    ) -> None:
        self._domain, self._measure = domain, measure
        self._task_of = {name: task for task in domain.tasks for name in _names(domain, task)}
        domain_rows = [row for row in rows if row.task in self._task_of]
        metrics = {
            task: {row.metric_of for row in domain_rows if self._task_of[row.task] == task}
            for task in domain.tasks
        }
        order = catalogue.values("metric_of")
        first = {
            task: next((metric for metric in order if metric in metrics[task]), "")
            for task in domain.tasks
        }
        self._rows = {
            (row.metric, row.setting, task): row
            for row in domain_rows
            if row.metric_of == first[task := self._task_of[row.task]]
        }
        base = {t: self._rows.get((NORMALISED, BASE, t)) for t in domain.tasks}
        known = {task: row for task, row in base.items() if row is not None}
        self._known = [*known]
        apart = {t: r.value or 0.0 for t, r in known.items() if excludes(r.low, r.high, 1.0)}
        self._telling = [task for task, share in apart.items() if share < 1]
        self._lost = [task for task in apart if task not in self._telling]

    def replaced(self, means: Sequence[Measurement]) -> Iterator[Measurement]:
        """The means; a domain's mean is over its telling tasks alone, where each of its tasks is
        known."""
        for row in means:
            mine = row.task == score_tables.DOMAIN + self._domain.name
            if not mine or len(self._known) != row.n or len(self._telling) == row.n:
                yield row
                continue
            task_rows = [
                self._rows.get((self._measure, row.setting, task)) for task in self._telling
            ]
            values = [
                each.value for each in task_rows if each is not None and each.value is not None
            ]
            whole = values and len(values) == len(self._telling)
            mean = sum(values) / len(values) if whole else None
            yield replace(row, value=mean, n=len(self._telling))

    def notes(self) -> Iterator[str]:
        """The tasks left out, and why."""
        silent = [t for t in self._known if t not in (*self._telling, *self._lost)]
        left_out = [
            f"{', '.join(tasks)} ({self._domain.own} {why} the base there)"
            for tasks, why in ((silent, leaderboard.LEVEL), (self._lost, leaderboard.WORSE))
            if tasks
        ]
        if left_out:
            rest = "" if self._telling else ": no task is left"
            yield f"The mean of {self._domain.name} leaves out {', '.join(left_out)}{rest}."
