"""Groups of horizontal bars or boxes with their values beside them. Owns how long a bar is, to an
eighth.

A row of text is one bar; a group (a model) names itself on its first row. Upon a bar lie the ends
of its interval and the level of chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from operator import itemgetter

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style

from app.render.terminal.axes import Frame, x_axis
from app.render.terminal.lines import Cells, Line, cut, exactly, fitted, joined, packed, told_apart
from app.render.terminal.palette import Palette, luminance, sign
from app.text import plain
from core.figures.plots.grids import BarsPlot, BoxesPlot
from core.figures.plots.plot import Symbol
from core.figures.plots.ranges import Tick, share
from core.figures.plots.values import NULL_MARK, SIDES, Value

_EIGHTHS = " ▏▎▍▌▋▊▉"
WIDEST_LABEL = 20
CHANCE = "┊"
"""The mark of the chance level on a bar."""
WHISKERS = ("├", "─", "┤")
MEDIAN, OWN = "│", "◆"
WRITTEN = 92
"""The least width in cells with the ends of intervals as numbers too."""

Place = tuple[int, int]


@dataclass(frozen=True)
class Painter:
    """Draws the bars of a grid within a width."""

    plot: BarsPlot
    width: int
    palette: Palette
    colour: bool = True
    spaced: bool = True

    @cached_property
    def places(self) -> tuple[Place | None, ...]:
        """The cell that each row of text shows; None between groups."""
        rows: list[Place | None] = []
        for _, group in groupby(self.plot.spots, key=itemgetter(0)):
            if rows and self.spaced:
                rows.append(None)
            rows += group
        return tuple(rows)

    @cached_property
    def _rows(self) -> list[str]:
        return told_apart([row.text for row in self.plot.rows], self._group)

    @cached_property
    def _columns(self) -> list[str]:
        return told_apart([column.text for column in self.plot.columns], self._name)

    def line(self, y: int, cursor: Place | None = None) -> Line:
        """The row of text number y."""
        place = self.places[y]
        if place is None:
            return [Segment(" " * self.width)]
        i, j = place
        chosen = cursor == place
        ink = self.palette.dim if self.plot.faint(i, j) else self.palette.text
        strong = Style(color=self.palette.accent if chosen else ink, bold=chosen)
        first = next(spot for spot in self.plot.spots if spot[0] == i) == place
        group = fitted(self._rows[i] if first else "", self._group, "left")
        name = fitted(self._columns[j], self._name, "right")
        value = self.plot.cells[i][j]
        text, signs = (value.text, value.signs) if value is not None else ("", "")
        near = value is not None and value.is_null
        faded = Style(color=self.palette.dim) if near and not chosen else strong
        return [
            Segment("▸" if chosen else " ", strong),
            Segment(self._sign(i) if first else " " * self._marks, self._style(i, j)),
            Segment(group + " ", Style(color=ink, bold=True)),
            Segment(name + " ", strong),
            *joined(self._drawn(value, self._style(i, j))),
            Segment(" " + text.rjust(self._value), faded),
            Segment(signs.ljust(self._signs), faded),
            Segment(self._ends(value).ljust(self._interval), Style(color=self.palette.dim)),
        ]

    def foot(self) -> list[Line]:
        """The axis below the bars, its numbers, its name, and the meaning of marks, beside the name
        if there is room."""
        left = self._marks + self._group + self._name + 3
        frame = Frame(left, 0, self._room, 1, self._limits, (0, 1))
        low, high = self._limits
        axis, numbers = x_axis(self._ticks(low, high), frame)
        text, dim = Style(color=self.palette.text), Style(color=self.palette.dim)
        name = cut(f"{self.plot.measure_words} →", self.width)
        notes = packed(_notes(self.plot), self.width)
        room = self.width - cell_len(name)
        beside = notes.pop(0) if len(notes) == 1 and cell_len(notes[0]) + 2 <= room else ""
        return [
            [Segment(" " * (left - 1)), Segment("└" + axis, dim)],
            [Segment(" " * left), Segment(numbers, text)],
            [Segment(exactly(beside, room), dim), Segment(name, text)],
            *([Segment(line, dim)] for line in notes),
        ]

    def _ticks(self, low: float, high: float) -> list[Tick]:
        """The ticks between the limits: two at least, since a single one gives no scale."""
        least = max(3, self._room // 12)
        offers = [
            [tick for tick in self.plot.x_axis.ticks(most) if low <= tick.at <= high]
            for most in range(least, least + 4)
        ]
        return next((offer for offer in offers if len(offer) > 1), offers[-1])

    @cached_property
    def _group(self) -> int:
        longest = max((cell_len(row.text) for row in self.plot.rows), default=1)
        return min(longest, WIDEST_LABEL, max(6, self.width // 4))

    @cached_property
    def _name(self) -> int:
        longest = max((cell_len(column.text) for column in self.plot.columns), default=1)
        return min(longest, max(4, 3 * self.width // 10))

    @cached_property
    def _value(self) -> int:
        return self.plot.longest or 1

    @cached_property
    def _signs(self) -> int:
        return max(1, self.plot.room - self.plot.longest)

    @cached_property
    def _room(self) -> int:
        taken = self._group + self._name + self._value + self._signs + self._interval + 4
        return max(4, self.width - self._marks - taken)

    @cached_property
    def _marks(self) -> int:
        """The cells of the signs of models; 0 if the groups are no models."""
        return 2 * any(row.index is not None for row in self.plot.rows)

    def _sign(self, i: int) -> str:
        row = self.plot.rows[i]
        return " " * self._marks if row.index is None else sign(row.index, row.control) + " "

    def _style(self, i: int, j: int) -> Style:
        if not self.colour:
            return Style.null()
        return self.palette.line(self.plot.index(i, j), control=self.plot.faint(i, j))

    @cached_property
    def _interval(self) -> int:
        """The cells of the written ends of intervals; 0 if they are only drawn."""
        if self.width < WRITTEN:
            return 0
        return max((len(self._words(value)) for value in self.plot.values()), default=0)

    def _words(self, value: Value) -> str:
        if value.interval is None or isinstance(self.plot, BoxesPlot):
            return ""
        low, high = map(self.plot.write, value.interval)
        return f" {low} to {high}"

    def _ends(self, value: Value | None) -> str:
        return self._words(value) if self._interval and value is not None else ""

    @cached_property
    def _limits(self) -> tuple[float, float]:
        low, high = self.plot.x_axis.low, self.plot.x_axis.high
        return (low, high) if high > low else (0.0, 1.0)

    def _drawn(self, value: Value | None, style: Style) -> Cells:
        return (self._box if isinstance(self.plot, BoxesPlot) else self._bar)(value, style)

    def _box(self, value: Value | None, style: Style) -> Cells:
        """A box from the lower to the upper quartile, with marks for the median and the value."""
        drawn: Cells = [(" ", None)] * self._room
        spread = None if value is None else value.cell.spread
        if spread is not None:
            if spread.least is not None and spread.most is not None:
                self._whiskers(drawn, self._at(spread.least), self._at(spread.most))
            for column in range(self._at(spread.lower), self._at(spread.upper) + 1):
                drawn[column] = ("█", style)
            self._over(drawn, self._at(spread.median), MEDIAN)
        if value is not None and value.number is not None:
            self._over(drawn, self._at(value.number), OWN)
        return drawn

    def _bar(self, value: Value | None, style: Style) -> Cells:
        dim = Style(color=self.palette.dim)
        drawn: Cells = [(" ", None)] * self._room
        low, high = self._limits
        unit = (high - low) / self._room
        zero = min(self._room - 1, round(-low / unit))
        if low < 0:
            drawn[zero] = ("│", dim)
        number = value.number if value is not None else None
        if value is None or number is None:
            return drawn
        eighths = round(abs(number) / unit * 8)
        if number >= 0:
            for column in range(zero, min(self._room, zero + -(-eighths // 8))):
                full = eighths - 8 * (column - zero) >= 8
                drawn[column] = ("█" if full else _EIGHTHS[eighths - 8 * (column - zero)], style)
        else:
            for column in range(max(0, zero - -(-eighths // 8)), zero):
                full = eighths - 8 * (zero - column - 1) >= 8
                drawn[column] = ("█" if full else "▐", style)
        if value.interval is not None:
            low, high = value.interval
            self._whiskers(drawn, self._at(low), self._at(high))
        if value.chance is not None:
            self._over(drawn, self._at(value.chance.level), CHANCE)
        return drawn

    def _at(self, value: float) -> int:
        """The column of a value."""
        return min(self._room - 1, round(share(value, *self._limits) * self._room))

    def _whiskers(self, drawn: Cells, first: int, last: int) -> None:
        """A line between the ends of the interval; the end of the bar stays visible."""
        left, between, right = WHISKERS
        for column in range(first, last + 1):
            end = left if column == first else right if column == last else between
            solid = drawn[column][0] not in " │"
            if not solid or self.colour or end != between:
                self._over(drawn, column, "┼" if first == last else end)

    def _over(self, drawn: Cells, column: int, mark: str) -> None:
        """A mark on a cell; a full cell keeps the bar's colour behind it."""
        character, style = drawn[column]
        if character == "█" and style is not None and style.color is not None:
            ink = "#000000" if luminance(style.color.get_truecolor()) > 0.18 else "#ffffff"
            drawn[column] = (mark, Style(color=ink, bgcolor=style.color.name))
        else:
            behind = style.bgcolor.name if style is not None and style.bgcolor else None
            drawn[column] = (mark, Style(color=self.palette.text, bgcolor=behind))


def _notes(plot: BarsPlot) -> list[str]:
    """The meaning of the marks among the bars."""
    signs: dict[Symbol, str] = {
        "chance": f"{CHANCE} ",
        "note": "",
        "null": f"{NULL_MARK} ",
        "better": f"{SIDES['better']} ",
        "worse": f"{SIDES['worse']} ",
        "interval": "├─┤ ",
        "whiskers": "├─┤ ",
        "box": "█ ",
        "median": f"{MEDIAN} ",
        "value": f"{OWN} ",
        "control": "",
    }
    return [
        f"{signs[entry.symbol]}{plain(entry.text)}"
        for entry in plot.legend()
        if entry.symbol in signs
        and not (entry.symbol == "note" and entry.text in plot.measure_words)
    ]
