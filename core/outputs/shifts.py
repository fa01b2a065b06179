"""Tokens that tuning promotes and demotes: counts over the positions of a probe set.

The shift at a position is the difference of the two models' logits, centred over the vocabulary, so
that a constant added to all logits is none. Counts the tokens with the largest and the smallest
shifts by groups of documents. Knows no analysis and no tokeniser.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.outputs.pairs import Pair

GROUPS = 20
"""The most groups of documents whose counts are told apart."""

SPARING = 50
"""At most one in so many tokens of a vocabulary is counted at each end."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts over pairs of positions.

    `promoted` and `demoted` [groups, vocabulary] int64: positions at which a token is at an end;
    `positions` [groups] int64: all positions; `total` [vocabulary] float64: the sum of its shifts.
    """

    promoted: NDArray[np.int64]
    demoted: NDArray[np.int64]
    positions: NDArray[np.int64]
    total: NDArray[np.float64]


def ends(vocabulary: int, wanted: int) -> int:
    """The number of tokens at each end."""
    return max(1, min(wanted, vocabulary // SPARING))


class ShiftCounter:
    """Counts over a pass: of the two models at the same position, and, as chance, of the tuned
    model at a position with the base at one of another document (`shuffled`). An interrupted batch
    leaves no trace."""

    def __init__(self, documents: int, wanted: int) -> None:
        self._wanted, self._groups = wanted, min(documents, GROUPS)
        self._pending: list[tuple[bool, NDArray[np.int64], NDArray[np.int64], Tensor]] = []
        self._found: dict[bool, Counted] = {}

    def begin(self) -> None:
        """Forget an unfinished batch."""
        self._pending.clear()

    def see(self, pair: Pair) -> None:
        """See a block of positions."""
        assert pair.base is not None
        self._take(False, pair.documents, pair.own - pair.base)
        apart = len(pair.documents) // 2
        other = np.flatnonzero(pair.documents != np.roll(pair.documents, apart))
        if len(other):
            at = torch.from_numpy(other).to(pair.own.device)
            shift = pair.own[at] - pair.base.roll(apart, 0)[at]
            self._take(True, pair.documents[other], shift)

    def commit(self) -> None:
        """Add the batch."""
        for shuffled, groups, tokens, total in self._pending:
            if shuffled not in self._found:
                self._found[shuffled] = _empty(self._groups, len(total))
            found = self._found[shuffled]
            for end, counts in enumerate((found.promoted, found.demoted)):
                np.add.at(counts, (groups[:, None], tokens[:, end]), 1)
            np.add.at(found.positions, groups, 1)
            found.total[:] += total.cpu().numpy()
        self._pending.clear()

    def counted(self, *, shuffled: bool) -> Counted | None:
        """The counts; None where there was no such pair."""
        return self._found.get(shuffled)

    def _take(self, shuffled: bool, documents: NDArray[np.int64], shift: Tensor) -> None:
        shift = shift.nan_to_num_(0, 0, 0)  # -inf in both models is no shift
        shift -= shift.mean(1, keepdim=True)
        count = ends(shift.shape[1], self._wanted)
        both = [
            shift.topk(count, 1, largest=large, sorted=False).indices for large in (True, False)
        ]
        tokens = torch.stack(both, 1).cpu().numpy()
        total = shift.sum(0, dtype=torch.float64)
        self._pending.append((shuffled, documents % self._groups, tokens, total))


def _empty(groups: int, vocabulary: int) -> Counted:
    return Counted(
        np.zeros((groups, vocabulary), np.int64),
        np.zeros((groups, vocabulary), np.int64),
        np.zeros(groups, np.int64),
        np.zeros(vocabulary),
    )
