"""What grafts regain of a tuned model's gain: shares with intervals, tests and random sets.

The gain of a model is the fall of the mean loss of a document from the base to the tuned model.
Intervals are over documents, all of them drawn alike. Works on losses by document and on the names
of grafts that `core.analyses.graft` gives them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.engine.measurement import Measurement
from core.statistics import comparison, intervals, multiplicity
from core.statistics.comparison import Items
from core.vectors import layer_sets
from core.vectors.layer_sets import Documents, Losses

RESAMPLES = 1000
BASE, ALL, BLOCKS = "base", "all", "|blocks"


def compared(base: Losses, whole: Losses) -> Documents:
    """The documents that have a loss in the base and in the tuned model."""
    return np.flatnonzero(np.isfinite(base) & np.isfinite(whole))


def gains(base: Losses, whole: Losses, seed: int = 0) -> bool:
    """Is the loss of the tuned model below the base's, beyond the interval of the difference?"""
    low = _Losses({BASE: base, ALL: whole}, seed, compared(base, whole)).fall(whole).low
    return low is not None and low > 0


def rows(
    losses: Mapping[str, Losses],
    order: Sequence[int],
    *,
    model: str,
    probe: str,
    layers: int,
    keep: float,
    seed: int,
) -> list[Measurement]:
    """The measurements of one model. `order`: the layers of the greedy set as it found them."""
    every = compared(losses[BASE], losses[ALL])
    searched, others = layer_sets.halves(every)
    measured = _Losses(losses, seed, every)
    coordinates: dict[str, Any] = {"model": model, "reference": BASE, "probe": probe}
    result = [
        *_of_parts(measured, coordinates),
        *_of_sets(_Losses(losses, seed, others), coordinates),
        *_of_ranks(measured, coordinates),
    ]
    result += [
        Measurement(metric="place", value=place, layer=layer, **coordinates)
        for place, layer in enumerate(order, 1)
    ]
    choosing = _Losses(losses, seed, searched)
    regained = choosing.share(losses[f"layers-{len(order)}"]) if order else None
    by_all = choosing.share(losses[BLOCKS])
    enough = regained is not None and by_all is not None and regained >= keep * by_all
    sufficient = [
        int(name.removeprefix("rank-"))
        for name, each in losses.items()
        if name.startswith("rank-")
        and name != "rank-full"
        and (measured.share(each) or 0.0) >= keep
    ]
    return [
        *result,
        Measurement(
            metric="layers_needed", value=len(order) if enough else None, n=layers, **coordinates
        ),
        Measurement(metric="rank_needed", value=min(sufficient, default=None), **coordinates),
    ]  # fmt: skip


@dataclass(slots=True)
class _Losses:
    """The losses of one model's grafts on some documents."""

    of: Mapping[str, Losses]
    seed: int
    index: Documents

    def fall(self, losses: Losses) -> comparison.Estimate:
        """By how much the mean loss falls from the base's, in nats per token."""
        return comparison.difference(
            self._items(losses), self._items(self.of[BASE]), resamples=RESAMPLES, seed=self.seed
        )

    def regained(self, losses: Losses) -> comparison.Estimate:
        """The share of the tuned model's fall; undefined where that one may be none."""
        if not gains(self.of[BASE], self.of[ALL], self.seed):
            return comparison.Estimate(value=None)
        items = [self._items(each) for each in (self.of[BASE], self.of[ALL], losses)]
        return comparison.regained(*items, resamples=RESAMPLES, seed=self.seed)

    def share(self, losses: Losses) -> float | None:
        """The value of `regained` alone."""
        return self.regained(losses).value

    def p_value(self, losses: Losses) -> float | None:
        """Student's paired test of an unchanged mean loss; None if it can't be told."""
        from scipy import stats

        change = (losses - self.of[BASE])[self.index]
        if len(change) < 2 or not np.isfinite(change).all() or not np.ptp(change):
            return None
        return float(stats.ttest_1samp(change, 0.0).pvalue)

    @property
    def documents(self) -> int:
        return len(self.index)

    def _items(self, losses: Losses) -> Items:
        return Items(index=self.index, total=losses[self.index], weight=np.ones(len(self.index)))


def _both(
    measured: _Losses, losses: Losses, coordinates: Mapping[str, Any], **chance: Any
) -> Iterator[Any]:
    """A graft's rows: the regained share and the gain."""
    share, fall = measured.regained(losses), measured.fall(losses)
    n = measured.documents
    yield Measurement(
        metric="regained",
        value=share.value,
        low=share.low,
        high=share.high,
        n=n,
        **coordinates,
        **chance,
    )
    yield Measurement(
        metric="gain", value=fall.value, low=fall.low, high=fall.high, n=n, **coordinates
    )


def _of_parts(measured: _Losses, coordinates: Mapping[str, Any]) -> Iterator[Measurement]:
    """Single grafts, with the p values corrected for all of them, and the whole model's gain."""
    parts = [name for name in measured.of if "|" in name and not name.startswith("layers-")]
    corrected = multiplicity.adjusted([measured.p_value(measured.of[name]) for name in parts])
    made = sum(q is not None for q in corrected)
    for name, q in zip(parts, corrected, strict=True):
        layer, _, module = name.partition("|")
        place = {**coordinates, "layer": int(layer) if layer else None, "module": module}
        yield from _both(measured, measured.of[name], place)
        yield Measurement(metric="q_value", value=q, n=made, **place)
    fall = measured.fall(measured.of[ALL])
    yield Measurement(
        metric="gain", value=fall.value, low=fall.low, high=fall.high, n=measured.documents,
        module="all", **coordinates,
    )  # fmt: skip


def _of_sets(measured: _Losses, coordinates: Mapping[str, Any]) -> Iterator[Measurement]:
    """The greedy set at each size, with random sets of as many layers as its chance; `measured` on
    the documents that did not choose it."""
    for name, losses in measured.of.items():
        size = name.removeprefix("layers-")
        if not name.startswith("layers-") or "|" in name:
            continue
        others = [
            each
            for other, each in measured.of.items()
            if other.startswith(f"{name}|")
            or (size == "1" and other.endswith(BLOCKS) and other != BLOCKS)
        ]
        values = [value for each in others if (value := measured.share(each)) is not None]
        spread = intervals.of_draws(values)
        chance = {} if spread is None else {"chance": float(np.mean(values)), "chance_sd": spread}
        yield from _both(
            measured, losses, {**coordinates, "module": "blocks", "setting": name}, **chance
        )


def _of_ranks(measured: _Losses, coordinates: Mapping[str, Any]) -> Iterator[Measurement]:
    for name, losses in measured.of.items():
        if name.startswith("rank-"):
            yield from _both(measured, losses, {**coordinates, "module": "all", "setting": name})
