"""The figures of a run under the choices that they open with, for prints and reports.

Owns the way from stored rows to a figure. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from core import registry
from core.errors import RunError
from core.measurement import COORDINATES, Measurement
from core.registry import Analysis
from core.views import GROUPS, MODULES, Choice, Figure, View, default_choice, figure, present, query
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

_MODULES = {name: place for place, name in enumerate(("", *MODULES, *GROUPS))}


@dataclass(frozen=True, slots=True)
class Shown:
    """A view's figure under a choice, and what it says in one sentence, if that can be told."""

    analysis: Analysis
    view: View
    choice: Choice
    figure: Figure
    finding: str


def analyses_of(run: RunSummary, only: str | None = None) -> tuple[Analysis, ...]:
    """The declarations of a run's analyses, or of the one that is asked for.

    Raises StudyError when there is none of that name, RunError when the run has not computed it.
    """
    if only is not None:
        analysis = registry.get(only)
        if only not in run.analyses:
            hint = f"It has {', '.join(run.analyses)}."
            raise RunError(f"Run {run.id} does not have the analysis '{only}'.", hint=hint)
        return (analysis,)
    return tuple(registry.get(name) for name in registry.names() if name in run.analyses)


def shown(db: Database, run: RunSummary, analysis: Analysis) -> Iterator[Shown]:
    """Every view of an analysis, under its default choice."""
    ranges = runs.catalogue(db, run.id, analysis.name)
    for view in present(analysis.views, ranges):
        choice = default_choice(view, ranges)
        rows = runs.measurements(db, run.id, analysis.name, query(view, choice))
        drawn = figure(view, choice, rows, ranges, analysis.metric(choice.measure))
        yield Shown(analysis, view, choice, drawn, view.finding(drawn))


def shown_together(
    db: Database, run: RunSummary, analysis: Analysis
) -> Iterator[tuple[Shown, ...]]:
    """Every view of an analysis as the figures that are read side by side.

    That is one of each model where a view shows one model at a time, else the view's one figure.
    A model of which nothing is known yet has none.
    """
    ranges = runs.catalogue(db, run.id, analysis.name)
    for view in present(analysis.views, ranges):
        first = default_choice(view, ranges)
        models = ranges.models if "model" in view.selectors else (first.model,)
        found = []
        for model in models:
            choice = replace(first, model=model)
            rows = runs.measurements(db, run.id, analysis.name, query(view, choice))
            if rows:
                drawn = figure(view, choice, rows, ranges, analysis.metric(choice.measure))
                found.append(Shown(analysis, view, choice, drawn, view.finding(drawn)))
        if found:
            yield tuple(found)


def in_order(rows: Sequence[Measurement], analysis: Analysis, run: RunSummary) -> list[Measurement]:
    """Rows in the order of every export: metrics as declared, models as in the study."""
    metrics = {spec.name: place for place, spec in enumerate(analysis.metrics)}
    models = {name: place for place, name in enumerate(("", "base", *run.models))}

    def key(row: Measurement) -> tuple[object, ...]:
        return (
            metrics.get(row.metric, len(metrics)), row.metric, row.metric_of,
            models.get(row.model, len(models)), models.get(row.reference, len(models)),
            row.setting, _last(row.layer), _MODULES.get(row.module, len(_MODULES)),
            _first(row.expert), _first(row.head),
            *(getattr(row, name) for name in COORDINATES[1:] if name not in _NULLABLE),
        )  # fmt: skip

    return sorted(rows, key=key)


_NULLABLE = ("layer", "expert", "head")


def _last(value: int | None) -> tuple[bool, int]:
    return (value is None, value or 0)


def _first(value: int | None) -> int:
    return -1 if value is None else value
