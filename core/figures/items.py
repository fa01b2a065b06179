"""The results of two models, or of one before and after, item by item, out of stored arrays.

Owns the changes, the flips and their orders. Knows no task and no prompt; draws nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOST, WON = "right → wrong", "wrong → right"
"""The two flips of an item that is right or wrong."""
ORDERS = ("largest change", "flips first", "worst first", "best first", "by item")

_UNITS = {"perplexity": "loss in nats per word", "bits_per_byte": "bits per byte"}
_FACTORS = {"perplexity": -1.0, "bits_per_byte": -1 / math.log(2)}
"""The factor of an item's log-likelihood in nats per word or byte, by the score's form."""

Arrays = Mapping[str, "NDArray[Any]"]


class Item(NamedTuple):
    """An item's result before and after. `gain` is the change towards the better, or the plain
    change where the better direction is not known; None where one of both is undefined."""

    number: int
    before: float | None
    after: float | None
    gain: float | None
    flip: str

    @property
    def change(self) -> float | None:
        """After minus before."""
        if self.before is None or self.after is None:
            return None
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Compared:
    """The items of both in ascending order. `unit`: the meaning of a value that is no score;
    `binary`: each item is right (1) or wrong (0)."""

    items: tuple[Item, ...]
    unit: str
    binary: bool
    better: str
    absent: str = ""
    """Why there are no items, in a sentence."""

    def flips(self, kind: str) -> int:
        """The number of items with this kind of flip."""
        return sum(item.flip == kind for item in self.items)

    @property
    def right(self) -> tuple[int, int]:
        """The numbers of items right both times, and wrong both times."""
        same = [item.before for item in self.items if not item.flip]
        return sum(value == 1 for value in same), sum(value == 0 for value in same)


def compared(before: Arrays | None, after: Arrays | None, metric: str) -> Compared:
    """The items that both results have of a metric.

    An item of a perplexity has its loss in nats per word, one of bits per byte its own bits per
    byte: both are lower where the model is better.
    """
    if before is None or after is None:
        return _none("The run stored no results of single items for this score.")
    if f"{metric}|index" not in before or f"{metric}|index" not in after:
        others = sorted(name.removesuffix("|index") for name in after if name.endswith("|index"))
        hint = f" Scores with items: {', '.join(others)}." if others else ""
        return _none(f"{metric} has no items: it is not computed from one number per item.{hint}")
    earlier, later = _values(before, metric), _values(after, metric)
    shared = [index for index in earlier if index in later]
    if not shared:
        return _none(f"No item has {metric} in both results.")
    form = str(after[f"{metric}|form"])
    known = [v for i in shared for v in (earlier[i], later[i])]
    weights = np.concatenate([before[f"{metric}|weight"], after[f"{metric}|weight"]])
    better = "lower" if form != "mean" else _better(after, metric)
    whole = set(known) <= {0.0, 1.0} and bool((weights == 1).all())
    binary = whole and better != "lower"  # 1 is wrong where lower is better, as of stereotypes
    better = "higher" if binary else better
    items = tuple(_item(i, earlier[i], later[i], better, binary) for i in shared)
    return Compared(items, _UNITS.get(form, ""), binary, better)


def _none(why: str) -> Compared:
    return Compared((), "", False, "", why)


def ordered(items: Sequence[Item], order: str) -> list[Item]:
    """Items in one of `ORDERS`; items without a change come last."""

    def key(item: Item) -> tuple[Any, ...]:
        gain = item.gain or 0.0
        by = {
            "flips first": (not item.flip, -abs(gain)),
            "worst first": (gain,),
            "best first": (-gain,),
            "by item": (),
        }
        last = order != "by item" and item.gain is None
        return (last, *by.get(order, (-abs(gain),)), item.number)

    return sorted(items, key=key)


def _values(arrays: Arrays, metric: str) -> dict[int, float | None]:
    total, weight = arrays[f"{metric}|total"], arrays[f"{metric}|weight"]
    factor = _FACTORS.get(str(arrays[f"{metric}|form"]), 1.0)
    return {
        int(index): factor * float(t / w) if w and math.isfinite(t) else None
        for index, t, w in zip(arrays[f"{metric}|index"], total, weight, strict=True)
    }


def _better(arrays: Arrays, metric: str) -> str:
    """Runs from before directions were stored do not say it."""
    return str(arrays.get(f"{metric}|better", ""))


def _item(index: int, before: float | None, after: float | None, better: str, binary: bool) -> Item:
    gain = None if before is None or after is None else after - before
    flip = ""
    if binary and gain:
        flip = WON if gain > 0 else LOST
    return Item(index, before, after, -gain if gain and better == "lower" else gain, flip)
