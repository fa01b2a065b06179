"""Merging of whole matrices by their singular directions: Iso-C and TSV-M.

Owns the two methods, and how a stored tensor is taken apart into matrices and put together again.
Other parameters than matrices of attention and MLP are not merged here, except in a tensor that is
taken apart: there they are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from core.models.pieces import Piece
from core.vectors.arithmetic import ArithmeticPoint
from core.vectors.blocks import Block, WeightSource, Workspace
from core.vectors.selection import updates
from core.weights.linalg import working


def merged(
    point: ArithmeticPoint, blocks: Sequence[Block], pieces: Sequence[Piece], source: WeightSource
) -> Tensor:
    """The merged update of a tensor with these blocks and pieces, flat, float32.

    Holds the updates of every vector to this tensor.
    """
    space = Workspace()
    vectors = [term for term in point.terms if term[0] in blocks[0].vectors]
    device, shape = source.base(blocks[0], space).device, (blocks[-1].stop, blocks[0].columns)
    matrices = [torch.empty(shape, device=device) for _ in vectors]
    for block in blocks:
        for matrix, part in zip(matrices, updates(vectors, block, source, space), strict=True):
            matrix[block.start : block.stop] = part.view(-1, block.columns)
    out = torch.stack(matrices).mean(0)
    if not out.isfinite().all():
        return out.view(-1)  # the writer reports it
    merge = isotropic if point.method == "iso_c" else separated
    for piece in pieces:
        if piece.is_matrix:
            _put(out, piece, merge([matrix_of(matrix, piece) for matrix in matrices]))
    return out.view(-1)


def isotropic(updates: Sequence[Tensor]) -> Tensor:
    """Iso-C (Marczak et al. 2025): the sum of the updates [d_out, d_in] = U S Vᵀ with every
    singular value replaced by their mean."""
    u, s, v = _svd(torch.stack(list(updates)).sum(0))
    return (u * s.mean()) @ v if len(s) else torch.zeros_like(updates[0])


def separated(updates: Sequence[Tensor]) -> Tensor:
    """TSV-M (Gargiulo et al. 2025): the top 1/T of the singular directions of each of T updates,
    all made orthogonal to one another (Procrustes)."""
    count = max(1, min(updates[0].shape) // len(updates))
    parts = [tuple(part[:count] for part in (u.mT, s, v)) for u, s, v in map(_svd, updates)]
    u, s, v = (torch.cat(side) for side in zip(*parts, strict=True))
    return (_nearest_orthogonal(u.mT) * s) @ _nearest_orthogonal(v.mT).mT


def _nearest_orthogonal(columns: Tensor) -> Tensor:
    """P Qᵀ of the columns' P D Qᵀ. Columns that depend on one another share their direction."""
    p, _, q = _svd(columns)
    return p @ q


def _svd(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ and Vᵀ within the numerical rank of float32: directions beyond it are not the
    matrix's own."""
    u, s, v = torch.linalg.svd(working(matrix), full_matrices=False)
    limit = s[:1] * max(matrix.shape) * torch.finfo(torch.float32).eps
    rank = int((s > limit).sum())
    return u[:, :rank], s[:rank], v[:rank]


def matrix_of(tensor: Tensor, piece: Piece) -> Tensor:
    """The matrix [d_out, d_in] of a piece out of a tensor of rows."""
    rows = torch.cat([tensor[start:stop] for start, stop in piece.rows])
    rows = rows if piece.columns is None else rows[:, slice(*piece.columns)]
    return (rows.mT if piece.transposed else rows).contiguous()


def _put(tensor: Tensor, piece: Piece, matrix: Tensor) -> None:
    """Write a piece's matrix back to where `matrix_of` read it."""
    rows = (matrix.mT if piece.transposed else matrix).to(tensor.dtype)
    columns = slice(None) if piece.columns is None else slice(*piece.columns)
    row = 0
    for start, stop in piece.rows:
        tensor[start:stop, columns] = rows[row : row + stop - start]
        row += stop - start
