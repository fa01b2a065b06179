"""The columns of the bench side by side: name, knobs, text, and numbers at the foot.

Paints a `Board`, and repaints only changed cells. The cursor stands on a column's name, on one of
its knobs, or on a token of its text. Changes no column by itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from app.render.terminal.lines import (
    Line,
    differences,
    exactly,
    fitted,
    joined,
    padded,
    told_apart,
)
from app.render.terminal.palette import Palette, on
from app.render.terminal.passages import Marked, marked, shaded, wrapped
from app.tui.bench import knobs
from app.tui.bench.blind import Blind
from app.tui.bench.board import Answer, Board, Measure
from app.tui.bench.knobs import Knob
from app.tui.keys import written
from app.tui.widgets.figure import COLOURS
from app.tui.widgets.lens import percent, shown
from app.tui.widgets.steady import Steady
from core.bench.messages import Generate, Score, Scored
from core.figures.plots import resolution
from core.figures.plots.passages import Shade
from core.figures.plots.ranges import Ramp

LEAST = 34
"""Cells of the narrowest column: two side by side in 80."""
NAME, TEXT = 0, -1
"""Places of the cursor in a column, besides its knobs from 1 on."""
TALL = 28
"""Rows from which the likeliest tokens have a row each."""
ROOMY = 50
"""Cells from which a column's state is written in full."""
LABEL, NUMBER = 11, 7
"""Cells of a knob's name and of its number."""
_WORDS = re.compile(r"(?<=,)(layer|module|direction)=")


@dataclass(frozen=True, slots=True)
class TokenRow:
    """A row of a text: signs, each with the place of its token."""

    signs: Marked[int]

    def at(self, x: int) -> int:
        """The token at a cell, or the last one before it."""
        return self.signs[min(max(0, x), len(self.signs) - 1)][1]

    def x_of(self, token: int) -> int:
        """The first sign of a token."""
        return next((x for x, (_, owner) in enumerate(self.signs) if owner == token), 0)


class BoardView(Steady, can_focus=True):
    """The columns; as many show as fit."""

    DEFAULT_CSS = "BoardView { width: 1fr; height: 1fr; }"

    class Moved(Message):
        """The cursor may have moved."""

    def __init__(self, board: Board) -> None:
        super().__init__(id="board")
        self.board = board
        self.at = 0
        self.line = NAME
        self.token = 0
        self.measure: Measure = "change"
        self.zoomed = False
        self.blind: Blind | None = None
        self.hint = ""
        """The text of an empty column."""
        self._left = 0
        self._scrolled: dict[int, int] = {}
        self._shades: list[tuple[Shade, ...]] = []
        self._ramp: Ramp = "sequential"
        self._rows: list[Line] = []
        self._painted: tuple[object, ...] = ()

    # Places

    @property
    def column(self) -> int:
        """The column that keys act on, by its place in the board."""
        return self.blind.order[self.at] if self.blind else self.at

    @property
    def knob(self) -> Knob | None:
        """The knob that the cursor stands on."""
        listed = self._knobs(self.at)
        return listed[self.line - 1] if 1 <= self.line <= len(listed) else None

    @property
    def scores(self) -> bool:
        """Does it show the scores of one text, rather than a text of each column?"""
        return isinstance(self.board.request, Score)

    @property
    def shown(self) -> range:
        """The places of the columns that fit."""
        count = len(self.board.setups)
        room = 1 if self.zoomed else max(1, min(count, (self.size.width + 1) // LEAST))
        left = min(max(self._left, self.at - room + 1), self.at, max(0, count - room))
        return range(left, min(count, left + room))

    def widths(self) -> list[int]:
        """Cells of each column that shows; a line stands between two."""
        count = max(1, len(self.shown))
        room = self.size.width - (count - 1)
        return [room // count + (index < room % count) for index in range(count)]

    # Moving

    def go(self, index: int) -> None:
        """Go to another column, to the same line if it has that."""
        if self.board.setups:
            self.at = max(0, min(index, len(self.board.setups) - 1))
            self.line = self.line if self.line <= len(self._knobs(self.at)) else TEXT
            self._left = self.shown.start
        self.update()

    def move(self, by: int) -> bool:
        """One line up or down; False where there is none in that direction."""
        last = len(self._knobs(self.at))
        if self.line == TEXT:
            if not self._roll(by):
                if by > 0:
                    return False
                self.line = last
        elif by < 0 and self.line == NAME:
            return False
        else:
            self.line = self.line + by if self.line + by <= last else TEXT
        self.update()
        return True

    def step(self, by: int) -> None:
        """One token left or right."""
        self.token = max(0, min(self.token + by, self._tokens() - 1))
        self.update()

    def page(self, way: int) -> None:
        """Most of a screen of text up or down."""
        self.line = TEXT
        for _ in range(max(1, self._text_height() - 2)):
            self._roll(way)
        self.update()

    def ends(self, way: int) -> None:
        """To the name, or to the end of the text."""
        if self.line == TEXT and self.scores:
            self.token = 0 if way < 0 else max(0, self._tokens() - 1)
        else:
            self.line = NAME if way < 0 else TEXT
        self.update()

    def _roll(self, by: int) -> bool:
        """Scroll the text, or move the cursor in it, by a row. False at its end."""
        rows = self._token_rows(self.at)
        if self.scores:
            here = next((y for y, r in enumerate(rows) if self.token in {t for _, t in r.signs}), 0)
            if not 0 <= here + by < len(rows):
                return False
            x = rows[here].x_of(self.token) if rows[here].signs else 0
            self.token = rows[here + by].at(x) if rows[here + by].signs else self.token + by
            return True
        last = max(0, len(rows) - self._text_height())
        top = min(self._scrolled.get(self.column, last), last)
        if not 0 <= top + by <= last:
            return False
        self._scrolled[self.column] = top + by
        if top + by == last:
            del self._scrolled[self.column]  # follow the text again
        return True

    # Painting

    def update(self) -> None:
        """Repaint the changed cells."""
        if not self.size or not self.is_attached:
            return
        before, self._rows = self._rows, self._made()
        if len(before) != len(self._rows):
            self.refresh()
        else:
            for y, (old, new) in enumerate(zip(before, self._rows, strict=True)):
                for start, end in differences(old, new):
                    self.refresh(Region(start, y, end - start, 1))
        self.post_message(self.Moved())

    def on_resize(self) -> None:
        self.update()

    def on_focus(self) -> None:
        self.update()

    def on_blur(self) -> None:
        self.update()

    def render_line(self, y: int) -> Strip:
        key = (self.size, self.app.theme)
        if self._painted != key:
            self._painted, self._rows = key, self._made()
        line = self._rows[y] if y < len(self._rows) else []
        return Strip(line).adjust_cell_length(self.size.width).apply_style(self.rich_style)

    @property
    def palette(self) -> Palette:
        """The colours for this theme and terminal."""
        background = "dark" if self.app.current_theme.dark else "light"
        return on(background, COLOURS.get(self.app.console.color_system or "", 1 << 24))

    def _made(self) -> list[Line]:
        """Every row."""
        height = self.size.height
        if not self.board.setups:
            words = f"  No column. {written('bench.add')} adds one."
            return [[], [Segment(words)], *([[]] * (height - 2))][:height]
        plot = resolution.passages(self.board.figure(self.measure))
        self._shades = [block.passages[0].shades for block in plot.blocks]
        self._ramp = plot.ramp
        self.token = max(0, min(self.token, self._tokens() - 1))
        shown, widths = self.shown, self.widths()
        blocks = [self._block(index, width) for index, width in zip(shown, widths, strict=True)]
        line = Segment("│", Style(color=self.app.theme_variables["line"]))
        return [
            [
                part
                for index, block in enumerate(blocks)
                for part in (*[line] * bool(index), *block[y])
            ]
            for y in range(height)
        ]

    def _block(self, index: int, width: int) -> list[Line]:
        """The rows of one column."""
        head = [self._heading(index, width), *self._knob_rows(index, width)]
        foot = self._foot(index, width)
        room = max(1, self.size.height - len(head) - len(foot))
        rows = [*head, *self._text_rows(index, width, room), *foot]
        return [padded(row, width) for row in rows[: self.size.height]]

    def _edge(self, index: int, line: int) -> Segment:
        here = index == self.at and line == self.line and self.has_focus
        return Segment("▌" if here else " ", Style(color=self.palette.accent))

    def _heading(self, index: int, width: int) -> Line:
        column = self._of(index)
        answer = self.board.answers[column]
        state = self._state(answer, width)
        if self.scores and not self.blind and column == self.board.reference:
            state = f"{state} reference".strip()
        room = max(4, width - len(state) - 3)
        first = f"{index + 1} "
        names = told_apart(_brief(self.board.names, room - len(first)), room - len(first))
        title = first + (self.blind.name(index) if self.blind else names[column])
        chosen = index == self.at
        style = Style(bold=True, color=self.palette.accent if chosen else self.palette.text)
        ground = Style(bgcolor=self.app.theme_variables["panel"])
        line = [
            self._edge(index, NAME),
            Segment(fitted(title, room), style),
            Segment(f" {state} ", Style(color=self._tone(answer))),
        ]
        return list(Segment.apply_style(padded(line, width), None, ground)) if width else []

    def _state(self, answer: Answer, width: int) -> str:
        if answer.phase == "writing":
            return f"writing {answer.tokens}"
        if answer.phase == "done" and isinstance(self.board.request, Generate):
            unit = " tokens" if width >= ROOMY else ""
            return f"{answer.tokens}{unit}, {answer.ended}" if answer.ended else "stopped"
        return "waiting" if answer.phase == "waiting" else ""

    def _tone(self, answer: Answer) -> str:
        writing = answer.phase in ("writing", "waiting")
        return self.app.theme_variables["warning"] if writing else self.palette.dim

    def _knob_rows(self, index: int, width: int) -> list[Line]:
        """The rows of a column's knobs, equally many in each column; around the cursor if not all
        fit."""
        count = max((len(self._knobs(each)) for each in self.shown), default=0)
        room = min(count, max(1, self.size.height // 4))
        listed = self._knobs(index)
        top = max(0, min(self.line - room, len(listed) - room)) if index == self.at else 0
        rows = [
            self._knob_row(index, n + 1, knob, width) for n, knob in enumerate(listed) if top <= n
        ][:room]
        return rows + [[Segment(" ")]] * (room - len(rows))

    def _knob_row(self, index: int, line: int, knob: Knob, width: int) -> Line:
        palette = self.palette
        here = index == self.at and line == self.line and self.has_focus
        ink = Style(color=palette.accent if here else palette.text if knob.on else palette.dim)
        quiet = Style(color=palette.dim)
        label = min(LABEL, width // 3)
        parts = [self._edge(index, line), Segment(fitted(knob.name, label), quiet), Segment(" ")]
        if knob.number is None:
            words = knob.words if knob.on else f"off ({knob.words})"
            return [*parts, Segment(fitted(words, max(1, width - label - 2)), ink)]
        bar = max(0, width - label - NUMBER - 4)
        shown = exactly(knob.text if knob.on else f"({knob.text})", NUMBER, "right")
        return [*parts, Segment(slider(knob.number, bar), ink), Segment(f" {shown}", ink)]

    def _text_rows(self, index: int, width: int, height: int) -> list[Line]:
        column = self._of(index)
        answer, rows = self.board.answers[column], self._token_rows(index, width)
        palette = self.palette
        if not any(row.signs for row in rows):
            words = self.hint if answer.phase == "empty" else ""
            hint_rows = [[Segment("  "), *joined(r)] for r in wrapped(
                marked(words, Style(color=palette.dim)), max(1, width - 3))]  # fmt: skip
            return ([[], *hint_rows] + [[]] * height)[:height]
        styles = [shaded(shade, self._ramp, palette) for shade in self._shades[column]]
        if not answer.fresh:
            styles = [palette.faint(style) for style in styles]
        if self.scores and self.has_focus:
            mark = Style(reverse=True, bold=True) if index == self.at else Style(underline=True)
            styles[self.token] = styles[self.token] + mark
        top = self._top(index, rows, height)
        here = index == self.at and self.line == TEXT
        edge = self._edge(index, TEXT) if here else Segment(" ")
        return [
            [edge, Segment(" "), *joined([(sign, styles[t]) for sign, t in row.signs])]
            for row in (rows[top : top + height] + [TokenRow([])] * height)[:height]
        ]

    def _top(self, index: int, rows: Sequence[TokenRow], height: int) -> int:
        last = max(0, len(rows) - height)
        if self.scores:
            here = next((y for y, r in enumerate(rows) if self.token in {t for _, t in r.signs}), 0)
            return max(0, min(here - height // 2, last))
        return min(self._scrolled.get(self._of(index), last), last)

    def _foot(self, index: int, width: int) -> list[Line]:
        """The numbers of a column; none when blind, since they would tell the model."""
        if self.blind:
            return []
        lines = self._scores(index) if self.scores else self._crossed(index, width)
        style = Style(color=self.palette.dim)
        return [[Segment(" "), Segment(fitted(words, width - 2), style)] for words in lines]

    def _scores(self, index: int) -> list[str]:
        scored = self.board.answers[self._of(index)].scored
        tall = self.size.height >= TALL
        if scored is None or self.token >= len(scored.likeliest):
            return [""] * (8 if tall else 3)
        change = f"  Δ {scored.nll_change:+z.3f}".replace("-", "−")
        change = change if self._of(index) != self.board.reference else ""
        first = [f"NLL {scored.nll:.3f}{change}", self._here(index, scored)]
        ranked = scored.likeliest[self.token]
        top = [(shown(piece), percent(exp(min(0.0, value)))) for piece, value in ranked[:5]]
        if not tall:
            return [*first, "  ".join(f"{piece} {share}" for piece, share in top)]
        rows = [f"{share:>6}  {piece}" for piece, share in top]
        return [*first, "", *rows, *[""] * (5 - len(rows))]

    def _here(self, index: int, scored: Scored) -> str:
        """The values of the token under the cursor, for readers without colours."""
        line = f"here: log p {scored.logprobs[self.token]:z.2f}".replace("-", "−")
        moved = self.board.values(self._of(index), "change")
        if self._of(index) != self.board.reference and self.token < len(moved):
            line += f" Δ {signed(moved[self.token])}"
        return f"{line} KL {scored.kl[self.token]:z.2f}"

    def _crossed(self, index: int, width: int) -> list[str]:
        """The loss of this column's text under each column."""
        if not any(each.crossed for each in self.board.answers):
            return []
        crossed = self.board.answers[self._of(index)].crossed
        losses = ["–" if nll is None else f"{nll:.2f}" for nll in crossed]
        if self.size.height >= TALL:
            room = max(4, width - 14)
            both = zip(told_apart(_brief(self.board.names, room), room), losses, strict=False)
            named = [f"  {fitted(name, room)} {loss:>6}" for name, loss in both]
            return ["NLL of this text under", *named]
        numbered = [f"{place}: {loss}" for place, loss in enumerate(losses, 1)]
        each = max(1, (width - 6) // 10)
        rows = ["  ".join(numbered[n : n + each]) for n in range(0, len(numbered), each)]
        return [f"{'    ' if n else 'NLL '}{row}" for n, row in enumerate(rows[:3])]

    # Parts

    def _of(self, index: int) -> int:
        """The column at a place."""
        return self.blind.order[index] if self.blind else index

    def _knobs(self, index: int) -> tuple[Knob, ...]:
        if self.blind or index >= len(self.board.setups):
            return ()
        return knobs.knobs(self.board.setups[index])

    def _tokens(self) -> int:
        """The number of tokens for the cursor."""
        return max((len(shades) for shades in self._shades), default=0) if self.scores else 1

    def _token_rows(self, index: int, width: int | None = None) -> list[TokenRow]:
        """The text of a column at its width."""
        if width is None:
            width = self.widths()[index - self.shown.start]
        if self._of(index) >= len(self._shades):
            return []
        signs: Marked[int] = []
        for token, shade in enumerate(self._shades[self._of(index)]):
            text = shade.text.replace("\n", "↵\n") if self.scores else shade.text.lstrip(" ")
            signs += marked(text, token)
        return [TokenRow(row) for row in wrapped(signs, max(1, width - 3))]

    def _text_height(self) -> int:
        width = self.widths()[0]
        fixed = 1 + len(self._knob_rows(self.at, width)) + len(self._foot(self.at, width))
        return max(1, self.size.height - fixed)

    # Mouse

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the click."""
        index, x, widths = self.shown.start, event.x, self.widths()
        while x >= (width := widths[index - self.shown.start]) and index + 1 < self.shown.stop:
            index, x = index + 1, x - width - 1
        rows = len(self._knob_rows(index, width))
        self.line = NAME if event.y == 0 else TEXT if event.y > rows else event.y
        y = event.y - 1 - rows
        if self.line == TEXT and self.scores:
            token_rows = self._token_rows(index, width)
            y += self._top(index, token_rows, self._text_height())
            if y < len(token_rows) and token_rows[y].signs:
                self.token = token_rows[y].at(x - 2)
        self.focus()
        self.go(index)

    def on_mouse_scroll_down(self) -> None:
        self._roll(1)
        self.update()

    def on_mouse_scroll_up(self) -> None:
        self._roll(-1)
        self.update()


def _brief(names: Sequence[str], room: int) -> list[str]:
    """Names of columns; of steered ones that do not fit, without the words before the values."""
    return [
        _WORDS.sub("", name) if name.startswith("steer(") and len(name) > room else name
        for name in names
    ]


def slider(number: float, width: int) -> str:
    """A bar from 0 to 1 with the place of a number. A number outside widens the bar, which then
    marks 0 or 1."""
    if width < 5:
        return ""
    low, high = min(0.0, number), max(1.0, number)

    def place(value: float) -> int:
        return round((value - low) / (high - low) * (width - 1))

    first, last = sorted((place(0), place(number)))
    signs = ["━" if first <= cell < last else "─" for cell in range(width)]
    for mark in (0.0, 1.0):
        if low < mark < high:
            signs[place(mark)] = "┼"
    signs[place(number)] = "●"
    return "".join(signs)


def signed(value: float) -> str:
    """A difference with its sign; one that rounds to zero has the sign of zero."""
    return f"{value:+z.2f}".replace("-", "−")
