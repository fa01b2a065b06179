"""Snippets and promoted tokens of neurons, against brute force over what the weights give."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from core.neurons import contexts
from core.neurons.contexts import LENGTH, SNIPPETS, choose
from core.neurons.readout import PROMOTED, promoted, texts_of
from tests.core import oracle, zoo

CHOSEN = {0: np.array([0, 7, 30], np.int32), 1: np.array([1, 47], np.int32)}


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_snippets_hold_the_largest_values_with_those_around(name: str) -> None:
    model = zoo.alive(name)
    lengths = (9, 70, 5, 60, 1, 7, 50, 12)
    probe = zoo.probe(*(min(n, model.context or n) for n in lengths))
    chosen = CHOSEN
    if name == "mixtral":  # the first and the last expert's
        chosen = {layer: np.append(units, np.int32(47 + 2 * 48)) for layer, units in CHOSEN.items()}
    seen = contexts.observe(
        model, zoo.found_in(model), probe, chosen, batch_size=3,
        pause=lambda done: None, on_halved=lambda size: pytest.fail("memory ran out"),
    )  # fmt: skip
    whole: dict[int, list[Any]] = {0: [], 1: []}
    for ids in probe.ids:
        one = torch.from_numpy(ids)[None]
        for layer, activity in enumerate(oracle.neurons(model.module, one, torch.ones_like(one))):
            whole[layer].append(activity.product[0].numpy())
    for layer, observed in seen.items():
        np.testing.assert_array_equal(observed.neurons, chosen[layer])
        for j, neuron in enumerate(chosen[layer]):
            peaks = np.array([np.abs(values[:, neuron]).max() for values in whole[layer]])
            best = [d for d in np.argsort(-peaks)[:SNIPPETS] if peaks[d] > 0]
            assert list(observed.documents[j][: len(best)]) == best
            for slot, document in enumerate(best):
                activity = whole[layer][document][:, neuron]
                start = observed.starts[j, slot]
                shown = activity[start : start + LENGTH]
                np.testing.assert_allclose(
                    observed.values[j, slot, : len(shown)], shown, rtol=1e-4, atol=1e-6
                )
                assert np.isnan(observed.values[j, slot, len(shown) :]).all()
                assert np.abs(shown).max() == peaks[document], "the peak is in sight"
                assert len(shown) == min(LENGTH, len(activity))


def test_the_chosen_neurons_changed_most_or_matter_most() -> None:
    rng = np.random.default_rng(0)
    change, score = rng.normal(size=(2, 200)).astype(np.float32)
    chosen = choose(change, score)
    each = contexts.CHOSEN // 3
    first = (np.argsort(-change), np.argsort(change), np.argsort(-score))
    assert set(chosen) == {int(j) for order in first for j in order[:each]}
    assert list(chosen) == sorted(chosen)
    assert len(chosen) <= contexts.CHOSEN
    assert set(choose(change[:5], score[:5])) == set(range(5)), "a narrow layer has no more"


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_promoted_tokens_equal_brute_force_in_float64(name: str) -> None:
    """The column through the norm and the head, by hand from the weights."""
    model = zoo.alive(name)
    pieces = zoo.anatomy_in(model.module).pieces
    exact: Any = copy.deepcopy(model.module).double()
    weights = dict(exact.named_parameters())
    for layer in zoo.found_in(model).layers:
        chosen = CHOSEN[layer.number]
        made = promoted(model, pieces, layer, chosen)
        assert made is not None
        ids, products = made
        assert ids.shape == products.shape == (len(chosen), 2, PROMOTED)
        for j, neuron in enumerate(chosen):
            if name == "gpt2":
                column = weights[f"transformer.h.{layer.number}.mlp.c_proj.weight"][neuron]
                centred = column - column.mean()
                normed = centred / centred.pow(2).mean().sqrt() * weights["transformer.ln_f.weight"]
            else:
                column = weights[f"model.layers.{layer.number}.mlp.down_proj.weight"][:, neuron]
                scale = weights["model.norm.weight"] + (1 if name == "gemma2" else 0)
                normed = column / column.pow(2).mean().sqrt() * scale
            wanted = (exact.get_output_embeddings().weight @ normed).detach().numpy()
            order = np.argsort(-wanted)
            np.testing.assert_allclose(products[j, 0], wanted[order[:PROMOTED]], rtol=1e-3)
            np.testing.assert_allclose(products[j, 1], wanted[order[::-1][:PROMOTED]], rtol=1e-3)
            np.testing.assert_allclose(products[j], wanted[ids[j]], rtol=1e-3)


@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_every_architecture_has_finite_products_or_none(name: str) -> None:
    model = zoo.alive(name)
    pieces = zoo.anatomy_in(model.module).pieces
    for layer in zoo.found_in(model).layers:
        made = promoted(model, pieces, layer, CHOSEN[layer.number])
        assert made is not None
        ids, products = made
        assert ids.min() >= 0
        assert ids.max() < model.vocabulary
        known = np.isfinite(products).all(axis=(1, 2))
        assert known.all() == (not any(part.experts for part in layer.parts))


def test_a_head_that_does_not_fit_the_layers_is_left_alone() -> None:
    model = zoo.alive("llama")
    narrow = dataclasses.replace(model, module=copy.deepcopy(model.module))
    narrow.module.lm_head = torch.nn.Linear(16, 40)
    pieces = zoo.anatomy_in(model.module).pieces
    assert promoted(narrow, pieces, zoo.found_in(narrow).layers[0], CHOSEN[0]) is None


def test_neurons_of_stacked_experts_have_no_promoted_tokens() -> None:
    model = zoo.alive("mixtral")
    layer = zoo.found_in(model).layers[0]
    made = promoted(model, zoo.anatomy_in(model.module).pieces, layer, CHOSEN[0])
    assert made is not None
    assert np.isnan(made[1]).all()


def test_texts_of_tokens_keep_their_spaces_and_parts_of_characters_have_names() -> None:
    class Pieces:
        """Decodes as sentencepiece does: the first space is dropped, a lone byte is unknown."""

        words = ("▁the", "▁cat", "s", "<0xE2>")

        def decode(self, ids: list[int]) -> str:
            text = "".join(self.words[token].replace("<0xE2>", "\ufffd") for token in ids)
            return text.replace("▁", " ").removeprefix(" ")

        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return [self.words[token] for token in ids]

    assert texts_of(Pieces(), [0, 1, 2, 3], after=1) == [" the", " cat", "s", "<0xE2>"]
