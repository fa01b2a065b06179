"""One line at a time: a plot of curves with one of them alone, or with each in a panel of its own.
Says where lines hide one another.

Moves resolved curves, and keeps the signs, colours and axes of the whole. Draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from core.figures.figure import BASE
from core.figures.plots.curves import Curve, CurvePanel, CurvesPlot


def alone(plot: CurvesPlot, name: str) -> CurvesPlot:
    """The plot with one series beside the base and the controls."""
    panels = tuple(CurvePanel(p.title, _beside(p.curves, name)) for p in plot.panels)
    return replace(plot, panels=panels)


def split(plot: CurvesPlot) -> CurvesPlot:
    """The plot with a panel for each series, on the axes of the whole.

    Of one panel, each series stands beside the base and the controls. Of several panels, a new
    panel holds one series as it is in each of them.
    """
    if len(plot.panels) > 1:
        return _turned(plot)
    curves = plot.panels[0].curves if plot.panels else ()
    names = [series.name for series, *_ in _groups(curves) if not _is_yardstick(series)]
    panels = tuple(CurvePanel(name, _beside(curves, name)) for name in names)
    return replace(plot, panels=panels, panel_name="of") if len(names) > 1 else plot


def coincide(plot: CurvesPlot, rows: int) -> bool:
    """Do lines hide one another in panels of that many rows? Of three lines or more, half of the
    points lie within a row of another line's. The base and controls are lines to compare with, and
    do not count."""
    low, high = plot.y_axis.low, plot.y_axis.high
    near = (high - low) / max(1, rows)
    count = hidden = 0
    for panel in plot.panels:
        lines = [curve for curve in panel.curves if not _is_yardstick(curve)]
        heights: dict[int, list[float]] = {}
        for curve in lines if len(lines) > 2 else ():
            for x, value in zip(curve.xs, curve.values, strict=True):
                if value.number is not None:
                    heights.setdefault(x, []).append(value.number)
        for each in map(sorted, heights.values()):
            close = [b - a < near for a, b in pairwise(each)]
            count += len(each)
            hidden += sum(map(any, zip([False, *close], [*close, False], strict=True)))
    return 2 * hidden > count


def _turned(plot: CurvesPlot) -> CurvesPlot:
    """Panels become series, and series panels."""
    names = dict.fromkeys(c.name for c in plot.curves if not c.series.companion)
    panels = tuple(
        CurvePanel(name, tuple(_across(name, plot.panels))) for name in names
    )  # fmt: skip
    first = {curve.name: curve for panel in panels for curve in panel.curves}
    return replace(
        plot, panels=panels, curves=tuple(first.values()),
        series_name=plot.panel_name, panel_name=plot.series_name,
    )  # fmt: skip


def _across(name: str, panels: Sequence[CurvePanel]) -> Iterable[Curve]:
    """The curves of a name in every panel, called by the panels' titles."""
    for index, panel in enumerate(panels):
        for group in _groups(panel.curves):
            for curve in group if group[0].name == name else ():
                called = f"{panel.title} {curve.name.removeprefix(name).strip()}".strip()
                series = replace(curve.series, name=called, control=False)
                yield replace(curve, series=series, index=index)


def _beside(curves: Sequence[Curve], name: str) -> tuple[Curve, ...]:
    """The curve of a name among the base and the controls, in their order."""
    groups = _groups(curves)
    return tuple(c for g in groups if g[0].name == name or _is_yardstick(g[0]) for c in g)


def _groups(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Each curve with its companions, which follow it and have its name; a companion of all lines
    stands for itself."""
    groups: list[list[Curve]] = []
    for curve in curves:
        if curve.series.companion and groups and curve.name.startswith(groups[-1][0].name):
            groups[-1].append(curve)
        else:
            groups.append([curve])
    return groups


def _is_yardstick(curve: Curve) -> bool:
    return curve.name == BASE or curve.faint
