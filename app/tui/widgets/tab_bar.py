"""The row of tabs: one number for each topic, and the tabs of the chosen topic by title.

Owns the grouping of tabs and the words of their row. Knows no screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from rich.cells import cell_len
from textual.content import Content
from textual.style import Style

from app.render.terminal.lines import exactly
from app.text import plain
from app.tui.widgets.bar import ACT
from core.engine.registry import TOPICS, Analysis

AROUND = 4
"""The columns around a title: its number and three spaces."""

CHOSEN, NEAR, OTHER = "bold $background on $accent", "$accent", "$muted"
"""The styles of the chosen tab, of the other tabs of its topic, and of other numbers."""


@dataclass(frozen=True, slots=True)
class Tab:
    """A tab by its title and its title in three letters. Neighbours of one topic share a number."""

    title: str
    short: str
    topic: str = ""

    @classmethod
    def of(cls, analysis: Analysis) -> Tab:
        """The tab of an analysis."""
        return cls(analysis.title, analysis.short, analysis.topic)


def numbered(tabs: Sequence[Tab]) -> list[range]:
    """The places of the tabs under each number, in order. A tab without a topic is alone."""
    by_topic = groupby(range(len(tabs)), key=lambda index: tabs[index].topic or index)
    groups = [list(places) for _, places in by_topic]
    return [range(places[0], places[-1] + 1) for places in groups]


def tabs_line(tabs: Sequence[Tab], chosen: int, width: int, first: int = 1) -> Content:
    """The numbers from `first`, each with its topic; in place of the chosen topic its tabs.

    Where titles don't fit, the chosen tab stands alone with its place among the tabs of its topic,
    then the others have their short titles, then no space between them, then they are cut.
    """
    groups = numbered(tabs)
    group = next(places for places in groups if chosen in places)
    title, place = plain(tabs[chosen].title), ""
    if len(group) > 1:
        place = f" {chosen - group.start + 1}/{len(group)}"
        for short in (False, True):
            line = _line(tabs, groups, _names(tabs, groups, short=short), chosen, first)
            if line.cell_length <= width:
                return line
    for short, space in ((False, " "), (True, " "), (True, "")):
        names = {**_names(tabs, groups, short=short), group: f"{title}{place}"}
        line = _alone(groups, names, group, first, space)
        if line.cell_length <= width:
            return line
    return _alone(groups, _cut(names, group, width), group, first, "")


def _names(tabs: Sequence[Tab], groups: Sequence[range], *, short: bool) -> dict[range, str]:
    """The words of each number: its topic, or its only tab."""
    titles = {}
    for places in groups:
        tab = tabs[places.start]
        pair = (tab.title, tab.short) if len(places) == 1 else TOPICS[tab.topic]
        titles[places] = plain(pair[short])
    return titles


def _line(
    tabs: Sequence[Tab],
    groups: Sequence[range],
    names: Mapping[range, str],
    chosen: int,
    first: int,
) -> Content:
    """The row with all tabs of the chosen topic."""
    pieces = []
    for number, places in enumerate(groups, first):
        if chosen not in places:
            act = f"screen.tab({number})"
            pieces.append(_piece(f" {number} {names[places]} ", OTHER, act) + " ")
            continue
        pieces.append(Content.styled(f" {number} ", CHOSEN))
        for index in places:
            style, act = CHOSEN if index == chosen else NEAR, f"screen.turn_to({index})"
            pieces.append(_piece(f" {plain(tabs[index].title)} ", style, act))
        pieces.append(Content(" "))
    return Content("").join(pieces)


def _alone(
    groups: Sequence[range], names: Mapping[range, str], group: range, first: int, space: str
) -> Content:
    """The row with one name a number."""
    pieces = []
    for number, places in enumerate(groups, first):
        style, act = CHOSEN if places == group else OTHER, f"screen.tab({number})"
        pieces.append(_piece(f" {number} {names[places]} ", style, act) + space)
    return Content("").join(pieces)


def _cut(names: Mapping[range, str], group: range, width: int) -> dict[range, str]:
    """The names without the ends that have no room, the chosen one's last."""
    others = len(names) - 1
    room = min(cell_len(names[group]), max(4, width - AROUND - others * (AROUND + 3)))
    each = max(0, (width - AROUND - room) // max(1, others) - AROUND)
    rooms = {places: room if places == group else each for places in names}
    return {p: exactly(name, min(cell_len(name), rooms[p])) for p, name in names.items()}


def _piece(words: str, style: str, act: str) -> Content:
    return Content.styled(words, style).stylize(Style.from_meta({ACT: act}))
