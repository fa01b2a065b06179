"""Taps see what the model computes, change what they replace and nothing else, and go away."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from core.errors import FamilyError
from core.models import hooks
from core.models.hooks import Activations, tapping
from tests.core import oracle, zoo

ARCHITECTURES = sorted(zoo.CONFIGS)


@pytest.fixture(params=ARCHITECTURES)
def model(request: Any) -> Any:
    return zoo.alive(request.param)


def test_what_a_tap_sees_is_what_the_weights_give(model: Any) -> None:
    batch, neurons = zoo.batch(), zoo.found_in(model)
    truth = oracle.neurons(model.module, batch.ids, batch.mask)
    assert [layer.number for layer in neurons.layers] == [0, 1]
    assert neurons.widths == tuple(each.product.shape[-1] for each in truth)
    gate = [torch.zeros_like(each.gate).flatten(0, 1) for each in truth]
    product = [torch.zeros_like(each.product).flatten(0, 1) for each in truth]

    def tap(layer: int, part: Activations) -> None:
        columns = slice(part.start, part.start + part.product.shape[1])
        rows = slice(None) if part.tokens is None else part.tokens
        gate[layer][rows, columns] = part.gate
        product[layer][rows, columns] = part.product

    with tapping(neurons, tap):
        zoo.logits(model, batch)
    for layer, layer_truth in enumerate(truth):
        torch.testing.assert_close(
            gate[layer], layer_truth.gate.flatten(0, 1), rtol=1e-5, atol=1e-6
        )
        torch.testing.assert_close(
            product[layer], layer_truth.product.flatten(0, 1), rtol=1e-5, atol=1e-6
        )
        assert torch.equal(gate[layer] > 0, layer_truth.gate.flatten(0, 1) > 0)
        assert layer_truth.product.abs().max() > 0


def test_layers_are_told_of_in_order_when_they_have_ended(model: Any) -> None:
    seen: list[tuple[str, int]] = []
    with tapping(
        zoo.found_in(model),
        lambda layer, part: seen.append(("part", layer)),
        after=lambda layer: seen.append(("end", layer)),
    ):
        zoo.logits(model, zoo.batch())
    ends = [index for index, (what, _) in enumerate(seen) if what == "end"]
    assert [seen[index][1] for index in ends] == [0, 1]
    assert {layer for what, layer in seen[: ends[0]] if what == "part"} == {0}
    assert {layer for what, layer in seen[ends[0] :] if what == "part"} == {1}


def test_taps_are_gone_after_the_block_also_after_an_exception(model: Any) -> None:
    plain, neurons = zoo.logits(model, zoo.batch()), zoo.found_in(model)

    def zero(layer: int, part: Activations) -> torch.Tensor:
        return torch.zeros_like(part.product)

    def broken(layer: int, part: Activations) -> None:
        raise ValueError("in the middle")

    with tapping(neurons, zero):
        assert zoo.attached(model.module)
    assert zoo.attached(model.module) == []
    with pytest.raises(ValueError, match="in the middle"), tapping(neurons, broken):
        zoo.logits(model, zoo.batch())
    assert zoo.attached(model.module) == []
    assert torch.equal(zoo.logits(model, zoo.batch()), plain)


@pytest.mark.parametrize("ablated", [0, 1])
def test_neurons_put_to_zero_leave_of_the_mlp_its_bias_alone(model: Any, ablated: int) -> None:
    def zero(layer: int, part: Activations) -> torch.Tensor | None:
        return torch.zeros_like(part.product) if layer == ablated else None

    with tapping(zoo.found_in(model), zero):
        logits = zoo.logits(model, zoo.batch())
    without = replace(model, module=copy.deepcopy(model.module))
    for weight in oracle.down_projections(without.module)[ablated]:
        weight.zero_()
    assert torch.equal(logits, zoo.logits(without, zoo.batch()))
    assert not torch.equal(logits, zoo.logits(model, zoo.batch()))


def test_a_tap_that_replaces_nothing_changes_nothing(model: Any) -> None:
    plain = zoo.logits(model, zoo.batch())
    for tap in (lambda layer, part: None, lambda layer, part: part.product.clone()):
        with tapping(zoo.found_in(model), tap):
            assert torch.equal(zoo.logits(model, zoo.batch()), plain)


def test_a_later_tap_sees_what_an_earlier_one_put_there(model: Any) -> None:
    seen = []

    def ones(layer: int, part: Activations) -> torch.Tensor:
        return torch.ones_like(part.product)

    def look(layer: int, part: Activations) -> None:
        seen.append(bool((part.product == 1).all()))

    with tapping(zoo.found_in(model), ones, look):
        zoo.logits(model, zoo.batch())
    assert seen
    assert all(seen)


@pytest.mark.parametrize("name", ["mixtral", "qwen2_moe", "qwen3_moe"])
def test_experts_computed_one_by_one_equal_the_model_s_own_way(name: str) -> None:
    """transformers may compute experts by grouped products: the same but for rounding."""
    model = zoo.alive(name)
    module: Any = copy.deepcopy(model.module)
    module.set_experts_implementation("grouped_mm")
    grouped = replace(model, module=module)
    batch = zoo.batch()
    wanted = zoo.logits(grouped, batch)
    with tapping(zoo.found_in(model), lambda layer, part: None):
        torch.testing.assert_close(zoo.logits(model, batch), wanted, rtol=1e-4, atol=1e-5)


def test_a_model_without_outlets_has_no_neurons() -> None:
    assert hooks.locate(nn.Sequential(nn.Linear(2, 2)), ()).layers == ()


def test_a_module_that_is_not_there_is_named() -> None:
    model: Any = copy.deepcopy(zoo.alive("llama").module)
    outlets = zoo.anatomy_in(model).outlets
    del model.model.layers[0].mlp.down_proj
    with pytest.raises(FamilyError, match=r"layers\.0\.mlp\.down_proj"):
        hooks.locate(model, outlets)


def test_a_gate_that_is_computed_out_of_sight_is_told() -> None:
    """The product stands in for it, and the layer is noted."""
    model: Any = copy.deepcopy(zoo.alive("llama").module)
    mlp = model.model.layers[1].mlp
    mlp.forward = lambda x: mlp.down_proj(
        nn.functional.silu(mlp.gate_proj(x)) * mlp.up_proj(x)
    )  # fmt: skip
    neurons = hooks.locate(model, zoo.anatomy_in(model).outlets)
    same: dict[int, bool] = {}
    with tapping(neurons, lambda n, part: same.__setitem__(n, part.gate is part.product)):
        model(input_ids=zoo.batch().ids)
    assert neurons.unseen == {1}
    assert same == {0: False, 1: True}
