"""From figures to plots: the one place where a figure's ranges, form of numbers and signs are set.

A table needs none of this: it is text already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from core.figures.figure import Cell, Figure, Grid, Lines, Panel, Scatter
from core.figures.passages import Passages
from core.figures.plots.curves import Curve, CurvePanel, CurvesPlot
from core.figures.plots.grids import BarsPlot, BoxesPlot, GridPlot, columns_of, places, rows_of
from core.figures.plots.numbers import Write, formatter, significant
from core.figures.plots.passages import PassagesPlot, TextBlock, resolved
from core.figures.plots.plot import Plot, shared_direction
from core.figures.plots.ranges import Axis, Scale, axis, scale
from core.figures.plots.scatters import PlotPoint, PointsPlot
from core.figures.plots.values import Value
from core.figures.rounding import PROBABILITIES, p_words
from core.figures.significance import is_null

Drawn = Lines | Grid | Scatter | Passages
"""The figures that are drawn as plots."""


def resolve(figure: Drawn, kind: str = "", together: Iterable[Figure] = ()) -> Plot:
    """The plot of a figure; `kind` is that of its view, which tells bars from other grids. Figures
    that are read `together` share one scale of colours."""
    if isinstance(figure, Grid):
        made = {"bars": bars, "boxes": boxes}.get(kind)
        return grid(figure, together) if made is None else made(figure)
    if isinstance(figure, Passages):
        return passages(figure)
    return curves(figure) if isinstance(figure, Lines) else scatter(figure)


def grid(figure: Grid, together: Iterable[Figure] = ()) -> GridPlot:
    """The plot of a matrix or a heat map, on one scale with the grids that it is read beside."""
    return GridPlot(**_rows_and_columns(figure, together))


def bars(figure: Grid) -> BarsPlot:
    """The plot of a grid as groups of bars."""
    fields = _rows_and_columns(figure, ())
    cells = _scaled(figure)
    drawn = [number for cell in cells for number in Value(cell, fields["write"]).marks()]
    whole = _drawn(cells, fields["write"])
    return BarsPlot(x_axis=axis([0.0, *drawn]), x_axis_whole=axis([0.0, *whole]), **fields)


def boxes(figure: Grid) -> BoxesPlot:
    """The plot of a grid as groups of boxes."""
    fields = _rows_and_columns(figure, ())
    cells = _scaled(figure)
    spreads = [spread.numbers().values() for cell in cells if (spread := cell.spread)]
    covered = axis([*_shown(cells), *(n for box in spreads for n in box)], zero=True)
    return BoxesPlot(x_axis=covered, x_axis_whole=covered, **fields)


def _rows_and_columns(figure: Grid, together: Iterable[Figure]) -> dict[str, Any]:
    fields = _common(figure)
    others = [other for other in together if isinstance(other, Grid)]
    every = [cell for each in (figure, *others) for cell in _scaled(each)]
    better = shared_direction(figure.measured())
    colours = scale(_told(every), signed=figure.signed, better=better)
    columns = [
        _own_column(figure, j)
        if name in figure.each
        else [
            _coloured(Value(cell, fields["write"], figure.signed), colours)
            if cell is not None
            else None
            for cell in _column(figure, j)
        ]
        for j, name in enumerate(figure.columns)
    ]
    cells = tuple(zip(*columns, strict=True)) if columns else tuple(() for _ in figure.rows)
    if figure.each:
        colours = Scale(-1.0, 1.0, "better", ("worse", "better"), relative=True)
        texts = [value.text for row in cells for value in row if value is not None]
        fields["longest"] = max(map(len, texts), default=0)
    return dict(
        fields,
        star_name=figure.mark_name,
        missing=figure.missing,
        note=figure.note,
        row_name=figure.row_name,
        column_name=figure.column_name,
        row_of=figure.row_of,
        column_of=figure.column_of,
        model=figure.chosen.get("model", ""),
        rows=rows_of(figure),
        columns=columns_of(figure),
        cells=cells,
        scale=colours,
    )


def _column(figure: Grid, j: int) -> list[Cell | None]:
    return [row[j] for row in figure.cells]


def _coloured(value: Value, colours: Scale) -> Value:
    """The value with its tone: of its difference, where it has one."""
    source = value if value.below is None else value.below
    if source.number is None or value.is_null:
        return value
    return replace(value, tone=colours.tone(source.number))


def _own_column(figure: Grid, j: int) -> list[Value | None]:
    """The values of a column with a measure, a form of numbers and a scale of its own. A score that
    stands beside no other has no colour."""
    measure = figure.each[figure.columns[j]]
    signed = measure.signed or figure.signed
    cells = [cell for cell in _column(figure, j) if cell is not None]
    apart = [cell.difference for cell in cells if cell.difference is not None]
    write = significant(_shown(cells), signed)
    below = significant(_shown(apart), signed=True)
    colours = scale(_told(apart or cells), signed=True, better=measure.better)

    def resolved(cell: Cell | None) -> Value | None:
        if cell is None:
            return None
        value = Value(cell, write, signed)
        if cell.difference is not None:
            value = replace(value, below=Value(cell.difference, below, signed=True))
        return _coloured(value, colours) if signed or value.below is not None else value

    return [resolved(cell) for cell in _column(figure, j)]


def curves(figure: Lines) -> CurvesPlot:
    """The plot of curves."""
    fields = _common(figure)
    shown = (series.name for panel in figure.panels for series in panel.series)
    index = places((*figure.order, *shown))

    def resolved(panel: Panel) -> CurvePanel:
        curves = (
            Curve(series, index[series.name], fields["write"], figure.signed)
            for series in panel.series
        )
        return CurvePanel(panel.title, tuple(curves))

    panels = tuple(map(resolved, figure.panels))
    first: dict[str, Curve] = {}
    for panel in panels:
        for curve in panel.curves:
            first.setdefault(curve.name, curve)
    both = (figure,) if figure.beside is None else (figure, figure.beside)
    xs = [x for each in both for p in each.panels for series in p.series for x in series.xs] or [0]
    low, high = (min(xs), max(xs)) if max(xs) > min(xs) else (xs[0] - 0.5, xs[0] + 0.5)
    return CurvesPlot(
        **fields,
        x_label=figure.x_label,
        x_names=figure.x_names,
        series_name=figure.series_name,
        panel_name=figure.panel_name,
        panels=panels,
        curves=tuple(first.values()),
        x_axis=Axis(low, high, whole=True),
        y_axis=axis([*_numbers(figure), *_banded(panels)], zero=True),
        y_axis_whole=axis(_drawn(_scaled(figure), fields["write"]), zero=True),
    )


def _banded(panels: Iterable[CurvePanel]) -> list[float]:
    """The numbers at the edges of the bands of groups."""
    edges = (edge for panel in panels for curve in panel.curves for edge in curve.edges())
    return [number for edge in edges for _, number in edge]


def scatter(figure: Scatter) -> PointsPlot:
    """The plot of points."""
    fields = _common(figure)
    write = fields["write"]
    groups = (*figure.order, *(point.group for point in figure.points))
    index = places(groups) if figure.order else {g: i for i, g in enumerate(dict.fromkeys(groups))}
    every = tuple(
        PlotPoint(
            p.name,
            p.group,
            index[p.group],
            Value(p.x, write, figure.signed),
            Value(p.y, write, figure.signed),
            p.name in figure.controls,
        )
        for p in figure.points
    )
    both = (figure,) if figure.beside is None else (figure, figure.beside)
    placed = [point for each in both for point in each.points if point.place is not None]
    xs, ys = [point.x for point in placed], [point.y for point in placed]
    return PointsPlot(
        **fields,
        star_name=figure.mark_name,
        note=figure.note,
        across=figure.across,
        x_name=figure.x_name,
        y_name=figure.y_name,
        x_unit=figure.x_unit,
        y_unit=figure.y_unit,
        point_name=figure.point_name,
        every=every,
        x_guides=figure.x_guides,
        y_guides=figure.y_guides,
        x_axis=axis([*_shown(xs), *figure.x_guides]),
        y_axis=axis([*_shown(ys), *figure.y_guides]),
        x_axis_whole=axis([*_drawn(xs, write), *figure.x_guides]),
        y_axis_whole=axis([*_drawn(ys, write), *figure.y_guides]),
    )


def passages(figure: Passages) -> PassagesPlot:
    """The plot of a text, all of its tokens on one scale."""
    tokens = (t for block in figure.blocks for each in block.passages for t in each.tokens)
    values = [token.value for token in tokens if token.value is not None]
    shades = scale(values, signed=figure.signed) if values else None
    write = formatter(values, figure.signed)
    blocks = (
        TextBlock(
            block.heading,
            tuple(resolved(each, figure.measure, shades, write) for each in block.passages),
        )
        for block in figure.blocks
    )
    return PassagesPlot(
        title=figure.title,
        measure=figure.measure,
        unit=figure.unit,
        signed=figure.signed,
        empty="",
        write=write,
        longest=max((len(write(value)) for value in values), default=0),
        blocks=tuple(blocks),
        scale=shades,
        note=figure.note,
        item=figure.item,
    )


def _common(figure: Lines | Grid | Scatter) -> dict[str, Any]:
    numbers = _numbers(figure)
    tested = figure.measure in PROBABILITIES
    write = p_words if tested else formatter(numbers, figure.signed)
    return {
        "title": figure.title,
        "measure": figure.measure,
        "unit": figure.unit,
        "signed": figure.signed,
        "empty": figure.empty,
        "write": write,
        "longest": max((len(write(number)) for number in numbers), default=0),
    }


def _scaled(figure: Lines | Grid | Scatter) -> list[Cell]:
    """The cells that the axes of a figure cover: its own, and those of the figure beside it."""
    beside: Iterable[Cell] = figure.beside.measured() if figure.beside is not None else ()
    return [*figure.measured(), *beside]


def _numbers(figure: Lines | Grid | Scatter) -> list[float]:
    return _shown(_scaled(figure))


def _shown(cells: Iterable[Cell]) -> list[float]:
    return [n for cell in cells if (n := Value(cell, str).number) is not None]


def _told(cells: Iterable[Cell]) -> list[float]:
    """The numbers that a scale of colours covers: the coloured ones, which differ from chance. All
    numbers where none does."""
    cells = list(cells)
    return _shown(cell for cell in cells if not is_null(cell)) or _shown(cells)


def _drawn(cells: Iterable[Cell], write: Write) -> tuple[float, ...]:
    return tuple(number for cell in cells for number in Value(cell, write).drawn())
