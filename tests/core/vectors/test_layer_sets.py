"""The greedy search for layers on losses that are known in advance, and random sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.vectors import layer_sets

GAINS = (0.1, 0.4, 0.0, 0.3, 0.2)
BASE = np.array([2.0, 3.0])


def _losses(layers: Sequence[int]) -> Any:
    return BASE - sum(GAINS[layer] for layer in layers)


def _search(asked: list[Any], **given: Any) -> list[layer_sets.Step]:
    def ask(sets: Any) -> Any:
        asked.append(list(sets))
        return [_losses(layers) for layers in sets]

    singles = {layer: _losses([layer]) for layer in range(len(GAINS))}
    return layer_sets.search(BASE, _losses(range(5)), singles, ask, **given)


def test_the_search_stops_at_the_share_to_keep() -> None:
    asked: list[Any] = []
    steps = _search(asked, keep=0.85, tries=0)
    assert [step.layer for step in steps] == [1, 3, 4]
    np.testing.assert_allclose(steps[-1].losses, _losses([1, 3, 4]))
    assert asked == [[(1, n) for n in (3, 4, 0, 2)], [(1, 3, n) for n in (4, 0, 2)]]


def test_the_last_layer_needs_no_pass() -> None:
    asked: list[Any] = []
    steps = _search(asked, keep=1.0, tries=1)
    assert [step.layer for step in steps] == [1, 3, 4, 0]
    assert [len(sets) for sets in asked] == [1, 1, 1]


def test_layers_that_raise_the_loss_together_give_no_set() -> None:
    singles = {0: BASE - 1, 1: BASE}
    assert layer_sets.search(BASE, BASE + 1, singles, lambda sets: [], keep=0.9, tries=0) == []


def test_random_sets_are_of_their_size_and_each_once() -> None:
    rng = np.random.default_rng(0)
    few = layer_sets.drawn(4, 2, 10, rng)
    assert len(few) == len(set(few)) == 6
    assert len(set(layer_sets.drawn(5, 2, 4, rng))) == 4
    many = layer_sets.drawn(40, 7, 5, rng)
    assert [len(set(layers)) for layers in many] == [7] * 5
    assert all(0 <= layer < 40 for layers in many for layer in layers)
