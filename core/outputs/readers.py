"""Readers of predictions for one pass: the base's likelihoods, and how far a tuned model's
predictions are from the base's, as rows with intervals over documents.

Composes the other modules of the room. `divergence` declares the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from core.engine import forms
from core.engine.forms import maybe, number
from core.engine.measurement import Measurement, Unit, UnitResult
from core.outputs import floor
from core.outputs.divergence import COLUMNS, DocumentSums, compared
from core.outputs.stored import TextStore
from core.statistics import comparison, intervals

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.outputs.pairs import Pair
    from core.states.forward import Seen
    from core.texts.probe import Batch

SPREADS = ("kl", "nll_change")
"""The metrics whose spread over documents is told."""

WITHIN = {
    "top1_agreement": (0.0, 1.0), **dict.fromkeys(("kl", "reverse_kl", "nll"), (0.0, math.inf))
}  # fmt: skip
"""The least and the largest value of the metrics that have one."""


class _Reader:
    """Values summed by document. `resamples`: the number behind each interval."""

    layers: Sequence[int] = ()

    def __init__(self, unit: Unit, session: Session, columns: int, *, resamples: int) -> None:
        self.unit, self.session, self._resamples = unit, session, resamples
        self.sums = DocumentSums(unit.options["documents"], columns)

    def begin(self, batch: Batch) -> None:
        self.sums.begin()

    def see_layer(self, layer: int, states: Tensor) -> None:
        """Ignored: the reader needs no layer."""

    def see(self, seen: Seen) -> None:
        """Ignored: the reader needs the predictions alone."""

    def commit(self) -> None:
        self.sums.commit()

    def row(self, metric: str, value: float | None, **more: Any) -> Measurement:
        """A measurement of the unit's model on its probe set."""
        unit = self.unit
        return Measurement(
            metric=metric, value=value, model=unit.model, reference=unit.reference,
            probe=unit.options["named"], **more,
        )  # fmt: skip

    def mean(self, metric: str, totals: NDArray[np.float64], **more: Any) -> Measurement:
        """A mean over tokens, with its interval over documents."""
        known = np.flatnonzero(self.sums.counts)
        if not len(known):
            return self.row(metric, None, n=0, **more)
        items = comparison.Items(
            index=known, total=totals[known], weight=self.sums.counts[known].astype(np.float64)
        )
        seed = self.session.subject.study.run.seed
        estimate = comparison.score(
            items, resamples=self._resamples, seed=seed, within=WITHIN.get(metric)
        )
        return self.row(
            metric, estimate.value, low=estimate.low, high=estimate.high, n=len(known), **more
        )


class BaseReader(_Reader):
    """Takes the base's likelihoods, and how far rounding moves its predictions on `documents`."""

    def __init__(self, unit: Unit, session: Session, *, resamples: int, documents: int) -> None:
        super().__init__(unit, session, 1, resamples=resamples)
        self._left = documents
        self._floor = [np.zeros((0, len(COLUMNS)), np.float32)]
        self._pending: tuple[int, NDArray[np.float32]] | None = None

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        self._pending = None

    def see(self, seen: Seen) -> None:
        if self._left > 0:
            values = floor.measured(self.session, seen, self._left)
            self._pending = len(seen.batch.documents), values

    def see_pair(self, pair: Pair) -> None:
        nll = -pair.own.gather(1, pair.following[:, None])
        self.sums.see(pair.documents, nll.cpu().numpy())

    def commit(self) -> None:
        super().commit()
        if self._pending is not None:
            self._left -= self._pending[0]
            self._floor.append(self._pending[1])

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        noise = np.concatenate(self._floor).astype(np.float64)
        means = noise.mean(0).tolist() if len(noise) else [None] * len(COLUMNS)
        level = dict(zip(COLUMNS, means, strict=True))
        yield self.unit, UnitResult([self.mean("nll", self.sums.sums[:, 0])], state=level)


class TunedReader(_Reader):
    """Takes how far the predictions of a tuned model are from the base's. `floor_key`: the key of
    the unit of the base."""

    def __init__(self, unit: Unit, session: Session, *, resamples: int, floor_key: str) -> None:
        super().__init__(unit, session, len(COLUMNS), resamples=resamples)
        self.texts = TextStore()
        self._floor_key = floor_key

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        self.texts.begin()

    def see_pair(self, pair: Pair) -> None:
        assert pair.base is not None
        values = compared(pair.own, pair.base, pair.following)
        self.sums.see(pair.documents, values)
        self.texts.see(pair, values)

    def commit(self) -> None:
        super().commit()
        self.texts.commit()

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        form = dict.fromkeys(COLUMNS, maybe(number))
        level = forms.state(self.session.load(self._floor_key).state, form)
        totals = dict(zip(COLUMNS, self.sums.sums.T, strict=True))
        change = totals["nll"] - totals.pop("base_nll")
        nll = totals.pop("nll")
        rows = [self.mean(name, total, chance=level[name]) for name, total in totals.items()]
        rows += [self.mean("nll", nll), self.mean("nll_change", change), self._test(change)]
        totals["nll_change"] = change
        rows += [row for name in SPREADS for row in self._spread(name, totals[name])]
        yield self.unit, UnitResult(rows, self.texts.artifacts(self.unit, self.session))

    def _test(self, change: NDArray[np.float64]) -> Measurement:
        """The p value of no change, over documents."""
        known = self.sums.counts > 0
        counts = self.sums.counts[known]
        p = intervals.p_of_mean(change[known] / counts, counts) if known.any() else None
        return self.row("p_value", p, n=int(known.sum()))

    def _spread(self, metric: str, totals: NDArray[np.float64]) -> Iterator[Measurement]:
        known = self.sums.counts > 0
        if known.any():
            means = totals[known] / self.sums.counts[known]
            names = ("lower_quartile", "median", "upper_quartile")
            for name, value in zip(names, intervals.quartiles(means), strict=True):
                yield self.row(name, value, metric_of=metric)
