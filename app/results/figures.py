"""The figures of a run under a choice, for screens, prints and reports alike.

Owns the way from stored rows and arrays to a figure. Draws nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, get_args

from core.engine import registry
from core.engine.registry import Analysis
from core.errors import StorageError, StudyError
from core.figures import groups
from core.figures.choices import (
    default_choice,
    names_of,
    narrowed,
    options,
    present,
    query,
    settled,
)
from core.figures.figure import BASE, Figure, Table
from core.figures.filters import ALL, Filter, Names
from core.figures.layout import figure
from core.figures.passages import Passages
from core.figures.views import GROUPS, Arrays, Catalogue, Choice, Kind, View
from core.models.naming import ORDER
from storage import listing, runs
from storage.database import Database
from storage.listing import Line, Order
from storage.runs import RunSummary

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS: tuple[Kind, ...] = get_args(Kind)
_LONGEST = 150
"""The most characters of a file's name, without its ending and the suffix of a partial file."""

_MODULES = ("", *ORDER, *GROUPS)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A view's figure under a choice, with its catalogue and the names to filter by."""

    choice: Choice
    catalogue: Catalogue
    figure: Figure
    names: Names = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """A view's figure under a choice, and what it says in one sentence, if that can be told.

    `opening`: is it the choice that the view opens with, which stands for all others?
    """

    analysis: Analysis
    view: View
    choice: Choice
    figure: Figure
    finding: str
    opening: bool = True

    @property
    def heading(self) -> str:
        """Its name among all figures of a run, since views of two analyses may share a title."""
        return f"{self.analysis.title}: {self.view.title}"

    @property
    def name(self) -> str:
        """The name of this figure's file, unique within the run."""
        model = f"-{self.choice.model}" if "model" in self.view.selectors else ""
        return file_name(f"{self.analysis.name}-{self.view.key}{model}")


def file_name(name: str) -> str:
    """A name as a valid file name: names of models in a database may have any length and
    characters. A changed name ends in a part of its hash."""
    plain = re.sub(r"[^A-Za-z0-9._@-]", "_", name)[:_LONGEST]
    if plain == name:
        return name
    return f"{plain}-{sha256(name.encode(errors='backslashreplace')).hexdigest()[:8]}"


def analyses_of(run: RunSummary, only: str | None = None) -> tuple[Analysis, ...]:
    """The declarations of a run's analyses, or of the one that is asked for.

    Raises StudyError when there is none of that name, or the run has not computed it.
    """
    if only is not None:
        analysis = registry.get(only)
        if only not in run.analyses:
            hint = f"It has {', '.join(run.analyses)}."
            raise StudyError(f"Run {run.id} does not have the analysis '{only}'.", hint=hint)
        return (analysis,)
    return tuple(registry.get(name) for name in registry.names() if name in run.analyses)


def drawn(
    db: Database,
    run_id: str,
    analysis: Analysis,
    view: View,
    choice: Choice | None = None,
    ranges: Catalogue | None = None,
    *,
    by: Filter = ALL,
    also: str | None = None,
) -> Drawn:
    """The figure of a view under a choice (None: the default), which first settles on existing
    values: the run's or the given catalogue's, within the filter. `also`: only results
    that this other run refers to as well."""
    if ranges is None:
        ranges = runs.catalogue(db, run_id, analysis.name)
    made = _drawn(db, run_id, analysis, view, choice, narrowed(ranges, by), also)
    return replace(made, names=names_of([ranges]))


def shown(
    db: Database, run: RunSummary, analysis: Analysis, *, by: Filter = ALL
) -> Iterator[Shown]:
    """Every view of an analysis under its default choice, without views that the filter empties."""
    ranges = runs.catalogue(db, run.id, analysis.name)
    for view in present(analysis.views, ranges):
        made = _drawn(db, run.id, analysis, view, None, narrowed(ranges, by))
        if not by or not made.figure.is_empty:
            yield _told(analysis, view, made)


def names_in(db: Database, run: RunSummary) -> Names:
    """The names to filter by in all analyses of a run."""
    return names_of(runs.catalogue(db, run.id, name) for name in run.analyses)


def shown_together(
    db: Database, run: RunSummary, analysis: Analysis, kinds: Collection[Kind] = KINDS
) -> Iterator[tuple[Shown, ...]]:
    """Every view of an analysis, of these kinds, as the figures that are read side by side.

    These are one figure per model if a view shows one model at a time, else its one figure; figures
    without values are left out.
    """
    ranges = runs.catalogue(db, run.id, analysis.name)
    for view in present(analysis.views, ranges):
        if view.kind not in kinds:
            continue
        first = default_choice(view, ranges)
        models = [first.model]
        if "model" in view.selectors:
            models = [str(m) for m in options(view, "model", first, ranges)]
        figures = [
            _told(analysis, view, _drawn(db, run.id, analysis, view, choice, ranges))
            for choice in (replace(first, model=model) for model in models)
        ]
        held = tuple(each for each in figures if not each.figure.is_empty)
        if held:
            yield held


def lines(
    db: Database, run: RunSummary, analysis: Analysis
) -> AbstractContextManager[Iterator[Line]]:
    """The rows of an analysis in the order of every export: metrics as declared, models as in the
    study. `storage.listing.lines` says more."""
    order = Order(
        metrics=[spec.name for spec in analysis.metrics],
        models=["", "base", *run.models],
        modules=_MODULES,
    )
    return listing.lines(db, run.id, analysis.name, order)


def finding(view: View, made: Drawn) -> str:
    """The view's finding, made for its default measure and reading; empty for a figure without
    values, or one that is not complete yet."""
    if not made.catalogue.values("metric") or made.figure.is_empty:
        return ""
    opens_with = default_choice(view, made.catalogue).measure, view.reading
    if (made.choice.measure, made.choice.reading) != opens_with:
        return ""
    return view.finding(made.figure)


def _told(analysis: Analysis, view: View, made: Drawn) -> Shown:
    opening = made.choice == default_choice(view, made.catalogue)
    return Shown(analysis, view, made.choice, made.figure, finding(view, made), opening)


def _drawn(
    db: Database,
    run_id: str,
    analysis: Analysis,
    view: View,
    choice: Choice | None,
    ranges: Catalogue,
    also: str | None = None,
) -> Drawn:
    if choice is None:
        return _opened(db, run_id, analysis, view, ranges, also)
    choice = settled(view, choice, ranges)
    by_group = view.tabulate is None and not view.grouped
    within = ranges if by_group or view.grouped else groups.without(ranges)
    wanted = query(view, choice, within)
    asked = groups.asked(wanted, within.groups)
    rows = runs.measurements(db, run_id, analysis.name, asked, also=also)
    if by_group:
        rows = groups.joined(rows, wanted, within.groups)
    spec = analysis.metric(choice.measure)
    arrays = _arrays(db, run_id, analysis.name, also)
    return Drawn(choice, ranges, figure(view, choice, rows, within, spec, arrays))


def _opened(
    db: Database, run_id: str, analysis: Analysis, view: View, ranges: Catalogue, also: str | None
) -> Drawn:
    """The figure that a view opens with: of the first tuned model with a defined value, if any."""
    first = default_choice(view, ranges)
    made = _drawn(db, run_id, analysis, view, first, ranges, also)
    if "model" not in view.selectors or _has_values(made.figure):
        return made
    passed = {BASE, first.model, *ranges.controls}
    for model in options(view, "model", first, ranges):
        if model not in passed:
            choice = settled(view, replace(first, model=str(model)), ranges)
            other = _drawn(db, run_id, analysis, view, choice, ranges, also)
            if _has_values(other.figure):
                return other
    return made


def _has_values(figure: Figure) -> bool:
    """Is any value of the figure defined? A table and a text always count as such."""
    if isinstance(figure, Table | Passages):
        return True
    return any(cell.value is not None for cell in figure.measured())


def _arrays(db: Database, run_id: str, analysis: str, also: str | None) -> Arrays:
    """Reads the arrays of an analysis, or of a named other one; their list is read once, at the
    first request."""
    known: dict[str, dict[tuple[str, str, str, int | None, str], runs.StoredArtifact]] = {}
    widths: dict[int | None, int] = {}
    asked = analysis

    def read(
        name: str,
        *,
        model: str = "",
        reference: str = "",
        layer: int | None = None,
        task: str = "",
        analysis: str = "",
    ) -> Mapping[str, NDArray[Any]] | None:
        whose = analysis or asked
        if whose not in known:
            known[whose] = {
                (
                    artifact.name,
                    artifact.model,
                    artifact.reference,
                    artifact.layer,
                    artifact.task,
                ): artifact
                for artifact in runs.artifacts(db, run_id, whose, also=also)
            }
        wanted = known[whose].get((name, model, reference, layer, task))
        if wanted is None:
            return None
        arrays = runs.arrays(db, wanted)
        width = arrays.sizes.get("neurons")
        if width is not None and widths.setdefault(layer, width) != width:
            raise StorageError(
                f"The artifact {arrays.place} ('{name}') has {width} neurons in layer {layer}, but "
                f"another of the run has {widths[layer]}.",
                hint="They are of different models. Compute the run again with --fresh.",
            )
        return arrays

    return read
