"""Columns without names: their order is drawn anew for every choice, and choices are counted.

Knows no screen.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.bench.messages import Request
from core.statistics.signs import sign_test

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Blind:
    """`order`: the column at each place; `counts`: how often each column was preferred; `judged`:
    the counted requests; each counts once, since the sign test needs independent trials."""

    order: tuple[int, ...]
    counts: tuple[int, ...]
    judged: frozenset[Request | None] = frozenset()

    def name(self, place: int) -> str:
        """The letter of the column at a place."""
        return LETTERS[place % len(LETTERS)]

    def preferred(self, place: int, asked: Request | None, chance: random.Random) -> Blind:
        """One more count for the column at a place, for its answer to a request, and a new
        order."""
        column = self.order[place]
        counts = tuple(n + (index == column) for index, n in enumerate(self.counts))
        order = drawn(len(self.order), chance)
        return replace(self, order=order, counts=counts, judged=self.judged | {asked})


def begun(count: int, chance: random.Random) -> Blind:
    """`count` columns, none of them preferred yet."""
    return Blind(drawn(count, chance), (0,) * count)


def drawn(count: int, chance: random.Random) -> tuple[int, ...]:
    """A random order."""
    order = list(range(count))
    chance.shuffle(order)
    return tuple(order)


def summary(counts: Sequence[int], names: Sequence[str]) -> str:
    """The counts by name, and for two columns the p value of the sign test."""
    counted = " · ".join(f"{name} {count}" for name, count in zip(names, counts, strict=True))
    if len(counts) == 2 and any(counts):
        counted += f" · sign test p = {sign_test(counts[0], counts[1]):.2g}"
    return f"preferred: {counted}"
