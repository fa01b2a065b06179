"""The compiled loops against brute force in float64, and against the loops without numba."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import RunError
from core.models.checkpoint import TensorInfo
from core.models.pieces import Piece
from core.vectors.arithmetic import parse
from core.vectors.blocks import Block, Workspace
from core.vectors.combination import Rounding, VectorCombination
from core.weights import loops
from core.weights.moments import MemberTensor, Moments, accumulate
from core.weights.pairs import Pairing

pytest.importorskip("numba")

BF16, F16, F32, F64 = torch.bfloat16, torch.float16, torch.float32, torch.float64
FORMS = [
    (BF16, BF16, BF16), (F16, F16, F16), (F32, F32, F32), (BF16, F32, F16), (F32, BF16, F64),
]  # fmt: skip


@pytest.fixture(params=["compiled", "numpy"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to the same numbers."""
    monkeypatch.setattr(loops, "WORTH", 0)
    if request.param == "numpy":
        monkeypatch.setattr(loops, "compiled", lambda elements: None)
    else:
        assert loops.compiled(0) is not None
    return str(request.param)


def _weights(dtypes: tuple[torch.dtype, ...], rows: int, width: int) -> list[Tensor]:
    g = torch.Generator().manual_seed(rows + width)
    base = torch.randn(rows, width, generator=g).mul_(0.02)
    base[:1] *= 1e-6  # float16 holds them below its normal numbers
    tuned = [
        base + torch.randn(rows, width, generator=g).mul_(0.001) * (i + 1)
        for i in range(len(dtypes) - 1)
    ]
    return [t.to(dtype) for t, dtype in zip([base, *tuned], dtypes, strict=True)]


def _member(tensor: Tensor, *, is_update: bool = False) -> MemberTensor:
    """A tensor in memory, read as a checkpoint reads: into the buffer, if it is large enough."""

    def read(start: int, stop: int, into: Tensor | None) -> Tensor:
        rows = tensor[start:stop]
        if into is None or into.numel() < rows.nbytes or not rows.numel():
            return rows.clone()
        out = into[: rows.nbytes].view(tensor.dtype).view(rows.shape)
        return out.copy_(rows)

    return MemberTensor(read, is_update)


def _sums(
    stored: list[Tensor],
    updates: tuple[int, ...] = (),
    relative: tuple[tuple[int, int], ...] = (),
    pairing: Pairing | None = None,
) -> Moments:
    """The moments of the first tensor and of the others against it."""
    names = [f"m{i}" for i in range(len(stored) - 1 + len(relative))]
    members = [_member(t, is_update=i in updates) for i, t in enumerate(stored)]
    rows = [(0, len(stored[0]))] if len(stored[0]) else []
    with ThreadPoolExecutor(2) as pool:
        return accumulate(
            names, members[0], members[1:], rows, stored[0].shape[1], pool, 2, relative,
            pairing,
        )  # fmt: skip


@pytest.mark.parametrize("dtypes", FORMS, ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (7, 293), (1201, 1031)], ids=str)
def test_moments_are_those_of_float64(
    dtypes: tuple[torch.dtype, ...], shape: tuple[int, int], path: str
) -> None:
    stored = _weights(dtypes, *shape)
    moments = _sums(stored, relative=((1, 2),))
    base = stored[0].float()
    deltas = [t.float() - base for t in stored[1:]]
    truth = torch.stack([t.double().reshape(-1) for t in (base, *deltas, deltas[0] - deltas[1])])
    gram = (truth @ truth.T).numpy()
    norms = np.sqrt(gram.diagonal())
    assert np.allclose(np.sqrt(moments.gram.diagonal()), norms, rtol=1e-7)
    cosines = np.abs(moments.gram - gram) / np.outer(norms, norms).clip(1e-300)
    assert cosines.max() <= 1e-6
    assert np.array_equal(moments.gram, moments.gram.T)
    assert moments.size == base.numel()
    assert list(moments.changed) == [*((truth[1:3] != 0).sum(1)), 0]
    assert list(moments.largest) == [*truth[1:3].abs().amax(1), 0]
    octaves = np.exp2(np.frexp(truth[0].numpy())[1] - 1.0) * (truth[0].numpy() != 0)
    mantissa = {BF16: 2.0**-7, F16: 2.0**-10, F32: 2.0**-23, F64: 0.0}
    expected = [np.square(octaves).sum() * mantissa[d] ** 2 / 12 for d in dtypes[1:]]
    assert np.allclose(moments.rounding, [*expected, 0], rtol=1e-6, atol=0)


def test_an_update_counts_as_it_is_stored(path: str) -> None:
    stored = _weights((BF16, F32, BF16), 9, 501)
    moments = _sums(stored, updates=(1,))
    delta = stored[1].double()
    assert np.isclose(moments.gram[1, 1], delta.square().sum().item(), rtol=2e-7)
    assert moments.largest[0] == delta.abs().max().item()
    assert np.isnan(moments.rounding[0])
    assert moments.rounding[1] > 0


def test_an_empty_tensor_has_no_moments(path: str) -> None:
    moments = _sums([torch.empty(0, 8, dtype=BF16)] * 2)
    assert moments.size == 0
    assert np.count_nonzero([*moments.gram.flat, *moments.changed, *moments.largest]) == 0


@pytest.mark.parametrize("top", [0.2, 1e-9])
@pytest.mark.parametrize("dtypes", [(BF16, BF16, BF16), (F32, F16, F32)], ids=str)
def test_sums_of_pairs_are_those_of_float64(
    dtypes: tuple[torch.dtype, ...], top: float, path: str
) -> None:
    stored = _weights((*dtypes, BF16), 311, 1031)
    stored[2][5:] = stored[0][5:]  # its large elements are fewer than the share
    pairing = Pairing(("m2", "m0", "m1"), top)
    pairs = _sums(stored, pairing=pairing).pairs
    assert pairs is not None
    deltas = [(stored[i].float() - stored[0].float()).double().abs().flatten() for i in (3, 1, 2)]
    for i, a in enumerate(deltas):
        for j, b in enumerate(deltas):
            sums = pairs.of(pairing.models[i], pairing.models[j])
            assert sums["magnitude"] == pytest.approx(float(a @ b), rel=1e-6)
            assert sums["square"] == pytest.approx(float((a * b).square().sum()), rel=1e-6)
            large = [(x >= x.sort().values[-max(1, round(top * len(x)))]) & (x > 0) for x in (a, b)]
            assert sums["both"] == int((large[0] & large[1]).sum())
            assert (sums["a"], sums["b"]) == tuple(int(each.sum()) for each in large)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [BF16, F16, F32])
@pytest.mark.parametrize("row", [0, 1])
def test_values_that_are_not_finite_are_found(
    row: int, dtype: torch.dtype, value: float, path: str
) -> None:
    stored = _weights((dtype, dtype), 5, 777)
    stored[row][3, 500] = value
    moments = _sums(stored)
    assert [moments.finite(0), moments.finite(1)] == [row == 1, False]


def test_equal_values_of_both_signs_of_zero_are_no_change(path: str) -> None:
    base = torch.zeros(3, 33, dtype=BF16)
    moments = _sums([base, -base])
    assert np.count_nonzero([*moments.gram.flat, *moments.changed, *moments.largest]) == 0


def _point(setting: str, stored: list[Tensor], out: torch.dtype) -> tuple[Tensor, Rounding]:
    names = [f"m{i}" for i in range(len(stored) - 1)]
    tuned = dict(zip(names, (t.view(-1) for t in stored[1:]), strict=True))
    size = stored[0].numel()
    piece = Piece(tensor="w", module="q", layer=0, expert=None, shape=(size, 1), rows=((0, size),))
    source: Any = SimpleNamespace(
        base=lambda block, space: stored[0].view(-1), tuned=lambda v, block, space: tuned[v]
    )
    block = Block("w", 0, size, TensorInfo(stored[0].dtype, (size,)).columns, tuple(names), "", 0)
    made = torch.empty(size, dtype=out)
    point = VectorCombination(parse(setting, names), pieces=[piece])
    return made, point.write(block, source, made, Workspace())


@pytest.mark.parametrize("dtypes", FORMS, ids=str)
@pytest.mark.parametrize("setting", ["m0=0.3,m1=-1.7", "m0=0.55", "m1=1"])
@pytest.mark.parametrize("out", [BF16, F32, F16], ids=str)
def test_a_point_is_the_same_compiled_or_not(
    dtypes: tuple[torch.dtype, ...], setting: str, out: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = _weights(dtypes, 3, 1777)
    monkeypatch.setattr(loops, "WORTH", 0)
    assert loops.compiled(0) is not None
    made, rounding = _point(setting, stored, out)
    monkeypatch.setattr(loops, "compiled", lambda elements: None)
    plain, expected = _point(setting, stored, out)
    bits = torch.int32 if out == F32 else torch.int16
    assert torch.equal(made.view(bits), plain.view(bits))
    assert np.isclose(rounding.lost, expected.lost, rtol=1e-6, atol=0)
    assert np.isclose(rounding.changed, expected.changed, rtol=1e-6, atol=0)


@pytest.mark.parametrize("value", [3e38, -np.inf, np.nan])
def test_a_point_that_is_not_finite_is_refused(value: float, path: str) -> None:
    stored = _weights((BF16, BF16), 2, 999)
    stored[1][1, 50] = value
    with pytest.raises(RunError, match="not finite"):
        _point("m0=5", stored, BF16)


def test_large_changes_do_not_overflow_their_sum(path: str) -> None:
    stored = _weights((BF16, BF16), 2, 999)
    stored[1][1, 50] = 3e20  # its square is beyond float32
    _, rounding = _point("m0=0.5", stored, BF16)
    assert np.isclose(rounding.changed, (0.5 * stored[1][1, 50].double().item()) ** 2, rtol=1e-2)


def test_without_numba_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "numba", None)
    loops._load.cache_clear()
    try:
        assert loops.compiled(loops.WORTH) is None
    finally:
        loops._load.cache_clear()
    assert loops.compiled(loops.WORTH - 1) is None
