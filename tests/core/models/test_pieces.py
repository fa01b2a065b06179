"""How parameters are cut, against slices of the tensors themselves."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from core.models.pieces import Cut, Piece, ShapeMisfitError, pieces_of


def _read(tensor: Tensor, piece: Piece) -> Tensor:
    """A piece as it lies in a stored tensor: all axes but the last are rows."""
    rows = tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() > 1 else tensor.reshape(-1, 1)
    part = torch.cat([rows[start:stop] for start, stop in piece.rows])
    if piece.columns is not None:
        part = part[:, slice(*piece.columns)]
    part = part.mT if piece.transposed else part
    return part.reshape(piece.shape)


def _cut(tensor: Tensor, cut: Cut) -> dict[tuple[str, int | None], Tensor]:
    pieces = pieces_of("t", tuple(tensor.shape), 0, cut)
    assert sum(piece.size for piece in pieces) == tensor.numel()
    return {(piece.module, piece.expert): _read(tensor, piece) for piece in pieces}


def _numbers(*shape: int) -> Tensor:
    return torch.arange(int(torch.tensor(shape).prod())).reshape(shape)


def test_projections_one_after_the_other() -> None:
    fused = _numbers(8, 3)
    pieces = _cut(fused, Cut(("q", "k", "v"), (4, 2, 2)))
    wanted = dict(zip("qkv", torch.split(fused, [4, 2, 2]), strict=True))
    assert all(torch.equal(pieces[module, None], part) for module, part in wanted.items())


def test_projections_by_head() -> None:
    """GPT-NeoX: the three of each head together, two rows each."""
    fused = _numbers(4 * 3 * 2, 5)
    by_head = fused.reshape(4, 3, 2, 5)
    pieces = _cut(fused, Cut(("q", "k", "v"), (2, 2, 2), 4))
    for part, module in enumerate("qkv"):
        assert torch.equal(pieces[module, None], by_head[:, part].reshape(8, 5))


def test_projections_by_group_of_heads() -> None:
    """Falcon: three query heads, then a key and a value head, in each of two groups."""
    fused = _numbers(2 * 5 * 4, 6)
    groups = fused.reshape(2, 5, 4, 6)
    pieces = _cut(fused, Cut(("q", "k", "v"), (12, 4, 4), 2))
    assert torch.equal(pieces["q", None], groups[:, :3].reshape(24, 6))
    assert torch.equal(pieces["k", None], groups[:, 3].reshape(8, 6))
    assert torch.equal(pieces["v", None], groups[:, 4].reshape(8, 6))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("interleaved", [False, True])
def test_stacks_of_experts(transposed: bool, interleaved: bool) -> None:
    gate, up = _numbers(3, 4, 5), 100 + _numbers(3, 4, 5)
    order = torch.stack([gate, up], 2).reshape(3, 8, 5) if interleaved else torch.cat([gate, up], 1)
    stack = order.mT.contiguous() if transposed else order
    storage: Any = "stack transposed" if transposed else "stack"
    cut = Cut(("gate", "up"), storage=storage, interleaved=interleaved, expert=7)
    pieces = _cut(stack, cut)
    for expert in range(3):
        assert torch.equal(pieces["gate", 7 + expert], gate[expert])
        assert torch.equal(pieces["up", 7 + expert], up[expert])
    biases = _cut(order[:, :, 0].contiguous(), cut)
    assert torch.equal(biases["up", 8], up[1, :, 0])


def test_a_transposed_matrix_and_its_bias() -> None:
    fused = _numbers(3, 8)
    cut = Cut(("q", "k"), (6, 2), storage="transposed")
    assert torch.equal(_cut(fused, cut)["k", None], fused[:, 6:].T)
    assert torch.equal(_cut(_numbers(8), cut)["k", None], _numbers(8)[6:])


def test_rows_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ShapeMisfitError, match="4 \\+ 2 rows for q, k expected, not 7"):
        pieces_of("t", (7, 3), 0, Cut(("q", "k"), (4, 2)))
    assert pieces_of("t", (0, 3), 0, Cut(("q",))) == []
