"""Curves with a cursor on one series and layer; the legend says every series' value there."""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import curves
from app.render.terminal.legends import series_legend
from app.render.terminal.lines import Line, differences, replaced
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names, index_of
from core.figures.figure import Figure, Lines
from core.figures.plots.curves import Curve, CurvesPlot
from core.figures.plots.resolution import curves as resolved_curves
from core.figures.plots.values import UNDEFINED


class CurvesView(FigureView[CurvesPlot]):
    """Panels of lines. The cursor is a series (of some panel) and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self._pictures: dict[str, curves.Picture] = {}
        self._room = (1, 1)
        self._legend = 1
        self._stops: list[tuple[int, Curve]] = []
        """Every curve of every panel: where the cursor goes up and down."""
        self._xs: list[int] = []

    def resolved(self, figure: Figure) -> CurvesPlot:
        """The plot; looked through here once, since lines may be long."""
        assert isinstance(figure, Lines)
        plot = resolved_curves(figure)
        self._stops = [(p, c) for p, panel in enumerate(plot.panels) for c in panel.curves]
        self._xs = sorted({x for _, curve in self._stops for x in curve.xs})
        return plot

    def filled(self) -> bool:
        return bool(self._xs)

    def opening(self) -> CursorPosition:
        """The first series that is not faint."""
        tuned = (i for i, (_, curve) in enumerate(self._stops) if not curve.faint)
        return next(tuned, 0), 0

    def lay_out(self, width: int, height: int) -> None:
        self._legend = len(series_legend(self.plot, width, self.palette, self._values((0, 0))))
        self._room = width, max(5, height - self._legend)
        self._pictures.clear()

    @property
    def _picture(self) -> curves.Picture:
        """The curves, with the series of the cursor on top while the keys act here."""
        chosen = self._series(self.cursor).name if self.lit else ""
        return self._drawn(chosen)

    def _drawn(self, chosen: str) -> curves.Picture:
        if chosen not in self._pictures:
            width, height = self._room
            self._pictures[chosen] = curves.picture(
                self.plot, width=width, height=height, palette=self.palette, chosen=chosen
            )
        return self._pictures[chosen]

    def watch_cursor(self, old: CursorPosition, new: CursorPosition) -> None:
        """Another series on top: paint the cells that this changes, besides the cursor's own."""
        if self._plot is not None and self.filled() and self.size and self.lit:
            self._ready()
            before, after = self._series(self.clamped(old)).name, self._series(new).name
            if before != after:
                self._strips.clear()
                apart = list(self._changed(self._drawn(before), self._drawn(after)))
                if apart:  # no region at all would mean everything
                    self.refresh(*apart)
        super().watch_cursor(old, new)

    def _changed(self, before: curves.Picture, after: curves.Picture) -> Iterable[Region]:
        for y, (old, new) in enumerate(zip(before.lines, after.lines, strict=True)):
            for start, end in differences(old, new):
                yield Region(start, y + self._legend, end - start, 1)

    def paint(self, y: int, cursor: CursorPosition | None) -> Line:
        if y < self._legend:
            return self._legend_rows(cursor)[y]
        row = y - self._legend
        if row >= len(self._picture.lines):
            return []
        line = self._picture.lines[row]
        return line if cursor is None else self._marked(line, row, cursor)

    def touched(self, cursor: CursorPosition) -> Iterable[Region]:
        """The legend, the mark on each axis, and the point: a rule through all rows would send
        all of them over the line at each step."""
        x = self._xs[cursor[1]]
        yield Region(0, 0, self.size.width, self._legend)
        for frame in self._picture.frames:
            yield Region(frame.column(x), frame.top + frame.height + self._legend, 1, 1)
        row = self._row_of_point(cursor)
        if row is not None:
            panel, _ = self._stops[cursor[0]]
            yield Region(self._picture.frames[panel].column(x), row + self._legend, 1, 1)

    def spot_at(self, cursor: CursorPosition) -> Spot:
        panel, curve = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        value = curve.at(x)
        where = self.plot.place(self.plot.panels[panel], curve, x)
        return Spot(where, value.cell if value is not None else None)

    def at(self, cursor: CursorPosition) -> Names:
        panel, curve = self._stops[cursor[0]]
        names: Names = {0: self.plot.x_text(self._xs[cursor[1]]), 1: curve.name}
        if self.plot.panels[panel].title:
            names[2] = self.plot.panels[panel].title
        return names

    def row_names(self) -> list[str]:
        names = self.at(self.cursor)
        return [names.get(2, ""), names[0]]

    def place_of(self, names: Names) -> CursorPosition | None:
        stops, xs = self._stops, self._xs
        panel, series = stops[self.cursor[0]]
        titles = [each.title for each in self.plot.panels]
        wanted = index_of(names.get(2), titles, panel), names.get(1, series.name)
        stop = index_of(wanted, [(p, s.name) for p, s in stops], self.cursor[0])
        shown = [self.plot.x_text(x) for x in xs]
        return stop, index_of(names.get(0), shown, self.cursor[1])

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        stops, xs = len(self._stops), len(self._xs)
        return max(0, min(cursor[0], stops - 1)), max(0, min(cursor[1], xs - 1))

    def action_page(self, way: int) -> None:
        """The same series in the next panel."""
        if self._plot is None or not self.filled():
            return
        panel, series = self._stops[self.cursor[0]]
        for at, (other, same) in enumerate(self._stops):
            if other == panel + way and same.name == series.name:
                self.cursor = (at, self.cursor[1])

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        """The layer nearest to the click, and in its panel the series nearest to it."""
        row = y - self._legend
        for panel, frame in enumerate(self._picture.frames):
            inside = frame.left <= x < frame.left + frame.width
            if not (inside and frame.top <= row < frame.top + frame.height):
                continue
            xs = self._xs
            i = min(range(len(xs)), key=lambda i: abs(frame.column(xs[i]) - x))
            near = [
                (abs(frame.row(value.number) - row), at)
                for at, (own, curve) in enumerate(self._stops)
                if own == panel
                and (value := curve.at(xs[i])) is not None
                and value.number is not None
            ]
            return (min(near)[1], i) if near else None
        return None

    def _series(self, cursor: CursorPosition) -> Curve:
        return self._stops[cursor[0]][1]

    def _values(self, cursor: CursorPosition) -> list[str]:
        """The value of each series at the cursor's layer, in the cursor's panel."""
        panel, _ = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        here = {curve.name: curve.at(x) for curve in self.plot.panels[panel].curves}
        values = [here.get(curve.name) for curve in self.plot.curves]
        texts = (value.text if value is not None else UNDEFINED for value in values)
        return [text.rjust(self.plot.longest) for text in texts]

    def _legend_rows(self, cursor: CursorPosition | None) -> list[Line]:
        size = self.size.width
        if cursor is None:
            blank = [" " * len(v) for v in self._values((0, 0))]
            return series_legend(self.plot, size, self.palette, blank)
        names = [curve.name for curve in self.plot.curves]
        chosen = names.index(self._stops[cursor[0]][1].name)
        return series_legend(self.plot, size, self.palette, self._values(cursor), chosen)

    def _row_of_point(self, cursor: CursorPosition) -> int | None:
        """The row of the picture with the chosen series' point, if it has one there."""
        panel, curve = self._stops[cursor[0]]
        value = curve.at(self._xs[cursor[1]])
        if value is None or value.number is None:
            return None
        return self._picture.frames[panel].row(value.number)

    def _marked(self, line: Line, row: int, cursor: CursorPosition) -> Line:
        """The row with the cursor on it: its point, or its place on the axis."""
        panel, _ = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        strong = Style(color=self.palette.accent, bold=True)
        for number, frame in enumerate(self._picture.frames):
            if row == frame.top + frame.height:
                line = replaced(line, frame.column(x), Segment("▲", strong))
            elif number == panel and row == self._row_of_point(cursor):
                point = Segment("◉", strong + Style(reverse=True))
                line = replaced(line, frame.column(x), point)
        return line
