"""A small figure for each question, over all models of a run: charts for few, tables for many.

Owns the values and the title of each figure. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise

from app.cli.inspection.accounts import GROUPS, Account, ByName
from app.cli.inspection.sentences import beyond_chance, signed
from core.engine import registry
from core.engine.measurement import MetricSpec
from core.figures.figure import Cell, Column, Figure, Grid, Lines, Panel, Series, Table, Text
from core.figures.plots.values import NULL_MARK
from core.figures.significance import SPREADS, WITHIN, is_null
from core.figures.views import Kind

FEW = 3
"""Most models with separate bars and lines."""

_LEVELS = "▁▂▃▄▅▆▇█"
_SPARK = 24  # characters of a curve within a table

_TOLD = f"{NULL_MARK} {WITHIN}"

Drawing = tuple[Figure, Kind]


def of_sizes(accounts: Sequence[Account]) -> Drawing:
    """Relative norms of attention and MLP."""
    if len(accounts) <= FEW:
        return _bars(accounts, lambda of: of.size, _spec("tuning_vectors", "relative_norm"))
    names = ("all", *GROUPS)
    return _table(
        f"‖Δ‖/‖W‖; rounding's share of ‖Δ‖²; cosine of Δ with W ({_TOLD})",
        (*names, "rounding", "cosine with W"),
        {
            of.model: (
                *(_value(of.size.get(name)) for name in names),
                "10% or more" if of.dominated else _written(of.rounding, ".1%"),
                _written(of.turn.get("blocks")),
            )
            for of in accounts
        },
        form=".3g",
    )


def of_layers(accounts: Sequence[Account]) -> Drawing:
    """Relative norms by layer: of attention and MLP of one model, of whole layers of several."""
    spec = _spec("tuning_vectors", "relative_norm")
    if len(accounts) > FEW:
        return _sparks(accounts, spec)
    if len(accounts) == 1:
        lines = {group: accounts[0].layers[group] for group in GROUPS}
    else:
        lines = {of.model: of.layers["blocks"] for of in accounts}
    series = tuple(
        Series(name, tuple(cells), tuple(cells.values())) for name, cells in lines.items() if cells
    )
    figure = Lines(
        title=f"{spec.title} by layer",
        measure=spec.name,
        unit=spec.unit,
        x_label="layer",
        panels=(Panel("", series),) if series else (),
        series_name="module" if len(accounts) == 1 else "model",
        empty=spec.empty,
    )
    return figure, "curves"


def of_ranks(accounts: Sequence[Account]) -> Drawing:
    """Stable ranks of attention and MLP, compared with a random change."""
    spec = _spec("tuning_vectors", "stable_rank")
    if len(accounts) <= FEW:
        return _bars(accounts, lambda of: of.ranks[spec.name], spec, "median of matrices")
    return _table(
        "Median rank of the matrices' Δ, and by chance: stable, then effective",
        tuple(name for _ in range(2) for group in GROUPS for name in (group, "chance")),
        {
            of.model: tuple(
                value
                for by_group in of.ranks.values()
                for cell in map(by_group.get, GROUPS)
                for value in (_value(cell), cell.chance if cell else None)
            )
            for of in accounts
        },
        form=".3g",
    )


def of_directions(accounts: Sequence[Account]) -> Drawing:
    """Two-sided alignment of attention and MLP beyond chance."""
    spec = _spec("alignment", "two_sided_excess")
    if len(accounts) <= FEW:
        return _bars(accounts, lambda of: of.excess, spec)
    return _table(
        f"Two-sided alignment, matrices beyond chance; gain; intruders ({_TOLD})",
        (*GROUPS, "matrices", *(f"gain {group}" for group in GROUPS), "intruders"),
        {
            of.model: (
                *(_written(of.excess.get(group)) for group in GROUPS),
                f"{beyond_chance(of)}/{len(of.of_matrices)}",
                *(_written(of.gain.get(group), "+.2%") for group in GROUPS),
                _written(of.intruders.get("blocks"), ".2f"),
            )
            for of in accounts
        },
    )


def of_comparison(accounts: Sequence[Account]) -> Drawing:
    """Cosines of the tuning vectors; of one model's vector with the base."""
    if len(accounts) == 1:
        return _bars(accounts, lambda of: of.turn, _spec("tuning_vectors", "base_cosine"))
    spec, names = _spec("vector_cosine", "cosine"), tuple(of.model for of in accounts)
    figure = Grid(
        title=f"{spec.title} (nominal 2 sd = {_reach(accounts):.1g})",
        measure=spec.name,
        unit=spec.unit,
        row_name="model",
        column_name="model",
        rows=names,
        columns=names,
        cells=tuple(tuple(map(of.cosines.get, names)) for of in accounts),
        signed=True,
        empty=spec.empty,
    )
    return figure, "matrix"


PICTURES: Mapping[str, Callable[[Sequence[Account]], Drawing]] = {
    "how_far": of_sizes,
    "where": of_layers,
    "directions": of_ranks,
    "new_or_amplified": of_directions,
    "comparison": of_comparison,
}
"""The figures by the keys of the questions."""


def _spec(analysis: str, metric: str) -> MetricSpec:
    return registry.get(analysis).metric(metric)


def _bars(
    accounts: Sequence[Account],
    values: Callable[[Account], ByName],
    spec: MetricSpec,
    note: str = "",
) -> Drawing:
    figure = Grid(
        title=f"{spec.title}, {note}" if note else spec.title,
        measure=spec.name,
        unit=spec.unit,
        row_name="model",
        column_name="module",
        rows=tuple(of.model for of in accounts),
        columns=GROUPS,
        cells=tuple(tuple(map(values(of).get, GROUPS)) for of in accounts),
        signed=spec.signed,
        empty=spec.empty,
    )
    return figure, "bars"


def _sparks(accounts: Sequence[Account], spec: MetricSpec) -> Drawing:
    """A curve of each model in one line, on one scale from 0."""
    curves = {of.model: [c.value or 0.0 for c in of.layers["blocks"].values()] for of in accounts}
    top = max((value for curve in curves.values() for value in curve), default=0.0)
    rows: dict[str, tuple[Text, ...]] = {}
    for of in accounts:
        cells, curve = of.layers["blocks"], curves[of.model]
        changed = cells if any(curve) else {}  # with only zeros, no layer has a maximum
        most = max(changed, key=lambda layer: cells[layer].value or 0, default=None)
        least = min(changed, key=lambda layer: cells[layer].value or 0, default=None)
        rows[of.model] = (
            spark(curve, top),
            *_placed(most, cells),
            *_placed(least, cells),
        )
    last = max((layer for of in accounts for layer in of.layers["blocks"]), default=0)
    return _table(
        f"{spec.title[:1].upper()}{spec.title[1:]} by layer",
        (f"layers 0 to {last}", "most in", "with", "least in", "with"),
        rows,
        form=".3g",
    )


def _placed(layer: int | None, cells: Mapping[int, Cell]) -> tuple[Text, Text]:
    """A layer, as text, and its value."""
    return (None, None) if layer is None else (str(layer), cells[layer].value)


def _reach(accounts: Sequence[Account]) -> float:
    """Two nominal standard deviations of the cosines."""
    spreads = [cell.chance_sd or 0.0 for of in accounts for cell in of.cosines.values()]
    return SPREADS * max(spreads, default=0.0)


def spark(values: Sequence[float], top: float) -> str:
    """A curve as one line of blocks, from 0 to `top`; without enough columns, the maximum of
    neighbours is drawn."""
    if not values or top <= 0:
        return ""
    count = min(len(values), _SPARK)
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    tops = [max(values[a:b]) for a, b in pairwise(edges)]
    return "".join(_LEVELS[min(7, int(8 * value / top))] for value in tops)


def _table(
    title: str, names: Iterable[str], rows: Mapping[str, tuple[Text, ...]], *, form: str = ""
) -> Drawing:
    columns = (
        Column(name="model"),
        *(Column(name=n, align="left" if n.startswith("layers") else "right", form=form)
          for n in names),
    )  # fmt: skip
    table = Table(
        title=title, columns=columns, rows=tuple((model, *row) for model, row in rows.items())
    )
    return table, "table"


def _value(cell: Cell | None) -> float | None:
    return None if cell is None else cell.value


def _written(cell: Cell | None, form: str = "") -> str | None:
    """A number, by default with its sign, and with a mark if it is within chance."""
    if cell is None or cell.value is None:
        return None
    number = f"{cell.value:{form}}" if form else signed(cell.value)
    return f"{number}{NULL_MARK if is_null(cell) else ' '}"
