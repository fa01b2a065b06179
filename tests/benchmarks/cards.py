"""The weights of a pair on a card: the pass against a plain copy, its parts against the plain ways
of torch, and a mix against plain copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import reason
from core.models.pieces import Piece
from core.vectors.arithmetic import parse
from core.vectors.fused import Form, Kernels, Key
from core.vectors.sweep import Sweep
from tests.benchmarks import workload
from tests.benchmarks.report import Row
from tests.benchmarks.weights import moments_pass
from tests.benchmarks.workload import best, family
from tests.conftest import WEIGHTS, MemorySink

PIECE = 1 << 26
"""Bytes of one plain copy."""

HEADS, WIDTH = 28, 128

MATRICES, SHAPE = 8, (18944, 3584)
"""The matrices of a mix, with the shape of an MLP matrix of a 7B model."""


def rows(folder: Path, device: torch.device) -> Iterator[Row]:
    """Every row about a card, as it is measured. An error ends the rows of its own kind alone."""
    folders = family(folder, tuned=1, layers=2)
    W, D = _pair((workload.INTERMEDIATE, workload.HIDDEN), device)
    kinds: dict[str, Callable[[], Iterable[Row]]] = {
        "passes over a pair": lambda: _passes(folders, device),
        "products": lambda: _products(W, D),
        "eigenproblems": lambda: _eigenproblems(D),
        "two decompositions": lambda: _two(W, D),
        "heads": lambda: [_heads(device)],
        "alignment": lambda: _alignment(W, D),
        "a mix": lambda: [mix(device, MATRICES)],
    }
    for name, measured in kinds.items():
        try:
            yield from measured()
        except RuntimeError as error:  # too little memory, or an operation that the card lacks
            yield Row(name, math.nan, "≤", 0, reason(error))


def _passes(folders: list[Path], device: torch.device) -> Iterator[Row]:
    nbytes = sum((each / "model.safetensors").stat().st_size for each in folders)
    copied = best(partial(copy, nbytes, device), 5)
    passed = best(partial(moments_pass, folders, device), 5)
    yield Row(
        "elementwise pass of a pair on a card, over a plain copy", passed / copied, "≤", 1.4,
        f"{passed:.3f} s against {copied:.3f} s, {nbytes / copied / 1e9:.0f} GB/s",
    )  # fmt: skip
    studied = best(partial(_study, folders, device), 2)
    yield Row(
        "whole weight study of the same pair, over that copy", studied / copied, "≤", 200,
        f"{studied:.2f} s for two layers and the embeddings; the target is an estimate",
    )  # fmt: skip


def mix(device: torch.device, count: int) -> Row:
    """A point of two bfloat16 vectors in so many matrices: four passes over the weights, base and
    vectors read and the result written, against two copies of them."""
    model = nn.ParameterDict({f"m{n}": torch.randn(SHAPE).bfloat16() for n in range(count)})
    model.requires_grad_(False).to(device)
    live = dict(model.named_parameters())
    vectors = {name: {n: 1.01 * tensor for n, tensor in live.items()} for name in "ab"}
    pieces = [
        Piece(tensor=n, module="up", layer=0, expert=None, shape=SHAPE, rows=((0, SHAPE[0]),))
        for n in live
    ]
    point, kernels = parse("a=0.7,b=-0.4", ("a", "b")), Kernels(device.type)
    numbered = live["m0"].device  # "cuda" has no number
    kernels.prepare(Key(Form(2), (torch.bfloat16,) * 4, numbered))
    kernels.join()
    with Sweep(model, vectors, pieces, kernels=kernels) as sweep:
        took = best(partial(sweep.set, point, measured=False), 10)
        copied = 2 * best(partial(_copy_all, sweep.base, vectors["a"], device), 10)
    size = sum(tensor.numel() for tensor in live.values())
    words = " ".join(kernels.complaints()) or (
        f"{1000 * took:.1f} ms against {1000 * copied:.1f} ms, {size / 1e9:.1f} billion "
        f"parameters, {8 * size / took / 1e9:.0f} GB/s"
    )
    return Row(
        "a mix of two vectors on a card, over plain copies of as many bytes", took / copied, "≤",
        1.2, words,
    )  # fmt: skip


def _copy_all(
    read: Mapping[str, Tensor], written: Mapping[str, Tensor], device: torch.device
) -> None:
    for name, tensor in read.items():
        written[name].copy_(tensor)
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def copy(nbytes: int, device: torch.device) -> None:
    """Send so many bytes of pinned memory to a card, and nothing else."""
    pinned = torch.empty(PIECE, dtype=torch.uint8, pin_memory=True)
    target = torch.empty(PIECE, dtype=torch.uint8, device=device)
    for _ in range(-(-nbytes // PIECE)):
        target.copy_(pinned, non_blocking=True)
    torch.cuda.synchronize(device)


def _study(folders: list[Path], device: torch.device) -> None:
    from core.engine import runner
    from core.study.intake import of_models

    study = of_models(str(folders[0]), [str(folders[1])])
    run = study.run.model_copy(update={"device": str(device)})
    runner.run(study.model_copy(update={"run": run}), MemorySink(), WEIGHTS)


def _pair(shape: tuple[int, int], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """W and Δ of bfloat16 models, float32 [1, d_out, d_in]."""
    g = torch.Generator().manual_seed(0)
    W = torch.randn(1, *shape, generator=g).mul_(0.02).bfloat16()
    T = (W.float() + torch.randn(1, *shape, generator=g).mul_(0.0004)).bfloat16()
    return W.to(device).float(), T.to(device).float() - W.to(device).float()


def _products(W: torch.Tensor, D: torch.Tensor) -> Iterator[Row]:
    """Products in bfloat16 terms against float32 ones, with splitting."""
    from core.weights import narrow

    near = torch.linalg.qr(D.mT @ D[..., : D.shape[-1] // 2]).Q
    cases: dict[str, tuple[Any, Any, Any, float]] = {
        "WᵀW": (
            W.mT, W, lambda: narrow.gram(narrow.split(W.mT, 1)), 6.0,
        ),
        "ΔᵀΔ": (
            D.mT, D, lambda: narrow.gram(narrow.split(D.mT, 2)), 3.0,
        ),
        "ΔV": (
            D, near, lambda: narrow.times(narrow.split(D), narrow.split(near)), 1.5,
        ),
    }  # fmt: skip
    for name, (a, b, in_terms, least) in cases.items():
        plain, took = _timed(partial(torch.matmul, a, b)), _timed(in_terms)
        yield Row(
            f"{name} in bfloat16 terms, faster than in float32", plain / took, "≥", least,
            f"{1e3 * took:.2f} ms against {1e3 * plain:.2f} ms",
        )  # fmt: skip
        error, other = _error(in_terms(), a, b), _error(a @ b, a, b)
        yield Row(
            f"its largest error over the norms, {name}", error, "≤", 1e-5,
            f"{other:.1e} in float32",
        )  # fmt: skip


def _error(made: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> float:
    """The greatest error of an element, over the norms of its row and column."""
    a, b = a.double(), b.double()
    return float(((made - a @ b).abs() / (a.norm(dim=-1)[..., None] * b.norm(dim=-2))).max())


def _eigenproblems(D: torch.Tensor) -> Iterator[Row]:
    """The top eight vectors of an update, against a whole decomposition and its values alone."""
    from core.weights import leading

    product = D.mT @ D
    whole = _timed(lambda: torch.linalg.eigh(product))
    alone = _timed(lambda: torch.linalg.eigvalsh(product))
    took = _timed(lambda: leading.top(product, 8))
    yield Row(
        "top vectors by block iteration, faster than a whole decomposition", whole / took, "≥", 3,
        f"{1e3 * took:.0f} ms against {1e3 * whole:.0f} ms, of values alone {1e3 * alone:.0f} ms",
    )  # fmt: skip
    values, vectors = (each.double() for each in leading.top(product, 8))
    residuals = (product.double() @ vectors - vectors * values[:, None]).norm(dim=-2)
    yield Row(
        "their largest residual over the largest eigenvalue",
        float(residuals.max() / values.max()), "≤", 5e-6, "white noise, the slowest spectrum",
    )  # fmt: skip


def _two(W: torch.Tensor, D: torch.Tensor) -> Iterator[Row]:
    """Two decompositions by two threads on a stream each, and as a batch: whether that is of use is
    not known."""
    products = [W.mT @ W, D.mT @ D]
    one = _timed(lambda: [torch.linalg.eigh(each) for each in products])

    def solve(product: torch.Tensor) -> None:
        with torch.cuda.stream(torch.cuda.Stream(product.device)):  # type: ignore[no-untyped-call]
            torch.linalg.eigh(product)

    with ThreadPoolExecutor(2) as pool:
        two = _timed(lambda: list(pool.map(solve, products)))
    batch = _timed(partial(torch.linalg.eigh, torch.cat(products)))
    for name, took in (("on two streams", two), ("as a batch", batch)):
        yield Row(
            f"two decompositions {name}, over one after the other", took / one, "≤", 1.1,
            f"{1e3 * took:.0f} ms against {1e3 * one:.0f} ms; the program solves one at a time",
        )  # fmt: skip


def _heads(device: torch.device) -> Row:
    from core.weights import batches

    g = torch.Generator().manual_seed(0)
    heads = torch.randn(HEADS, WIDTH, 4 * WIDTH, generator=g, dtype=torch.float64).to(device)
    product = heads @ heads.mT
    host, card = _timed(lambda: batches.eigh(product)), _timed(lambda: torch.linalg.eigh(product))
    chosen, other = (host, card) if batches.ONE_BY_ONE else (card, host)
    return Row(
        "heads as this torch's version solves them, over the other way", chosen / other, "≤", 1.5,
        f"{HEADS} of {WIDTH}: {1e3 * host:.1f} ms on the host, {1e3 * card:.1f} ms on the card",
    )  # fmt: skip


def _alignment(W: torch.Tensor, D: torch.Tensor) -> Iterator[Row]:
    """All measures of one matrix over its products in float32 and one whole decomposition."""
    from core.analyses.alignment import AlignmentParameters
    from core.statistics import overlap
    from core.weights import linalg

    p = AlignmentParameters()

    def measured(known: Any = None) -> Any:
        known = known or linalg.singular(W, 1)
        basis = linalg.basis_of(W, known, energy=p.energy, rank=p.rank, terms=1)
        take = overlap.measure(
            basis, D, linalg.gram(D, 2), amplified=p.amplified, intruders_of=p.intruders_of,
            match=p.match,
        )  # fmt: skip
        torch.cuda.synchronize(D.device)
        return take()[0][0]

    k = next(int(row.value) for row in measured() if row.metric == "rank_k")

    def least() -> None:
        product, change = W.mT @ W, D.mT @ D
        top = torch.linalg.eigh(product)[1][..., -k:]
        seen = (W @ top).mT @ D
        _ = seen @ top, change @ top

    floor, took = _timed(least), _timed(measured)
    known = linalg.singular(W, 1)
    again = _timed(lambda: measured(known))
    yield Row(
        "alignment over its products in float32 and one eigenproblem", took / floor, "≤", 1.3,
        f"{1e3 * took:.0f} ms against {1e3 * floor:.0f} ms",
    )  # fmt: skip
    yield Row("the same with a base seen before", again / floor, "≤", 0.5, f"{1e3 * again:.0f} ms")
    values, truth = {row.metric: row.value for row in measured()}, _truth(W[0], D[0], k)
    error = max(abs(value - values[name]) for name, value in truth.items())
    yield Row("its largest error against float64", error, "≤", 1e-4, f"k = {k}")


def _truth(W: torch.Tensor, D: torch.Tensor, k: int) -> dict[str, float]:
    """Alignment in float64, whose product keeps the singular values of noise."""
    W, D = W.double(), D.double()
    squared, V = (each.flip(-1)[..., :k] for each in torch.linalg.eigh(W.mT @ W))
    s = squared.sqrt()
    written, read = (W @ V / s).mT @ D, D @ V
    core, norm = written @ V, D.norm()
    values = {
        "write": written.norm() / norm, "read": read.norm() / norm, "two_sided": core.norm() / norm,
        "gain": (s * core.diagonal()).sum() / squared.sum(),
    }  # fmt: skip
    return {name: float(value) for name, value in values.items()}


def _timed(work: Callable[[], object]) -> float:
    """Seconds of the fastest of three runs after a first one, until the card is done."""

    def done() -> None:
        work()
        torch.cuda.synchronize()

    done()
    return best(done)
