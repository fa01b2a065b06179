"""Figures of text: passages in blocks, with a value for each token where one was measured.

Owns the data of such a figure. All of its text may come from outside: painters make it harmless.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.figures.figure import Cell, Place


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of text, and its value if it has one. Lines end where the text has line breaks."""

    text: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """A text under a label. `marks` set it apart in words, as gold or chosen; `beside` is a known
    fact about it, as a log-likelihood."""

    label: str
    tokens: tuple[Token, ...]
    marks: tuple[str, ...] = ()
    beside: str = ""

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(token.text for token in self.tokens)


@dataclass(frozen=True, slots=True)
class Block:
    """Passages under one heading."""

    heading: str
    passages: tuple[Passage, ...]


class TextFigure:
    """A figure of text: it has no cells with measured values, and no places with coordinates."""

    __slots__ = ()

    @property
    def place_names(self) -> tuple[str, ...]:
        return ()

    def measured(self) -> Iterator[Cell]:
        return iter(())

    def places(self) -> dict[Place, Cell]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Passages(TextFigure):
    """A figure of text. `measure` and `unit` name the values of its tokens, `signed` asks for a
    diverging scale about 0. `items` are the names of all texts that the reader may step through,
    `item` is the one shown. `note` stands below the text, `chosen` is where the user's selectors
    stand, by coordinate. `scored` is the item of a task with its right answer as it was scored: the
    text before it as `prompt`, the answer as `continuation`; of a running text, `alone`."""

    title: str
    blocks: tuple[Block, ...]
    measure: str = ""
    unit: str = ""
    signed: bool = False
    note: str = ""
    items: tuple[str, ...] = ()
    item: str = ""
    chosen: Mapping[str, str] = field(default_factory=dict)
    scored: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Is there nothing in it?"""
        return not any(block.passages for block in self.blocks)


def passage(label: str, text: str, *, marks: tuple[str, ...] = (), beside: str = "") -> Passage:
    """A text without values of its tokens."""
    return Passage(label, (Token(text),), marks, beside)
