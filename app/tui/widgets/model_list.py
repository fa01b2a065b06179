"""The library as a tree of lineage: a line a model, drawn to the width there is.

`row` and `guides` are functions; app.results.wording words the facts of a model.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.reactive import reactive

from app.library.appraisal import Entry
from app.library.lineage import Branch
from app.render.terminal.lines import Line, exactly
from app.results import wording
from app.text import plain
from app.tui.widgets.listing import Colours, Listing

SIZE, PARAMETERS, DTYPE = 11, 9, 13
SIGNS = 4
"""Cells of the mark and the sign before a name."""

LEAST = 34
"""Cells that a name should have before the facts beside it."""

READABLE, ADAPTER, UNREADABLE, ELSEWHERE = "●", "◆", "✗", "○"
BASE, TUNED = "B", "T"
"""Before marked models: what each is to be in a new study."""


def columns(width: int) -> tuple[int, int, int, int]:
    """The widths of name, size, parameters and dtype; those on the right go first."""
    name, rest = width - SIGNS, [0, 0, 0]
    for i, wanted in enumerate((PARAMETERS, SIZE, DTYPE)):
        if name - wanted >= LEAST:
            rest[i], name = wanted, name - wanted
    return max(1, name), rest[1], rest[0], rest[2]


def heading(width: int) -> str:
    """The names of the columns."""
    name, size, parameters, dtype = columns(width)
    facts = _right("size", size) + _right("params", parameters) + _after("dtype", dtype)
    return " " * SIGNS + exactly("model", name) + facts


def guides(branches: Sequence[Branch]) -> list[str]:
    """The lines of the tree before each name."""
    drawn: list[str] = []
    going_on: set[int] = set()
    for branch in reversed(branches):
        above = ("│ " if level in going_on else "  " for level in range(1, branch.depth))
        joint = ("├ " if branch.depth in going_on else "└ ") if branch.depth else ""
        drawn.append("".join(above) + joint)
        going_on = {level for level in going_on if level < branch.depth} | {branch.depth}
    return drawn[::-1]


def row(branch: Branch, guide: str, width: int, colours: Colours) -> Line:
    """One model as a row."""
    name, size, parameters, dtype = columns(width)
    muted = Style(color=colours["muted"])
    entry = branch.entry
    room = max(1, name - 1 - cell_len(guide))
    line = [
        Segment(" "),
        Segment(" "),
        Segment(*_sign(entry, colours)),
        Segment(" "),
        Segment(guide[: name - 1], Style(color=colours["muted"])),
        Segment(shortened(wording.model_name(branch.name), room) + " ", _tone(branch, colours)),
    ]
    if entry is None:
        return [*line, Segment(_right("not here", size + parameters) + " " * dtype, muted)]
    _, size_words, parameters_words, dtype_words, _ = wording.model_facts(entry)
    dtype_words = dtype_words.partition(" (")[0].replace("unknown", "")
    return [
        *line,
        Segment(_right(size_words, size) + _right(parameters_words, parameters)),
        Segment(_after(dtype_words, dtype), muted),
    ]


def shortened(name: str, width: int) -> str:
    """A name at exactly a width; of a path that is too long the end is kept, which tells most."""
    name = plain(name)
    if cell_len(name) <= width or not name.startswith(("/", "~")):
        return exactly(name, width)
    end = name
    while end and cell_len(end) > width - 1:
        end = end[max(1, (cell_len(end) - width) // 2) :]
    return exactly(f"…{end}", width)


def narrowed(branches: Sequence[Branch], word: str) -> tuple[Branch, ...]:
    """The models that contain a word, each with what it hangs on."""
    shown: list[Branch] = []
    above: list[Branch] = []
    for branch in branches:
        del above[branch.depth :]
        above.append(branch)
        if contains(branch, word):
            shown += [each for each in above if not any(each is known for known in shown)]
    return tuple(shown)


def contains(branch: Branch, word: str) -> bool:
    """Is the word in what is said of this model?"""
    return word.casefold() in _searched(branch)


class ModelList(Listing[Branch]):
    """The tree."""

    base: reactive[str] = reactive("")
    """The key of the marked model that is the base of the others."""

    _guides: Sequence[str] = ()

    def key(self, item: Branch) -> str:
        return item.name

    def heading(self, width: int) -> str:
        return heading(width)

    def line(self, index: int, width: int, colours: Colours) -> Line:
        return row(self.items[index], self._guides[index], width, colours)

    def mark_of(self, key: str) -> str:
        return BASE if key == self.base else TUNED

    def fill(self, items: Sequence[Branch]) -> None:
        self._guides = guides(items)
        super().fill(items)


def _right(text: str, width: int) -> str:
    return exactly(text, width, "right")


def _after(text: str, width: int) -> str:
    """Outside text two cells after what stands before it."""
    return exactly("  " + plain(text), width)


def _sign(entry: Entry | None, colours: Colours) -> tuple[str, Style]:
    if entry is None:
        return ELSEWHERE, Style(color=colours["muted"])
    if entry.trouble:
        return UNREADABLE, Style(color=colours["error"])
    sign = ADAPTER if entry.kind == "adapter" else READABLE
    return sign, Style(color=colours["success"])


def _tone(branch: Branch, colours: Colours) -> Style:
    if branch.entry is None or branch.entry.trouble:
        return Style(color=colours["muted"])
    return Style(bold=True)


def _searched(branch: Branch) -> str:
    entry = branch.entry
    if entry is None:
        return branch.name.casefold()
    trouble = entry.trouble or ""
    words = (entry.name, entry.kind, entry.dtype, entry.architecture, entry.model_class, trouble)
    return " ".join(words).casefold()
