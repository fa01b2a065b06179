"""Figures of states by layer in one plain sentence each.

Owns the wording of findings on curves over depth. Reads figures alone.
"""

from __future__ import annotations

from core.figures.figure import Lines, Series
from core.figures.findings import average, where


def of_states(figure: Lines) -> str:
    """The model whose states are furthest from the base's, and where they are furthest."""
    lines = [series for series in _lines(figure) if not series.control]
    if not lines:
        return ""
    drift = figure.measure != "cka"
    means = {s.name: average([c.value for c in s.cells]) or 0.0 for s in lines}
    furthest = max if drift else min
    most = furthest(lines, key=lambda series: means[series.name])
    value, layer = furthest(_points(most))
    return (
        f"{where(figure, 'probe')}{most.name} is furthest from the base's states (mean "
        f"{figure.measure} {means[most.name]:.3g}), most after layer {layer} "
        f"({value:.3g}){_control(figure, layer)}."
    )


def of_parting(figure: Lines) -> str:
    """By which layer the model that parts most has half of its final divergence."""
    lines = [series for series in _lines(figure) if not series.control]
    if not lines:
        return ""
    most = max(lines, key=lambda series: _points(series)[-1])
    points = _points(most)
    end, last = points[-1]
    if end <= 0:
        return f"{where(figure, 'probe')}no tuned model's predictions part from the base's."
    half = next(layer for value, layer in points if value >= end / 2)
    return (
        f"{where(figure, 'probe')}{most.name} ends furthest from the base ({end:.3g} nats after "
        f"layer {last}); half of that is reached after layer {half}{_control(figure, last)}."
    )


def of_depth(figure: Lines) -> str:
    """By which layer the base's prediction is within half of its first distance, and which tuned
    model differs most from it in this."""
    halves = {s.name: _halved(s) for s in _lines(figure)}
    base = halves.pop("base", None)
    if base is None:
        return ""
    words = f"{where(figure, 'probe')}the base's prediction is half made after layer {base}"
    others = {name: layer for name, layer in halves.items() if layer != base}
    if not others:
        return f"{words}, as in all tuned models."
    told = ", ".join(f"{name}'s after layer {layer}" for name, layer in others.items())
    return f"{words}, {told}."


def _lines(figure: Lines) -> list[Series]:
    """The drawn lines with values, chance levels left out."""
    drawn = [s for panel in figure.panels for s in panel.series if not s.companion]
    return [series for series in drawn if _points(series)]


def _points(series: Series) -> list[tuple[float, int]]:
    """The values with their layers, in order."""
    pairs = zip(series.xs, series.cells, strict=True)
    return [(cell.value, x) for x, cell in pairs if cell.value is not None]


def _halved(series: Series) -> int:
    """The first layer after which at most half of the first layer's value is left."""
    points = _points(series)
    return next((layer for value, layer in points if value <= points[0][0] / 2), points[-1][1])


def _control(figure: Lines, layer: int) -> str:
    """What the controls reach at a layer, as the end of a sentence."""
    reached = [value for s in _lines(figure) if s.control for value, x in _points(s) if x == layer]
    if not reached:
        return ""
    worst = min(reached) if figure.measure == "cka" else max(reached)
    return f"; a control has {worst:.3g} there"
