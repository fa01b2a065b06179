"""A pane: one view of one analysis, with the selection above it and the readout below.

Knows its own choice; asks its screen for the figure by message. Computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from app.render.terminal.lines import fitted
from app.results.figures import Drawn, finding
from app.text import plain
from app.tui import steering
from app.tui.heading import heading
from app.tui.keys import with_keys
from app.tui.memory import FigurePosition, choice_of
from app.tui.readout import Measured, beside, copied, in_a_row
from app.tui.widgets.bar import Row
from app.tui.widgets.bars import BarsView, BoxesView
from app.tui.widgets.curves import CurvesView
from app.tui.widgets.figure import FigureView
from app.tui.widgets.finding import Finding
from app.tui.widgets.grid import GridView
from app.tui.widgets.passages import PassagesView
from app.tui.widgets.scatter import ScatterView
from app.tui.widgets.steady import Steady
from app.tui.widgets.table import TableView
from core.engine.measurement import COORDINATES, MetricSpec
from core.engine.registry import Analysis
from core.figures.choices import chosen, options, settled
from core.figures.figure import Figure, Grid, Table
from core.figures.filters import Filter
from core.figures.passages import Passages
from core.figures.plots.plot import EMPTY
from core.figures.views import Catalogue, Choice, Coordinate, Selector, Value, View

Pointed = dict[str, Value]
"""The coordinates that a picture points at: values by coordinate."""

ITEM = "item"
"""The selector whose values come from the figure."""

FILTERED = "No results match the filter here; {run.filter} changes it."

WIDGETS: dict[str, type[FigureView[Any]]] = {
    "curves": CurvesView,
    "matrix": GridView,
    "heatmap": GridView,
    "bars": BarsView,
    "boxes": BoxesView,
    "scatter": ScatterView,
    "table": TableView,
    "text": PassagesView,
}


def path_of(analysis: Analysis, view: View) -> str:
    """The name of a view among all of a run."""
    return f"{analysis.name}:{view.key}"


class Pane(Vertical, Steady):
    """One picture and the lines around it."""

    DEFAULT_CSS = """
    Pane { width: 1fr; height: 1fr; }
    Pane > #selected { background: $panel; }
    Pane:focus-within > #selected { background: $line; }
    Pane.-bars > Finding, Pane.-boxes > Finding, Pane.-matrix > Finding { max-height: 3; }
    Pane > #readout { height: 2; padding: 0 1; }
    Pane > FigureView { margin: 0 1; }
    """

    @dataclass
    class Wanted(Message):
        """The figure must be drawn (again) under the present choice."""

        pane: Pane

    def __init__(self, analysis: Analysis, view: View, number: int, count: int) -> None:
        super().__init__(classes=f"-{view.kind}")
        self.analysis = analysis
        self.view = view
        self.choice: Choice | None = None
        self.drawn: Drawn | None = None
        self.numbered = f" {number}/{count} " if count > 1 else ""
        # Held, not looked for: a figure may come before they are mounted or once they are gone.
        self.selected = Row(self._selected, id="selected")
        self.finding = Finding()
        self.figure: FigureView[Any] = WIDGETS[view.kind]()
        self.readout = Row(self._readout, id="readout")
        self._offers: tuple[tuple[Choice, Catalogue] | None, frozenset[str]] = None, frozenset()
        self._by_hand = False
        self._stood: tuple[int, int] | None = None
        """The last place of the cursor."""
        self._held: Pointed = {}
        self._chosen: Choice | None = None
        self._waiting: tuple[Pointed, bool, str] = {}, False, ""
        self.blank = EMPTY
        """The sentence in place of a figure without values."""
        self.narrow: dict[str, str] = {}
        """The only rows that a table shows: values by column."""
        self._led: tuple[Any, bool] = None, False
        """The last answer of `leads_to`, with its key."""
        self._called = {view.word(c): c for c in COORDINATES}

    @property
    def path(self) -> str:
        """The name of its view among all of a run."""
        return path_of(self.analysis, self.view)

    def stand(self) -> FigurePosition:
        """Its position; a figure that was not drawn yet keeps its last one."""
        choice = asdict(self.choice) if self.choice is not None else {}
        shown = self.drawn is not None and self.filled
        return FigurePosition(choice=choice, cursor=self.figure.cursor if shown else self._stood)

    def restore(self, stand: FigurePosition | None) -> None:
        """Open at the last position, as far as it still exists."""
        choice = choice_of(stand) if stand is not None and stand.choice else None
        known = {spec.name for spec in self.analysis.metrics}
        if stand is None or choice is None or choice.measure not in known:
            return
        self.choice = choice
        self._stood = stand.cursor
        self.figure.open_at(stand.cursor)

    def pointed(self) -> Pointed:
        """The coordinates that the user chose by hand; empty if there are none."""
        return self.here() if self._by_hand or self.figure.by_hand else {}

    def here(self) -> Pointed:
        """The values of the selectors and of the cursor, by coordinate."""
        if self.choice is None or self.drawn is None:
            return {}
        pointed: Pointed = {s: getattr(self.choice, s) for s in self.view.selectors}
        item = self.figure.item() if self.filled else ""
        if item:
            pointed[ITEM] = item
        for known, name in self._named().items():
            values = {str(v): v for v in self.drawn.catalogue.values(known)}
            if name in values:
                pointed[known] = values[name]
        return pointed | self._placed()

    def row(self) -> dict[str, str]:
        """The fields of the row at the cursor of a table, by the names of their columns."""
        names = self.figure.at(self.figure.cursor) if self.filled else {}
        return {name: text for name, text in names.items() if isinstance(name, str)}

    def _placed(self) -> Pointed:
        """The coordinates at the cursor of a figure whose axes are no coordinates."""
        figure = self.drawn.figure if self.drawn is not None and self.filled else None
        if not isinstance(figure, Grid):
            return {}
        names = self.figure.at(self.figure.cursor)
        return dict(figure.behind.get((names[0], names[1]), {}))

    def _named(self) -> dict[Coordinate, str]:
        """The names at the cursor, by coordinate, known to the run or not."""
        names = self.figure.at(self.figure.cursor) if self.filled else {}
        axes = dict(enumerate(self._axes))
        known = ((axes.get(a) if isinstance(a, int) else self._called.get(a), names[a])
                 for a in names)  # fmt: skip
        return {coordinate: name for coordinate, name in known if coordinate is not None}

    def point(self, pointed: Pointed, *, only: bool = False, measure: str = "") -> None:
        """Move selectors and cursor to these coordinates, as far as this picture has them; with
        `only`, a table shows only their rows. `measure`: show this measure, raw. Waits for the
        first figure."""
        if self.choice is None or self.drawn is None:
            self._waiting = dict(pointed), only, measure
            return
        names = {k: str(v) for k, v in pointed.items() if v is not None}
        narrow = {self.view.word(k): v for k, v in names.items()} if only else {}
        if narrow != self.narrow:
            self.narrow = narrow
            self._draw(self.drawn)
        choice, ranges = self.choice, self.drawn.catalogue
        if measure in self.view.measures and measure != choice.measure:
            choice = settled(self.view, replace(choice, measure=measure, reading="raw"), ranges)
        for selector in self.view.selectors:
            offered = options(self.view, selector, choice, ranges)
            if selector in pointed and (selector == ITEM or pointed[selector] in offered):
                choice = chosen(choice, selector, pointed[selector])
        self._seek(pointed)
        if choice != self.choice:
            self._choose(lambda _, __: choice)

    def leads_to(self, other: Pane) -> bool:
        """Does another picture have details of the value at the cursor? Not if its selectors lack
        such a model, task or other value."""
        if not self.filled or self.drawn is None:
            return False
        if self.view.placed and not self._placed():
            return False
        ranges = self.drawn.catalogue
        if other.analysis is not self.analysis:
            if other.drawn is None:
                return True  # it is not known yet
            ranges = other.drawn.catalogue
        key = (other.path, self.choice, ranges, self.figure.cursor)
        if self._led[0] != key:  # asked for at every painting
            pointed: dict[str, Any] = {**(self._named() if self._axes else {}), **self.here()}
            self._led = key, steering.takes(other.view, pointed, ranges)
        return self._led[1]

    def compose(self) -> ComposeResult:
        yield from (self.selected, self.finding, self.figure, self.readout)

    @property
    def spec(self) -> MetricSpec | None:
        """The declaration of the measure shown; a table shows none in particular."""
        if self.choice is None or self.view.tabulate is not None:
            return None
        return self.analysis.metric(self.choice.measure)

    @property
    def filled(self) -> bool:
        """Does it show a value that keys can act on?"""
        return self.figure.spot() is not None

    @property
    def barren(self) -> bool:
        """Has the run no values for it, as far as it was read?"""
        return self.drawn is not None and not self.drawn.catalogue.values("metric")

    @property
    def wanted(self) -> Choice | None:
        """The choice to show; None, the default choice, until the run has values."""
        return None if self.barren else self.choice

    def accept(self, asked: Choice | None, drawn: Drawn) -> None:
        """Show the requested figure, unless the choice has changed meanwhile."""
        if asked != self.wanted:
            return
        blank = self._blank(drawn)
        if drawn == self.drawn and self.figure.shows and self.figure.blank == blank:
            return  # nothing new came in: nothing to send over the line
        refiltered = self.drawn is not None and not self.is_of(drawn.catalogue.filter)
        before = (self._held or self.here()) if refiltered else {}
        self.choice, self.drawn = drawn.choice, drawn
        self.selected.renew()
        self._draw(drawn)
        self._seek(before)
        self.finding.tell(plain(self._finding(drawn)))
        (pointed, only, measure), self._waiting = self._waiting, ({}, False, "")
        if pointed or measure:
            self.point(pointed, only=only, measure=measure)

    def refuse(self, asked: Choice | None, words: str) -> None:
        """Show the error of a requested figure, unless the choice has changed meanwhile."""
        if asked == self.wanted:
            self.finding.tell("")
            self.figure.refuse(plain(words))

    def hold(self, held: bool) -> None:
        """Hold this place: return to it after each filter change; or release it."""
        self._held = self.here() if held else {}
        self._chosen = self.choice if held else None

    def refilter(self) -> None:
        """Return to the choice at the held place."""
        self.choice = self._chosen or self.choice

    def is_of(self, by: Filter) -> bool:
        """Was the shown figure made with this filter?"""
        return self.drawn is not None and self.drawn.catalogue.filter == by

    def _seek(self, pointed: Pointed) -> None:
        """Move the cursor to these values, as far as the figure has them."""
        words = {k: str(v) for k, v in pointed.items() if v is not None}
        if words:
            named = words if self._axes else {self.view.word(k): v for k, v in words.items()}
            self.figure.seek(named, self._axes)

    def _finding(self, drawn: Drawn) -> str:
        """The finding of the figure in a sentence or two, or an empty text."""
        return finding(self.view, drawn)

    def _draw(self, drawn: Drawn) -> None:
        self.figure.show(self._narrowed(drawn.figure), self._blank(drawn))

    def _blank(self, drawn: Drawn) -> str:
        """The sentence in place of a figure without values; the figure's own reason, if any."""
        if drawn.catalogue.filter:
            return with_keys(FILTERED)
        note = drawn.figure.note if isinstance(drawn.figure, Table | Passages) else ""
        why = plain(note or self.view.needs)
        return f"{EMPTY} {why}".strip() if self.blank == EMPTY else self.blank

    def _narrowed(self, figure: Figure) -> Figure:
        """The figure as it shows here: a table without the other rows."""
        return figure.narrowed(self.narrow) if isinstance(figure, Table) else figure

    def offered(self) -> frozenset[str]:
        """The names of the actions that can act here."""
        if self.choice is None or self.drawn is None or self.barren:
            return frozenset()
        key = self.choice, self.drawn.catalogue
        if self._offers[0] != key:  # asked for every key that may be shown, at every painting
            self._offers = key, steering.offered(self.view, *key, self.spec)
        return self._offers[1] | ({ITEM} if len(self._items[0]) > 1 else set())

    def choices(self) -> list[steering.Offer[Choice]]:
        """All choices here."""
        if self.choice is None or self.drawn is None:
            return []
        chosen_from = self.choice, self.drawn.catalogue
        return list(steering.offers(self.view, *chosen_from, self.analysis.metric))

    def choose(self, choice: Choice) -> None:
        """Show another choice."""
        self._by_hand = True
        self._choose(lambda _, __: choice)

    def next_measure(self, by: int) -> None:
        """Switch to another measure, or a table to another order."""
        metric = self.analysis.metric
        self._choose(lambda c, ranges: steering.next_measure(self.view, c, by, ranges, metric))

    def next_reading(self) -> None:
        """Switch between raw, chance and excess."""
        metric = self.analysis.metric
        self._choose(
            lambda c, ranges: steering.next_reading(self.view, c, metric(c.measure), ranges)
        )

    def next_value(self, selector: Selector, by: int) -> None:
        """Switch to another value of a coordinate."""
        self._by_hand = True
        if selector == ITEM:
            self._choose(lambda c, _: steering.next_item(c, *self._items, by))
            return
        self._choose(lambda c, ranges: steering.next_value(self.view, c, selector, by, ranges))

    @property
    def _items(self) -> tuple[tuple[str, ...], str]:
        """The items that the figure names, and the one that it shows."""
        figure = self.drawn.figure if self.drawn is not None else None
        return (figure.items, figure.item) if isinstance(figure, Passages) else ((), "")

    def on_figure_view_moved(self, message: FigureView.Moved) -> None:
        message.stop()
        self.readout.renew()

    def on_figure_view_copied(self, message: FigureView.Copied) -> None:
        """Copy the readout to the clipboard of the terminal."""
        message.stop()
        spot = self.figure.spot()
        if spot is not None and self.choice is not None:
            self.app.copy_to_clipboard(copied(spot, self._measured))
            self.notify("Copied.", timeout=2, markup=False)

    @property
    def _measured(self) -> Measured:
        """The measure of the figure's values; not every figure shows the chosen one."""
        name = self.drawn.figure.measure if self.drawn is not None else ""
        spec = self.spec
        if spec is None or spec.name != name:
            return Measured(name, empty=spec.empty if spec else "")
        return Measured(name, spec.title, spec.unit, spec.empty)

    @property
    def _axes(self) -> tuple[Coordinate, ...]:
        """The coordinates of the figure's axes, if they are coordinates."""
        return self.view.axes_of

    def clip(self, what: str) -> None:
        """Copy the value in words, its row, or all values as `csv` or `md`."""
        from app.render.data.clippings import as_csv, as_markdown, clipping

        if self.drawn is None or self.figure.spot() is None:
            return
        if what == "value":
            self.figure.action_copy()
            return
        whole = clipping(self._narrowed(self.drawn.figure))
        clip = whole.row(self.figure.row_names()) if what == "row" else whole
        self.app.copy_to_clipboard(as_markdown(clip) if what == "md" else as_csv(clip))
        rows = "1 row" if len(clip.rows) == 1 else f"{len(clip.rows):,} rows"
        self.notify(f"Copied {rows}.", timeout=2, markup=False)

    def _choose(self, step: Callable[[Choice, Catalogue], Choice]) -> None:
        if self.choice is None or self.drawn is None:
            return
        choice = step(self.choice, self.drawn.catalogue)
        if choice != self.choice:
            self.choice = choice
            self.selected.renew()
            self.post_message(self.Wanted(self))

    def _selected(self, width: int) -> Content:
        if self.choice is None or self.drawn is None:
            return heading(self.view.title, (), self.numbered, width, self.view.short)
        pairs = steering.described(self.view, self.choice, self.drawn.catalogue, self.spec)
        controls = self.drawn.catalogue.controls
        selected = []
        for name, value in pairs:
            if name == self.view.word(ITEM):
                items, value = self._items
                value += f" ({items.index(value) + 1} of {len(items)})" if value in items else ""
            elif name == "model" and value in controls:
                value = f"{value} (control)"
            selected.append((name, value))
        return heading(self.view.title, selected, self.numbered, width, self.view.short)

    def _readout(self, width: int) -> Content:
        spot = self.figure.spot()
        if spot is None or self.choice is None or width < 8:
            return Content("")
        named = [(name, plain(words)) for name, words in spot.coordinates]
        value = plain(self._measured.value(spot))
        if sum(cell_len(f"{words}  ") for _, words in named) + cell_len(value) > width:
            value = plain(self._measured.value(spot, short=True))
        share = max(8, width // max(1, len(named)) - 10)
        if sum(cell_len(f"{name} {words}  ") for name, words in named) + cell_len(value) <= width:
            share = width
        where = []
        for name, words in named:
            short = fitted(words, min(cell_len(words), share)).rstrip()
            where.append(((f"{name} ", "$muted"), (f"{short}  ", "bold")))
        taken = sum(cell_len(words) for each in where for words, _ in each) + cell_len(value)
        skip = taken > width  # the value comes before the names of its coordinates
        pieces = [part for each in where for part in each[skip:]]
        first = Content.assemble(*pieces, (value, "bold $accent"))
        second = Content(in_a_row(beside(spot), width))
        return Content("\n").join([_cut(first, width), _cut(second, width)])


def _cut(content: Content, width: int) -> Content:
    return content.truncate(width, ellipsis=True)
