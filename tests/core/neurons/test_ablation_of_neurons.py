"""Neurons and heads put out of action, against weights put to zero."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from core.models.hooks import Activations, tapping
from core.neurons import ablation
from core.neurons.ablation import ablated
from tests.core import oracle, zoo

LAYERS = range(2)
NONE = np.array([], dtype=np.int64)


@pytest.fixture(params=sorted(zoo.CONFIGS))
def model(request: Any) -> Any:
    return zoo.alive(request.param)


def _copied(model: Any) -> Any:
    return replace(model, module=copy.deepcopy(model.module))


def _outputs(module: Any) -> list[Any]:
    """The output projections of attention, by the attributes of the models' classes."""
    modules = []
    for block in oracle._blocks(module):
        output = next(
            getattr(block, n) for n in ("self_attn", "attn", "attention") if hasattr(block, n)
        )
        names = ("o_proj", "out_proj", "c_proj", "dense")
        modules.append(next(getattr(output, n) for n in names if hasattr(output, n)))
    return modules


@pytest.mark.parametrize("layer", LAYERS)
def test_all_neurons_of_a_layer_are_its_mlp_but_for_the_bias(model: Any, layer: int) -> None:
    neurons = zoo.found_in(model)
    chosen = [np.arange(n) if i == layer else NONE for i, n in enumerate(neurons.widths)]
    with ablated(neurons, chosen):
        logits = zoo.logits(model, zoo.batch())
    without = _copied(model)
    for weight in oracle.down_projections(without.module)[layer]:
        weight.zero_()
    assert torch.equal(logits, zoo.logits(without, zoo.batch()))
    assert zoo.attached(model.module) == []


def test_none_changes_nothing_and_touches_nothing(model: Any) -> None:
    plain = zoo.logits(model, zoo.batch())
    for neurons in (zoo.found_in(model), zoo.heads_in(model)):
        with ablated(neurons, [NONE, NONE]):
            assert zoo.attached(model.module) == []
            assert torch.equal(zoo.logits(model, zoo.batch()), plain)


def test_some_neurons_are_their_columns_of_the_down_projection(model: Any) -> None:
    """Every third neuron of both layers, so that experts lose some each."""
    neurons = zoo.found_in(model)
    chosen = [np.arange(0, n, 3) for n in neurons.widths]
    with ablated(neurons, chosen):
        logits = zoo.logits(model, zoo.batch())
    without, kind = _copied(model), model.config.model_type
    for layer, units in enumerate(chosen):
        start = 0
        for weight in oracle.down_projections(without.module)[layer]:
            width = weight.shape[0] if kind == "gpt2" else weight.shape[-1]
            count = weight.shape[0] if weight.dim() == 3 else 1
            for e in range(count):
                inside = units[(units >= start) & (units < start + width)] - start
                part = weight[e] if weight.dim() == 3 else weight
                part[(inside,) if kind == "gpt2" else (slice(None), inside)] = 0
                start += width
        assert start == neurons.widths[layer]
    torch.testing.assert_close(logits, zoo.logits(without, zoo.batch()), rtol=1e-5, atol=1e-5)
    assert not torch.equal(logits, zoo.logits(model, zoo.batch()))


def _watch(monkeypatch: pytest.MonkeyPatch, look: Any) -> None:
    """Let a tap see what the model goes on with."""
    monkeypatch.setattr(ablation, "tapping", lambda neurons, tap: tapping(neurons, tap, look))


def test_the_mean_takes_the_place_of_what_is_ablated(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    neurons = zoo.found_in(model)
    rng = np.random.default_rng(0)
    means = [rng.normal(size=n).astype(np.float32) for n in neurons.widths]
    for mean in means:
        mean.flags.writeable = False  # as arrays are that were kept in a file
    chosen = [np.arange(1, n, 2) for n in neurons.widths]
    seen: dict[int, list[Activations]] = {layer: [] for layer in LAYERS}
    plain: dict[int, list[Activations]] = {layer: [] for layer in LAYERS}
    _watch(monkeypatch, lambda n, part: seen[n].append(part))
    with ablated(neurons, chosen, means):
        zoo.logits(model, zoo.batch())
    with tapping(neurons, lambda n, part: plain[n].append(part)):
        zoo.logits(model, zoo.batch())
    for layer in LAYERS:
        for part in seen[layer]:
            places = np.arange(part.start, part.start + part.product.shape[1])
            odd = places % 2 == 1
            wanted = torch.from_numpy(means[layer][places[odd]])
            assert torch.equal(part.product[:, odd], wanted.expand(len(part.product), -1))
    first = [
        torch.cat([p.product[:, ::2].flatten() for p in products[0]]) for products in (seen, plain)
    ]
    assert torch.equal(*first), "of the first layer all others are what they were"


@pytest.mark.parametrize("head", [0, 2])
def test_a_head_is_its_columns_of_the_output_projection(model: Any, head: int) -> None:
    heads = zoo.heads_in(model)
    assert heads.widths == (4, 4)
    with ablated(heads, [np.array([head]), NONE]):
        logits = zoo.logits(model, zoo.batch())
    without = _copied(model)
    output = _outputs(without.module)[0]
    with torch.no_grad():
        weight = output.weight.T if model.config.model_type == "gpt2" else output.weight
        width = weight.shape[1] // 4
        weight[:, head * width : (head + 1) * width] = 0
    torch.testing.assert_close(logits, zoo.logits(without, zoo.batch()), rtol=1e-5, atol=1e-5)
    assert not torch.equal(logits, zoo.logits(model, zoo.batch()))


def test_a_head_set_to_its_mean_is_set_over_its_whole_width(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = zoo.alive("llama")
    heads, seen = zoo.heads_in(model), []
    means = [np.arange(32, dtype=np.float32) + 100 * layer for layer in LAYERS]
    _watch(monkeypatch, lambda n, part: seen.append((n, part.product)))
    with ablated(heads, [NONE, np.array([1, 3])], means):
        zoo.logits(model, zoo.batch())
    ((layer, product),) = seen
    assert layer == 1
    assert (product[:, 8:16] == torch.arange(108.0, 116.0)).all()
    assert (product[:, 24:] == torch.arange(124.0, 132.0)).all()
    assert not (product[:, :8] == torch.arange(100.0, 108.0)).any()


def test_all_is_as_it_was_after_an_exception() -> None:
    model = zoo.alive("mixtral")
    neurons, plain = zoo.found_in(model), zoo.logits(model, zoo.batch())
    with pytest.raises(ZeroDivisionError), ablated(neurons, [np.arange(3), NONE]):
        _ = 1 / 0
    assert zoo.attached(model.module) == []
    assert torch.equal(zoo.logits(model, zoo.batch()), plain)


def test_half_precision_keeps_its_dtype() -> None:
    model = zoo.alive("qwen2_moe", torch.bfloat16)
    neurons = zoo.found_in(model)
    means = [np.full(n, 0.1, dtype=np.float32) for n in neurons.widths]
    with ablated(neurons, [np.arange(20)] * 2, means):
        assert zoo.logits(model, zoo.batch()).dtype == torch.bfloat16
