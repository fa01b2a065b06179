"""Figures in one plain sentence each, as they are under the choice that a view opens with.

Owns the wording of what was found. Reads figures alone: no measurement, no database.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from core.figures import Cell, Figure, Grid, Lines
from core.naming import GROUP_OF


def of_sizes(figure: Figure) -> str:
    """One plain sentence on the curves of relative norm."""
    assert isinstance(figure, Lines)
    means = {
        (panel.title, series.name): _mean([c.value for c in series.cells])
        for panel in figure.panels
        for series in panel.series
        if not series.control
    }
    known = {place: mean for place, mean in means.items() if mean is not None}
    if not any(known.values()):
        return "No tuned model changed the layers' weights."
    by_model: dict[str, float] = {}
    for (_, model), mean in known.items():
        by_model[model] = by_model.get(model, 0) + mean
    most = max(by_model, key=lambda model: by_model[model])
    panels = {p: _mean([v for (q, _), v in known.items() if q == p]) or 0 for p, _ in known}
    stronger = max(panels, key=lambda panel: panels[panel])
    numbers = ", ".join(f"{panel} {value:.3g}" for panel, value in panels.items())
    return (
        f"{most} moved furthest from the base; tuning changed {stronger} weights most for their "
        f"size (mean {numbers})."
    )


def of_largest(figure: Figure) -> str:
    """Where one model's measure is largest and where it is smallest, among single modules."""
    assert isinstance(figure, Grid)
    values = _of_modules(figure, lambda cell: cell.value)
    if not values:
        return ""
    most, least = max(values), min(values)
    return (
        f"{figure.chosen['model']}: largest in {most[2]} of layer {most[1]} ({most[0]:.3g}), "
        f"smallest in {least[2]} of layer {least[1]} ({least[0]:.3g})."
    )


def of_cosines(figure: Figure) -> str:
    """One plain sentence on the matrix of cosines."""
    assert isinstance(figure, Grid)
    pairs = [
        (cell.value, cell.chance_sd or 0.0, figure.rows[i], figure.columns[j])
        for i, row in enumerate(figure.cells)
        for j, cell in enumerate(row)
        if j > i
        and cell is not None
        and cell.value is not None
        and not {figure.rows[i], figure.columns[j]} & figure.controls
    ]
    if not pairs:
        return "There are no two tuning vectors to compare."
    most, least = max(pairs), min(pairs)
    text = f"{most[2]} and {most[3]} share the most (cosine {most[0]:+.2f})"
    if most != least:
        text += f", {least[2]} and {least[3]} the least ({least[0]:+.2f})"
    return f"{text}; chance alone stays within ±{2 * most[1]:.1g}."


def of_alignment(figure: Figure) -> str:
    """One plain sentence on the heat map of one model."""
    assert isinstance(figure, Grid)
    values = _of_modules(figure, lambda cell: cell.excess)
    if not values:
        return "No update can be held against the base's directions here."
    most, least = max(values), min(values)
    return (
        f"{figure.chosen['model']} keeps most to the base's directions in {most[2]} of layer "
        f"{most[1]} ({most[0]:+.2f} beyond chance), least in {least[2]} of layer {least[1]} "
        f"({least[0]:+.2f})."
    )


def of_attention_against_mlp(figure: Figure) -> str:
    """One plain sentence on attention against MLP, made of the excess over chance."""
    assert isinstance(figure, Grid)
    pairs = [
        cells
        for model, row in zip(figure.rows, figure.cells, strict=True)
        if model not in figure.controls and all(c is not None and c.value is not None for c in row)
        for cells in [dict(zip(figure.columns, row, strict=True))]
    ]
    if not pairs:
        return "Attention and MLP can't be compared: one of them did not change."
    means = {c: sum(_value(cells[c]) for cells in pairs) / len(pairs) for c in figure.columns}
    high, low = sorted(means, key=lambda column: -means[column])
    apart = sum(_apart(cells[high], cells[low]) for cells in pairs)
    kind = "keep to" if means[high] > 0 else "avoid"
    more = "more" if means[high] > 0 else "less"
    return (
        f"Updates of {high} {kind} the base's directions {more} than those of {low} "
        f"({means[high]:+.3f} against {means[low]:+.3f} beyond chance; 95 % intervals apart for "
        f"{apart} of {len(pairs)} models)."
    )


def _of_modules(
    figure: Grid, number: Callable[[Cell], float | None]
) -> list[tuple[float, str, str]]:
    """The known numbers of a heat map with their layer and module; groups are left out."""
    return [
        (known, layer, module)
        for layer, row in zip(figure.rows, figure.cells, strict=True)
        for module, cell in zip(figure.columns, row, strict=True)
        if module in GROUP_OF and cell is not None and (known := number(cell)) is not None
    ]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _value(cell: Cell | None) -> float:
    return cell.value if cell is not None and cell.value is not None else math.nan


def _apart(higher: Cell | None, lower: Cell | None) -> bool:
    """Do the intervals of two cells of one model not meet?"""
    if higher is None or lower is None or higher.low is None or lower.high is None:
        return False
    return higher.low > lower.high
