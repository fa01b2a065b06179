"""The share of the most promoted tokens by position in an answer, or in a whole document.

Owns the groups of positions, which double in width, and the means over documents in them. Knows no
model and no analysis; `core.outputs.shifts` counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.outputs.shifts import Counted
from core.statistics import intervals
from core.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the most promoted tokens that a position of a group promotes: its mean over the
    `n` documents that reach the group. `name`: the positions of the group, counted from 1."""

    name: str
    mean: Interval
    n: int


def shares(counted: Counted, wanted: int) -> list[Share]:
    """The share at each group of positions that a document reaches, in order; empty with fewer than
    two groups of documents. A document's own share is the mean over its positions in the group.

    As in `Counted.top_share`, the tokens of each half are chosen in the other half.
    """
    documents, places, promoted = counted.seen
    values = np.full(len(documents), np.nan)
    for groups, tokens in counted.halves(wanted):
        is_top = np.zeros(counted.promoted.shape[1] + 1, bool)  # the last index means no token
        is_top[tokens] = True
        rows = np.isin(documents % len(counted.positions), groups)
        values[rows] = is_top[promoted[rows]].mean(1) * promoted.shape[1] / len(tokens)
    if np.isnan(values).any():
        return []
    group_of = np.ceil(np.log2(places + 1)).astype(np.int64)
    result = []
    for group in np.unique(group_of):
        in_it = group_of == group
        _, row = np.unique(documents[in_it], return_inverse=True)
        means = np.bincount(row, values[in_it]) / np.bincount(row)
        result.append(Share(_name(int(group)), intervals.of_share(means), len(means)))
    return result


def _name(group: int) -> str:
    """Positions from 1: 1, 2, 3-4, 5-8, …"""
    first, last = 2**group // 2 + 1, 2**group
    return str(last) if first >= last else f"{first}-{last}"
