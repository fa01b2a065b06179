"""Where a run stands, as the title of its screen. Functions of its summary: no widget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content

from app.results import wording
from app.text import plain
from app.tui.widgets.bar import Piece, two_ends
from core.sizes import counted

if TYPE_CHECKING:
    from storage.runs import RunSummary

NAME = 24
"""Columns that a name gets before more is said of its run."""
BAR = 12
"""Cells of the bar of progress where the whole name fits beside it."""


def title(
    run: RunSummary | None,
    trouble: str,
    width: int,
    load: str = "",
    hidden: Mapping[str, int] | None = None,
) -> Content:
    """The study on the left, how far it has come on the right; or what is wrong.

    While a filter acts, how much of the run is `hidden`. Where there is room: how fast the run is,
    how many workers compute it, and how busy its host is, in the words of `load`.
    """
    if trouble:
        return two_ends([(f" ! {trouble}", "bold $warning")], [], width)
    if run is None:
        return two_ends([(" Reading…", "$muted")], [], width)
    named = cell_len(f" tauscope {plain(run.name)}")
    fitting = (state(run, cells) for cells in (BAR, BAR // 2, 0))
    right = next((s for s in fitting if named + 2 + _across(s) <= width), state(run, 0))
    left, right = [(" tauscope ", "$muted"), (run.name, "bold")], [(" ", ""), *right]
    shown = min(NAME, cell_len(plain(run.name)))
    room = width - len(" tauscope ") - shown - sum(cell_len(text) for text, _ in right) - 2
    if hidden is not None:
        left[0] = (" ", "")
        chip = _chip(hidden, room + len(" tauscope ") - 1)
        right.insert(0, (chip, "bold $background on $warning"))
        right.insert(1, (" ", ""))
        room -= len(chip) + 1
    pace = wording.pace(run, wording.now())
    many = f"{counted(run.workers, 'worker')}  " if run.workers else ""
    for place, words in ((0, many), (len(right), f" {pace} "), (0, f"{load}  ")):
        if words.strip() and len(words) <= room:
            right.insert(place, (words, "$muted"))
            room -= len(words)
    return two_ends(left, right, width)


def _chip(hidden: Mapping[str, int], room: int) -> str:
    """How many models, layers and modules the filter hides, or where there is no room how many
    names."""
    counts = [f"{n} {field}{'s' if n != 1 else ''}" for field, n in hidden.items()]
    long = f" filter hides {', '.join(counts) or 'nothing'} "
    return long if len(long) <= room else f" filter hides {sum(hidden.values())} "


def _across(pieces: list[Piece]) -> int:
    return sum(cell_len(text) for text, _ in pieces)


def state(run: RunSummary, cells: int = BAR) -> list[Piece]:
    """Its status and warnings, with its progress while it runs, on a bar of so many cells."""
    tone = f"${wording.TONES.get(run.status, 'muted')}"
    sign = wording.SIGNS.get(run.status, "?")
    plural = "s" if run.warnings != 1 else ""
    warned = [(f"{run.warnings} warning{plural}  ", "$warning")] if run.warnings else []
    if run.failed:
        warned.insert(0, (f"{counted(run.failed, 'unit')} failed  ", "$error"))
    status = "stopping" if run.cancel_requested and run.status == "running" else run.status
    if run.status != "running":
        return [*warned, (f"{sign} {status} ", tone)]
    done, rest = wording.bar(run, cells)
    words = f" {wording.percent(run)}  {wording.remaining(run, wording.now())} "
    return [*warned, (f"{sign} {status} ", tone), (done, tone), (rest, "$muted"), (words, tone)]
