"""Tokens that tuning promotes and demotes: counts over the positions of a probe set.

The shift at a position is the difference of the two models' logits, centred over the vocabulary, so
that a constant added to all logits is none. Counts the tokens with the largest and the smallest
shifts by groups of documents. Knows no analysis and no tokeniser.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.models.transfers import arrived, down, up
from core.outputs.pairs import Pair
from core.statistics import intervals
from core.statistics.intervals import Interval

GROUPS = 20
"""The most groups of documents whose counts are told apart."""

SPARING = 50
"""At most one in so many tokens of a vocabulary is counted at each end."""

TOP = 30
"""The most promoted tokens whose share of positions is measured."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Counts over pairs of positions.

    `promoted` and `demoted` [groups, vocabulary] int64: positions at which a token is at an end;
    `positions` [groups] int64: all positions; `total` [vocabulary] float64: the sum of its shifts.
    `seen`: of each position the document and the place of `Pair`, [positions] int64, and the tokens
    promoted there [positions, ends] int32, -1 for none.
    """

    promoted: NDArray[np.int64]
    demoted: NDArray[np.int64]
    positions: NDArray[np.int64]
    total: NDArray[np.float64]
    seen: tuple[NDArray[Any], ...] = ()

    def halves(self, wanted: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Each half of the groups with the tokens that are promoted most in the other half; nothing
        with fewer than two groups.

        They are no more than the `wanted` tokens that can be promoted at one position.
        """
        known = np.flatnonzero(self.positions)
        top = min(TOP, ends(self.promoted.shape[1], wanted))
        for half in (0, 1) if len(known) > 1 else ():
            other = known[1 - half :: 2]
            counts = self.promoted[other].sum(0)
            yield known[half::2], np.argsort(-counts, kind="stable")[:top]

    def top_share(self, wanted: int) -> Interval | None:
        """The share of positions at which one of the most promoted tokens is, in their mean.

        The tokens are chosen in one half of the groups and counted in the other, so that choosing
        them does not raise their share; and 1 is within reach. None with fewer than two groups.
        """
        known = np.flatnonzero(self.positions)
        shares = np.full(len(self.positions), np.nan)
        for half, tokens in self.halves(wanted):
            shares[half] = self.promoted[np.ix_(half, tokens)].mean(1) / self.positions[half]
        if len(known) < 2:
            return None
        return intervals.of_share(shares[known], self.positions[known])

    def bounds(self, counts: NDArray[np.int64], tokens: NDArray[np.int64]) -> NDArray[np.float64]:
        """The shares of positions of tokens [n] with their 95 % intervals over groups of documents:
        [n, 3], NaN where unknown. `counts` are the promoted or the demoted."""
        known = np.flatnonzero(self.positions)
        weights = self.positions[known]
        estimates = [intervals.of_share(counts[known, t] / weights, weights) for t in tokens]
        return np.array([(i.value, i.low, i.high) for i in estimates], dtype=np.float64).reshape(
            -1, 3
        )


def ends(vocabulary: int, wanted: int) -> int:
    """The number of tokens at each end."""
    return max(1, min(wanted, vocabulary // SPARING))


_Held = tuple[NDArray[np.uint64], Tensor]
"""The contexts of some positions of a document, and the base's predictions there."""


class ShiftCounter:
    """Counts over a pass: the shifts of the tuned model, and `by_chance` the base's shifts
    to another document. An interrupted batch leaves no trace."""

    def __init__(self, documents: int, wanted: int) -> None:
        self._wanted, self._groups = wanted, min(documents, GROUPS)
        self._pending: list[tuple[bool, list[NDArray[Any]], list[NDArray[np.int64]], Tensor]] = []
        self._found: dict[bool, Counted] = {}
        self._seen: dict[bool, list[list[NDArray[Any]]]] = {}
        self._held: dict[int, _Held] = {}
        self._committed: dict[int, _Held] = {}

    def begin(self) -> None:
        """Forget an unfinished batch."""
        self._pending.clear()
        self._held = dict(self._committed)

    def see(self, pair: Pair) -> None:
        """See a block of positions."""
        assert pair.base is not None
        self._take(False, pair.documents, pair.places, pair.own - pair.base)
        apart = len(pair.documents) // 2
        unlike = pair.documents != np.roll(pair.documents, apart)
        if unlike.any():
            rows = np.flatnonzero(unlike & (pair.contexts != np.roll(pair.contexts, apart)))
            self._take_apart(pair, rows, pair.base, rows - apart)
        elif (held := self._earlier(pair)) is not None:
            contexts, base = held
            others = np.arange(len(unlike)) % len(contexts)
            rows = np.flatnonzero(pair.contexts != contexts[others])
            self._take_apart(pair, rows, base, others[rows])
        self._hold(pair)

    def _take_apart(
        self, pair: Pair, rows: NDArray[np.int64], base: Tensor, others: NDArray[np.int64]
    ) -> None:
        """Count the base's shifts from some rows to other rows of `base`, whose contexts differ:
        equal ones, as after the first token of all documents, have no shift but rounding."""
        assert pair.base is not None
        if len(rows):
            device = base.device
            here, there = (up(torch.from_numpy(each), device) for each in (rows, others))
            shift = pair.base[here] - base[there]
            self._take(True, pair.documents[rows], pair.places[rows], shift)

    def _earlier(self, pair: Pair) -> _Held | None:
        """A block of an earlier document, for a block within one: with a large vocabulary, hardly
        any block has two. None if there is none."""
        document = int(pair.documents[0])
        return next((held for other, held in self._held.items() if other != document), None)

    def _hold(self, pair: Pair) -> None:
        """Hold the block's last document, and the last one before it."""
        assert pair.base is not None
        last = int(pair.documents[-1])
        before = [(document, held) for document, held in self._held.items() if document != last]
        others = np.flatnonzero(pair.documents != last)
        first = int(others[-1]) + 1 if len(others) else 0
        held = pair.contexts[first:], pair.base[first:]
        self._held = dict([*before[-1:], (last, held)])

    def commit(self) -> None:
        """Add the batch."""
        self._committed = dict(self._held)
        for by_chance, seen, places, total in self._pending:
            if by_chance not in self._found:
                self._found[by_chance] = _empty(self._groups, len(total))
            counted = self._found[by_chance]
            for counts, place in zip((counted.promoted, counted.demoted), places, strict=True):
                np.add.at(counts.reshape(-1), place, 1)
            np.add.at(counted.positions, seen[0] % self._groups, 1)
            counted.total[:] += total.cpu().numpy()
            self._seen.setdefault(by_chance, []).append(seen)
        self._pending.clear()

    def counted(self, *, by_chance: bool) -> Counted | None:
        """The counts; None where there was no such pair."""
        counted = self._found.get(by_chance)
        if counted is None:
            return None
        blocks = zip(*self._seen[by_chance], strict=True)
        return replace(counted, seen=tuple(np.concatenate(block) for block in blocks))

    def _take(
        self,
        by_chance: bool,
        documents: NDArray[np.int64],
        positions: NDArray[np.int64],
        shift: Tensor,
    ) -> None:
        shift = shift.nan_to_num_(0, 0, 0)  # a token that a model rules out has no shift
        shift -= shift.mean(1, keepdim=True)
        groups, count = documents % self._groups, ends(shift.shape[1], self._wanted)
        places = []
        seen: list[NDArray[Any]] = [documents, positions]
        tops = [(sign * shift).topk(count, 1, sorted=False) for sign in (1, -1)]
        on_host = [(down(top.values > 0), down(top.indices)) for top in tops]
        arrived(shift.device)
        for promoted, (moved, tokens) in zip((True, False), on_host, strict=True):
            # Equal models promote nothing.
            places.append((groups[:, None] * shift.shape[1] + tokens.numpy())[moved.numpy()])
            if promoted:
                seen.append(np.where(moved.numpy(), tokens.numpy(), -1).astype(np.int32))
        self._pending.append((by_chance, seen, places, shift.sum(0, dtype=torch.float64)))


def _empty(groups: int, vocabulary: int) -> Counted:
    return Counted(
        np.zeros((groups, vocabulary), np.int64),
        np.zeros((groups, vocabulary), np.int64),
        np.zeros(groups, np.int64),
        np.zeros(vocabulary),
    )
