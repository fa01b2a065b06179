"""The overview as rows of words: cards as rows or side by side, and the findings below.

Owns the layout for a width and a height. The overview has all words.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest

from app.render.terminal.headings import SHORT
from app.render.terminal.lines import exactly, fitted, folded
from app.results.overview import Overview, heading
from app.text import plain
from core.overview.cards import Card, Line, Score, brief, largest_layer, lines
from core.overview.finding import Finding, number

Piece = tuple[str, str]
"""Words and their tone: "", "bold", "muted", "accent", "better" or "worse"."""
Row = list[Piece]

BLOCKS = "▁▂▃▄▅▆▇█"
LAYERS = 12
"""Cells of a sparkline, at most."""
NAME = 12
"""Cells of the name before a line of a card."""
CARD = 38
"""The least width of a card beside others."""
GAP = 2

TITLE = "Findings, largest first"
LINES = (
    "neurons", "own domain", "elsewhere", "texts", "surprising", "moved", "where", "new",
    "directions",
)  # fmt: skip
"""The lines of a card, those first that say least in few words."""
FIGURES = "figures"
IN_FULL = (*LINES, FIGURES)
"""What takes up the room that is left, in this order."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of the overview; `owners`: the item of each row, -1 for none. Items are the cards, then
    the findings."""

    rows: tuple[Row, ...]
    owners: tuple[int, ...]


def spark(card: Card, most: float) -> str:
    """Relative norms by layer, `most` at full height; of many layers the largest of each part."""
    sizes = [0.0 if size is None else size for size in card.layers]
    if not sizes or not most:
        return ""
    count = min(LAYERS, len(sizes))
    edges = [index * len(sizes) // count for index in range(count + 1)]
    tops = [max(sizes[a:b]) for a, b in pairwise(edges)]
    return "".join(BLOCKS[min(7, int(8 * top / most))] for top in tops)


def printed(overview: Overview, width: int) -> Iterator[Row]:
    """The whole overview for a page of text: every card and every finding in full."""
    most = largest_layer(overview.cards)
    for card in overview.cards:
        yield [(plain(card.title), "bold"), (f"  {spark(card, most)}", "accent")]
        for line in lines(card):
            yield from _said(line, width)
    yield []
    yield [(TITLE, "bold")]
    if overview.instead:
        yield [(overview.instead, "")]
    for rank, finding in enumerate(overview.findings, 1):
        sentence = f"{finding.sentence} [{heading(finding.candidate.figure)}]"
        yield from _wrapped(f"{rank}. ", sentence, width)
    if overview.waiting:
        yield [(overview.waiting, "muted")]


def layout(overview: Overview, width: int, height: int, selected: int) -> Layout:
    """The overview in a window, with one item selected: cards side by side where all have room,
    with as many lines in full as fit; else as rows, and the selected one in full."""

    def laid_out(item: int, whole: int, full: Collection[str] = ()) -> Layout:
        return _laid_out(overview, width, item, side_by_side=beside, whole=whole, full=full)

    count = len(overview.findings)
    beside = len(overview.cards) > 0 and width >= 2 * CARD + GAP
    beside = beside and len(laid_out(0, 0).rows) <= height
    full: tuple[str, ...] = ()
    for name in IN_FULL if beside else ():
        below = max(selected, len(overview.cards))  # the same for every finding
        fits = len(laid_out(below, count, (*full, name)).rows) <= height
        full = (*full, name) if fits else full
    if full and len((roomy := laid_out(selected, count, full)).rows) <= height:
        return roomy
    tries = (laid_out(selected, whole) for whole in range(count, -1, -1))
    return next((each for each in tries if len(each.rows) <= height), laid_out(selected, 0))


def _laid_out(
    overview: Overview,
    width: int,
    selected: int,
    *,
    side_by_side: bool,
    whole: int,
    full: Collection[str],
) -> Layout:
    """`whole`: so many of the first findings in full, besides the selected one; `full`: the lines
    of cards in full, and `FIGURES` where every finding names the figure that it opens."""
    cards, rows = overview.cards, list[tuple[Row, int]]()
    if side_by_side:
        rows += _boxes(cards, width, selected, full=full)
        rows += _detail(cards, selected, width, full)
    elif cards:
        rows.append((_head(width, cards), -1))
        for index, card in enumerate(cards):
            rows.append((_compact(card, width, cards, chosen=index == selected), index))
            if index == selected:
                rows += [*_detail(cards, selected, width, ()), ([], -1)]
    rows.append(([], -1))
    rows.append(
        ([(TITLE, "bold"), (f"  {overview.waiting}" * bool(overview.waiting), "muted")], -1)
    )
    if overview.instead:
        rows.append(([(overview.instead, "")], -1))
    for index, finding in enumerate(overview.findings):
        item = len(cards) + index
        in_full, named = item == selected or index < whole, FIGURES in full
        lines = _finding(finding, index, width, item == selected, whole=in_full, named=named)
        rows += [(row, item) for row in lines]
    return Layout(tuple(row for row, _ in rows), tuple(owner for _, owner in rows))


def _finding(
    finding: Finding, index: int, width: int, chosen: bool, *, whole: bool, named: bool
) -> Iterator[Row]:
    name = f"{'▌' if chosen else ' '}{index + 1} "
    if not whole:
        yield [(name, "accent"), (fitted(finding.sentence, width - len(name)), "")]
        return
    for row in _wrapped(name, finding.sentence, width):
        yield [(row[0][0], "accent"), *row[1:]]
    if chosen or named:
        key = "enter: " if chosen else ""
        yield [(f"   {key}{heading(finding.candidate.figure)}", "muted")]


def _detail(
    cards: Sequence[Card], selected: int, width: int, full: Collection[str]
) -> list[tuple[Row, int]]:
    """The lines of the selected card that its box cuts."""
    if selected >= len(cards):
        return []
    shown = [line for line in lines(cards[selected]) if line.name not in full]
    rows: list[Row] = [row for line in shown for row in _said(line, width)]
    return [(row, selected) for row in ([], *rows)] if rows else []


def _said(line: Line, width: int) -> Iterator[Row]:
    return _wrapped(f"  {line.name:<{NAME}}", line.words, width, tone=_tone(line.better))


def _wrapped(name: str, words: str, width: int, tone: str = "") -> Iterator[Row]:
    """Words after their name, over as many rows as they need."""
    room = max(10, width - len(name))
    for index, part in enumerate(folded(plain(words), room, hyphens=False)):
        yield [(name if not index else " " * len(name), "muted"), (part, tone)]


def _boxes(
    cards: Sequence[Card], width: int, selected: int, *, full: Collection[str]
) -> Iterator[tuple[Row, int]]:
    """Cards side by side, in as few rows as have room, about as many in each."""
    room = max(1, (width + GAP) // (CARD + GAP))
    across = -(-len(cards) // -(-len(cards) // room))
    box_width = (width - GAP * (across - 1)) // across
    most = largest_layer(cards)
    for first in range(0, len(cards), across):
        if first:
            yield [], -1
        boxes = [
            _box(card, box_width, most, chosen=index == selected, full=full)
            for index, card in enumerate(cards[first : first + across], first)
        ]
        holds = selected if first <= selected < min(first + across, len(cards)) else -1
        for parts in zip_longest(*boxes):
            row: Row = []
            for part in parts:
                row += [(" " * GAP, "")] if row else []
                row += part or [(" " * box_width, "")]
            yield row, holds


def _box(card: Card, width: int, most: float, *, chosen: bool, full: Collection[str]) -> list[Row]:
    """A card of this width, its lines in few words or in `full`; every row has all of it."""
    line = spark(card, most)
    name = f"{'▌' if chosen else ' '}{plain(card.title)}"
    rows: list[Row] = [
        [
            (fitted(name, width - len(line) - 1), "chosen" if chosen else "head"),
            (f" {line}", "accent"),
        ]
    ]
    short = {each.name: each for each in brief(card)}
    for each in [e if e.name in full else short.get(e.name) for e in lines(card)]:
        if each is None:
            continue
        for row in _wrapped(
            f" {each.name:<{NAME - 1}}", each.words, width, tone=_tone(each.better)
        ):
            (head, muted), (words, tone) = row
            rows.append([(head, muted), (exactly(words, width - len(head)), tone)])
    return rows


COLUMNS = (("moved", 6), ("by layer", LAYERS), ("most in", 9), ("neurons", 7))
SCORES = (("own domain", 14), ("elsewhere", 14))


def _widths(width: int, cards: Sequence[Card]) -> tuple[int, list[int]]:
    """The width of the names, and of the columns of cards as rows."""
    layers = max((min(LAYERS, len(card.layers)) for card in cards), default=0)
    fixed = [6, max(8, layers), 9, 7]
    longest = max(len(plain(card.title)) for card in cards)
    name = max(8, min(longest, width - 1 - sum(fixed) - len(fixed) - 2 * 13))
    free = width - 1 - name - sum(fixed) - len(fixed) - 2 * 13
    place = max((len(_where(card)) for card in cards), default=0)
    fixed[2] += max(0, min(place - fixed[2], free))
    scores = max(12, (width - 1 - name - sum(fixed) - len(fixed) - 2) // 2)
    return name, [*fixed, min(scores, 32), min(scores, 32)]


def _head(width: int, cards: Sequence[Card]) -> Row:
    name, widths = _widths(width, cards)
    titles = [title for title, _ in (*COLUMNS, *SCORES)]
    words = " ".join(exactly(t, w) for t, w in zip(titles, widths, strict=True))
    return [(f" {exactly('model', name)} {words}", "muted")]


def _compact(card: Card, width: int, cards: Sequence[Card], *, chosen: bool) -> Row:
    name, widths = _widths(width, cards)
    cells = [
        ("" if card.size is None else f"{card.size:.3g}", ""),
        (spark(card, largest_layer(cards)), "accent"),
        (_where(card), ""),
        ("" if card.patterns is None else f"{card.patterns:.2f}", ""),
        _score(card.gained),
        _score(card.forgot),
    ]
    row: Row = [
        (f"{'▌' if chosen else ' '}{fitted(card.title, name)}", "chosen" if chosen else "head")
    ]
    for (words, tone), cell_width in zip(cells, widths, strict=True):
        row.append((f" {exactly(words, cell_width)}", tone))
    return row


def _where(card: Card) -> str:
    """The group and the layer that moved most."""
    most = max(card.groups, key=lambda group: card.groups[group], default="")
    most = SHORT.get(most, most)
    return most if card.most_layer is None else f"{most} L{card.most_layer}"


def _score(score: Score | None) -> Piece:
    if score is None:
        return "·", "muted"
    sign = "better" if score.better else "worse"
    return f"{number(score.value)} {sign}", sign


def _tone(better: bool | None) -> str:
    return "" if better is None else "better" if better else "worse"
