"""The line above a picture: what is selected, said as fully as its width allows. No widget.

What makes this picture another than its neighbour is said before anything else: names give way
before values, and long values before short ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from textual.content import Content

from app.render.terminal.lines import fitted
from app.text import plain
from app.tui.widgets.bar import Piece, two_ends

Selected = tuple[str, str]
"""A name and its value, such as `model` and `medical`."""

TELLING = frozenset({"measure", "reading", "order"})
"""Names whose values speak for themselves."""

LONGEST, SHORTEST = 40, 6
"""Columns that values are cut to where nothing else helps."""


def heading(title: str, selected: Sequence[Selected], numbered: str, width: int) -> Content:
    """The fullest form that fits. `numbered` says at the right end which picture of how many."""
    room = width - cell_len(numbered) - 1
    named = [(f" {title} ", "bold $accent")]
    shown = named if not selected else []
    for form in _forms(named, [(name, plain(value)) for name, value in selected]):
        shown = form
        if sum(cell_len(text) for text, _ in form) <= room:
            break
    return two_ends(shown, [(numbered, "$muted")], width)


def _forms(title: list[Piece], selected: Sequence[Selected]) -> Iterator[list[Piece]]:
    """From the fullest to the shortest."""
    if not selected:
        yield title
        return
    yield [*title, *_pieces(selected)]
    yield _pieces(selected)
    selected = [("" if name in TELLING else name, value) for name, value in selected]
    yield _pieces(selected)
    bare = [("", value) for _, value in selected]
    yield _pieces(bare)
    for most in range(LONGEST, SHORTEST, -1):
        yield _pieces([("", fitted(v, min(most, cell_len(v))).rstrip()) for _, v in bare])


def _pieces(selected: Sequence[Selected]) -> list[Piece]:
    pieces: list[Piece] = []
    for name, value in selected:
        pieces += [("  " if pieces else " ", ""), (f"{name} " if name else "", "$muted")]
        pieces.append((value, "bold"))
    return pieces
