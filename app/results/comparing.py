"""Two runs compared: their common results, and their figures under one choice.

Owns the way from two runs to a pair of figures with common axes. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.results.figures import drawn
from core.engine import registry
from core.engine.registry import Analysis
from core.errors import RunError, StudyError
from core.figures.choices import default_choice, present, settled
from core.figures.common import catalogue_of_both
from core.figures.differences import Difference, beyond, largest
from core.figures.figure import Figure, Grid, Lines, Place, Scatter
from core.figures.pairing import aligned, difference, shared
from core.figures.views import Catalogue, Choice, View
from core.study.study import SOLE, Study
from storage import runs
from storage.database import Database
from storage.runs import RunSummary

CAPTION = (
    "Differences are B − A; the reference is 0. The intervals and chance spreads of both runs are "
    "combined in quadrature, as if the runs were independent: an approximation. A measurement that "
    "both runs share differs by 0 and has neither."
)


Ranges = tuple[Catalogue, Catalogue]
"""The catalogues of an analysis in both runs, for callers that have read them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A view of two runs under one choice. `depths` are their numbers of layers.

    `by_depth`: the difference matches layers by their relative depth. Tables have no difference.
    """

    choice: Choice
    catalogue: Catalogue
    figures: tuple[Figure, Figure]
    difference: Difference | None
    depths: tuple[int, int] = (0, 0)
    by_depth: bool = False
    unlike: str = ""
    """Differences besides the tuning: the settings that differ between the studies."""

    @property
    def told(self) -> str:
        """The largest difference in one sentence; empty for tables."""
        return largest(self.difference, *self.figures) if self.difference is not None else ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Differences besides the tuning, omitted places, and the matching of layers."""
        notes = [self.unlike] if self.unlike else []
        if self.difference is None:
            return tuple(notes)
        notes += self.difference.notes
        first, second = self.depths
        if first != second and _over_layers(self.difference.figure):
            how = "by relative depth, at the layers of A" if self.by_depth else "by number"
            notes.append(f"{first} against {second} layers, matched {how}")
        return tuple(notes)


def analyses_of_both(
    first: RunSummary, second: RunSummary, only: str | None = None
) -> tuple[Analysis, ...]:
    """The declarations of the analyses that two runs share, or of the one that is asked for.

    Raises StudyError when there is none of that name, or they don't share it, or share none.
    """
    shared = [n for n in registry.names() if n in first.analyses and n in second.analyses]
    wanted = [registry.get(only).name] if only is not None else shared
    if not wanted or not set(wanted) <= set(shared):
        what = f"the analysis '{only}'" if only is not None else "any analysis"
        have = (f"Run {run.id} has {', '.join(run.analyses)}." for run in (first, second))
        raise StudyError(f"The two runs do not share {what}.", hint=" ".join(have))
    return tuple(registry.get(name) for name in wanted)


def alone(first: RunSummary, second: RunSummary) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The titles of the analyses that only the first of two runs has, and only the second."""

    def only(run: RunSummary, other: RunSummary) -> tuple[str, ...]:
        names = [n for n in registry.names() if n in run.analyses and n not in other.analyses]
        return tuple(registry.get(name).title for name in names)

    return only(first, second), only(second, first)


def asked_differently(first: Study, second: Study, analysis: Analysis) -> tuple[str, ...]:
    """The keys that differ between two studies and affect an analysis: they may change its results,
    whatever the tuning."""
    involved = [analysis, *map(registry.get, analysis.after)]
    needs = {each.needs for each in involved}

    def asked(study: Study) -> dict[str, Any]:
        parts: dict[str, Any] = {}
        if needs - registry.OF_WEIGHTS:
            parts["run"] = study.run.model_dump(include={"dtype", "seed", "attention"})
        sets = list(study.probe_sets().items())
        read = len(sets) if "texts" in needs else int("probe" in needs)
        for name, probe in sets[:read]:
            parts[name if name == SOLE else f"probes.{name}"] = probe.model_dump()
        if "tasks" in needs:
            parts["evaluation"] = study.evaluation.model_dump() if study.evaluation else {}
        for each in involved:
            parts[f"analyses.{each.name}"] = study.parameters(each.name).model_dump()
        return {f"{part}.{key}": v for part, values in parts.items() for key, v in values.items()}

    of_first, of_second = asked(first), asked(second)
    return tuple(
        key
        for key in dict.fromkeys((*of_first, *of_second))
        if of_first.get(key) != of_second.get(key)
    )


def views_of_both(
    db: Database, first: str, second: str, analysis: Analysis, ranges: Ranges | None = None
) -> tuple[View, ...]:
    """The views of an analysis that can show both runs, by their ids."""
    ranges = ranges or _ranges(db, first, second, analysis)
    of_first, of_second = (present(analysis.views, each) for each in ranges)
    return tuple(
        v for v in of_first if v in of_second and catalogue_of_both(v, *ranges) is not None
    )


def pair(
    db: Database,
    first: str,
    second: str,
    analysis: Analysis,
    view: View,
    choice: Choice | None = None,
    *,
    by_depth: bool = False,
    ranges: Ranges | None = None,
) -> Pair:
    """A view of two runs under a choice (None: the default), limited to common values. Raises
    RunError if they have none."""
    of_first, of_second = ranges or _ranges(db, first, second, analysis)
    united = catalogue_of_both(view, of_first, of_second)
    if united is None:
        raise RunError(f"The two runs have nothing in common for '{view.title}'.")
    choice = settled(view, choice or default_choice(view, united), united)
    apart = view.kind in ("table", "text")  # no axes to share: each with the models of its own run
    made = [
        drawn(db, each, analysis, view, choice, has if apart else united).figure
        for each, has in ((first, of_first), (second, of_second))
    ]
    depths = (len(of_first.values("layer")), len(of_second.values("layer")))
    figures = aligned(made[0], made[1])
    same: frozenset[Place] = frozenset()
    moved = by_depth and depths[0] != depths[1] and _over_layers(figures[0])
    if not apart and not moved:  # moved layers are compared with other layers
        part = drawn(db, first, analysis, view, choice, united, also=second).figure
        same = shared(part, *figures)
    delta = difference(*figures, depths if by_depth else None, same)
    return Pair(
        choice, united, figures, delta, depths, by_depth, _unlike(db, first, second, analysis)
    )


def pairs(
    db: Database, first: str, second: str, analysis: Analysis, *, by_depth: bool = False
) -> Iterator[tuple[View, Pair]]:
    """Every view of an analysis that can show both runs, under its default choice."""
    ranges = _ranges(db, first, second, analysis)
    for view in views_of_both(db, first, second, analysis, ranges):
        yield view, pair(db, first, second, analysis, view, by_depth=by_depth, ranges=ranges)


def compared(analysis: Analysis, view: View, made: Pair) -> dict[str, Any]:
    """A pair as plain data: both values and their difference at every place of both."""
    of_first, of_second = (figure.places() for figure in made.figures)
    rows = []
    for place, cell in made.difference.figure.places().items() if made.difference else ():
        a, b = of_first.get(place), of_second.get(place)
        rows.append(
            {
                "place": list(place),
                "A": a.shown if a else None,
                "B": b.shown if b else None,
                "difference": cell.shown,
                "low": cell.low,
                "high": cell.high,
                "chance": cell.chance,
                "chance_sd": cell.chance_sd,
                "reading": beyond(cell),
            }
        )
    chosen = made.figures[0].chosen if isinstance(made.figures[0], Lines | Grid | Scatter) else {}
    return {
        "analysis": analysis.name,
        "view": view.key,
        "measure": made.choice.measure,
        "reading": made.choice.reading,
        "chosen": dict(chosen),
        "finding": made.told,
        "notes": list(made.notes),
        "differences": rows,
    }


def _unlike(db: Database, first: str, second: str, analysis: Analysis) -> str:
    try:
        studies = runs.study_of(db, first), runs.study_of(db, second)
    except RunError:  # of another version: its results are still there
        return "the study of one run can't be read by this version"
    keys = asked_differently(*studies, analysis)
    return f"the studies differ in {', '.join(keys)}" if keys else ""


def _ranges(db: Database, first: str, second: str, analysis: Analysis) -> Ranges:
    return (
        runs.catalogue(db, first, analysis.name),
        runs.catalogue(db, second, analysis.name),
    )


def _over_layers(figure: Figure) -> bool:
    if isinstance(figure, Lines):
        return not figure.x_names
    return isinstance(figure, Grid) and "layer" in (figure.row_of, figure.column_of)
