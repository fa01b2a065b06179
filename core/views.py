"""Pictures as data: which measurements a figure shows and how they are laid out, never how drawn.

An analysis declares its views. `query` says which measurements a view needs under a choice,
`figure` lays those out as `Lines` or a `Grid`. Screens and exporters draw figures, one way a kind.
Refuses to know of databases, terminals and files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.measurement import Measurement, MetricSpec

Reading = Literal["raw", "chance", "excess"]
Kind = Literal["curves", "matrix", "heatmap", "bars"]
Selector = Literal["model", "layer", "module"]

MODULES = (
    "q", "k", "v", "o", "gate", "up", "fc_in", "down", "fc_out",
    "router", "norm", "embedding", "unembedding",
)  # fmt: skip
GROUPS = ("attention", "mlp", "blocks", "all")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A declared picture. `measures` are the metrics the user may switch between, first = default.

    `excess` maps a measure to the metric that holds its excess over chance. `selectors` are the
    coordinates the user steps through one value at a time. `finding` turns the figure under the
    default choice into one plain sentence. A view of a `setting` shows the measurements taken
    under it, and only exists where there are any.

    curves:  x = layer, a series a model, a panel for each of `panels` (modules or groups)
    matrix:  rows = model, columns = reference; one module (and layer) at a time
    heatmap: rows = layer, columns = module; one model at a time
    bars:    a bar for each of `panels` in a group a model, over all layers
    """

    key: str
    kind: Kind
    title: str
    caption: str
    measures: tuple[str, ...]
    finding: Callable[[Figure], str]
    excess: dict[str, str] | None = None
    selectors: tuple[Selector, ...] = ()
    panels: tuple[str, ...] = ()
    reading: Reading = "raw"
    module: str = ""
    setting: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What a run's measurements range over; `controls` are the models in the role of a control."""

    models: tuple[str, ...]
    layers: tuple[int, ...]
    modules: tuple[str, ...]
    controls: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the user has selected in a view. `layer` None is "over all layers"."""

    measure: str
    reading: Reading = "raw"
    model: str = ""
    layer: int | None = None
    module: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which measurements a figure needs. None means any; rows of single heads and experts never."""

    metrics: tuple[str, ...]
    layers: Literal["each", "none"] | int
    models: tuple[str, ...] | None = None
    modules: tuple[str, ...] | None = None
    setting: str = ""

    def matches(self, row: Measurement) -> bool:
        """Is this row one of those asked for?"""
        if row.head is not None or row.expert is not None or row.setting != self.setting:
            return False
        layer = {"each": row.layer is not None, "none": row.layer is None}.get(
            str(self.layers), row.layer == self.layers
        )
        return (
            layer
            and row.metric in self.metrics
            and (self.models is None or row.model in self.models)
            and (self.modules is None or row.module in self.modules)
        )


@dataclass(frozen=True, slots=True)
class Cell:
    """One measured value as a figure shows it. `shown` is what the chosen reading draws."""

    shown: float | None
    value: float | None
    chance: float | None = None
    chance_sd: float | None = None
    excess: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A line: its x values (layers) and cells, in order; `control` draws it as the null band."""

    name: str
    xs: tuple[int, ...]
    cells: tuple[Cell, ...]
    control: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart of a `Lines` figure."""

    title: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A figure of curves: panels side by side with shared axes."""

    title: str
    measure: str
    unit: str
    x_label: str
    panels: tuple[Panel, ...]
    signed: bool = False
    empty: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A figure of rows and columns: a matrix, a heat map, or groups of bars.

    `cells[i][j]` is None where nothing was measured; its `shown` is None where the measure is
    undefined, which `empty` explains. `signed` asks for a diverging scale about 0. `controls` are
    the rows and columns of models in the role of a control; `model` is whose figure it is, where
    it is of one model.
    """

    title: str
    measure: str
    unit: str
    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    signed: bool = False
    empty: str = ""
    controls: frozenset[str] = frozenset()
    model: str = ""


Figure = Lines | Grid


def present(views: Iterable[View], catalogue: Catalogue) -> tuple[View, ...]:
    """The views that have something to show: those of a setting only where it was measured."""
    return tuple(v for v in views if not v.setting or v.setting in catalogue.settings)


def default_choice(view: View, catalogue: Catalogue) -> Choice:
    """The choice with which a view opens."""
    tuned = [m for m in catalogue.models if m not in catalogue.controls] or list(catalogue.models)
    return Choice(
        measure=view.measures[0],
        reading=view.reading,
        model=tuned[0] if "model" in view.selectors and tuned else "",
        module=view.module,
    )


def options(view: View, selector: Selector, catalogue: Catalogue) -> tuple[str | int | None, ...]:
    """The values that a selector steps through, in order. For layers, None is "all"."""
    if selector == "model":
        return catalogue.models
    if selector == "layer":
        return (None, *catalogue.layers)
    return tuple(m for m in (*reversed(GROUPS), *MODULES) if m in catalogue.modules)


def readings(view: View, choice: Choice) -> tuple[Reading, ...]:
    """The readings that the chosen measure has, in the order of the key that switches them."""
    return ("raw", "chance", "excess") if choice.measure in (view.excess or {}) else ("raw",)


def query(view: View, choice: Choice) -> Query:
    """The measurements that the view needs under this choice."""
    excess = (view.excess or {}).get(choice.measure)
    metrics = (choice.measure, excess) if excess else (choice.measure,)
    wanted = Query(metrics=metrics, layers="each", setting=view.setting)
    if view.kind == "curves":
        return replace(wanted, modules=view.panels)
    if view.kind == "bars":
        return replace(wanted, layers="none", modules=view.panels)
    if view.kind == "heatmap":
        return replace(wanted, models=(choice.model,))
    layers: Literal["none"] | int = "none" if choice.layer is None else choice.layer
    return replace(wanted, layers=layers, modules=(choice.module,))


def figure(
    view: View,
    choice: Choice,
    rows: Iterable[Measurement],
    catalogue: Catalogue,
    spec: MetricSpec,
) -> Figure:
    """Lay out the rows that `query` asked for. `spec` declares the chosen measure."""
    found = _cells(view, choice, rows)
    if view.kind == "curves":
        panels = tuple(Panel(panel, _series(panel, found, catalogue)) for panel in view.panels)
        return Lines(
            title=_title(view, choice, spec),
            measure=spec.name,
            unit=spec.unit,
            x_label="layer",
            panels=panels,
            signed=_signed(choice, spec),
            empty=spec.empty,
        )
    row_name, column_name, row_keys, column_keys, locate = _layout(view, choice, catalogue, found)
    return Grid(
        title=_title(view, choice, spec),
        measure=spec.name,
        unit=spec.unit,
        row_name=row_name,
        column_name=column_name,
        rows=tuple(str(r) for r in row_keys),
        columns=tuple(str(c) for c in column_keys),
        cells=tuple(tuple(found.get(locate(r, c)) for c in column_keys) for r in row_keys),
        signed=_signed(choice, spec),
        empty=spec.empty,
        controls=catalogue.controls,
        model=choice.model,
    )


_Place = tuple[str, str, int | None, str]  # model, reference, layer, module


def _cells(view: View, choice: Choice, rows: Iterable[Measurement]) -> dict[_Place, Cell]:
    wanted = query(view, choice)
    raw: dict[_Place, Measurement] = {}
    excess: dict[_Place, float | None] = {}
    for row in rows:
        if wanted.matches(row):
            place = (row.model, row.reference, row.layer, row.module)
            if row.metric == choice.measure:
                raw[place] = row
            else:
                excess[place] = row.value
    return {place: _cell(row, excess.get(place), choice.reading) for place, row in raw.items()}


def _cell(row: Measurement, excess: float | None, reading: Reading) -> Cell:
    shown = {"raw": row.value, "chance": row.chance, "excess": excess}[reading]
    return Cell(
        shown, row.value, row.chance, row.chance_sd, excess, row.low, row.high, row.n
    )  # fmt: skip


def _series(panel: str, found: dict[_Place, Cell], catalogue: Catalogue) -> tuple[Series, ...]:
    lines = []
    for model in catalogue.models:
        points = sorted(
            (
                (layer, cell)
                for (name, _, layer, module), cell in found.items()
                if name == model and module == panel and layer is not None
            ),
            key=lambda point: point[0],
        )
        if points:
            xs, cells = zip(*points, strict=True)
            lines.append(Series(model, xs, cells, model in catalogue.controls))
    return tuple(lines)


def _layout(
    view: View, choice: Choice, catalogue: Catalogue, found: dict[_Place, Cell]
) -> tuple[str, str, Sequence[str | int], Sequence[str | int], Callable[..., _Place]]:
    if view.kind == "matrix":
        return (
            "model", "model", catalogue.models, catalogue.models,
            lambda r, c: (r, c, choice.layer, choice.module),
        )  # fmt: skip
    if view.kind == "heatmap":
        present = {module for _, _, _, module in found}
        columns = [m for m in MODULES if m in present] + [g for g in GROUPS if g in present]
        layers = sorted({layer for _, _, layer, _ in found if layer is not None})
        return "layer", "module", layers, columns, lambda r, c: (choice.model, "", r, c)
    models = [m for m in catalogue.models if any(place[0] == m for place in found)]
    return "model", "module", models, view.panels, lambda r, c: (r, "", None, c)


def _signed(choice: Choice, spec: MetricSpec) -> bool:
    return choice.reading == "excess" or (spec.signed and choice.reading == "raw")


def _title(view: View, choice: Choice, spec: MetricSpec) -> str:
    words = [spec.title]
    if choice.reading == "chance":
        words.append("expected by chance")
    if choice.reading == "excess":
        words.append("beyond chance")
    if "model" in view.selectors:
        words.append(f"· {choice.model}")
    if "module" in view.selectors:
        words.append(f"· {choice.module}")
    if "layer" in view.selectors:
        words.append("· all layers" if choice.layer is None else f"· layer {choice.layer}")
    return " ".join(words)
