"""A model's final norm and output head, apart from its layers: the logits of any state.

The model's own class computes the logits, with its scales and caps: its body is replaced by the
given states for one call. So no architecture is named here. Knows no analysis and no probe set.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import FamilyError
from core.models import checkpoint
from core.models.family import Member
from core.models.hooks import replaced
from core.models.loading import LoadedModel
from core.models.opening import aliases_of
from core.models.pieces import Piece

BLOCK = 1 << 25
"""The most logits at a time: 128 MiB in float32."""


class Head:
    """The final norm and the output head of a loaded model, or (`of`) of another member of its
    family with the loaded model's class around it. `norm` maps states after the last layer to
    final-normed ones.

    Raises FamilyError for a model whose class does not turn final-normed states into logits.
    """

    def __init__(
        self, model: LoadedModel, pieces: Sequence[Piece], of: Member | None = None
    ) -> None:
        self._own = unwrapped(model.module)
        self._model, self._pieces = model, pieces
        self._body, self._kind = _body(model, self._own)
        self._other: nn.Module | None = None
        self.norm = final_norm(self._own, pieces)
        if of is not None:
            self._other = _linear(self._own, of, model.device)
            self.norm = _norm(self.norm, _norm_name(pieces), of, self._own.dtype, model.device)

    @property
    def vocabulary(self) -> int:
        """The number of logits."""
        head: Any = self._other or self._own.get_output_embeddings()
        return int(head.weight.shape[0])

    @property
    def block(self) -> int:
        """The number of tokens whose logits are computed at once."""
        return max(1, BLOCK // self.vocabulary)

    def logits(self, states: Tensor) -> Tensor:
        """The logits [n, vocabulary] float32 of final-normed states [n, d], of at most `block`
        tokens."""
        given = torch.zeros(1, len(states), dtype=torch.int64, device=self._model.device)

        def body(*_: Any, **__: Any) -> Any:
            return self._kind(last_hidden_state=states[None])

        with torch.inference_mode(), ExitStack() as swaps:
            swaps.enter_context(replaced(self._body, "forward", body))
            if self._other is not None:
                swaps.enter_context(replaced(*_place(self._own), self._other))
            logits: Tensor = self._own(input_ids=given, use_cache=False).logits
        return logits[0].float()


def unwrapped(module: Any) -> Any:
    """The model under a PEFT adapter."""
    return module.get_base_model() if hasattr(module, "get_base_model") else module


def final_norm(module: Any, pieces: Sequence[Piece]) -> Any:
    """The norm before the head: the last that belongs to no layer; a model may have none."""
    name = _norm_name(pieces)
    return module.get_submodule(name) if name else nn.Identity()


@contextmanager
def seeing_final(head: Head, see: Callable[[Tensor], None]) -> Iterator[None]:
    """Call `see` with the final-normed states [B, T, d] of each forward pass in the block."""

    def ended(module: nn.Module, given: Any, result: Any) -> None:
        see(result.last_hidden_state)

    handle = head._body.register_forward_hook(ended)
    try:
        yield
    finally:
        handle.remove()


def _body(model: LoadedModel, root: Any) -> tuple[Any, Any]:
    """The module that computes the final-normed states, and the class of its output: in a forward
    pass the last to end that is not the model itself."""
    seen: list[tuple[Any, Any]] = []

    def ended(module: nn.Module, given: Any, result: Any) -> None:
        if "last_hidden_state" in getattr(type(result), "__dataclass_fields__", ()):
            seen.append((module, type(result)))

    one = torch.zeros(1, 1, dtype=torch.int64, device=model.device)
    with ExitStack() as hooks, torch.inference_mode():
        for module in root.modules():
            if module is not root:
                hooks.callback(module.register_forward_hook(ended).remove)
        root(input_ids=one, attention_mask=torch.ones_like(one), use_cache=False)
    if not seen:
        raise FamilyError(
            f"'{model.name}' ({type(root).__name__}) shows no states before its output head.",
            hint="Leave the analyses of states and outputs out for this type of model.",
        )
    return seen[-1]


def _place(module: Any) -> tuple[Any, str]:
    """The module that holds the output head, and the head's name in it."""
    path, _, name = _name_of(module, module.get_output_embeddings()).rpartition(".")
    return module.get_submodule(path), name


def _name_of(root: Any, module: Any) -> str:
    names: dict[int, str] = {id(each): name for name, each in root.named_modules()}
    return names[id(module)]


def _linear(module: Any, of: Member, device: Any) -> nn.Module:
    """The output head of another member, in the dtype of the loaded model's."""
    tensors = _tensors(of, _name_of(module, module.get_output_embeddings()))
    rows, columns = tensors["weight"].shape
    made = nn.Linear(columns, rows, bias="bias" in tensors, device="meta")
    return _filled(made, tensors, module.dtype, device)


def _norm(module: Any, name: str, of: Member, dtype: Any, device: Any) -> Any:
    """A copy of a norm with the weights of another member."""
    if not name:
        return module
    hooked = {key: vars(module).pop(key) for key in ("_hf_hook", "_old_forward", "forward")
              if key in vars(module)}  # fmt: skip
    try:
        made = copy.deepcopy(module)
    finally:
        vars(module).update(hooked)
    return _filled(made, _tensors(of, name), dtype, device)


def _tensors(of: Member, module: str) -> dict[str, Tensor]:
    """The parameters of a module of a member, by their names in the module."""
    tensors, aliases = {}, aliases_of(of.checkpoint)
    for name in ("weight", "bias"):
        full = f"{module}.{name}"
        stored = of.names.get(full, full)
        stored = aliases.get(stored, stored)
        if stored in of.checkpoint.tensors:
            tensors[name] = checkpoint.whole(of.checkpoint, stored)
    return tensors


def _filled(module: nn.Module, tensors: Mapping[str, Tensor], dtype: Any, device: Any) -> nn.Module:
    for name, values in tensors.items():
        values = values.to(device=device, dtype=dtype)
        setattr(module, name, nn.Parameter(values, requires_grad=False))
    return module


def _norm_name(pieces: Sequence[Piece]) -> str:
    names = [p.tensor for p in pieces if p.module == "norm" and p.layer is None]
    return names[-1].rpartition(".")[0] if names else ""
