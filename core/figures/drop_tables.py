"""The table of drops when neurons are ablated, and selections of neurons side by side.

Owns the columns, rows and orders of that table, its note on the tests of a run, and the doubt
about tests that find little. Computes nothing that was not measured; draws nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from core.engine.measurement import Coordinates, Measurement
from core.errors import StudyError
from core.figures import significance
from core.figures.figure import Column, Table
from core.figures.records import DropRecord
from core.figures.rounding import LEAST_P
from core.figures.score_tables import Line, count_of, in_order, numbers, results_by, value_of
from core.figures.significance import LEVEL
from core.figures.views import Catalogue, Tabulation
from core.neurons import ranking
from core.neurons.ranking import CONTROLS, is_selection, selection_of
from core.statistics.multiplicity import reach

DROP_ORDERS = ("strongest evidence", "largest drop", "by model")
FARTHEST = 10.0
"""A run is warned of tests that find only drops farther from their controls, in standard
deviations."""
OWN = "own"
"""The name of a model's own neurons as a source."""

_WHERE = ("model", "reference", "task", "setting", "module")


def drops(asked: Tabulation) -> Table:
    """A line for each selection that was ablated, with its random controls."""
    by_drop: dict[tuple[Any, ...], dict[str, Measurement]] = {}
    counts: dict[tuple[Any, ...], float | None] = {}
    for row in asked.rows:
        place = tuple(getattr(row, name) for name in _WHERE)
        if row.metric == "neurons":
            counts[place] = row.value
        elif is_selection(row.setting):
            by_drop.setdefault((*place, row.metric_of), {})[row.metric] = row
    models = {name: index for index, name in enumerate(asked.catalogue.values("model"))}
    lines: list[Line] = []
    for (model, source, task, setting, module, metric), by_metric in by_drop.items():
        drop, q = by_metric.get("drop_percent"), by_metric.get("q_value")
        if drop is None:
            continue
        count = counts.get((model, source, task, setting, module))
        by = {
            "strongest evidence": (_evidence(value_of(q)), *_size(_beyond(drop))),
            "largest drop": _size(drop.value),
            "by model": (models.get(model, 0), task, metric, setting),
        }
        cells = (
            model, source, task, metric, setting, count_of(count),
            value_of(by_metric.get("score")), value_of(by_metric.get("ablated_score")),
            drop.value, drop.low, drop.high, drop.chance, drop.chance_sd, value_of(q),
            _verdict(value_of(q)),
        )  # fmt: skip
        record = DropRecord(drop.value, value_of(q))
        lines.append((by.get(asked.choice.order, by["strongest evidence"]), cells, record))
    return Table(
        **in_order(lines),
        title=f"Drops · {asked.choice.order}",
        keys=5,
        results=results_by(asked, "drop %", "q", {"strongest evidence": "q"}),
        columns=(
            Column(name="ablated model"),
            Column(name="neuron source"),
            Column(name="task"),
            Column(name="metric"),
            Column(name="selection"),
            Column(name="neurons", align="right", form=",d"),
            *numbers("before", "after"),
            *numbers("drop %", "CI low", "CI high", "random", signed=True),
            *numbers("random sd"),
            Column(name="q", align="right", form="p"),
            Column(name="verdict"),
        ),
        note=_on_tests(asked, by_drop),
    )


def _evidence(q: float | None) -> float:
    """The first key of the order: q, at least LEAST_P."""
    return 2.0 if q is None else max(q, LEAST_P)


def _size(number: float | None) -> tuple[bool, float]:
    """The largest first, undefined numbers last."""
    return number is None, -(number or 0.0)


def _beyond(drop: Measurement) -> float | None:
    """The drop beyond the mean of its controls."""
    return None if drop.value is None or drop.chance is None else drop.value - drop.chance


def _on_tests(asked: Tabulation, drops: Mapping[Any, Mapping[str, Measurement]]) -> str:
    """The drops that the tests of a run can find, by its numbers of controls and of tests."""
    note = "A drop is always a loss of ability. q: against random neurons of the same layers"
    controls = _draws(asked.catalogue.values("setting"))
    tests = _tests(q for by_metric in drops.values() if (q := by_metric.get("q_value")))
    if not controls or not tests:
        return f"{note}, corrected for the number of tests."
    note += f" ({controls} draws), corrected for {tests} tests."
    return " ".join([note, *_doubt(controls, tests)])


def doubts(rows: Iterable[Measurement]) -> list[str]:
    """The doubt about a run whose tests hardly find any drop, by its rows of drops and q values."""
    rows = list(rows)
    draws = _draws({row.setting for row in rows if row.metric == "drop_percent"})
    return _doubt(draws, _tests(row for row in rows if row.metric == "q_value"))


def _draws(settings: Iterable[str]) -> int:
    """The random controls of each selection; the fewest where selections differ."""
    draws = Counter(selection_of(setting) for setting in settings)
    return min((n for name, n in draws.items() if name), default=0)


def _tests(rows: Iterable[Measurement]) -> int:
    """The number of tests that the q values of one metric are corrected for; the largest."""
    return max((row.n or 0 for row in rows), default=0)


def _doubt(controls: int, tests: int) -> list[str]:
    if controls < 2 or not tests or (far := reach(controls, tests, LEVEL)) <= FARTHEST:
        return []
    doubt = (
        f"With {controls} random draws and {tests} tests, hardly any drop can be significant: a "
        f"single drop must exceed its controls by {far:.0f} of their standard deviations. "
        f"With controls = {CONTROLS} it would be {reach(CONTROLS, tests, LEVEL):.0f}."
    )
    return [doubt]


@dataclass(frozen=True, slots=True)
class Selections:
    """The ablated model, and the selection with the source of its neurons: `A top-1% base`."""

    letters: Mapping[str, str]
    names: tuple[str, str] = ("ablated model", "selection and source")
    of: tuple[str, str] = ("model", "")

    def __call__(self, row: Coordinates) -> tuple[str, str] | None:
        letter = self.letters.get(row.setting)
        if letter is None:
            return None
        source = OWN if row.reference == row.model else row.reference
        return row.model, f"{letter} {row.setting} {source}"


def side_by_side(catalogue: Catalogue) -> Selections:
    """The selections of a run by letters: A the fewest neurons, selections of active ones last."""
    known = []
    for name in filter(is_selection, catalogue.values("setting")):
        try:
            selection = ranking.parse(name)
        except StudyError:  # from a foreign database
            continue
        known.append((selection.active, selection.share, name))
    return Selections(
        {name: chr(ord("A") + index) for index, (*_, name) in enumerate(sorted(known))}
    )


def _verdict(q: float | None) -> str:
    return significance.UNTESTED if q is None else significance.tested(q).words
