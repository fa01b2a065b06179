"""How a bench was left: columns, prompt and settings, written down and read again.

Owns the form in the user's memory. What the memory says is never trusted: a column that the study
lacks and settings that can't be read are left out. Knows no screen.
"""

from __future__ import annotations

from dataclasses import replace

from app.tui.bench import knobs, settings
from app.tui.bench.board import Board
from app.tui.bench.knobs import Setup
from app.tui.bench.settings import Settings
from app.tui.memory import BenchColumn, BenchPosition, Memory
from core.bench.columns import parse
from core.errors import TauscopeError

MOST = 20
"""Benches that are remembered, and earlier columns of one."""


def columns_of(board: Board) -> tuple[BenchColumn, ...]:
    """The columns of a board with their knobs."""
    return tuple(
        BenchColumn(name=knobs.typed_name(held, board.tuned), off=tuple(sorted(held.off)))
        for held in board.setups
    )


def setups(left: BenchPosition, tuned: tuple[str, ...]) -> list[Setup]:
    """The columns of a bench as they were left."""
    restored = []
    for each in left.columns:
        try:
            held = knobs.setup(parse(each.name, tuned))
        except TauscopeError:
            continue
        names = {knob.name for knob in knobs.knobs(held)}
        restored.append(replace(held, off=frozenset(each.off) & names))
    return restored


def settings_of(left: BenchPosition) -> Settings:
    """The settings as they were left."""
    try:
        return settings.read({**settings.typed(Settings()), **left.settings})
    except TauscopeError:
        return Settings()


def earlier(left: BenchPosition, tuned: tuple[str, ...]) -> list[str]:
    """The columns that the bench once had, the last one last."""
    names = []
    for name in left.earlier[-MOST:]:
        try:
            names.append(parse(name, tuned).text)
        except TauscopeError:
            continue
    return names


def remembered(memory: Memory, key: str, left: BenchPosition) -> Memory:
    """The memory with this bench as the last one."""
    others = {name: each for name, each in memory.benches.items() if name != key}
    benches = dict([*others.items(), (key, left)][-MOST:])
    return memory.model_copy(update={"benches": benches})
