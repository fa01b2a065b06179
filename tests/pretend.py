"""An analysis that computes nothing: views of every kind over every coordinate, and their rows.

Its numbers follow from their coordinates, so that a figure can be checked by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from core.engine import registry
from core.engine.measurement import (
    Artifact,
    Coordinates,
    Measurement,
    MetricSpec,
    UnitResult,
    quartiles,
)
from core.engine.registry import Analysis, Parameters
from core.figures.figure import Column, Grid, Scatter, Table
from core.figures.kinds.boxes import QUARTILES, DocumentBoxes
from core.figures.kinds.curves import Curves
from core.figures.kinds.grids import Heatmap, Plane
from core.figures.kinds.passages import PassageView
from core.figures.kinds.scatters import ScatterPlot
from core.figures.kinds.tables import SortedTable
from core.figures.passages import Block, Passage, Passages, Token, passage
from core.figures.views import Tabulation, View

NAME = "pretend"
TUNED = ("instruct", "medical", "maths")
LAYERS = range(6)
WEIGHTS = (0.0, 0.5, 1.0)
TASKS = {"medqa": ("acc", "acc_norm"), "gsm8k": ("exact_match",)}
NEURONS = 40


def coefficients(setting: str) -> tuple[float, float] | None:
    """The weights in `medical=0.5,maths=1`; no place for what is not of that form."""
    if setting.startswith("removal:"):
        return None
    parts = dict(part.split("=") for part in setting.split(",") if "=" in part)
    return float(parts.get("medical", 0)), float(parts.get("maths", 0))


@dataclass(frozen=True)
class Placed:
    """Where a setting lies, whatever the catalogue holds."""

    names: tuple[str, str] = ("medical", "maths")
    at: Callable[[str], tuple[Any, Any] | None] = coefficients
    of: tuple[str, str] = ("", "")
    note: str = ""

    def __call__(self, row: Coordinates) -> tuple[Any, Any] | None:
        return self.at(row.setting)


def best(grid: Grid) -> Grid:
    """Mark the largest value of a grid."""
    values = [c.shown for row in grid.cells for c in row if c is not None and c.shown is not None]
    return replace(
        grid,
        cells=tuple(
            tuple(c and replace(c, mark=c.shown == max(values)) for c in row) for row in grid.cells
        ),
    )


def front(scatter: Scatter) -> Scatter:
    """Mark the points that no other beats on both axes."""
    places = [p.place for p in scatter.points if p.place]

    def beaten(point: tuple[float, float] | None) -> bool:
        return point is None or any(
            o != point and o[0] >= point[0] and o[1] >= point[1] for o in places
        )

    return replace(
        scatter,
        points=tuple(
            p if beaten(p.place) else replace(p, x=replace(p.x, mark=True)) for p in scatter.points
        ),
    )


def neurons(t: Tabulation) -> Table:
    """The neurons of a model, in one of two orders."""
    rows: list[tuple[int, int, float, str]] = []
    for layer in t.catalogue.values("layer"):
        stored = t.arrays("scores", model=t.choice.model, layer=layer)
        if stored is not None:
            rows += [(layer, j, float(s), f" token-{j}") for j, s in enumerate(stored["score"])]
    if t.choice.order == "strongest first":
        rows.sort(key=lambda row: -row[2])
    return Table(
        title=f"Neurons · {t.choice.model}",
        columns=(
            Column(name="layer", align="right"),
            Column(name="neuron", align="right", form=",d"),
            Column(name="score", align="right", form=".3f", signed=True),
            Column(name="token", outside=True),
        ),
        rows=tuple(rows),
        note=f"{len(t.rows)} models were measured",
    )


HOSTILE_TEXT = "\x1b[31mred [red]x[/red] <script>alert(1)</script> =cmd \u202eabc"


def document(t: Tabulation) -> Passages:
    """One of three documents of a model, with a value for each word."""
    items = ("first", "second", "third")
    item = t.choice.item if t.choice.item in items else items[0]
    words = ("the", " patient", "\nhas", " a fever", ".")
    tokens = tuple(Token(word, len(word) / 4) for word in words)
    return Passages(
        title=f"Document · {t.choice.model} · {item}",
        blocks=(
            Block("Text", (Passage("document", tokens, ("gold", "chosen"), "loss 1.25"),)),
            Block("=cmd", (passage("=cmd", HOSTILE_TEXT), passage("long", "word " * 300))),
        ),
        measure="activation",
        note="What it says does nothing.",
        items=items,
        item=item,
        chosen={"model": t.choice.model},
    )


VIEWS = (
    Curves(
        key="curves", title="Activated neurons", caption="One line per model.",
        measures=("activated",), finding=lambda lines: "",
    ),
    Curves(
        key="distance", title="Distance", caption="Observed and by chance.",
        measures=("hamming",), selectors=("model",), fixed={"reference": "base"},
        with_chance=True, chance_name="independent", finding=lambda lines: "",
    ),
    Heatmap(
        key="drop", title="Drop", caption="Sources and targets.",
        measures=("drop", "score"), rows="reference", columns="model",
        selectors=("task", "metric_of", "setting"), opens={"setting": "top-5%"},
        names={"reference": "neurons from"}, finding=lambda grid: "",
    ),
    DocumentBoxes(
        key="spread", title="Spread", caption="How documents spread.",
        measures=("activated",), selectors=("layer",), opens={"layer": 2}, finding=lambda grid: "",
    ),
    ScatterPlot(
        key="plane", title="Trade-off", caption="One task against another.",
        measures=("normalised",), fixed={"reference": "base"},
        only={"setting": lambda s: coefficients(s) is not None},
        names={"setting": "coefficients"},
        group=lambda name: "base" if name == "base" else "merged",
        x_guides=(1.0,), y_guides=(1.0,), marks=front, mark_name="on the front",
        finding=lambda scatter: "",
    ),
    Plane(
        key="grid", title="Coefficients", caption="Two weights.",
        measures=("normalised",), place=lambda catalogue: Placed(), selectors=("task",),
        fixed={"reference": "base"}, marks=best, mark_name="best", finding=lambda grid: "",
    ),
    SortedTable(
        key="neurons", title="Neurons", caption="All neurons of a model.",
        measures=("neurons",), selectors=("model",), tabulate=neurons,
        orders=("strongest first", "by layer"), finding=lambda table: "",
    ),
    PassageView(
        key="document", title="Documents", caption="One document of a model.",
        measures=("neurons",), selectors=("model", "item"), tabulate=document,
        finding=lambda text: "",
    ),
    Heatmap(
        key="nowhere", title="Nowhere", caption="Never measured.",
        measures=("drop",), fixed={"setting": "never"}, optional=True, finding=lambda grid: "",
    ),
)  # fmt: skip


def _spec(name: str, **given: Any) -> MetricSpec:
    return MetricSpec(name=name, title=name, description=f"what {name} is", **given)


ANALYSIS = Analysis(
    name=NAME,
    title="Pretend",
    short="Pre",
    topic="mixing",
    version=1,
    needs="weights",
    parameters=Parameters,
    plan=lambda family, parameters: [],
    compute=lambda units, parameters: None,
    reduce=lambda unit, required: UnitResult(),
    metrics=(
        _spec("activated"), _spec("hamming", has_chance=True), _spec("score"),
        *quartiles("activated"), _spec("drop", signed=True), _spec("normalised"), _spec("neurons"),
    ),
    views=VIEWS,
)  # fmt: skip


def view(key: str) -> View:
    """The view of that key."""
    return next(v for v in VIEWS if v.key == key)


def rows() -> list[Measurement]:
    """What the analysis would have measured."""
    return [*_of_layers(), *_of_ablation(), *_of_merging()]


def arrays() -> list[Artifact]:
    """The scores of every neuron: larger in later layers and models."""
    return [
        Artifact(name="scores", model=model, layer=layer, arrays={
            "score": np.sin(np.arange(NEURONS)) + layer + 10 * number
        })
        for number, model in enumerate(TUNED) for layer in LAYERS
    ]  # fmt: skip


def register(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it the last analysis of the registry, for one test."""
    module = ModuleType(f"core.analyses.{NAME}")
    module.ANALYSIS = ANALYSIS  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(registry, "_NAMES", (*registry._NAMES, NAME))


def _of_layers() -> list[Measurement]:
    measured = []
    for number, model in enumerate(("base", *TUNED)):
        measured.append(Measurement(metric="neurons", value=float(NEURONS), model=model))
        for layer in LAYERS:
            measured.append(
                Measurement(metric="activated", value=number + layer / 10, model=model, layer=layer)
            )
            measured += [
                Measurement(
                    metric=name, metric_of="activated", value=number + (layer + by) / 10,
                    model=model, layer=layer,
                )
                for name, by in zip(QUARTILES, (-2, 0.5, 3), strict=True)
            ]  # fmt: skip
            if model != "base":
                measured.append(
                    Measurement(
                        metric="hamming", value=0.1 * number, model=model, reference="base",
                        layer=layer, chance=0.5, chance_sd=0.01,
                    )
                )  # fmt: skip
    return [row for row in measured if (row.metric, row.model) != ("neurons", "base")]


def _of_ablation() -> list[Measurement]:
    return [
        Measurement(
            metric=metric, metric_of=name, value=10.0 * i - j, model=model, reference=reference,
            task=task, setting=setting, low=10.0 * i - j - 1, high=10.0 * i - j + 1, n=200,
        )
        for i, reference in enumerate(("base", *TUNED)) for j, model in enumerate(TUNED)
        for task, names in TASKS.items() for name in names
        for setting in ("top-1%", "top-5%", "top-10%") for metric in ("drop", "score")
    ]  # fmt: skip


def _of_merging() -> list[Measurement]:
    measured = []
    for a in WEIGHTS:
        for b in WEIGHTS:
            parts = [f"medical={a:g}"] * bool(a) + [f"maths={b:g}"] * bool(b)
            values = {"medqa": 0.5 + 0.4 * a - 0.1 * b, "gsm8k": 0.4 + 0.7 * b - 0.2 * a * a}
            measured += [
                Measurement(
                    metric="normalised", value=value, reference="base", task=task,
                    setting=",".join(parts) or "base", low=value - 0.05, high=value + 0.05, n=200,
                )
                for task, value in values.items()
            ]  # fmt: skip
    removed = Measurement(
        metric="normalised", value=0.2, reference="base", task="medqa", setting="removal:medical=1"
    )
    return [*measured, removed]
