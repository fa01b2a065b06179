"""The neurons of an MLP that computes them inside its forward pass, without a submodule.

Owns the recognition of three things among a module's calls of torch functions: the product with a
stack of down projections, its gating activation, and the tokens routed to an expert. The module's
own code computes everything, including clamps and biases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Seen = Callable[[int, Tensor, Tensor | None, Tensor | None], Tensor | None]
"""Called with an expert's number, its product [tokens, width], the gate of the same shape and the
tokens [tokens] int64 (None: unseen, or all); a result replaces the product."""

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


@dataclass(frozen=True, slots=True)
class _Note:
    """The origin of a tensor: an activation (`is_active`) of tensors computed from `roots`, or a
    product with the activation `gate`."""

    is_active: bool = False
    roots: tuple[Any, ...] = ()
    gate: Tensor | None = None


class GateSight(TorchFunctionMode):
    """Remembers the activation that multiplies a product of neurons."""

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[tuple[Tensor, _Note]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor):
            return result
        if func in _ACTIVATIONS:
            self._keep(result, _Note(True, (args[0], *self._note(args[0]).roots)))
        elif func in _CARRIED and self._note(args[0]).is_active:
            self._keep(result, self._note(args[0]))
        elif func in _TIMES:
            self._keep(result, self._times(args[0], args[1]))
        return result

    def gate(self, product: Tensor) -> Tensor | None:
        """The activation that multiplies a product; the product itself if it is an activation."""
        note = self._note(product)
        if note.is_active:
            return product
        return note.gate if note.gate is not None and note.gate.shape == product.shape else None

    def forget(self) -> None:
        """Release all tensors."""
        self._notes = []

    def _times(self, first: Any, second: Any) -> _Note:
        for gate, other in ((first, second), (second, first)):
            note = self._note(gate)
            if note.is_active and any(other is root for root in note.roots):
                return _Note(True)  # x · σ(x) is an activation itself
            if note.is_active:
                return _Note(gate=gate)
            if note.gate is not None:
                return note  # a scaled product keeps its gate
        return _Note(roots=(first, second))

    def _note(self, value: Any) -> _Note:
        return next((note for made, note in self._notes if made is value), _Note())

    def _keep(self, made: Tensor, note: _Note) -> None:
        self._notes = [*self._notes[-7:], (made, note)]


class ExpertSight(GateSight):
    """Passes each product with a stack of down projections [experts, …] to a tap before it is
    computed."""

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
        """The product after the taps, which see and may replace it expert by expert."""
        gate = self.gate(product)
        if product.dim() == 3:  # all experts in one batched product
            shown = [
                self._seen(e, expert_product, None if gate is None else gate[e], None)
                for e, expert_product in enumerate(product)
            ]
            if all(each is None for each in shown):
                return product
            return torch.stack([p if s is None else s for p, s in zip(product, shown, strict=True)])
        changed = self._seen(self._expert(weight), product, gate, self._tokens(product))
        return product if changed is None else changed

    def _expert(self, weight: Tensor) -> int:
        """The number of the expert with this slice of the stack as its weight."""
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
