"""Curves with a cursor on one series and layer; the legend says every series' value there.

One series may stand alone, and each may have a panel of its own: `core.figures.plots.multiples`.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region

from app.render.terminal import curves
from app.render.terminal.axes import Frame
from app.render.terminal.legends import series_legend
from app.render.terminal.lines import Line, differences, replaced, text_of
from app.text import plain
from app.tui.readout import Spot
from app.tui.widgets.figure import CursorPosition, FigureView, Names, index_of
from core.figures.figure import Figure, Lines
from core.figures.plots.curves import Curve, CurvesPlot
from core.figures.plots.multiples import alone, split
from core.figures.plots.resolution import curves as resolved_curves
from core.figures.plots.values import UNDEFINED


class CurvesView(FigureView[CurvesPlot]):
    """Panels of lines. The cursor is a series (of some panel) and a layer."""

    def __init__(self) -> None:
        super().__init__()
        self._pictures: dict[tuple[str, int], curves.Picture] = {}
        self._whole: CurvesPlot | None = None
        """All lines together."""
        self._alone = self._split = False
        self._by_hand: bool | None = None
        """Whether the user set the lines apart or together; None leaves it to the figure."""
        self._room = (1, 1)
        self._legend = 1
        self._stops: list[tuple[int, Curve]] = []
        """Every curve of every panel: the stops of the cursor, up and down."""
        self._xs: list[int] = []

    def resolved(self, figure: Figure) -> CurvesPlot:
        """The plot; looked through here once, since lines may be long."""
        assert isinstance(figure, Lines)
        self._whole = resolved_curves(figure)
        return self._arranged(self._whole)

    def _arranged(self, whole: CurvesPlot) -> CurvesPlot:
        """The plot with its lines together or apart."""
        plot = split(whole) if self._split else whole
        stops = [(p, c) for p, panel in enumerate(plot.panels) for c in panel.curves]
        apart = [(p, c) for p, c in stops if c.name == plot.panels[p].title]
        self._stops = apart if self._split and apart else stops
        self._xs = sorted({x for _, curve in self._stops for x in curve.xs})
        return plot

    def filled(self) -> bool:
        return bool(self._xs)

    def opening(self) -> CursorPosition:
        """The first series that is not faint and has a value."""
        tuned = [i for i, (_, curve) in enumerate(self._stops) if not curve.faint]
        valued = (i for i in tuned if any(self._stops[i][1].runs()))
        return next(valued, next(iter(tuned), 0)), 0

    def lay_out(self, width: int, height: int) -> None:
        if self._by_hand is None and self._whole is not None:
            below = max(5, height - len(series_legend(self._whole, width, self.palette)))
            apart = curves.apart_where_hidden(self._whole, width, below)
            if apart != self._split:
                self._turn(apart)
        self._legend = len(series_legend(self.plot, width, self.palette, self._values((0, 0))))
        self._room = width, max(5, height - self._legend)
        self._pictures.clear()

    @property
    def _picture(self) -> curves.Picture:
        return self._drawn(self.cursor)

    def _drawn(self, cursor: CursorPosition) -> curves.Picture:
        """The curves, with the series of the cursor on top while the keys act here."""
        panel, curve = self._stops[cursor[0]]
        key = curve.name if self.lit else "", panel
        if key not in self._pictures:
            width, height = self._room
            lone = self._alone and not self._split
            plot = alone(self.plot, curve.name) if lone else self.plot
            self._pictures[key] = curves.picture(
                plot, width=width, height=height, palette=self.palette, chosen=key[0], panel=panel
            )
        return self._pictures[key]

    def watch_cursor(self, old: CursorPosition, new: CursorPosition) -> None:
        """With another series on top, paint the changed cells besides the cursor's own."""
        if self._plot is not None and self.filled() and self.size and self.lit:
            self._ready()
            before, after = self._drawn(self.clamped(old)), self._drawn(self.clamped(new))
            if before is not after:
                self._strips.clear()
                apart = list(self._changed(before, after))
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
        """The legend, its heading, the mark on each axis, and the point. A rule through all rows
        would send all of them over the line at each step."""
        cursor = self.clamped(cursor)
        x = self._xs[cursor[1]]
        yield Region(0, 0, self.size.width, self._legend)
        for frame in self._picture.frames.values():
            yield Region(frame.column(x), frame.top + frame.height + self._legend, 1, 1)
        current = self._picture.frames.get(self._stops[cursor[0]][0])
        if current is not None:
            yield Region(current.left, current.top - 1 + self._legend, current.width, 1)
        row = self._row_of_point(cursor)
        if current is not None and row is not None:
            yield Region(current.column(x), row + self._legend, 1, 1)

    def spot_at(self, cursor: CursorPosition) -> Spot:
        panel, curve = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        value = curve.at(x)
        where = self.plot.place(self.plot.panels[panel], curve, x)
        return Spot(where, value.cell if value is not None else None)

    def at(self, cursor: CursorPosition) -> Names:
        """By axis; where the figure has none, or panels and lines have changed places, in words."""
        panel, curve = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        names: Names = dict(self.plot.place(self.plot.panels[panel], curve, x))
        if not self._split:
            names[0], names[1] = self.plot.x_text(x), curve.name
            if self.plot.panels[panel].title:
                names[2] = self.plot.panels[panel].title
        return names

    def row_names(self) -> list[str]:
        """By the panels of all lines together, also where each line has its own panel now."""
        panel, curve = self._stops[self.cursor[0]]
        whole = self._whole or self.plot
        if self._split:
            panel = curve.index if len(whole.panels) > 1 else 0
        return [whole.panels[panel].title, whole.x_text(self._xs[self.cursor[1]])]

    def place_of(self, names: Names) -> CursorPosition | None:
        stops, xs = self._stops, self._xs
        panel, series = stops[self.cursor[0]]
        plot, titles = self.plot, [each.title for each in self.plot.panels]
        title, x = names.get(2, names.get(plot.panel_name)), names.get(0, names.get(plot.x_label))
        name = names.get(1, names.get(plot.series_name, series.name))
        wanted = index_of(title, titles, panel), name
        stop = index_of(wanted, [(p, s.name) for p, s in stops], self.cursor[0])
        shown = [plot.x_text(value) for value in xs]
        return stop, index_of(x, shown, self.cursor[1])

    def clamped(self, cursor: CursorPosition) -> CursorPosition:
        stops, xs = len(self._stops), len(self._xs)
        return max(0, min(cursor[0], stops - 1)), max(0, min(cursor[1], xs - 1))

    def action_page(self, way: int) -> None:
        """The same series in the next panel, or the first one there."""
        if self._plot is None or not self.filled():
            return
        panel, series = self._stops[self.cursor[0]]
        there = [stop for stop, (other, _) in enumerate(self._stops) if other == panel + way]
        same = [stop for stop in there if self._stops[stop][1].name == series.name]
        if there:
            self.cursor = (same or there)[0], self.cursor[1]

    def place_at(self, x: int, y: int) -> CursorPosition | None:
        """The layer nearest to the click, and in its panel the series nearest to it."""
        row = y - self._legend
        for panel, frame in self._picture.frames.items():
            inside = frame.left <= x < frame.left + frame.width
            if not (inside and frame.top <= row < frame.top + frame.height):
                continue
            xs = self._xs
            i = min(range(len(xs)), key=lambda i: abs(frame.column(xs[i]) - x))
            near = [
                (abs(frame.row(value.number) - row), stop)
                for stop, (other, curve) in enumerate(self._stops)
                if other == panel
                and (value := curve.at(xs[i])) is not None
                and value.number is not None
            ]
            return (min(near)[1], i) if near else None
        return None

    # Keys

    def has(self, need: str, parameters: tuple[object, ...]) -> bool:
        """One line alone is all that there is."""
        if need == "several lines":
            several = self._plot is not None and len({c.name for _, c in self._stops}) > 1
            return several or self._split
        return super().has(need, parameters)

    def action_alone(self) -> None:
        """Draw only the series of the cursor, beside the base and the controls, or all again."""
        self._alone = not self._alone
        self._again()

    def action_split(self) -> None:
        """Give each series a panel of its own, or put all together again."""
        if self._whole is None or not self.filled():
            return
        self._by_hand = not self._split
        self._turn(self._by_hand)
        self._again()

    def _turn(self, apart: bool) -> None:
        """Set the lines apart or together; the cursor stays on its line."""
        assert self._whole is not None
        panel, curve = self._stops[self.cursor[0]]
        before = self.plot.panels[panel].title, curve.name
        self._split = apart
        self._plot = self._arranged(self._whole)
        here = [(self.plot.panels[p].title, c.name) for p, c in self._stops]
        stop = next(
            (
                n
                for n, each in enumerate(here)
                if each in (before[::-1], (before[1], before[1]), ("", before[1]))
            ),
            0,
        )
        self.set_reactive(CurvesView.cursor, self.clamped((stop, self.cursor[1])))
        self.post_message(self.Moved(self))

    def _again(self) -> None:
        """Lay out and paint everything."""
        self._laid_out = None
        self.refresh()

    def _values(self, cursor: CursorPosition) -> list[str]:
        """The value of each series at the cursor's layer, if possible in the cursor's panel."""
        panel, _ = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        panels = (*(self.plot.panels if self._split else ()), self.plot.panels[panel])
        here = {curve.name: curve.at(x) for each in panels for curve in each.curves}
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
        frame = self._picture.frames.get(panel)
        if value is None or value.number is None or frame is None:
            return None
        return frame.row(value.number)

    def _marked(self, line: Line, row: int, cursor: CursorPosition) -> Line:
        """The row with the cursor on it: its point, or its place on the axis."""
        panel, _ = self._stops[cursor[0]]
        x = self._xs[cursor[1]]
        strong = Style(color=self.palette.accent, bold=True)
        for number, frame in self._picture.frames.items():
            if row == frame.top - 1 and number == panel:
                line = self._told(line, frame, x)
            elif row == frame.top + frame.height:
                line = replaced(line, frame.column(x), Segment("▲", strong))
            elif number == panel and row == self._row_of_point(cursor):
                point = Segment("◉", strong + Style(reverse=True))
                line = replaced(line, frame.column(x), point)
        return line

    def _told(self, line: Line, frame: Frame, x: int) -> Line:
        """The row above a panel with the place of the legend's values, if there is room."""
        words = plain(self.plot.told_at(x))
        free = len(text_of([line], colour=False)[frame.left : frame.left + frame.width].rstrip())
        if frame.width < free + len(words) + 2:
            return line
        faint = Segment(words, Style(color=self.palette.dim))
        return replaced(line, frame.left + frame.width - len(words), faint)
