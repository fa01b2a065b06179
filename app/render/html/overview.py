"""The first page: a card for each tuned model, then the findings, each with a link to its figure.

Owns the outline of the HTML. The overview has all words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from app.render.html.markup import Markup, tag
from app.render.html.shapes import box, picture
from app.results.overview import Overview, heading
from core.overview.cards import Card, Line, largest_layer, lines
from core.overview.finding import FigurePlace, Finding

_BAR, _HIGH, _WIDEST = 6, 26, 220
"""The width of a sparkline's bar, the height of a sparkline, and its largest width."""


def parts(overview: Overview, anchors: Collection[str]) -> Iterator[Markup]:
    """The cards and the findings; `anchors`: the figures of the page that links can lead to."""
    most = largest_layer(overview.cards)
    yield tag("div", *(_card(card, most) for card in overview.cards), class_="cards")
    yield tag("h3", "Findings, largest first")
    if overview.instead:
        yield tag("p", overview.instead)
    items = [tag("li", *_finding(finding, anchors)) for finding in overview.findings]
    if items:
        yield tag("ol", *items, class_="findings ranked")
    if overview.waiting:
        yield tag("p", overview.waiting, class_="quiet")


def _card(card: Card, most: float) -> Markup:
    entries = [part for line in lines(card) for part in _line(line)]
    name = tag("h4", tag("bdi", card.title))
    return tag("article", name, *_spark(card, most), tag("dl", *entries), class_="card")


def _line(line: Line) -> Iterator[Markup]:
    sign = None if line.better is None else "better" if line.better else "worse"
    yield tag("dt", line.name)
    yield tag("dd", line.words, class_=sign, dir="auto")


def _spark(card: Card, most: float) -> Iterator[Markup]:
    """Relative norms by layer as bars; the tallest of all cards has the full height."""
    sizes = [0.0 if size is None else size for size in card.layers]
    if not sizes or not most:
        return
    wide = min(_BAR, _WIDEST / len(sizes))
    bars = [
        box(layer * wide, _HIGH * (1 - size / most), 0.8 * wide, _HIGH * size / most, "full")
        for layer, size in enumerate(sizes)
    ]
    label = f"Relative norm of layers 0 to {len(sizes) - 1}, at most {max(sizes):.3g}"
    yield tag("div", picture(wide * len(sizes), _HIGH, label, bars), class_="spark")


def _finding(finding: Finding, anchors: Collection[str]) -> Iterator[Markup]:
    place = finding.candidate.figure
    words = heading(place)
    to = anchor_of(place)
    yield tag("a", words, href=f"#{to}") if to in anchors else tag("small", words)
    yield tag("span", finding.sentence)


def anchor_of(place: FigurePlace) -> str:
    """The anchor of a finding's figure on a page."""
    return f"{place.analysis}-{place.view}"
