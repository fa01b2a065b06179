"""Views: declarations of the measurements that a figure shows, and of its selectors.

An analysis declares its views. `core.figures.choices.query` says which measurements a view needs
under a choice; `core.figures.layout` makes the figure of them. Knows no database, terminal or file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from core.engine.measurement import (
    COORDINATES,
    FILTERS,
    INSIDE,
    WORDS,
    Better,
    Coordinates,
    Measurement,
    MetricSpec,
    ordered,
)
from core.figures.figure import Figure
from core.figures.filters import ALL, Filter
from core.models.naming import ORDER

if TYPE_CHECKING:
    from numpy.typing import NDArray

Reading = Literal["raw", "chance", "excess", "difference"]
"""The number shown: the measured value, its chance level, its excess over chance, or its difference
from the base."""
Kind = Literal["curves", "matrix", "heatmap", "bars", "boxes", "scatter", "table", "text"]
Coordinate = str
"""The name of a coordinate: a field of `Coordinates`."""
Selector = str
"""A choice that the user steps through: a coordinate, "against", the other value of a scatter, or
"item", one of the texts that a figure names."""

Value = str | int | None
Wanted = Literal["any", "present", "absent"] | tuple[Value, ...]
"""The condition on a coordinate: none, a value present, a value absent, or one of these values."""

Query = Mapping[Coordinate, Wanted]
"""The measurements that a figure needs: conditions on the metric and on coordinates. There is no
condition on a coordinate that is not named."""

SPOKEN: tuple[Selector, ...] = ordered(
    ("model", "reference", "module", "layer", "task", "against", *COORDINATES, "item")
)
"""All selectors in the order in which a title names their values."""

COMBINED = ("metric", *(name for name in SPOKEN if name in COORDINATES and name not in INSIDE))
"""The fields of a combination: the metric and all coordinates but those inside a model."""
GROUPS = ("attention", "mlp", "blocks", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A declared picture. `core.figures.kinds` has its kinds, with what each lays out.

    `measures` are the metrics the user may switch between, first = default; none: whatever the
    run measured, the `declared` ones first. `excess` maps a measure to the metric that holds its
    excess over chance, `tested` to the metric that holds its corrected p value. `with_chance`
    shows the chance level beside the value, so that it is no reading of its own. `finding` turns
    the figure under the default choice into one plain sentence. `marks` sets cells apart;
    `mark_name` names them. `missing` says why nothing was measured at a place of a grid.

    `selectors` are the coordinates the user steps through one value at a time, the later ones
    among what goes with the earlier; `opens` says where, if not at the first value. `fixed` gives
    the value of a coordinate once and for all. Of `free` coordinates any value is taken, or none.
    A coordinate that no field mentions must be absent. `only` narrows a coordinate to the values
    for which it is true. `panels` are the values of `panelled` to show, in their order. An
    `optional` view exists only where something was measured for it. `names` says coordinates in
    words where others are better, `short` the title where it is too long for a line.

    `tabulate` makes the figure where it takes more than to place rows, in one of `orders`. `drill`
    is the view that shows what lies behind a value of this one: its key, after `analysis:` where it
    is another's. `needs` is a sentence on the input that a run without values for it lacks.
    """

    kind: ClassVar[Kind]
    together: ClassVar[bool] = False
    """Does it show all its measures at once?"""
    placed: ClassVar[bool] = False
    """Are its axes read out of measurements, and no coordinates?"""
    loose: ClassVar[bool] = False
    """Do its selectors also step to the absence of a value, where that was measured?"""

    grouped: ClassVar[bool] = False
    """Does it know groups of models? Other figures have them as further models."""
    beside: ClassVar[tuple[str, ...]] = ()
    """Metrics of the one that it shows, which it needs too."""
    further: ClassVar[tuple[str, ...]] = ()
    """Further metrics that it needs, whichever it shows."""

    key: str
    title: str
    caption: str
    finding: Callable[[Any], str]
    measures: tuple[str, ...] = ()
    declared: tuple[str, ...] = ()
    excess: Mapping[str, str] = field(default_factory=dict)
    tested: Mapping[str, str] = field(default_factory=dict)
    reading: Reading = "raw"
    with_chance: bool = False
    selectors: tuple[Coordinate, ...] = ()
    opens: Mapping[Coordinate, Value] = field(default_factory=dict)
    fixed: Mapping[Coordinate, Value] = field(default_factory=dict)
    free: tuple[Coordinate, ...] = ()
    only: Mapping[Coordinate, Callable[[Any], bool]] = field(default_factory=dict)
    panels: tuple[str, ...] = ()
    optional: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    short: str = ""
    marks: Callable[[Any], Figure] | None = None
    mark_name: str = ""
    missing: str = "not measured"
    tabulate: Callable[[Tabulation], Figure] | None = None
    orders: tuple[str, ...] = ()
    drill: str = ""
    needs: str = ""

    @property
    def panelled(self) -> Coordinate:
        """The coordinate that `panels` are values of; "" where there is none."""
        return ""

    @property
    def laid_out(self) -> tuple[Coordinate, ...]:
        """The coordinates whose values stand side by side in the figure."""
        return ()

    @property
    def axes_of(self) -> tuple[Coordinate, ...]:
        """The coordinates that its figure's axes are; none where they are something else."""
        return () if self.placed or self.tabulate is not None else self.laid_out

    @property
    def steppers(self) -> tuple[Selector, ...]:
        """The selectors; the values of each depend on the choices of the earlier ones."""
        return self.selectors

    def word(self, coordinate: str) -> str:
        """The name of a coordinate for people."""
        return self.names.get(coordinate) or WORDS.get(coordinate, coordinate)

    def coordinate(self, selector: Selector) -> Coordinate:
        """The coordinate whose values a selector steps through."""
        return selector

    def chosen(
        self, choice: Choice, coordinate: Coordinate, catalogue: Catalogue
    ) -> tuple[Value, ...]:
        """The chosen values of a selector's coordinate."""
        return (getattr(choice, coordinate),)

    def panels_in(self, catalogue: Catalogue) -> tuple[str, ...]:
        """The panels that the filter takes; if it takes none, the ones that it names."""
        name = FILTERS.get(self.panelled, "")
        panels = tuple(value for value in self.panels if catalogue.filter.takes(name, value))
        return panels or catalogue.filter.of(name)

    def has_base(self, measure: str, catalogue: Catalogue) -> bool:
        """Does the figure of a measure hold the base's values, to take from the others'?"""
        return False

    def place_of(self, coordinates: Coordinates) -> tuple[Any, ...]:
        """Where in the figure something lies."""
        return ()

    def placing(self, catalogue: Catalogue) -> Callable[[Coordinates], tuple[Any, ...] | None]:
        """A function from coordinates to a place in the figure, or None for no place."""
        return self.place_of

    def lay_out(
        self, choice: Choice, rows: Sequence[Measurement], catalogue: Catalogue, spec: MetricSpec
    ) -> Figure:
        """The figure of rows that the choice asks for. `spec` declares the chosen measure."""
        raise NotImplementedError(f"{self.key} is made by `tabulate`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination(Coordinates):
    """Values that were measured together, in whatever part of a model: `COMBINED` names them."""

    metric: str


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of the study: its tasks, and its own tuned model ("" where it has none)."""

    name: str
    tasks: tuple[str, ...]
    own: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """The ranges of a run's measurements of an analysis, in order.

    `ranges` are the values of the metric and of each coordinate but experts and heads. Models are
    those of the study, the base before them where it was measured; all others are the values that
    occur. `overall`: are there rows over all layers? `controls` are the models in the role of a
    control, `models` all of the study, measured or not, whatever a filter takes. `better` says
    which direction of a metric of the harness is better, where it is known and the same on every
    task. `domains` are the study's. `places` are the layers (None: over all) and modules measured
    together. No `combinations`, or no `places`, means that everything may go with everything.
    `groups` are the members of the groups among the models. `filter`: the words of the filter line.
    """

    ranges: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    overall: bool = True
    controls: frozenset[str] = frozenset()
    better: Mapping[str, Better] = field(default_factory=dict)
    domains: tuple[Domain, ...] = ()
    models: tuple[str, ...] = ()
    combinations: frozenset[Combination] = frozenset()
    places: frozenset[tuple[int | None, str]] = frozenset()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    filter: Filter = ALL

    def values(self, coordinate: str) -> tuple[Any, ...]:
        """The values of a coordinate, or of the metric, in order; absence is none of them."""
        return self.ranges.get(coordinate, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Coordinates):
    """The user's selection in a view: a value for each selector.

    `against` is the value of a scatter's other axis, `order` how a table is sorted, `item` the
    text asked for among the items of a figure, "" for the first.
    """

    measure: str
    reading: Reading = "raw"
    against: Value = ""
    order: str = ""
    item: str = ""


class Arrays(Protocol):
    """A run's arrays of the view's analysis, or of another, read when asked for; None where there
    are none."""

    def __call__(
        self,
        name: str,
        *,
        model: str = "",
        reference: str = "",
        layer: int | None = None,
        task: str = "",
        analysis: str = "",
    ) -> Mapping[str, NDArray[Any]] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tabulation:
    """The input of `tabulate`: the choice, the rows of its query, and arrays."""

    choice: Choice
    catalogue: Catalogue
    rows: tuple[Measurement, ...]
    arrays: Arrays


def agreed(pairs: Iterable[tuple[str, Better]]) -> dict[str, Better]:
    """The better direction of each metric that has only one."""
    directions: dict[str, set[Better]] = {}
    for metric, better in pairs:
        directions.setdefault(metric, set()).add(better)
    return {metric: each.pop() for metric, each in directions.items() if len(each) == 1}


def natural(text: str) -> tuple[tuple[str, float], ...]:
    """A key that sorts the numbers in texts as numbers."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple(
        (word, float(number)) for word, number in zip(parts[::2], [*parts[1::2], "0"], strict=True)
    )


def by_name(modules: Iterable[str]) -> tuple[str, ...]:
    """Modules in their order in a layer, then groups; any others at the end."""
    known = {name: index for index, name in enumerate((*ORDER, *GROUPS))}
    return tuple(sorted(modules, key=lambda name: (known.get(name, len(known)), name)))
