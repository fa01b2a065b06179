"""The line above a picture: what is selected, said as fully as its width allows. No widget.

The title stays, in its short form where there is one: names give way before it, then the words
"is better", and long values before short ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from textual.content import Content

from app.render.terminal.lines import cut
from app.text import plain
from app.tui.widgets.bar import Piece, two_ends

Selected = tuple[str, str]
"""A name and its value, such as `model` and `medical`."""

TELLING = frozenset({"measure", "reading", "order"})
"""Names whose values speak for themselves."""

_BETTER = re.compile(r"(?P<of>.+) \((?P<way>higher|lower) is better\)")

RAW = ("reading", "raw")
"""The reading that a narrow heading omits: a value as it was measured."""

LONGEST, SHORTEST = 40, 6
"""Columns of a cut value, as a last resort."""


def heading(
    title: str, selected: Sequence[Selected], numbered: str, width: int, short: str = ""
) -> Content:
    """The fullest form that fits; the `short` title replaces a title that is too long. `numbered`,
    at the right end, is the picture's number."""
    room = width - cell_len(numbered) - 1
    selected = [pair for pair in selected if pair[1].casefold() not in ("", title.casefold())]
    titles = [[(f" {words} ", "bold $accent")] for words in dict.fromkeys((title, short)) if words]
    shown: list[Piece] = []
    for form in _forms(titles, [(name, plain(value)) for name, value in selected]):
        shown = form
        if sum(cell_len(text) for text, _ in form) <= room:
            break
    return two_ends(shown, [(numbered, "$muted")], width)


def _forms(titles: list[list[Piece]], selected: Sequence[Selected]) -> Iterator[list[Piece]]:
    """All forms, from the fullest to the shortest."""
    telling = [("" if name in TELLING else name, value) for name, value in selected]
    bare = [
        ("", _BETTER.sub(_arrow, value)) for pair in selected for value in pair[1:] if pair != RAW
    ]
    ways = [_pieces(pairs) for pairs in (selected, telling, bare)] if selected else [[]]
    for pieces in ways:
        yield from ([*title, *pieces] for title in titles)
    for most in range(LONGEST, SHORTEST, -1) if selected else ():
        yield [*titles[-1], *_pieces([("", cut(value, most)) for _, value in bare])]


def _arrow(match: re.Match[str]) -> str:
    return f"{'↑' if match['way'] == 'higher' else '↓'} {match['of']}"


def _pieces(selected: Sequence[Selected]) -> list[Piece]:
    pieces: list[Piece] = []
    for name, value in selected:
        pieces += [("  " if pieces else " ", ""), (f"{name} " if name else "", "$muted")]
        pieces.append((value, "bold"))
    return pieces
