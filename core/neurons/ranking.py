"""Selections of neurons: by score, by rate of activation, or at random.

Owns the selections of method, section 4, their names, and their random controls. Works on arrays of
scores; knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import StudyError

Chosen = list[NDArray[np.int64]]
"""For each layer the indices of the chosen neurons, ascending."""

ACTIVE = 0.5
"""A neuron is in the active pool if it is active at more than this share of the tokens."""

CONTROLS = 8
"""The default number of random controls of a selection: docs/decisions.md says why."""

_CONTROL = re.compile(r"random-(?P<selection>.+)-seed\d+")
_NAME = re.compile(r"top-(?P<percent>\d+(?:\.\d+)?)%(?P<active>-active)?")


@dataclass(frozen=True, slots=True)
class NeuronSelection:
    """The best `share` of all neurons, or of the active ones; a share of 1 takes all of them."""

    name: str
    share: float
    active: bool


def parse(name: str) -> NeuronSelection:
    """A selection by its name: `top-1%`, `top-5%-active`, `all-active`. Raises StudyError."""
    if name == "all-active":
        return NeuronSelection(name, 1.0, True)
    match = _NAME.fullmatch(name)
    share = float(match["percent"]) / 100 if match else 0.0
    if match is None or not 0 < share <= 1:
        raise StudyError(
            f"'{name}' is not a selection of neurons.",
            hint="Write it like top-1%, top-5%-active or all-active.",
        )
    return NeuronSelection(name, share, match["active"] is not None)


def choose(
    selection: NeuronSelection,
    scores: Sequence[NDArray[Any]],
    rates: Sequence[NDArray[Any]],
    *,
    per_layer: bool,
) -> Chosen:
    """The neurons with the highest scores [neurons] of each layer, ranked over all layers together
    or within each; `rates` decide which are active. Ties keep the order of neurons."""
    pools = [
        np.flatnonzero(rate > ACTIVE) if selection.active else np.arange(len(score))
        for score, rate in zip(scores, rates, strict=True)
    ]
    if per_layer:
        return [
            np.sort(pool[_first(np.asarray(score)[pool], _count(selection, len(pool)))])
            for pool, score in zip(pools, scores, strict=True)
        ]
    merged = np.concatenate([np.asarray(s)[p] for s, p in zip(scores, pools, strict=True)])
    is_chosen = np.zeros(len(merged), dtype=bool)
    is_chosen[_first(merged, _count(selection, len(merged)))] = True
    ends = np.cumsum([len(pool) for pool in pools])
    return [
        pool[is_chosen[end - len(pool) : end]] for pool, end in zip(pools, ends, strict=True)
    ]  # fmt: skip


def control(chosen: Chosen, widths: Sequence[int], seed: int) -> Chosen:
    """As many random neurons of each layer, drawn from the neurons that were not chosen; if too few
    are left, drawn from the whole layer."""
    rng = np.random.default_rng(seed)
    drawn = []
    for units, width in zip(chosen, widths, strict=True):
        rest = np.setdiff1d(np.arange(width), units, assume_unique=True)
        pool = rest if len(units) <= len(rest) else np.arange(width)
        drawn.append(np.sort(rng.choice(pool, len(units), replace=False)))
    return drawn


def control_name(selection: str, seed: int) -> str:
    """The name of a selection's random control."""
    return f"random-{selection}-seed{seed}"


def is_selection(setting: str) -> bool:
    """Is this the name of a selection, not of a random control?"""
    return not setting.startswith("random-")


def selection_of(setting: str) -> str:
    """The selection of a random control; "" for any other setting."""
    match = _CONTROL.fullmatch(setting)
    return match["selection"] if match else ""


def _count(selection: NeuronSelection, pool: int) -> int:
    """The number of neurons to choose: at least one, unless the pool is empty."""
    return min(pool, max(1, round(selection.share * pool)))


def _first(scores: NDArray[Any], count: int) -> NDArray[np.int64]:
    order: NDArray[np.int64] = np.argsort(-scores, kind="stable")[:count]
    return order
