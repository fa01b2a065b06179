"""Shared shapes of the page's charts: their frame, marks of series, and words to hover over.

Lengths are in the units of a picture's viewBox, which are pixels where nothing is scaled.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.render.html.colours import series as series_class
from app.render.html.markup import Markup, tag
from app.render.terminal.palette import GLYPHS
from app.render.terminal.scales import exact
from app.text import plain
from core.figures.figure import Cell
from core.figures.significance import null_words, sd_words

CHARACTER = 6.9
"""About how wide a character of a chart's text is."""
LONGEST_NAME = 22
LEAST = 0.8
"""How far a chart may shrink before it is scrolled sideways instead."""
NARROWEST = 350
"""What the charts of a phone may take."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the values from `low` to `high` lie on the way from `first` to `last`."""

    low: float
    high: float
    first: float
    last: float

    def at(self, value: float) -> float:
        """The place of a value."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.first + min(1.0, max(0.0, share)) * (self.last - self.first)


def picture(width: float, height: float, label: str, parts: Iterable[str]) -> Markup:
    """A chart that shrinks with its place, as far as it can be read, and grows no further."""
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
    """Shapes that say something when a pointer rests on them."""
    return tag("g", tag("title", title), *parts, class_=class_)


def number(text: str) -> str:
    """A number with a true minus sign."""
    return text.replace("-", "−")


def short(name: str, longest: int = LONGEST_NAME) -> str:
    """A name made harmless, and cut where it is long."""
    shown = plain(name)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def across(names: Iterable[str]) -> float:
    """About how wide the longest of some names is."""
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


def legend(entries: Iterable[tuple[Markup, str]]) -> Markup:
    """Signs and what they stand for, above a chart."""
    return tag(
        "ul", *(tag("li", drawn, tag("span", text)) for drawn, text in entries), class_="legend"
    )


def sample(*parts: str, class_: str | None = None) -> Markup:
    """The little picture of a legend's entry."""
    return tag(
        "svg", *parts, viewBox="0 0 24 12", width=24, height=12, class_=class_, aria_hidden="true"
    )


def sample_of(index: int, control: bool) -> Markup:
    """The legend's picture of a series."""
    stroke = "stroke control" if control else "stroke"
    return sample(line(0, 6, 24, 6, stroke), sign(index, control, 12, 6),
                  class_=series_class(index, control))  # fmt: skip


def said(places: Iterable[str], cell: Cell) -> str:
    """All that is known of a cell: where it is, its value, chance, interval, count and verdict."""
    facts = [f"{', '.join(places)}: {exact(cell.shown)}"]
    if cell.value is not None and cell.shown != cell.value:
        facts.append(f"raw {exact(cell.value)}")
    if cell.chance is not None and cell.shown != cell.chance:
        facts.append(f"chance {cell.chance:.4g}{sd_words(cell.chance_sd)}")
    if cell.low is not None and cell.high is not None:
        facts.append(f"95 % interval {cell.low:.4g} to {cell.high:.4g}")
    if cell.n is not None:
        facts.append(f"n {cell.n}")
    if cell.q is not None:
        facts.append(f"q {cell.q:.2g}")
    null = null_words([cell])
    if null:
        facts.append(null)
    return "; ".join(facts)


def finite(cell: Cell | None) -> float | None:
    """What a cell shows, if it can be drawn."""
    if cell is None or cell.shown is None or not math.isfinite(cell.shown):
        return None
    return cell.shown
