"""Figures of text on the page: labels, and the text with a mark around each shaded token.

All text from outside is escaped; only its line breaks act.
"""

from __future__ import annotations

from collections.abc import Iterator

from app.render.html.colours import step as step_class
from app.render.html.markup import Markup, joined, tag
from app.render.terminal.palette import step
from core.figures.plots.passages import PassagesPlot, Shade, TextPassage
from core.figures.plots.ranges import Ramp


def draw(plot: PassagesPlot) -> Iterator[Markup]:
    """The blocks of a text, and the meaning of its shades."""
    for block in plot.blocks:
        if block.heading:
            yield tag("h4", block.heading, dir="auto")
        for passage in block.passages:
            yield _passage(passage, plot.ramp)
    for note in plot.notes:
        yield tag("p", note, class_="quiet")


def _passage(passage: TextPassage, ramp: Ramp) -> Markup:
    known = [" ", tag("small", passage.words)] if passage.words else []
    head = [tag("dt", tag("b", passage.label), *known)] if passage.head else []
    inside = [_shade(shade, ramp) for shade in passage.shades]
    listed = [tag("dd", f"strongest: {passage.listed}", class_="quiet")] if passage.listed else []
    return tag("dl", *head, tag("dd", *inside, class_="text", dir="auto"), *listed, class_="text")


def _shade(shade: Shade, ramp: Ramp) -> Markup:
    text = _broken(shade.text)
    if shade.tone is None:
        return text
    return tag("mark", text, class_=step_class(ramp, step(shade.tone)), title=shade.hover)


def _broken(text: str) -> Markup:
    """Text with its line breaks as line breaks of the page."""
    parts: list[str] = []
    for line in text.replace("\r\n", "\n").split("\n"):
        parts += [*([Markup("<br>")] if parts else []), line.replace("\t", "    ")]
    return joined(parts)
