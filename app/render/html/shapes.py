"""Shared shapes of the page's charts: pictures, marks of series, legends.

Lengths are in units of a picture's viewBox: pixels if unscaled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, tag
from app.render.terminal.palette import GLYPHS
from app.text import plain
from core.figures.plots.plot import Entry, Symbol
from core.figures.plots.ranges import share

CHARACTER = 6.9
"""The approximate width of a character of a chart's text."""
LONGEST_NAME = 22
LEAST = 0.8
"""The smallest scale of a chart, below which it scrolls sideways."""
NARROWEST = 350
"""The width of charts on a phone."""


Samples = Mapping[Symbol, Callable[[Entry], str]]
"""The symbols of the legend's entries in a chart."""


@dataclass(frozen=True, slots=True)
class Place:
    """A scale that maps `low` to `first` and `high` to `last`."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """The place of a value."""
        return self.first + share(value, self.low, self.high) * (self.last - self.first)


def picture(width: float, height: float, label: str, parts: Iterable[str]) -> Markup:
    """A chart that shrinks with its container down to a readable size, and never grows."""
    return tag(
        "svg", *parts, viewBox=f"0 0 {width:g} {height:g}", width=width, height=height,
        style=f"min-width:{LEAST * width:.0f}px" if LEAST * width > NARROWEST else None,
        role="img", aria_label=label,
    )  # fmt: skip


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def box(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    """A rectangle."""
    return tag("rect", x=x, y=y, width=width, height=height, class_=class_)


def words(
    x: float, y: float, text: str, class_: str | None = None, anchor: str = "start"
) -> Markup:
    """A line of text on its baseline."""
    anchored = None if anchor == "start" else anchor
    return tag("text", text, x=x, y=y, class_=class_, text_anchor=anchored)


def turned(x: float, y: float, text: str, class_: str | None = None) -> Markup:
    """A line of text that rises to the right."""
    return tag("text", text, transform=f"translate({x:.1f},{y:.1f}) rotate(-40)", class_=class_)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """A line through points, or the area within it."""
    name = "polygon" if closed else "polyline"
    return tag(name, points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def told(title: str, *parts: str, class_: str = "told") -> Markup:
    """Shapes with a tooltip."""
    return tag("g", tag("title", title), *parts, class_=class_)


def number(text: str) -> str:
    """A number with a true minus sign."""
    return text.replace("-", "−")


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name made harmless, and cut if it is long."""
    shown = plain(name)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def across(names: Iterable[str]) -> float:
    """The approximate width of the longest name."""
    return max((len(short(name)) for name in names), default=0) * CHARACTER


def sign(index: int, control: bool, x: float, y: float) -> Markup:
    """The sign of a series at a place: the shapes of palette.GLYPHS."""
    if control:
        return tag("circle", cx=x, cy=y, r=1.8, class_="full")
    glyph = GLYPHS[index % len(GLYPHS)]
    shape, class_ = _FILLED.get(glyph, glyph), "open" if glyph in _FILLED else "full"
    if shape == "●":
        return tag("circle", cx=x, cy=y, r=3.4, class_=class_)
    return path([(x + dx, y + dy) for dx, dy in _CORNERS[shape]], class_, closed=True)


_FILLED = {"○": "●", "□": "■", "△": "▲", "◇": "◆"}
"""Open signs, and the filled ones of the same shape."""
_CORNERS = {
    "■": ((-3, -3), (3, -3), (3, 3), (-3, 3)),
    "▲": ((0, -4), (4, 3), (-4, 3)),
    "▼": ((0, 4), (4, -3), (-4, -3)),
    "◆": ((0, -4.4), (4.4, 0), (0, 4.4), (-4.4, 0)),
}


def legend(entries: Iterable[Entry], samples: Samples) -> Markup:
    """Signs with their meaning, above a chart; empty without signs."""
    items = [
        tag("li", _sample(samples[entry.symbol](entry)), tag("span", entry.text + entry.after))
        for entry in entries
        if entry.symbol in samples
    ]
    return tag("ul", *items, class_="legend") if items else Markup()


def sample_of(entry: Entry) -> Markup:
    """The legend's picture of a series."""
    stroke = "stroke control" if entry.faint else "stroke"
    parts = line(0, 6, 24, 6, stroke), sign(entry.index, entry.faint, 12, 6)
    return tag("g", *parts, class_=series_class(entry.index, entry.faint))


def word(text: str, *, quiet: bool = False) -> Markup:
    """The legend's symbol of a sign after a number."""
    return words(12, 10, text, "quiet" if quiet else None, "middle")


def _sample(*parts: str) -> Markup:
    return tag("svg", *parts, viewBox="0 0 24 12", width=24, height=12, aria_hidden="true")
