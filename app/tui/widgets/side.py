"""A pane of a comparison: one run's picture, the other's, or their difference.

Like any pane; only what is said of it differs. Below it stand both values and their difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from textual.content import Content
from textual.message import Message

from app.results.comparing import Pair
from app.results.figures import Drawn
from app.tui.readout import Spot, in_a_row
from app.tui.widgets.figure import FigureView
from app.tui.widgets.pane import Pane
from core.engine.registry import Analysis
from core.figures.differences import DIFFERENCE, NAMES, beyond
from core.figures.figure import Cell, Figure, Scatter
from core.figures.plots.numbers import exact
from core.figures.significance import null_words, sd_words
from core.figures.views import Choice, View

THIRD = len(NAMES)
"""The number of the pane that shows the difference."""


class Side(Pane):
    """Picture number 0, 1 or, the difference, 2 of a pair."""

    @dataclass
    class Followed(Message):
        """The cursor stands elsewhere: the other side's goes there too."""

        side: Side

    def __init__(
        self,
        analysis: Analysis,
        view: View,
        number: int,
        place: tuple[int, int],
        choice: Choice | None,
    ) -> None:
        super().__init__(analysis, view, *place)
        self.number = number
        self.figure.follows = True
        self.choice = choice
        self.pair: Pair | None = None

    def show(self, asked: Choice | None, pair: Pair) -> None:
        """Show this side of a pair, unless the choice has moved on meanwhile."""
        if asked != self.choice:
            return
        self.pair = pair
        figure = self.of(pair)
        if figure is not None:
            self.accept(asked, Drawn(pair.choice, pair.catalogue, figure))
        self.choice = pair.choice

    def of(self, pair: Pair) -> Figure | None:
        """This side's figure of a pair; not every pair has a difference."""
        if self.number < THIRD:
            return pair.figures[self.number]
        return pair.difference.figure if pair.difference is not None else None

    def on_figure_view_moved(self, message: FigureView.Moved) -> None:
        super().on_figure_view_moved(message)
        message.prevent_default()
        self.post_message(self.Followed(self))

    def _finding(self, drawn: Drawn) -> str:
        """What differs most, and what the difference leaves out; of sides only what else than
        tuning they may differ by."""
        if self.pair is None:
            return ""
        apart = self.number == THIRD
        notes = "; ".join(self.pair.notes) if apart else self.pair.unlike
        sentence = f"{notes[:1].upper()}{notes[1:]}." if notes else ""
        return f"{self.pair.told if apart else ''} {sentence}".strip()

    def _selected(self, width: int) -> Content:
        name = (*NAMES, DIFFERENCE)[self.number]
        label = Content.assemble((f" {name} ", "bold $background on $accent"))
        return label + super()._selected(max(1, width - len(name) - 2))

    def _readout(self, width: int) -> Content:
        """The cursor's place and value; below, the values of both and how far they are apart."""
        readout, spot = super()._readout(width), self.figure.spot()
        if self.pair is None or self.pair.difference is None or spot is None:
            return readout
        lines = readout.split("\n", allow_blank=True)
        values = Content(in_a_row(tuple(_held(spot, self.pair)), width))
        return Content("\n").join([lines[0], values.truncate(max(1, width), ellipsis=True)])


def _held(spot: Spot, pair: Pair) -> Iterator[str]:
    """The values of both sides at a place, and their difference with its spread or interval."""
    assert pair.difference is not None
    figures = (*pair.figures, pair.difference.figure)
    reading = "" if pair.choice.reading == "raw" else pair.choice.reading
    for label, place in _places(spot, pair):
        first, second, apart = (figure.places().get(place) for figure in figures)
        before = " ".join(filter(None, (reading, label)))
        yield f"{before}: {NAMES[0]} {_value(first)}".removeprefix(": ")
        yield f"{NAMES[1]} {_value(second)}"
        if apart is not None and apart.shown is not None:
            yield f"{DIFFERENCE} {apart.shown:+.4g}{_allowance(apart)}"


def _places(spot: Spot, pair: Pair) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Where a cursor stands, as a `Place`; a point has two values."""
    values = tuple(value for _, value in spot.coordinates)
    figure = pair.figures[0]
    if isinstance(figure, Scatter):
        yield figure.x_name, (values[0], figure.x_name)
        yield figure.y_name, (values[0], figure.y_name)
    else:
        yield "", values


def _value(cell: Cell | None) -> str:
    return "not measured" if cell is None else exact(cell.shown)


def _allowance(cell: Cell) -> str:
    """Its spread by chance, or its interval, both approximate; or that it needs neither."""
    if cell.same:
        return f" ({beyond(cell)})"
    null = null_words([cell])
    if cell.chance_sd:
        return sd_words(cell.chance_sd) + (f", {null}" if null else "")
    if cell.low is not None and cell.high is not None:
        words = f", {null}" if null else ""
        return f" (95 % ≈ {cell.low:+.3g} to {cell.high:+.3g}{words})"
    return ""
