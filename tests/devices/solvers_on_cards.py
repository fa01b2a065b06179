"""Large matrices of bfloat16 weights, and heads, are decomposed on a card as in float64.

Run as on_cards.py is.
"""

from __future__ import annotations

import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.models.pieces import Piece
from core.models.transfers import arrived
from core.statistics import overlap
from core.vectors import fused
from core.weights import bases, batches, leading, linalg, narrow, regime
from core.weights.views import MatrixView, UpdateView
from tests.benchmarks import cards, workload
from tests.conftest import MemorySink
from tests.core import oracle
from tests.devices import __main__ as command

PRETENDED: Any = sys.modules.get("tests.devices.pretended")
CARD = torch.device("cuda", torch.cuda.device_count() - 1)


def _ledger() -> Any:
    return PRETENDED.cards() if PRETENDED else nullcontext()


def _pair(shape: tuple[int, int], kind: str) -> tuple[torch.Tensor, torch.Tensor]:
    """W and W + Δ, bfloat16."""
    g = torch.Generator().manual_seed(0)
    W, D = torch.randn(*shape, generator=g), 0.05 * torch.randn(*shape, generator=g)
    if kind == "falling":
        W *= torch.logspace(0, -3, shape[1])
        D *= torch.logspace(0, -2, shape[1])
    if kind == "rank 3":
        D = D[:, :3] @ torch.randn(3, shape[1], generator=g)
    return W.bfloat16(), (W + D).bfloat16()


@pytest.fixture
def views(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A matrix and its update on a card, in float32 as large ones are."""
    monkeypatch.setattr(linalg, "EXACT_ELEMENTS", 0)

    def made(W: torch.Tensor, T: torch.Tensor) -> tuple[MatrixView, UpdateView]:
        rows, columns = W.shape
        piece = Piece(tensor="w", module="up", layer=0, shape=(rows, columns), rows=((0, rows),))
        solve = partial(bases.solve, memory=MemorySink(), base="", piece=piece, terms=1)
        base = W.to(CARD).float()
        return (
            MatrixView(piece, base, solve, terms=1),
            UpdateView("t", T.to(CARD).float() - base, None, True),
        )

    return made


@pytest.mark.parametrize(("shape", "kind"), [((600, 516), "falling"), ((516, 540), "rank 3")])
def test_a_large_matrix_is_aligned_as_by_svds_in_float64(
    shape: tuple[int, int], kind: str, views: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    W, T = _pair(shape, kind)
    truth = oracle.alignment(W.double().numpy(), T.double().numpy() - W.double().numpy(), r=3)
    terms: list[int] = []
    split = narrow.split
    monkeypatch.setattr(narrow, "split", lambda m, n=3: terms.append(n) or split(m, n))
    matrix, update = views(W, T)
    with _ledger() as ledger:
        basis = matrix.basis(0.9, None)
        take = overlap.measure(
            basis, update.working, update.gram, amplified=3, intruders_of=10, match=0.5,
            directions=update.directions,
        )  # fmt: skip
        stable = update.spectrum.stable_rank()
        arrived(CARD)
        measured = {row.metric: row.value for row in take()[0][0]}
    for metric, value in truth.items():
        # The factor is a quotient of norms: relative to itself.
        scale = max(1.0, value) if metric == "amplification" else 1.0
        assert measured[metric] == pytest.approx(value, abs=1e-4 * scale), metric
    D = T.double() - W.double()
    assert float(stable) == pytest.approx(
        float(D.square().sum() / torch.linalg.matrix_norm(D, 2) ** 2), rel=1e-5
    )
    if narrow.pays(basis.matrix, basis.matrix.mT):
        assert terms[:2] == [1, 2]  # W and its change, exactly
    if ledger is not None:
        solves, waits = ledger.by_function("solves"), ledger.by_function("waits")
        # A step for each wait, and two before the first.
        steps = solves.pop("weights/leading.py _ritz")
        assert steps == waits.pop("weights/leading.py top") + 2
        # Of W with all vectors, of Δ without, and of the block that has the leading directions.
        assert solves == {"weights/linalg.py _eigh": 2, "weights/linalg.py _eigenvalues": 1}
        del waits["weights/linalg.py basis_of"]
        assert not [where for where in waits if where.startswith(("weights", "statistics"))]


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 6), True)])
def test_cards_that_emulate_bfloat16_iterate_in_float32(
    capability: tuple[int, int], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert linalg._rounds_fast(torch.ones(2, 2, device=CARD)) is fast


def test_the_regime_of_a_large_matrix_is_the_processors(views: Any) -> None:
    W, T = _pair((516, 540), "falling")
    matrix, update = views(W, T)
    asked: dict[str, Any] = {"threshold": 1e-3, "draws": 1}
    delta = T.float() - W.float()
    expected = regime.measure(regime.Before.of(W.float(), 16), delta, **asked)()
    with _ledger() as ledger:
        before = regime.Before.of(matrix.matrix, 16, None, matrix.terms)
        take = regime.measure(before, update.delta, **asked, narrow=True)
        misses = regime._only_draw.cache_info().misses
        regime.measure(before, update.delta, **asked, narrow=True)
        assert regime._only_draw.cache_info().misses == misses  # the numbers are cached
        arrived(CARD)
    if ledger is not None:  # angles are computed on the host
        waits = ledger.by_function("waits")
        assert {where for where in waits if where.startswith("weights/regime")} == {
            "weights/regime.py of"
        }
        assert not [where for where in ledger.solves if where.startswith("weights/regime")]
        assert not ledger.pageable
    for name, (value, drawn) in take().items():
        for each, other in zip(
            [value, *drawn], [expected[name][0], *expected[name][1]], strict=True
        ):
            assert each == pytest.approx(other, rel=1e-3, abs=1e-5), name


def test_a_block_that_does_not_converge_is_decomposed_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    g = torch.Generator().manual_seed(0)
    matrix = torch.randn(1, 520, 520, generator=g)
    update = matrix.to(CARD)
    product = linalg.gram(update)
    monkeypatch.setattr(leading, "ROUNDS", 1)
    with _ledger() as ledger:
        left = linalg.directions(update, product, 4).left.cpu()
    truth = torch.linalg.svd(matrix.double()).U[..., :4]
    assert torch.allclose((truth.mT @ left.double()).abs(), torch.eye(4).double(), atol=1e-3)
    assert ledger is None or ledger.by_function("solves")["weights/linalg.py _eigh"] == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_heads_are_solved_on_the_host(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "ONE_BY_ONE", True)
    g = torch.Generator().manual_seed(0)
    heads = torch.randn(5, 40, 60, generator=g, dtype=dtype)
    heads[1] = heads[1, :, :1] @ heads[1, :1]
    heads[2] = 0
    product = (heads @ heads.mT).to(CARD)
    assert batches.applies(product)
    with _ledger() as ledger:
        values, vectors = batches.eigh(product)
    assert values.device == vectors.device == CARD
    truth = torch.linalg.eigvalsh(heads.double() @ heads.double().mT)
    scale = truth.amax(-1, keepdim=True).clamp_min(1)
    assert float(((values.cpu().double() - truth) / scale).abs().max()) < 1e-6
    back = (vectors * values[:, None]) @ vectors.mT
    assert torch.allclose(back.cpu(), product.cpu(), atol=1e-5 * float(truth.max()))
    if ledger is not None:
        assert ledger.waits.total() == 1
        assert not ledger.pageable
        assert not ledger.solves


@pytest.mark.skipif(not PRETENDED, reason="`make gpu` itself")
def test_make_gpu_writes_its_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in (("HIDDEN", 48), ("INTERMEDIATE", 80), ("KEY_VALUE", 16)):
        monkeypatch.setattr(workload, name, value)
    small = {"hidden_size": 48, "intermediate_size": 80, "num_attention_heads": 6}
    monkeypatch.setattr(workload, "CONFIG", {**workload.CONFIG, **small, "num_key_value_heads": 2})
    monkeypatch.setattr(cards, "HEADS", 2)
    monkeypatch.setattr(cards, "MATRICES", 2)
    monkeypatch.setattr(cards, "SHAPE", (80, 48))
    monkeypatch.setattr(torch, "compile", None)  # a mix tells in its row that it can't compile
    asked: list[fused.Key] = []
    prepare = fused.Kernels.prepare
    monkeypatch.setattr(
        fused.Kernels, "prepare", lambda self, key: asked.append(key) or prepare(self, key)
    )
    monkeypatch.setattr(cards, "best", lambda work, times=1: (work(), 1.0)[1])
    done = SimpleNamespace(stdout="PASSED a::b\nnot shown\nFAILED c::d\n", returncode=1)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: done)
    page = tmp_path / "gpu.md"
    monkeypatch.setattr("sys.argv", ["devices", "--write", str(page)])
    assert command.main() == 1
    text = page.read_text()
    assert "```text\nPASSED a::b\nFAILED c::d\n```" in text
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")][2:]
    assert len({row[0] for row in rows}) == len(rows) == 17
    errors = [row for row in rows if "largest" in row[0]]
    assert [row[3] for row in errors] == 5 * ["yes"]  # times mean nothing here
    assert len(set(asked)) == 1  # the kernel that was waited for is the one that writes


@pytest.mark.skipif(not PRETENDED, reason="a real card has the memory")
def test_a_benchmark_that_fails_ends_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def lacking(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    for name, value in (("HIDDEN", 48), ("INTERMEDIATE", 80)):
        monkeypatch.setattr(workload, name, value)
    monkeypatch.setattr(cards, "HEADS", 2)
    monkeypatch.setattr(cards, "family", lambda *_, **__: [])
    failing = ("_passes", "_products", "_eigenproblems", "_two", "_alignment", "mix")
    for name in failing:
        monkeypatch.setattr(cards, name, lacking)
    rows = list(cards.rows(tmp_path, CARD))
    failed = [row for row in rows if row.note == "CUDA out of memory."]
    assert (len(rows), len(failed)) == (len(failing) + 1, len(failing))
    assert not any(row.met for row in failed)
