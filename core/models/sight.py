"""What an MLP computes within its own forward pass, where no module of its own shows it.

Owns the recognition of three things among the torch functions that a module calls: the product
with a stack of down projections, the activation that gates it, and the tokens that were routed to
an expert. The module's own code computes everything: clamps, biases and layouts are its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Seen = Callable[[int, Tensor, Tensor | None, Tensor | None], Tensor | None]
"""Takes an expert's number, its product [tokens, width], the gate of that shape and the tokens
[tokens] int64 (None: unseen, or all of them); a result replaces the product."""

_PRODUCTS = {
    functional.linear, torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.bmm,
    torch.Tensor.bmm, torch.mm, torch.Tensor.mm,
}  # fmt: skip
_ACTIVATIONS = {
    functional.silu, functional.gelu, functional.relu, functional.sigmoid, functional.tanh,
    functional.softplus, functional.relu6, functional.leaky_relu, functional.mish,
    torch.sigmoid, torch.tanh, torch.relu, torch.erf, torch.clamp_min,
    torch.Tensor.sigmoid, torch.Tensor.tanh, torch.Tensor.relu, torch.Tensor.erf,
}  # fmt: skip
_TIMES = {torch.mul, torch.Tensor.mul, torch.Tensor.__mul__, torch.Tensor.__rmul__}
_CARRIED = {torch.square, torch.pow, torch.Tensor.square, torch.Tensor.pow, torch.Tensor.__pow__}
_GATHERED = {torch.index_select, torch.Tensor.index_select, torch.Tensor.__getitem__}


class GateSight(TorchFunctionMode):
    """Remembers which activation a product of neurons was last multiplied with."""

    def __init__(self) -> None:
        super().__init__()
        self._active: list[Tensor] = []
        self._factors: tuple[Tensor, tuple[Any, ...]] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in _ACTIVATIONS or (func in _CARRIED and self._is_active(args[0])):
            self._active = [*self._active[-3:], result]
        elif func in _TIMES and isinstance(result, Tensor):
            self._factors = result, args
            if any(self._is_active(each) for each in args):
                self._active = [*self._active[-3:], result]
        return result

    def gate(self, product: Tensor) -> Tensor | None:
        """The factor of a product that an activation made; the product itself where it is one."""
        if self._factors is None or self._factors[0] is not product:
            return product if self._is_active(product) else None
        active = [each for each in self._factors[1] if self._is_active(each)]
        return active[0] if len(active) == 1 and active[0].shape == product.shape else None

    def forget(self) -> None:
        """Let go of all tensors."""
        self._active, self._factors = [], None

    def _is_active(self, value: Any) -> bool:
        return isinstance(value, Tensor) and any(value is each for each in self._active)


class ExpertSight(GateSight):
    """Shows each product with a stack of down projections [experts, …] before it is computed."""

    def __init__(self, down: Tensor, seen: Seen) -> None:
        super().__init__()
        self._down = down
        self._seen = seen
        self._gathered: tuple[Tensor, Tensor] | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _PRODUCTS and self._is_down(args):
            return func(self._replaced(args[0], args[1]), *args[1:], **(kwargs or {}))
        result = super().__torch_function__(func, types, args, kwargs)
        if func in _GATHERED:
            self._note_tokens(args, result)
        return result

    def _is_down(self, args: Any) -> bool:
        weight = args[1] if len(args) > 1 else None
        return isinstance(weight, Tensor) and (
            weight.untyped_storage().data_ptr() == self._down.untyped_storage().data_ptr()
        )

    def _note_tokens(self, args: Any, result: Any) -> None:
        index = args[-1]
        plain = isinstance(index, Tensor) and index.dim() == 1 and not index.is_floating_point()
        if plain and isinstance(result, Tensor) and result.dim() == 2 and args[0].dim() == 2:
            if index.dtype == torch.bool:
                index = index.nonzero().flatten()
            self._gathered = result, index

    def _replaced(self, product: Tensor, weight: Tensor) -> Tensor:
        """The product as it goes on: shown expert by expert, where a tap may replace it."""
        gate = self.gate(product)
        if product.dim() == 3:  # all experts in one batched product
            shown = [
                self._seen(e, own, None if gate is None else gate[e], None)
                for e, own in enumerate(product)
            ]
            if all(each is None for each in shown):
                return product
            return torch.stack([p if s is None else s for p, s in zip(product, shown, strict=True)])
        changed = self._seen(self._expert(weight), product, gate, self._tokens(product))
        return product if changed is None else changed

    def _expert(self, weight: Tensor) -> int:
        """The number of an expert whose weight is a slice of the stack."""
        step = self._down.stride(0) * self._down.element_size()
        return (weight.data_ptr() - self._down.data_ptr()) // max(1, step)

    def _tokens(self, product: Tensor) -> Tensor | None:
        if self._gathered is None:
            return None
        rows, index = self._gathered
        if len(rows) == len(product):
            return index
        first = product.storage_offset() // max(1, product.stride(0))
        return index[first : first + len(product)]
