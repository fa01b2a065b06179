"""Subspaces, spectra and alignment of weight matrices and their updates, on any torch device.

Everything works on batches of matrices [B, d_out, d_in] of one shape (a whole matrix is a batch of
one, the heads of an attention matrix are a batch) through Gram matrices of the smaller side, which
is several times faster than singular value decompositions. Owns the formulas of alignment; knows
nothing of models, layers or chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.models.transfers import up
from core.weights import batches, leading, narrow

EXACT_ELEMENTS = 1 << 20
"""Matrices up to this size are computed in float64, at no cost in time."""

LAPACK_FROM = 512
"""From this size on, the CPU uses scipy's solvers, and iterative ones for a few vectors."""

_STRIPE = 128
"""Rows of a large matrix that are squared at once: they stay in the cache."""

TIE = 1e-6
"""Neighbouring σ² that differ by less than this, relative to themselves, count as tied."""

CONDITION = 1e3
"""The largest σ² over the smallest of a subspace up to which directions of the larger side are
taken from products of the smaller one: σ² is off by up to 1e-7 of the largest."""

_FAILED = (torch.linalg.LinAlgError, np.linalg.LinAlgError)  # type: ignore[attr-defined]
"""The errors of a solver that does not converge."""


@dataclass(frozen=True, slots=True)
class Singular:
    """σ² [B, n] of a batch of matrices, descending, and the singular vectors [B, n, n] of the
    smaller side (n = min(d_out, d_in)), as columns."""

    energy: Tensor
    vectors: Tensor


@dataclass(frozen=True)
class Basis:
    """Singular directions of a batch of matrices W [B, d_out, d_in], and the rank k of each
    subspace. `condition`: the largest σ₁²/σₖ². `uses`: the updates of W that will be aligned with
    it. `tall`: the smaller side is the input. `terms`: see `gram`."""

    matrix: Tensor
    singular: Singular
    ranks: list[int]
    condition: float
    uses: int = 1
    terms: int = 0

    @property
    def energy(self) -> Tensor:
        return self.singular.energy

    @property
    def vectors(self) -> Tensor:
        return self.singular.vectors

    @property
    def tall(self) -> bool:
        return self.matrix.shape[-2] > self.matrix.shape[-1]

    @property
    def kmax(self) -> int:
        return max(self.ranks)

    @property
    def across(self) -> Tensor:
        """W [B, larger side, smaller side]."""
        return self.matrix if self.tall else self.matrix.mT

    @cached_property
    def far(self) -> tuple[Tensor, Tensor]:
        """The top singular directions of the larger side times their length, [B, max(d_out, d_in),
        kmax], and the lengths, [B, kmax]."""
        directions = self._far(self.kmax)
        stripes = directions.split(_STRIPE, -2)  # type: ignore[no-untyped-call]
        squares = sum(stripe.square().sum(-2).double() for stripe in stripes)
        return directions, squares.sqrt().to(directions.dtype)

    def _far(self, rank: int) -> Tensor:
        return self.times(self.across, self.vectors[..., :rank], self.terms)

    def times(self, a: Tensor, b: Tensor, terms: int = narrow.TERMS) -> Tensor:
        """a @ b, in bfloat16 terms where W is known by its terms; `a` has so many."""
        return _times(a, b, (terms, narrow.TERMS) if self.terms else None)

    def directions(self, rank: int) -> Directions:
        """The first directions of both sides."""
        near, far = self.vectors[..., :rank], _unit(self._far(rank))
        above_noise = self.energy > self.energy[..., :1] * _noise(self.energy)
        real = above_noise[..., : near.shape[-1]]
        return Directions(*((far, near) if self.tall else (near, far)), real)


@dataclass(frozen=True, slots=True)
class Directions:
    """Top singular directions of a batch of matrices: `left` [B, d_out, r], `right` [B, d_in, r],
    by descending singular value. `real` [B, r]: which of them lie within the matrix's numerical
    rank; the others are columns of zeros."""

    left: Tensor
    right: Tensor
    real: Tensor

    @property
    def rank(self) -> int:
        return int(self.real.shape[-1])

    def first(self, rank: int) -> Directions:
        """The first `rank` directions of each matrix."""
        return Directions(*(each[..., :rank] for each in (self.left, self.right, self.real)))


@dataclass(frozen=True, slots=True)
class Spectrum:
    """σ² of a batch of updates [B, n], descending; never negative."""

    energy: Tensor

    @property
    def total(self) -> Tensor:
        """‖Δ‖_F², [B]."""
        return self.energy.sum(-1)

    def stable_rank(self) -> Tensor:
        """‖Δ‖_F²/‖Δ‖_2², [B]; NaN at Δ = 0."""
        return self.total / self.energy[..., 0]

    def effective_rank(self) -> Tensor:
        """exp of the entropy of σ²/Σσ² (Roy and Vetterli, on energies), [B]; NaN at Δ = 0."""
        p = self.energy / self.total[..., None]
        return torch.exp(-torch.xlogy(p, p).sum(-1))


@dataclass(frozen=True, slots=True)
class Alignment:
    """Energies of a batch of updates relative to a basis; all [B], shares of ‖Δ‖_F² in 0..1.

    `write_curve`, `read_curve` and `both_curve` [B, kmax] are the shares for every k ≤ kmax (the
    last one along the square's diagonal); the scalars are the shares at each matrix's own rank k.
    """

    write: Tensor
    read: Tensor
    both: Tensor
    diagonal: Tensor
    gain: Tensor
    gain_scale: Tensor
    write_curve: Tensor
    read_curve: Tensor
    both_curve: Tensor

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Alignment:
        """The alignment with `change` applied to each tensor."""
        return Alignment(**{f.name: change(getattr(self, f.name)) for f in fields(self)})


def working(matrix: Tensor) -> Tensor:
    """The matrices in working precision: float64 if small, else float32."""
    small = matrix.shape[-1] * matrix.shape[-2] <= EXACT_ELEMENTS
    return matrix.to(torch.float64 if small else torch.float32)


def gram(matrix: Tensor, terms: int = 0) -> Tensor:
    """M Mᵀ or MᵀM, whichever is smaller, [B, n, n].

    `terms`: the matrix is the sum of so many bfloat16 matrices, which some cards multiply much
    faster; 0 if that is unknown.
    """
    rows, columns = matrix.shape[-2:]
    wide = matrix.mT if rows > columns else matrix
    if terms and narrow.pays(wide, wide.mT):
        return narrow.gram(narrow.split(wide, terms))
    return _times(wide, wide.mT)


def decompose(matrix: Tensor, *, energy: float, rank: int | None = None) -> Basis:
    """Singular directions of W [B, d_out, d_in], and the rank k of each subspace.

    k is the smallest with Σ_{i≤k} σ² ≥ energy·Σσ², or `rank`; it is extended to the end of a run of
    tied singular values, since W does not define a subspace that cuts through a tie, and never
    exceeds W's numerical rank. A zero matrix has k = 0.
    """
    return basis_of(matrix, singular(matrix), energy=energy, rank=rank)


def singular(matrix: Tensor, terms: int = 0) -> Singular:
    """σ² and the singular vectors of the smaller side of W [B, d_out, d_in].

    `terms`: see `gram`.
    """
    squared, vectors = _eigh(gram(matrix, terms))
    return Singular(squared.flip(-1).clamp_min(0), vectors.flip(-1))


def basis_of(
    matrix: Tensor,
    known: Singular,
    *,
    energy: float,
    rank: int | None,
    uses: int = 1,
    terms: int = 0,
) -> Basis:
    """As `decompose`, for matrices whose singular vectors are known. `uses`: see `Basis`,
    `terms`: see `gram`.
    """
    noise, rows = _noise(known.energy), known.energy.double().cpu()
    ranks = [_rank(row, energy, rank, noise) for row in rows]
    condition = max(
        float(row[0] / row[k - 1]) if k else 1.0 for row, k in zip(rows, ranks, strict=True)
    )
    return Basis(matrix, known, ranks, condition, uses, terms)


def energy(product: Tensor) -> Tensor:
    """‖Δ‖_F², [B], float64, from a Gram matrix [B, n, n]: its trace."""
    return product.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)


def concentration(product: Tensor) -> Tensor:
    """Σp² of p = σ²/Σσ² from a Gram matrix [B, n, n]: 1 over the number of equally strong
    directions; NaN at Δ = 0."""
    return product.square().sum((-2, -1)) / product.diagonal(dim1=-2, dim2=-1).sum(-1).square()


def spectrum_of_gram(product: Tensor) -> Spectrum:
    """Singular energies from ΔΔᵀ or ΔᵀΔ, [B, n, n]."""
    return Spectrum(_eigenvalues(product).flip(-1).clamp_min(0))


def spectrum_of_factors(left: Tensor, right: Tensor) -> Spectrum:
    """Singular energies of left · right, [d_out, r] and [r, d_in], as a batch of one: those of the
    r × r core RₗRᵣᵀ of left = QₗRₗ and rightᵀ = QᵣRᵣ, then zeros."""
    core = torch.linalg.qr(left.double(), mode="r").R
    core = core @ torch.linalg.qr(right.mT.double(), mode="r").R.mT
    energy = torch.zeros(1, min(left.shape[0], right.shape[1]), dtype=core.dtype)
    energy[0, : min(core.shape)] = torch.linalg.svdvals(core.cpu()).square()
    return Spectrum(energy.to(left.device))


def cross(basis: Basis, update: Tensor) -> Tensor | None:
    """WᵀΔ (WΔᵀ of wide matrices), [B, n, n], if it takes fewer operations than projecting Δ on W's
    directions of the larger side; else None."""
    long, n = max(update.shape[-2:]), min(update.shape[-2:])
    projecting = (1 + 1 / basis.uses) * basis.kmax * long  # W's directions are made once
    # Whatever else needs the larger side is worth a fifth of this product.
    crossing = 0.8 * long * n + basis.kmax * n
    if n <= LAPACK_FROM or basis.condition > CONDITION or projecting < crossing:
        return None
    return basis.times(basis.across.mT, update if basis.tall else update.mT, basis.terms)


def align(
    basis: Basis, update: Tensor, update_gram: Tensor, crossed: Tensor | None = None
) -> Alignment:
    """The alignment of the updates Δ [B, d_out, d_in] with the directions of W (method, section 6).

    Only the larger side is projected, or its product `crossed` (see `cross`): on the smaller one
    the energies are uᵢᵀ(ΔΔᵀ)uᵢ.
    """
    near = basis.vectors[..., : basis.kmax]
    near_energy = (near * basis.times(update_gram, near)).sum(-2, dtype=torch.float64).clamp_min(0)
    if crossed is None:
        far, lengths = basis.far
        seen = basis.times(far.mT, update if basis.tall else update.mT)
    else:
        lengths = basis.energy[..., : basis.kmax].sqrt()
        seen = basis.times(near.mT, crossed)
    seen /= lengths.clamp_min(torch.finfo(seen.dtype).tiny)[..., None]
    far_energy = _energies(seen)
    core = basis.times(seen, near)
    core = core if basis.tall else core.mT
    total = energy(update_gram)[:, None]
    near_curve, far_curve = near_energy.cumsum(-1) / total, far_energy.cumsum(-1) / total
    write_curve, read_curve = (far_curve, near_curve) if basis.tall else (near_curve, far_curve)
    both_curve = _square_sums(core) / total
    diagonal = core.diagonal(dim1=-2, dim2=-1).double()
    sigma2 = basis.energy[..., : basis.kmax].double()
    last = up(torch.tensor([k - 1 for k in basis.ranks]), update.device)[:, None].clamp_min(0)
    squares = diagonal.square().cumsum(-1) / total
    weighted = (sigma2.sqrt() * diagonal).cumsum(-1) / sigma2.cumsum(-1)

    def at_rank(curve: Tensor) -> Tensor:
        return curve.gather(-1, last)[:, 0]

    return Alignment(
        write=at_rank(write_curve),
        read=at_rank(read_curve),
        both=at_rank(both_curve),
        diagonal=at_rank(squares),
        gain=at_rank(weighted),
        gain_scale=at_rank(sigma2.cumsum(-1)).sqrt(),
        write_curve=write_curve,
        read_curve=read_curve,
        both_curve=both_curve,
    )


def directions(update: Tensor, product: Tensor, rank: int) -> Directions:
    """The top singular directions of updates Δ [B, d_out, d_in] with Gram matrices [B, n, n]."""
    squared, vectors = _top(product, min(rank, product.shape[-1]))
    real = squared > squared[..., :1] * _noise(product)
    near = vectors * real[..., None, :]
    if update.shape[-2] > update.shape[-1]:
        return Directions(_unit(update @ near), near, real)
    return Directions(near, _unit(update.mT @ near), real)


def amplification(matrix: Tensor, update_gram: Tensor, top: Directions) -> tuple[Tensor, Tensor]:
    """‖Δ‖_F / ‖A_rᵀ W B_r‖_F (Hu et al. 2021, section 7.3) and r, both [B].

    A_r, B_r are the `top` singular directions of Δ; r is lowered to Δ's numerical rank if that is
    smaller. NaN if Δ is zero or W has no component along it.
    """
    seen = (top.left.mT @ matrix @ top.right).square().sum((-2, -1), dtype=torch.float64).sqrt()
    norm = energy(update_gram).sqrt()
    return torch.where((norm > 0) & (seen > 0), norm / seen, torch.nan), top.real.sum(-1)


def factors(update: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors [B, d_out, rank] and [B, rank, d_in] of the updates' best approximation of that rank.

    Their first r columns and rows are the factors of rank r.
    """
    _, vectors = _top(gram(update), rank)
    if update.shape[-2] > update.shape[-1]:
        return _times(update, vectors), vectors.mT
    return vectors, _times(vectors.mT, update)


def intruders(
    basis: Basis,
    update: Tensor,
    update_gram: Tensor,
    crossed: Tensor | None = None,
    *,
    top: int,
    threshold: float,
) -> Tensor:
    """The number of top left singular vectors of W + Δ without a match in W, [B], integers.

    A match is |cosine| ≥ threshold with any left singular vector of W (Shuttleworth et al. 2024).
    `crossed`: see `cross`.
    """
    # Directions in the noise are not directions of W: any basis of its null space is possible.
    above_noise = basis.energy > basis.energy[..., :1] * _noise(basis.energy)
    sigma = basis.energy.sqrt().masked_fill(~above_noise, 1)[..., None]
    top = min(top, basis.vectors.shape[-1])
    if crossed is None:
        tuned = basis.matrix + update
        leading, strength = _leading(basis, tuned, update, top)
        if basis.tall:
            cosines = _times(basis.vectors.mT, _times(basis.matrix.mT, leading)) / sigma
        else:
            cosines = basis.vectors.mT @ leading
    else:
        leading, strength = _leading_of_products(basis, crossed, update_gram, top)
        cosines = _times(basis.vectors.mT, leading)
        if basis.tall:
            onto = _times(basis.vectors.mT, _times(crossed, leading)) / sigma
            length = strength.sqrt().clamp_min(torch.finfo(onto.dtype).tiny)
            cosines = (cosines * sigma + onto) / length[..., None, :]
    matched = cosines.abs().masked_fill(~above_noise[..., None], 0).amax(-2) >= threshold
    # W + Δ has no directions beyond its own rank either.
    real = strength > strength[..., :1] * _noise(basis.energy)
    return (real & ~matched).sum(-1)


def _leading(basis: Basis, tuned: Tensor, update: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Top left singular vectors of the tuned matrices, [B, d_out, top], and their σ².

    Large matrices: two subspace iterations on the smaller side, started from the base's own top
    directions and a sketch of the update, then a Rayleigh-Ritz step. The iterations alone may be in
    bfloat16: their rounding turns a direction by less than 0.01 rad, and the step corrects inside.
    """
    n = basis.vectors.shape[-1]
    small = tuned if not basis.tall else tuned.mT  # [B, n, m]
    if n <= LAPACK_FROM:
        squared, vectors = _eigh(gram(tuned))
        squared, vectors = squared.flip(-1)[..., :top], vectors.flip(-1)[..., :top]
    else:
        change = update if not basis.tall else update.mT
        block = _start(basis, change, top)
        rough = small.bfloat16() if _rounds_fast(small) else small
        for _ in range(2):
            block = torch.linalg.qr(block).Q
            block = _roughly(rough, _roughly(rough.mT, block))
        block = torch.linalg.qr(block).Q
        seen = _times(small.mT, block)
        squared, turn = _eigh(seen.mT @ seen)
        squared, vectors = squared.flip(-1)[..., :top], block @ turn.flip(-1)[..., :top]
    if not basis.tall:
        return vectors, squared
    return _unit(tuned @ vectors), squared


def _leading_of_products(
    basis: Basis, crossed: Tensor, update_gram: Tensor, top: int
) -> tuple[Tensor, Tensor]:
    """Top singular vectors of the smaller side of the tuned matrices, [B, n, top], and their σ²:
    `_leading` from (W + Δ)ᵀ(W + Δ) = WᵀW + WᵀΔ + ΔᵀW + ΔᵀΔ."""
    change = crossed + crossed.mT
    change += update_gram

    def multiplied(block: Tensor) -> Tensor:
        seen = _times(basis.vectors.mT, block) * basis.energy[..., None]
        return _times(basis.vectors, seen) + _times(change, block)

    block = _start(basis, update_gram, top)
    for _ in range(2):
        block = multiplied(torch.linalg.qr(block).Q)
    block = torch.linalg.qr(block).Q
    squared, turn = _eigh(block.mT @ multiplied(block))
    return block @ turn.flip(-1)[..., :top], squared.flip(-1)[..., :top].clamp_min(0)


def _start(basis: Basis, change: Tensor, top: int) -> Tensor:
    """A block to iterate on: the base's top directions, and a sketch of a change [B, n, any]."""
    omega = torch.randn(change.shape[-1], 32, generator=torch.Generator().manual_seed(0))
    omega = up(omega, change.device).to(change.dtype)
    return torch.cat([basis.vectors[..., : top + 96], _times(change, omega)], -1)


def _unit(columns: Tensor) -> Tensor:
    """Columns scaled to length 1; zero columns stay zero."""
    length: Tensor = columns.norm(dim=-2, keepdim=True)
    return columns / length.clamp_min(torch.finfo(columns.dtype).tiny)


def _rank(squared: Tensor, energy: float, fixed: int | None, noise: float) -> int:
    """The rank of one spectrum σ² (descending, float64): see `decompose`."""
    total = float(squared.sum())
    if total == 0:
        return 0
    present = int((squared > squared[0] * noise).sum())
    if fixed is None:
        reached = squared.cumsum(-1) >= energy * total * (1 - 1e-12)
        k = int(reached.int().argmax()) + 1
    else:
        k = fixed
    k = min(k, present)
    while k < present and float(squared[k - 1] - squared[k]) <= TIE * float(squared[k - 1]):
        k += 1
    return k


def _noise(squared: Tensor) -> float:
    """Relative size below which an eigenvalue of a Gram matrix is rounding noise."""
    return float(math.sqrt(squared.shape[-1]) * torch.finfo(squared.dtype).eps)


def _square_sums(core: Tensor) -> Tensor:
    """Σ of squares over the leading k × k block, for every k, [B, kmax]."""
    rows, columns = [], torch.zeros_like(core[..., 0, :], dtype=torch.float64)
    for start in range(0, core.shape[-2], _STRIPE):
        squares = core[..., start : start + _STRIPE, :].double().square()
        rows.append(squares.tril(start).sum(-1))  # row k up to its diagonal
        columns += squares.triu_(start + 1).sum(-2)  # column k above the diagonal
    return (torch.cat(rows, -1) + columns).cumsum(-1)


def _energies(rows: Tensor) -> Tensor:
    """Σ of squares of each row, [B, rows], float64."""
    stripes = rows.split(_STRIPE, -2)  # type: ignore[no-untyped-call]
    return torch.cat([stripe.square().sum(-1, dtype=torch.float64) for stripe in stripes], -1)


def _for_lapack(product: Tensor) -> bool:
    """Is this a single large matrix on the CPU? scipy's LAPACK is faster for it."""
    return product.device.type == "cpu" and product.shape[-1] > LAPACK_FROM and len(product) == 1


def _times(a: Tensor, b: Tensor, terms: tuple[int, int] | None = None) -> Tensor:
    """a @ b; on the CPU by numpy: its OpenBLAS halves the time of a product with itself, and is
    faster on AMD. `terms`: on a card in so many bfloat16 terms of each, where that is faster."""
    if a.device.type != "cpu":
        if terms is not None and narrow.pays(a, b):
            return narrow.times(narrow.split(a, terms[0]), narrow.split(b, terms[1]))
        return a @ b
    return torch.from_numpy(np.matmul(a.numpy(), b.numpy()))


def _roughly(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in the precision of `a`, bfloat16 or that of `b`."""
    if a.dtype == b.dtype:
        return _times(a, b)
    narrow = b.to(a)
    if a.stride(-1) == 1:
        return (a @ narrow).to(b)
    # A tall product with a transposed matrix takes thirty times as long on the processor.
    return (narrow.mT.contiguous() @ a.mT).mT.to(b)


def _rounds_fast(matrix: Tensor) -> bool:
    """Does the device multiply bfloat16 several times as fast as float32?"""
    if matrix.device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported())
    return (
        matrix.device.type == "cuda"
        and torch.cuda.get_device_capability(matrix.device) >= narrow.UNITS_FROM
    )


@lru_cache(1)
def _has_mkl() -> bool:
    """Is torch's LAPACK Intel's on a processor of Intel? It takes half of scipy's time for
    eigenvalues alone there, and more than scipy's elsewhere."""
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return False
    try:
        return "GenuineIntel" in Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return False


def _eigenvalues(product: Tensor) -> Tensor:
    """Ascending eigenvalues; recomputed as in `_eigh`."""
    try:
        if _for_lapack(product) and not _has_mkl():
            import scipy.linalg

            values = scipy.linalg.eigvalsh(product[0].numpy(), check_finite=False)
            return torch.from_numpy(values)[None]
        eigenvalues: Tensor = torch.linalg.eigvalsh(product)
    except _FAILED:
        eigenvalues = torch.linalg.eigvalsh(product.double().cpu())
    return eigenvalues.to(product)


def _eigh(product: Tensor) -> tuple[Tensor, Tensor]:
    """Ascending eigenvalues, and vectors; recomputed in float64 on the CPU if they fail to
    converge."""
    try:
        if _for_lapack(product):
            import scipy.linalg

            values, columns = scipy.linalg.eigh(
                product[0].numpy(), driver="evd", check_finite=False
            )
            return torch.from_numpy(values)[None], torch.from_numpy(columns)[None]
        if batches.applies(product):
            return batches.eigh(product)
        squared, vectors = torch.linalg.eigh(product)
    except _FAILED:
        squared, vectors = torch.linalg.eigh(product.double().cpu())
    return squared.to(product), vectors.to(product)


def _top(product: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest eigenvalues, descending, and their vectors, of [B, n, n]."""
    if not _for_lapack(product):
        if product.device.type != "cpu" and leading.applies(product, count):
            with suppress(*_FAILED):
                return leading.top(product, count)
        squared, vectors = _eigh(product)
        return squared.flip(-1)[..., :count], vectors.flip(-1)[..., :count]
    if not product.any():  # leaves the iteration nothing to start from
        return product.new_zeros(1, count), torch.eye(product.shape[-1], count).to(product)[None]
    import scipy.linalg.blas
    import scipy.sparse.linalg

    matrix = product[0].numpy()
    multiply = scipy.linalg.blas.ssymv if matrix.dtype == np.float32 else scipy.linalg.blas.dsymv
    half = scipy.sparse.linalg.LinearOperator(  # reads one triangle: half the memory
        matrix.shape, matvec=lambda vector: multiply(1.0, matrix.T, vector), dtype=matrix.dtype
    )
    start = np.random.default_rng(0).standard_normal(len(matrix)).astype(matrix.dtype)
    squared, vectors = scipy.sparse.linalg.eigsh(
        half, k=count, which="LA", v0=start, ncv=min(len(matrix), count + 40), tol=1e-7
    )
    order = np.argsort(-squared)
    return torch.from_numpy(squared[order])[None], torch.from_numpy(vectors[:, order])[None]
