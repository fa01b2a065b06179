"""Figures of text, resolved: the shade of each token, and the values in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from core.figures.passages import Passage, Token
from core.figures.plots.numbers import Write
from core.figures.plots.plot import Plot, Row, Rows
from core.figures.plots.ranges import Ramp, Scale
from core.figures.plots.values import Value

LISTED = 6
"""Tokens of a passage whose values are written out."""


@dataclass(frozen=True, slots=True)
class Shade:
    """A piece of text; `tone` is its share of the ramp of colours, None without a colour."""

    text: str
    tone: float | None = None
    hover: str = ""


@dataclass(frozen=True, slots=True)
class TextPassage:
    """A passage with every decision made. `words` stand beside its label: marks and facts;
    `listed` are the strongest tokens with their values, for readers without colours."""

    label: str
    words: str
    shades: tuple[Shade, ...]
    listed: str = ""

    @property
    def head(self) -> str:
        """The label with the words beside it."""
        return "  ".join(filter(None, (self.label, self.words)))

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(shade.text for shade in self.shades)


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Passages under one heading."""

    heading: str
    passages: tuple[TextPassage, ...]


@dataclass(frozen=True, kw_only=True)
class PassagesPlot(Plot):
    """Blocks of text. `scale`: of the tokens' colours, None where no token has a value."""

    blocks: tuple[TextBlock, ...]
    scale: Scale | None
    note: str
    item: str

    @property
    def ramp(self) -> Ramp:
        """The ramp of the shades."""
        return self.scale.ramp if self.scale else "sequential"

    @property
    def is_drawable(self) -> bool:
        return any(block.passages for block in self.blocks)

    @property
    def notes(self) -> tuple[str, ...]:
        """The lines below the text: the meaning of its shades, and the figure's note."""
        shade = ""
        if self.scale is not None:
            low, high = self.write(self.scale.low), self.write(self.scale.high)
            shade = f"Shade: {self.measure}, {low} to {high}{self.unit and f' {self.unit}'}."
        return tuple(filter(None, (shade, self.note)))

    def values(self) -> Iterator[Value]:
        return iter(())

    def legend(self) -> tuple[()]:
        return ()

    def table(self) -> Rows:
        """A row for each passage: nothing but names, since a text has no cells."""
        rows = (
            Row((block.heading, each.label, each.words, each.text, each.listed), ())
            for block in self.blocks
            for each in block.passages
        )
        return Rows(("part", "label", "known", "text", "strongest tokens"), tuple(rows))


def resolved(passage: Passage, measure: str, scale: Scale | None, write: Write) -> TextPassage:
    """A passage with its tokens on a scale."""
    words = "  ".join(filter(None, (", ".join(passage.marks), passage.beside)))
    shades = tuple(_shade(token, measure, scale, write) for token in passage.tokens)
    return TextPassage(passage.label, words, shades, _listed(passage.tokens, write))


def _shade(token: Token, measure: str, scale: Scale | None, write: Write) -> Shade:
    if token.value is None or scale is None:
        return Shade(token.text)
    return Shade(token.text, scale.tone(token.value), f"{measure} {write(token.value)}".strip())


def _listed(tokens: tuple[Token, ...], write: Write) -> str:
    """The tokens of the largest absolute values, the largest first."""
    known = [(token.text.strip() or "␣", token.value) for token in tokens if token.value]
    known.sort(key=lambda pair: -abs(pair[1]))
    return " · ".join(f"{text} {write(value)}" for text, value in known[:LISTED])
