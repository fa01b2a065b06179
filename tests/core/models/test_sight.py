"""What a stack of experts shows of itself, against the same sums written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.models.sight import ExpertSight, GateSight


def _swiglu(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    act = functional.silu(gate)
    return act * up, act


def _clamped(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """As gpt-oss has it: the activation is written out, and up is moved by one."""
    glu = gate * torch.sigmoid(gate * 1.7)
    return (up + 1) * glu, glu


def _scaled(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    act = functional.silu(gate)
    return act * up * torch.full_like(up, 3.0), act


def _squared(gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    act = torch.square(functional.relu(gate))
    return act, act


def _sum(gate: Tensor, up: Tensor) -> tuple[Tensor, None]:
    return gate + up, None


@pytest.mark.parametrize("form", [_swiglu, _clamped, _scaled, _squared, _sum])
def test_the_gate_is_the_activation_that_the_product_is_made_of(form: Any) -> None:
    gate, up = torch.randn(4, 6), torch.randn(4, 6)
    with GateSight() as sight:
        product, act = form(gate, up)
        gated = sight.gate(product)
    assert (gated is None) == (act is None)
    assert act is None or torch.equal(gated, act)


class _Stack(nn.Module):
    """Three experts, one after the other, as transformers computes them."""

    def __init__(self, *, batched: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up_proj = nn.Parameter(torch.randn(3, 6, 4))
        self.down_proj = nn.Parameter(torch.randn(3, 4, 6))
        self.batched = batched

    def forward(self, hidden: Tensor, chosen: Tensor) -> Tensor:
        if self.batched:
            inner = torch.bmm(hidden.expand(3, *hidden.shape), self.up_proj.mT)
            return torch.bmm(functional.silu(inner), self.down_proj.mT).sum(0)
        out = torch.zeros_like(hidden)
        for expert in range(3):
            tokens = torch.where(chosen == expert)[0]
            inner = functional.silu(functional.linear(hidden[tokens], self.up_proj[expert]))
            out.index_add_(0, tokens, functional.linear(inner, self.down_proj[expert]))
        return out


def _watched(stack: _Stack, seen: Any) -> Tensor:
    hidden, chosen = torch.randn(5, 4), torch.tensor([2, 0, 2, 0, 0])
    with torch.no_grad(), ExpertSight(stack.down_proj, seen):
        out: Tensor = stack(hidden, chosen)
    return out


@pytest.mark.parametrize("batched", [False, True])
def test_each_expert_is_seen_with_its_tokens_and_may_be_replaced(batched: bool) -> None:
    by_expert: dict[int, Any] = {}

    def seen(expert: int, product: Tensor, gate: Tensor | None, tokens: Tensor | None) -> Tensor:
        by_expert[expert] = None if tokens is None else tokens.tolist()
        assert gate is not None
        return torch.zeros_like(product)

    assert torch.equal(_watched(_Stack(batched=batched), seen), torch.zeros(5, 4))
    assert by_expert == (dict.fromkeys(range(3)) if batched else {0: [1, 3, 4], 1: [], 2: [0, 2]})


@pytest.mark.parametrize("batched", [False, True])
def test_looking_changes_nothing(batched: bool) -> None:
    stack = _Stack(batched=batched)
    torch.manual_seed(1)
    plain = _watched(stack, lambda *given: None)
    torch.manual_seed(1)
    hidden, chosen = torch.randn(5, 4), torch.tensor([2, 0, 2, 0, 0])
    with torch.no_grad():
        assert torch.equal(plain, stack(hidden, chosen))
