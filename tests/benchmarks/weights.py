"""The pass over the weights against a pure read and a naive loop; alignment against full SVDs.

Seconds are of the processor, but for the runner's share of a run.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.report import Row
from tests.benchmarks.workload import HIDDEN, INTERMEDIATE, family, least, processor_time
from tests.conftest import WEIGHTS

THREADS = 2

_CPU = torch.device("cpu")


def rows(folder: Path) -> Iterator[Row]:
    """Every row about weights, as it is measured."""
    folders = family(folder, tuned=4, layers=2)
    yield from _elementwise(folders)
    yield _identification(folders[:1])
    yield _naive(folders[:2])
    yield _memory(folders[:2])
    yield from _alignment()
    yield _around(folders[:2], folder)


def _elementwise(folders: list[Path]) -> Iterator[Row]:
    for name, count, limit in (("pair", 2, 2.5), ("family of 4", 5, 3.0)):
        read = least(partial(_pure_read, folders[:count]), 5)
        passed = least(partial(_pass_over, _opened(folders[:count])), 5)
        yield Row(
            f"elementwise pass, {name}, over a pure read", passed / read, "≤", limit,
            f"{passed:.2f} s against {read:.2f} s",
        )  # fmt: skip


def _identification(folders: list[Path]) -> Row:
    """What identifies a model by all of its content, which is made once for a file."""
    read = least(lambda: _pure_read(folders), 5)
    identified = least(lambda: _identify(folders), 5)
    return Row(
        "identification, over a pure read", identified / read, "≤", 2.0,
        f"{identified:.2f} s against {read:.2f} s",
    )  # fmt: skip


def _identify(folders: list[Path]) -> None:
    from core.models.checkpoint import open_directory

    for folder in folders:
        open_directory(folder).fingerprint()


def _pure_read(folders: list[Path]) -> None:
    """Every tensor through reused buffers, on as many threads, and nothing else."""
    from core.models.checkpoint import open_directory

    opened = [open_directory(folder) for folder in folders]
    buffers = [torch.empty(1 << 20, dtype=torch.uint8) for _ in range(THREADS)]

    def read(thread: int) -> None:
        for checkpoint in opened:
            for name, info in checkpoint.tensors.items():
                step = max(1, (1 << 20) // (info.columns * 2))
                for start in range(thread * step, info.rows, step * THREADS):
                    checkpoint.read(name, start, min(start + step, info.rows), buffers[thread])

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(read, range(THREADS)))


class _MomentsOnly:
    """A reader that wants all moments and no update."""

    name = "moments"
    updates_of: tuple[str, ...] = ()

    def __init__(self, models: tuple[str, ...]) -> None:
        self.moments_of = models

    def wants_updates(self, module: str) -> bool:
        return False

    def see_module(self, module: Any) -> None: ...

    def measure(self, matrix: Any, update: Any) -> Any: ...

    def take(self, piece: Any, model: str, part: Any) -> None: ...

    def results(self) -> Iterator[Any]:
        return iter(())


def moments_pass(folders: list[Path], device: torch.device = _CPU) -> None:
    """The program's own pass over a family, without spectra, and its opening."""
    _pass_over(_opened(folders), device)


def _opened(folders: list[Path]) -> Any:
    from core.models.family import open_family
    from core.study.intake import of_models

    return open_family(of_models(str(folders[0]), [str(f) for f in folders[1:]]).models)


def _pass_over(opened: Any, device: torch.device = _CPU) -> None:
    from core.weights.parts import SliceParts
    from core.weights.stream import read_slice
    from tests.conftest import MemorySink

    for layer in opened.layers:
        reader = _MomentsOnly(tuple(opened.tuned))
        read_slice(
            opened, layer, [reader], device=device, pause=lambda: None,
            parts=SliceParts(MemorySink()),
        )  # fmt: skip


def _naive(folders: list[Path]) -> Row:
    """Both models loaded by transformers, then a loop over their parameters."""
    naive = least(lambda: _load_and_loop(folders), 2)
    passed = least(lambda: moments_pass(folders), 3)
    return Row(
        "the same, faster than from_pretrained twice and a loop", naive / passed, "≥", 10,
        f"{passed:.2f} s against {naive:.2f} s",
    )  # fmt: skip


def _load_and_loop(folders: list[Path]) -> None:
    from transformers import AutoModelForCausalLM

    base, tuned = (
        AutoModelForCausalLM.from_pretrained(f, dtype=torch.bfloat16).state_dict() for f in folders
    )
    for name, weights in base.items():
        w, t = weights.float(), tuned[name].float()
        d = t - w
        values = [w.norm(), d.norm(), (w * d).sum(), d.abs().max(), (d != 0).sum()]
        assert all(torch.isfinite(f) for f in values)


def _memory(folders: list[Path]) -> Row:
    """Peak memory of a pass above an interpreter that has imported the same, in a process."""
    script = (
        "import re, sys; from pathlib import Path\n"
        "import core.models.family, core.weights.stream, core.study.intake\n"
        "from tests.benchmarks import weights\n"
        "status = lambda: open('/proc/self/status').read()\n"
        "peak = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', status())[1])\n"
        "before = peak()\n"
        "weights.moments_pass([Path(p) for p in sys.argv[1:]])\n"
        "print(peak() - before)"
    )
    out = subprocess.run(
        [sys.executable, "-c", script, *map(str, folders)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    gigabytes = int(out.stdout) / 2**20
    size = sum(f.stat().st_size for folder in folders for f in folder.glob("*.safetensors")) / 1e9
    return Row(
        "peak memory of that pass above the interpreter, GB", gigabytes, "≤", 0.5,
        f"{size:.1f} GB of checkpoints",
    )  # fmt: skip


def _alignment() -> Iterator[Row]:
    for name, shape, limit in (
        ("square", (HIDDEN, HIDDEN), 4),
        ("MLP", (INTERMEDIATE, HIDDEN), 10),
    ):
        g = torch.Generator().manual_seed(0)
        W = torch.randn(*shape, generator=g).mul_(0.02)
        D = torch.randn(*shape, generator=g).mul_(0.0004)
        memory = _Bases()
        seconds = least(partial(_measure, W, D), 2)
        first, (U, s, Vt) = processor_time(partial(torch.linalg.svd, W, full_matrices=False))
        svd = first + processor_time(partial(torch.linalg.svd, D, full_matrices=False))[0]
        shape_text = " × ".join(map(str, shape))
        yield Row(
            f"alignment of a {name} matrix ({shape_text}), faster than two SVDs",
            svd / seconds, "≥", limit, f"{seconds:.1f} s against {svd:.1f} s",
        )  # fmt: skip
        yield Row(
            f"its largest error against those SVDs, {name}", _error(W, D, U, s, Vt), "≤", 1e-4, ""
        )
        floor, took, again = alignment_over_floor(W, D, memory)
        yield Row(
            f"the same, over its products and one eigenproblem, {name}", took / floor, "≤", 1.3,
            f"{took:.1f} s against {floor:.1f} s of the processor",
        )  # fmt: skip
        yield Row(
            f"the same with a base seen before, {name}", again / floor, "≤", 0.5,
            f"{again:.1f} s of the processor",
        )  # fmt: skip


class _Bases:
    """A memory of bases in this process."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def find_basis(self, key: str) -> Any:
        return self._kept.get(key)

    def keep_basis(self, key: str, arrays: Any) -> None:
        self._kept[key] = arrays


def alignment_over_floor(
    W: torch.Tensor, D: torch.Tensor, memory: Any
) -> tuple[float, float, float]:
    """Seconds of the processor: of the products and the eigenproblem that alignment needs, of
    alignment, and of alignment with W's basis in the memory."""
    import numpy as np
    import scipy.linalg

    took, k = processor_time(lambda: _rank(_measure(W, D, memory)))
    again, _ = processor_time(lambda: _measure(W, D, memory))
    w, d = W.numpy(), D.numpy()
    if W.shape[0] < W.shape[1]:
        w, d = w.T, d.T

    def needed() -> None:
        product, change = np.matmul(w.T, w), np.matmul(d.T, d)
        _, vectors = scipy.linalg.eigh(product, driver="evd", check_finite=False)
        top = vectors[:, -k:]
        seen = np.matmul(np.matmul(w, top).T, d)
        np.matmul(seen, top)
        np.matmul(change, top)

    floor, _ = processor_time(needed)
    return floor, took, again


def _rank(rows: Any) -> int:
    return next(int(row.value) for row in rows if row.metric == "rank_k")


def _measure(W: torch.Tensor, D: torch.Tensor, memory: Any = None) -> Any:
    """All measures of one matrix, the basis of W included."""
    from core.analyses.alignment import AlignmentParameters
    from core.models.pieces import Piece
    from core.statistics import overlap
    from core.weights import bases, linalg

    p = AlignmentParameters()
    whole = linalg.working(W[None])
    piece = Piece(tensor="w", module="up", layer=0, shape=tuple(W.shape), rows=((0, W.shape[0]),))
    known = bases.solve(whole, memory=memory or _Bases(), base="base", piece=piece)
    basis = linalg.basis_of(whole, known, energy=p.energy, rank=p.rank)
    update = linalg.working(D[None])
    product = linalg.gram(update)
    rows, _ = overlap.measure(
        basis, update, product, amplified=p.amplified, intruders_of=p.intruders_of, match=p.match
    )()
    return rows[0]


def _error(
    W: torch.Tensor, D: torch.Tensor, U: torch.Tensor, s: torch.Tensor, Vt: torch.Tensor
) -> float:
    by_metric = {row.metric: row.value for row in _measure(W, D)}
    k = int(by_metric["rank_k"] or 0)
    norm = D.double().norm()
    written, read = U[:, :k].T @ D, D @ Vt[:k].T
    core = written @ Vt[:k].T
    truth = {
        "write": written.double().norm() / norm,
        "read": read.double().norm() / norm,
        "two_sided": core.double().norm() / norm,
        "gain": (s[:k].double() * core.diagonal().double()).sum() / s[:k].double().square().sum(),
    }
    return max(abs(float(v) - (by_metric[m] or 0.0)) for m, v in truth.items())


def _around(folders: list[Path], scratch: Path) -> Row:
    """What the runner, the storage and the fingerprints add to reading and computing."""
    from core.engine import runner
    from core.study.intake import of_models
    from core.weights import stream as module
    from storage.database import open_database
    from storage.runs import claim, create_run
    from storage.sink import RunSink

    inside = [0.0]
    original = module.read_slice

    def timed(*args: Any, **kwargs: Any) -> None:
        started = time.perf_counter()
        original(*args, **kwargs)
        inside[0] += time.perf_counter() - started

    path = scratch / "bench.db"
    path.unlink(missing_ok=True)
    database = open_database(str(path))
    study = of_models(str(folders[0]), [str(folders[1])])
    run = create_run(database, study, WEIGHTS)
    module.read_slice = timed
    try:
        started = time.perf_counter()
        runner.run(study, RunSink(database, run, claim(database, run)), WEIGHTS)
        total = time.perf_counter() - started
    finally:
        module.read_slice = original
    return Row(
        "runner, storage and fingerprints around the engine, % of a run",
        100 * (total - inside[0]) / total, "≤", 5, f"{total:.0f} s in all, both layers",
    )  # fmt: skip
