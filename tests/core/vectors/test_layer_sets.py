"""The greedy search for layers on losses that are known in advance, and random sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.statistics import intervals
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
    return layer_sets.search(
        BASE, _losses(range(5)), singles, ask, **{"documents": np.arange(2), **given}
    )


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
    steps = layer_sets.search(
        BASE, BASE + 1, singles, lambda sets: [], documents=np.arange(2), keep=0.9, tries=0
    )
    assert steps == []


def test_documents_that_choose_a_set_do_not_judge_it() -> None:
    of = {0: np.array([1.0, 3.0]), 1: np.array([2.0, 0.0])}  # layer 1 helps the other document
    for document, best in ((0, 0), (1, 1)):
        steps = layer_sets.search(
            BASE, BASE - 2, of, lambda sets: [], documents=np.array([document]), keep=0.1, tries=0
        )
        assert [step.layer for step in steps] == [best]
    for few in range(4):
        for half in layer_sets.halves(np.arange(few)):
            assert half.tolist() == list(range(few))
    searched, others = layer_sets.halves(np.array([0, 2, 3, 5, 8]))
    assert (searched.tolist(), others.tolist()) == ([0, 3, 8], [2, 5])


def test_sets_of_layers_that_are_alike_are_seldom_beyond_random_ones() -> None:
    """Each layer gives the same share of the gain, by document more or less. On the documents that
    chose them, almost half of the sets would be beyond two spreads."""
    rng, layers = np.random.default_rng(0), 28
    beyond = {"same": 0, "other": 0}
    for _ in range(200):
        shares = 1 / layers + rng.normal(0, 1 / layers, (layers, 16))
        searched, others = layer_sets.halves(np.arange(16))

        def losses(chosen: Sequence[int], shares: Any = shares) -> Any:
            return 1 - shares[list(chosen)].sum(0)

        steps = layer_sets.search(
            np.ones(16), losses(range(layers)), {n: losses([n]) for n in range(layers)},
            lambda sets: [losses(each) for each in sets], documents=searched, keep=0.9, tries=8,
        )  # fmt: skip
        drawn = [losses(each) for each in layer_sets.drawn(layers, 7, 3, rng)]
        for name, documents in (("same", searched), ("other", others)):
            draws = [1 - each[documents].mean() for each in drawn]
            share = 1 - steps[6].losses[documents].mean()
            spread = intervals.of_draws(draws)
            assert spread is not None
            beyond[name] += share - float(np.mean(draws)) > 2 * spread
    assert beyond["same"] > 60
    assert beyond["other"] < 10


def test_random_sets_are_of_their_size_and_each_once() -> None:
    rng = np.random.default_rng(0)
    few = layer_sets.drawn(4, 2, 10, rng)
    assert len(few) == len(set(few)) == 6
    assert len(set(layer_sets.drawn(5, 2, 4, rng))) == 4
    many = layer_sets.drawn(40, 7, 5, rng)
    assert [len(set(layers)) for layers in many] == [7] * 5
    assert all(0 <= layer < 40 for layers in many for layer in layers)
