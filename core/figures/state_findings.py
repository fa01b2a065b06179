"""Figures of states by layer in one plain sentence each.

Owns the wording of findings on curves over depth. Reads figures alone.
"""

from __future__ import annotations

from core.figures.figure import Lines, Series, Table
from core.figures.findings import average, where
from core.figures.records import ReadoutRecord

_LARGEST = {
    "relative_size": "largest", "half_cosine": "steadiest over documents",
    "cosine": "most like that over all tokens",
}  # fmt: skip
"""The adjective of a mean difference with the largest value of a measure."""


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
    if drift and means[most.name] == 0:
        return f"{where(figure, 'probe')}no tuned model's states differ from the base's."
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
        return f"{where(figure, 'probe')}the predictions of all tuned models equal the base's."
    half = next(layer for value, layer in points if value >= end / 2)
    return (
        f"{where(figure, 'probe')}{most.name} ends furthest from the base ({end:.3g} nats after "
        f"layer {last}); it reaches half of this after layer {half}{_control(figure, last)}."
    )


def of_depth(figure: Lines) -> str:
    """By which layer the base's prediction is within half of its first distance, and which tuned
    model differs most from it in this."""
    halves = {s.name: _halved(s) for s in _lines(figure)}
    base = halves.pop("base", None)
    if base is None:
        return ""
    words = (
        f"{where(figure, 'probe')}the base's distance from its final prediction has halved after "
        f"layer {base}"
    )
    others = {name: layer for name, layer in halves.items() if layer != base}
    if not others:
        return f"{words}, as in all tuned models."
    layers = ", ".join(f"{name}'s after layer {layer}" for name, layer in others.items())
    return f"{words}, {layers}."


def of_difference(figure: Lines) -> str:
    """The model with the largest mean difference, or the steadiest, and where it is largest."""
    lines = [series for series in _lines(figure) if not series.control]
    if not lines:
        return ""
    most = max(lines, key=lambda series: max(_points(series)))
    value, layer = max(_points(most))
    if value == 0:
        return f"{where(figure, 'setting', 'probe')}the mean difference is 0 for every tuned model."
    cell = next(c for x, c in zip(most.xs, most.cells, strict=True) if x == layer)
    chance = "" if cell.chance is None else f", {cell.chance:.3g} by chance"
    size = _LARGEST.get(figure.measure, "largest")
    return (
        f"{where(figure, 'setting', 'probe')}the mean difference of {most.name} is {size} after "
        f"layer {layer} ({value:.3g}{chance}){_control(figure, layer)}."
    )


def of_positions(figure: Lines) -> str:
    """At which position one model's mean difference is largest."""
    lines = _lines(figure)
    if not lines:
        return ""
    means = {s.name: average([c.value for c in s.cells]) or 0.0 for s in lines}
    most, least = max(means, key=lambda n: means[n]), min(means, key=lambda n: means[n])
    size = _LARGEST.get(figure.measure, "largest")
    if means[most] == means[least] == 0:
        return f"{where(figure, 'model', 'probe')}the mean difference is 0 at every position."
    return (
        f"{where(figure, 'model', 'probe')}the mean difference is {size} at {most} "
        f"({means[most]:.3g} on average over layers), least so at {least} ({means[least]:.3g})."
    )


def of_readout(figure: Table) -> str:
    """The tokens that the largest mean difference of a model raises, unless chance is as large."""
    records: tuple[ReadoutRecord, ...] = figure.records
    known = [(r.size, r) for r in records if r.size and r.size.value and r.raised]
    if not known:
        return ""
    place = f"{figure.chosen['model']}, {figure.chosen['setting']}"
    beyond = [(s.value, r) for s, r in known if s.value and s.value >= 2 * (s.chance or 0.0)]
    if not beyond:
        return f"{place}: no layer's mean difference is twice its chance level."
    _, most = max(beyond, key=lambda pair: pair[0])
    raised = ", ".join(most.raised[:5])
    beside = " beyond twice its chance level" * (len(beyond) < len(known))
    return (
        f"{place}: the largest mean difference{beside}, after layer {most.layer}, raises {raised}."
    )


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
    """The most extreme value of a control at a layer, as the end of a sentence."""
    reached = [value for s in _lines(figure) if s.control for value, x in _points(s) if x == layer]
    if not reached:
        return ""
    worst = min(reached) if figure.measure == "cka" else max(reached)
    return f"; a control reaches {worst:.3g} there"
