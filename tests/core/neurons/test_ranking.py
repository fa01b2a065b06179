"""Selections against sorting by hand, and the laws of random controls."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StudyError
from core.neurons import ranking
from core.neurons.ranking import NeuronSelection, choose, control, parse

WIDTHS = st.lists(st.integers(1, 30), min_size=1, max_size=4)


def _drawn(widths: list[int], seed: int, ties: bool = False) -> tuple[list[Any], list[Any]]:
    """Scores and rates of each layer's neurons."""
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=n).astype(np.float32) for n in widths]
    if ties:
        scores = [np.round(s) for s in scores]
    return scores, [rng.random(n) for n in widths]


def _by_hand(
    selection: NeuronSelection, scores: list[Any], rates: list[Any], per_layer: bool
) -> list[list[int]]:
    """Python's own stable sort of (layer, neuron)."""
    pool = [
        (layer, j)
        for layer, layer_scores in enumerate(scores)
        for j in range(len(layer_scores))
        if not selection.active or rates[layer][j] > 0.5
    ]
    groups = [[p for p in pool if p[0] == n] for n in range(len(scores))] if per_layer else [pool]
    best = []
    for group in groups:
        count = min(len(group), max(1, round(selection.share * len(group))))
        best += sorted(group, key=lambda p: -scores[p[0]][p[1]])[:count]
    return [sorted(j for layer, j in best if layer == n) for n in range(len(scores))]


@pytest.mark.parametrize("name", ["top-1%", "top-20%", "top-5%-active", "top-100%", "all-active"])
@given(widths=WIDTHS, seed=st.integers(0, 99), per_layer=st.booleans(), ties=st.booleans())
@settings(max_examples=40)
def test_the_best_are_those_of_a_sort_by_hand(
    name: str, widths: list[int], seed: int, per_layer: bool, ties: bool
) -> None:
    scores, rates = _drawn(widths, seed, ties)
    chosen = choose(parse(name), scores, rates, per_layer=per_layer)
    assert [units.tolist() for units in chosen] == _by_hand(parse(name), scores, rates, per_layer)
    assert all(units.dtype == np.int64 for units in chosen)


def test_names_say_what_is_chosen() -> None:
    assert parse("top-1%") == NeuronSelection("top-1%", 0.01, False)
    assert parse("top-2.5%-active") == NeuronSelection("top-2.5%-active", 0.025, True)
    assert parse("all-active") == NeuronSelection("all-active", 1.0, True)
    assert ranking.control_name("top-1%", 0) == "random-top-1%-seed0"
    assert ranking.is_selection("top-1%")
    assert not ranking.is_selection("random-top-1%-seed0")


@pytest.mark.parametrize(
    "name",
    ["", "top-0%", "top-101%", "top1%", "top--1%", "all", "top-1%-inactive", "random-top-1%"],
)
def test_any_other_name_is_refused_with_the_forms_that_there_are(name: str) -> None:
    with pytest.raises(StudyError, match=re.escape(f"'{name}'")) as raised:
        parse(name)
    assert "top-5%-active" in raised.value.hint


def test_active_is_strictly_above_half_of_the_tokens() -> None:
    scores, rates = [np.arange(4.0)], [np.array([0.5, 0.500001, 1.0, 0.0])]
    chosen = choose(parse("all-active"), scores, rates, per_layer=False)
    assert chosen[0].tolist() == [1, 2]


def test_a_share_is_of_all_neurons_or_of_the_active_ones() -> None:
    scores, rates = [np.arange(100.0), np.zeros(100)], [np.zeros(100), np.zeros(100)]
    rates[0][:40] = 1
    assert choose(parse("top-5%"), scores, rates, per_layer=False)[0].tolist() == [*range(90, 100)]
    assert choose(parse("top-5%-active"), scores, rates, per_layer=False)[0].tolist() == [38, 39]


def test_nothing_is_chosen_where_nothing_is_active() -> None:
    scores, rates = [np.ones(3), np.ones(2)], [np.zeros(3), np.array([1.0, 0.0])]
    for per_layer in (True, False):
        chosen = choose(parse("top-1%-active"), scores, rates, per_layer=per_layer)
        assert [units.tolist() for units in chosen] == [[], [0]]


@given(widths=WIDTHS, seed=st.integers(0, 99), share=st.integers(0, 100))
@settings(max_examples=100)
def test_a_control_is_as_many_others_of_each_layer(
    widths: list[int], seed: int, share: int
) -> None:
    rng = np.random.default_rng(seed)
    chosen = [np.flatnonzero(rng.random(n) < share / 100) for n in widths]
    drawn = control(chosen, widths, seed)
    for units, other, width in zip(chosen, drawn, widths, strict=True):
        assert len(other) == len(units)
        assert not set(units) & set(other) or 2 * len(units) > width
        assert other.tolist() == sorted(set(other.tolist()))
        assert all(0 <= j < width for j in other)
    again = control(chosen, widths, seed)
    assert all(np.array_equal(a, b) for a, b in zip(drawn, again, strict=True))


def test_controls_of_other_seeds_are_others_and_every_neuron_may_be_drawn() -> None:
    chosen = [np.arange(5), np.array([], dtype=np.int64)]
    drawn = [control(chosen, (50, 50), seed) for seed in range(200)]
    assert len({tuple(drawing[0]) for drawing in drawn}) > 190
    counts = np.bincount(np.concatenate([drawing[0] for drawing in drawn]), minlength=50)
    assert (counts[:5] == 0).all()
    assert counts[5:].min() > 5  # 200 · 5 / 45 = 22 on average
    assert all(not len(drawing[1]) for drawing in drawn)


def test_where_more_than_half_of_a_layer_is_chosen_its_control_is_any_as_many() -> None:
    drawn = [control([np.arange(7)], (10,), seed)[0] for seed in range(400)]
    counts = np.bincount(np.concatenate(drawn), minlength=10)
    assert counts.sum() == 7 * 400
    assert abs(counts - 280).max() < 5 * np.sqrt(400 * 0.7 * 0.3)  # each with a chance of 0.7
