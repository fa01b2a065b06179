"""Blocks of weights against brute force in numpy: sums, TIES, DARE, and what must be exact."""

from __future__ import annotations

import itertools
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._inductor import config, metrics
from torch._inductor.utils import run_and_get_code
from torch.utils._python_dispatch import TorchDispatchMode

from core.errors import RunError
from core.models.checkpoint import TensorInfo
from core.models.pieces import Piece
from core.vectors import drops, matrices
from core.vectors.arithmetic import ArithmeticPoint, parse
from core.vectors.blocks import Block, Workspace, cut
from core.vectors.combination import Rounding, VectorCombination
from core.vectors.fused import Form, Kernels, Key
from core.vectors.selection import find_marks, threshold

KNOWN = ("a", "b", "c")
NAME = "model.layers.0.self_attn.q_proj.weight"


class _Held:
    """A source of tensors in memory."""

    def __init__(self, base: torch.Tensor, tuned: Mapping[str, torch.Tensor]) -> None:
        self._base, self._tuned = base, tuned

    def base(self, block: Block, space: Workspace) -> torch.Tensor:
        return self._base.view(-1)[block.elements]

    def tuned(self, vector: str, block: Block, space: Workspace) -> torch.Tensor:
        return self._tuned[vector].view(-1)[block.elements]


def _family(dtype: torch.dtype = torch.float32, rows: int = 40) -> Any:
    g = torch.Generator().manual_seed(0)
    base = torch.randn(rows, 8, generator=g)
    tuned = {n: (base + 0.1 * torch.randn(rows, 8, generator=g)).to(dtype) for n in KNOWN}
    return base.to(dtype), tuned


def _combine(
    point: ArithmeticPoint, base: torch.Tensor, tuned: Mapping[str, torch.Tensor], *,
    size: int = 64,
    dtype: torch.dtype | None = None,
    measured: bool = True,
    kernels: Kernels | None = None,
    module: str = "q",
) -> tuple[torch.Tensor, Rounding]:  # fmt: skip
    """A point over one tensor, cut into blocks of `size` elements."""
    shape = tuple(base.shape)
    piece = Piece(tensor=NAME, module=module, layer=0, shape=shape, rows=((0, shape[0]),))
    infos = {n: {NAME: TensorInfo(t.dtype, tuple(t.shape))} for n, t in tuned.items()}
    blocks = list(cut([piece], {NAME: TensorInfo(base.dtype, shape)}, infos, {NAME}, size))
    assert [b.start for b in blocks[1:]] == [b.stop for b in blocks[:-1]]
    assert (blocks[0].start, blocks[-1].stop) == (0, shape[0])
    source, space = _Held(base, tuned), Workspace()
    made = VectorCombination(
        point, find_marks(point, blocks, source, 2), [piece],
        finite=kernels is not None, kernels=kernels,
    )  # fmt: skip
    out = torch.empty(shape, dtype=dtype or base.dtype)
    rounding = Rounding()
    made.prepare(blocks, source)
    for block in blocks:
        target = out.view(-1)[block.elements]
        rounding += made.write(block, source, target, space, measured=measured)
    return out, rounding


def _trim(vector: Any, density: float) -> Any:
    """The largest of a vector, by sorting them all."""
    magnitudes = np.sort(np.abs(vector).reshape(-1))[::-1][: max(1, round(density * vector.size))]
    return np.where(np.abs(vector) >= magnitudes[-1], vector, 0)


def _disjoint_mean(votes: list[Any]) -> Any:
    """Element by element, as the paper says it."""
    out = np.zeros_like(votes[0])
    for place in np.ndindex(out.shape):
        values = [float(v[place]) for v in votes]
        mass = sum(values)
        agreeing = [v for v in values if v * mass > 0]
        out[place] = sum(agreeing) / len(agreeing) if agreeing else 0
    return out


def _double(tensor: torch.Tensor) -> Any:
    return tensor.double().numpy()


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("terms", ["a=1", "a=1,b=1", "a=0.5,b=-1,c=2"])
def test_ties_is_trimming_election_and_disjoint_mean(density: float, terms: str) -> None:
    base, tuned = _family()
    point = parse(f"ties(density={density}):{terms}", KNOWN)
    votes = [
        value * _trim(_double(tuned[n]) - _double(base), density) for n, value in point.coefficients
    ]
    expected = _double(base) + _disjoint_mean(votes)
    assert _double(_combine(point, base, tuned)[0]) == pytest.approx(expected, abs=1e-6)


@given(
    st.lists(st.floats(-(2.0**90), 2.0**90, width=32), min_size=1, max_size=60),
    st.floats(0.01, 1),
    st.integers(1, 9),
)
def test_a_threshold_is_that_of_sorting(values: list[float], density: float, size: int) -> None:
    tuned = torch.tensor(values)
    blocks = [
        Block(NAME, start, min(start + size, len(values)), 1, ("a",), "", 0)
        for start in range(0, len(values), size)
    ]
    mark = threshold("a", density, blocks, _Held(torch.zeros(len(values)), {"a": tuned}), 2)
    largest = np.sort(np.abs(np.array(values, np.float32)))[::-1]
    assert mark == largest[max(1, round(density * len(values))) - 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("base", "base"), ("a=1", "a"), ("removal:a=1", "base"), ("removal:a=0", "a"),
        ("transfer:b+a=0", "b"), ("transfer:b+b=-1", "base"),
        ("ties(density=1):b=1", "b"), ("dare(density=1):c=1", "c"),
        ("dare_ties(density=1):c=1", "c"), ("della(density=1,epsilon=0):c=1", "c"),
        ("sce:c=1", "c"),
    ],
)  # fmt: skip
def test_what_must_come_back_does_so_bit_for_bit(
    dtype: torch.dtype, text: str, same_as: str
) -> None:
    base, tuned = _family(dtype)
    base[0] += 1000
    out, rounding = _combine(parse(text, KNOWN), base, tuned)
    assert torch.equal(out, {"base": base, **tuned}[same_as])
    assert rounding.share is None if same_as == "base" else (rounding.share or 0) < 1e-6


def test_float32_alone_would_not_bring_the_tuned_model_back() -> None:
    """Why a whole vector is copied and not added."""
    base, tuned = _family()
    base[0] += 1000
    assert not torch.equal(base + (tuned["a"] - base), tuned["a"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("text", ["a=0.7", "a=0.7,b=-0.4", "removal:c=0.3", "transfer:b+a=0.5"])
def test_sums_are_in_float32_and_rounded_once(dtype: torch.dtype, text: str) -> None:
    base, tuned = _family(dtype)
    point = parse(text, KNOWN)
    start = base.float().numpy()
    update = np.zeros_like(start)
    for name, value in point.terms:
        update += np.float32(value) * (tuned[name].float().numpy() - start)
    out, rounding = _combine(point, base, tuned)
    assert torch.equal(out, torch.from_numpy(start + update).to(dtype))
    exact = _double(base) + sum(v * (_double(tuned[n]) - _double(base)) for n, v in point.terms)
    share = np.linalg.norm(_double(out) - exact) / np.linalg.norm(exact - _double(base))
    assert rounding.share == pytest.approx(share, rel=1e-3, abs=2e-6)


@pytest.mark.parametrize(
    "text",
    [
        "a=0.7,b=0.2,c=-1", "ties:a=1,b=1,c=1", "dare:a=1,b=1", "dare_ties:a=1,b=1,c=1",
        "della:a=1,b=1,c=1", "della_linear:a=1,b=-1", "breadcrumbs:a=1,b=1", "sce:a=1,b=1,c=1",
        "iso_c:a=1,b=1", "tsv_m:a=1,b=1,c=-1",
    ],
)  # fmt: skip
def test_nothing_depends_on_how_a_tensor_is_cut(text: str) -> None:
    base, tuned = _family(rows=37)
    point = parse(text, KNOWN)
    whole, _ = _combine(point, base, tuned, size=1 << 20)
    for size in (8, 24, 104):
        assert torch.equal(_combine(point, base, tuned, size=size)[0], whole)


@settings(max_examples=20)
@given(st.floats(-3, 3), st.floats(-3, 3))
def test_the_order_of_two_vectors_does_not_matter(one: float, other: float) -> None:
    base, tuned = _family()
    swapped = {"a": tuned["b"], "b": tuned["a"], "c": tuned["c"]}
    for method in ("", "ties(density=0.5):"):
        given = parse(f"{method}a={one},b={other}", KNOWN)
        turned = parse(f"{method}a={other},b={one}", KNOWN)
        assert torch.equal(_combine(given, base, tuned)[0], _combine(turned, base, swapped)[0])


def test_dare_keeps_a_share_and_scales_it_up() -> None:
    base = torch.zeros(4000, 8)
    tuned = {"a": torch.ones(4000, 8), "b": torch.ones(4000, 8), "c": base}
    out, _ = _combine(parse("dare(density=0.25):a=1", KNOWN), base, tuned)
    assert set(out.flatten().tolist()) == {0.0, 4.0}
    share = float((out != 0).float().mean())
    assert share == pytest.approx(0.25, abs=5 * (0.25 * 0.75 / 32000) ** 0.5)
    assert float(out.mean()) == pytest.approx(1, abs=0.05)
    again, _ = _combine(parse("dare(density=0.25):a=1", KNOWN), base, tuned)
    assert torch.equal(out, again)
    other, _ = _combine(parse("dare(density=0.25,seed=1):a=1", KNOWN), base, tuned)
    another, _ = _combine(parse("dare(density=0.25):b=1", KNOWN), base, tuned)
    for mask in (other, another):
        both = float(((out != 0) & (mask != 0)).float().mean())
        assert both == pytest.approx(0.0625, abs=0.01), "independent of seed and vector"


def test_dare_is_the_vector_in_the_mean_over_seeds() -> None:
    base, tuned = _family(rows=10)
    points = [parse(f"dare(density=0.5,seed={seed}):a=1,b=1", KNOWN) for seed in range(400)]
    mean = torch.stack([_combine(p, base, tuned)[0] for p in points]).mean(0)
    exact = base + (tuned["a"] - base) + (tuned["b"] - base)
    assert float((mean - exact).abs().max()) < 6 * 0.45 / 400**0.5


def test_rows_that_a_vector_lacks_are_the_base_s() -> None:
    base, tuned = _family()
    tuned["b"] = tuned["b"][:25]
    tuned["c"] = torch.cat([tuned["c"], torch.full((5, 8), 9.0)])
    out, _ = _combine(parse("a=1,b=1,c=1", KNOWN), base, tuned, size=56)
    deltas = {n: t[:40] - base[: len(t)] for n, t in tuned.items()}
    assert torch.equal(out[:25], base[:25] + (deltas["a"][:25] + deltas["b"] + deltas["c"][:25]))
    assert torch.equal(out[25:], base[25:] + (deltas["a"][25:] + deltas["c"][25:]))
    alone, _ = _combine(parse("b=1", KNOWN), base, tuned, size=56)
    assert torch.equal(alone, torch.cat([tuned["b"], base[25:]]))


@pytest.mark.parametrize(
    ("text", "where", "value", "dtype"),
    [
        ("a=1e39", None, 0.0, torch.float32),
        ("a=1,b=1", "a", float("nan"), torch.float32),
        ("a=1", "a", float("inf"), torch.bfloat16),
        ("a=0.5", "base", float("inf"), torch.bfloat16),
        ("a=1e6", None, 0.0, torch.float16),
        ("ties:a=1,b=1", "b", float("nan"), torch.float32),
        ("sce:a=1,b=1", "b", float("nan"), torch.float32),
        ("breadcrumbs:a=1,b=1", "b", float("nan"), torch.float32),
        ("iso_c:a=1,b=1", "b", float("nan"), torch.float32),
        ("tsv_m:a=1,b=1", "a", float("inf"), torch.bfloat16),
    ],
)
def test_values_that_are_not_finite_name_tensor_and_point(
    text: str, where: str | None, value: float, dtype: torch.dtype
) -> None:
    base, tuned = _family(dtype)
    if where:
        {"base": base, **tuned}[where][3, 4] = value
    point = parse(text, KNOWN)
    with pytest.raises(RunError) as error:
        _combine(point, base, tuned)
    assert point.setting in error.value.title
    assert NAME in error.value.title


def test_huge_but_finite_changes_are_no_error() -> None:
    base = torch.zeros(2, 8)
    out, rounding = _combine(parse("a=1", KNOWN), base, {"a": torch.full((2, 8), 1e30)})
    assert torch.isfinite(out).all()
    assert rounding.share == 0


def test_another_dtype_loses_what_rounding_to_it_takes() -> None:
    base, tuned = _family()
    out, rounding = _combine(parse("a=1", KNOWN), base, tuned, dtype=torch.bfloat16)
    assert torch.equal(out, tuned["a"].bfloat16())
    lost = (out.double() - tuned["a"].double()).norm() / (tuned["a"] - base).double().norm()
    assert rounding.share == pytest.approx(float(lost), rel=1e-4)


def test_random_numbers_are_numpy_s_on_every_device_and_placed() -> None:
    whole = drops.draws("x", 0, 1 << 16)
    for first, size in ((0, 1 << 16), (0, 1), (1, 7), (9, 100), (4097, 8)):
        expected = whole[first : first + size]
        assert (drops.draws("x", first, size) == expected).all()
        computed = drops.numbers("x", first, size, torch.device("cpu"))
        assert (computed.numpy() == expected.astype(np.int64)).all()
    far = (1 << 40) + 3  # beyond 32 bits of a count
    computed = drops.numbers("y", far, 64, torch.device("cpu"))
    assert (computed.numpy() == drops.draws("y", far, 64)).all()


def test_drops_look_random() -> None:
    """A share of 0.3, its neighbours, vectors, seeds and rows of 64, against chance: with 1 << 18
    draws of fixed seeds, each statistic lies within 4 standard deviations."""
    size, share = 1 << 18, 0.3
    streams = ("0|a|0.q.weight", "0|b|0.q.weight", "1|a|0.q.weight", "0|a|1.q.weight")
    drawn = {name: drops.draws(name, 0, size) for name in streams}
    staying = {name: (each < share * 2**32).astype(float) - share for name, each in drawn.items()}
    unit = share * (1 - share)
    for name, each in staying.items():
        assert abs(each.mean()) < 4 * (unit / size) ** 0.5
        for lag in (1, 2, 4, 8, 64):
            assert abs((each[:-lag] * each[lag:]).mean()) < 4 * unit / (size - lag) ** 0.5
        rows = each.reshape(-1, 64).sum(0) ** 2 / (unit * size / 64)
        assert abs(rows.sum() - 64) < 4 * (2 * 64) ** 0.5
        for bits in (drawn[name] >> 24, drawn[name] & 255):
            counts = np.bincount(bits, minlength=256)
            chi = ((counts - size / 256) ** 2).sum() / (size / 256)
            assert abs(chi - 255) < 4 * (2 * 255) ** 0.5
    for one, other in itertools.combinations(staying.values(), 2):
        assert abs((one * other).mean()) < 4 * unit / size**0.5


@pytest.mark.parametrize("size", [1, 8, 77])
def test_flags_come_back_from_bits(size: int) -> None:
    flags = torch.rand(size, generator=torch.Generator().manual_seed(size)) < 0.5
    bits = drops.packed(flags)
    assert bits.dtype == torch.uint8
    assert bits.numpy().tolist() == np.packbits(flags.numpy(), bitorder="little").tolist()
    assert torch.equal(drops.unpacked(bits, size), flags)


@pytest.mark.parametrize("text", ["iso_c:a=1", "iso_c:a=0.5,b=-1,c=2"])
def test_iso_c_gives_the_sum_one_singular_value(text: str) -> None:
    base, tuned = _family()
    point = parse(text, KNOWN)
    total = sum(value * (_double(tuned[n]) - _double(base)) for n, value in point.coefficients)
    u, s, v = np.linalg.svd(total, full_matrices=False)
    expected = _double(base) + s.mean() * u @ v
    assert _double(_combine(point, base, tuned)[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("text", ["tsv_m:a=1", "tsv_m:a=1,b=1", "tsv_m:a=0.5,b=-1,c=2"])
def test_tsv_m_makes_the_top_directions_of_all_orthogonal(text: str) -> None:
    base, tuned = _family()
    point = parse(text, KNOWN)
    left, middle, right = [], [], []
    count = 8 // len(point.coefficients)
    for name, value in point.coefficients:
        u, s, v = np.linalg.svd(value * (_double(tuned[name]) - _double(base)), full_matrices=False)
        left.append(u[:, :count])
        middle.append(s[:count])
        right.append(v[:count].T)
    turned = []
    for side in (left, right):
        p, _, q = np.linalg.svd(np.concatenate(side, 1), full_matrices=False)
        turned.append(p @ q)
    expected = _double(base) + turned[0] * np.concatenate(middle) @ turned[1].T
    assert _double(_combine(point, base, tuned)[0]) == pytest.approx(expected, abs=1e-6)


def test_directions_that_an_update_lacks_are_not_invented() -> None:
    """Of low rank, equal to one another, and zero."""
    g = torch.Generator().manual_seed(1)
    one, other = (torch.randn(20, 2, generator=g) @ torch.randn(2, 12, generator=g) for _ in "ab")
    for merge in (matrices.isotropic, matrices.separated):
        assert np.linalg.matrix_rank(merge([one, other]).double(), tol=1e-4) == 4
        assert not merge([one * 0, other * 0]).any()
        alone, beside = merge([one]), merge([one, other * 0])
        assert torch.allclose(alone.double(), beside.double(), atol=1e-5)
    assert torch.allclose(matrices.separated([one, one]).to(one), one, atol=1e-5)


def test_what_is_no_matrix_of_a_layer_is_averaged() -> None:
    base, tuned = _family()
    piece = Piece(tensor=NAME, module="embedding", layer=None, shape=(40, 8), rows=((0, 40),))
    info = TensorInfo(base.dtype, (40, 8))
    blocks = list(cut([piece], {NAME: info}, {n: {NAME: info} for n in KNOWN}, {NAME}))
    made = VectorCombination(parse("tsv_m:a=1,b=3", KNOWN), pieces=[piece])
    source = _Held(base, tuned)
    made.prepare(blocks, source)
    out = torch.empty(320)
    made.write(blocks[0], source, out, Workspace())
    expected = base + ((tuned["a"] - base) + 3 * (tuned["b"] - base)) / 2
    assert torch.allclose(out.view(40, 8), expected, atol=1e-6)


@pytest.mark.parametrize(("density", "gamma"), [(0.2, 0.01), (0.5, 0.1), (0.9, 0.1), (0.3, 0)])
def test_breadcrumbs_leave_out_the_largest_and_the_small(density: float, gamma: float) -> None:
    base, tuned = _family()
    point = parse(f"breadcrumbs(density={density},gamma={gamma}):a=1,b=-0.5", KNOWN)
    expected = _double(base)
    for name, value in point.coefficients:
        update = (tuned[name] - base).double().numpy()
        order = np.argsort(-np.abs(update).reshape(-1))
        first = round(gamma * update.size)
        mask = np.zeros(update.size, bool)
        mask[order[first : round((density + gamma) * update.size)]] = True
        expected = expected + value * np.where(mask.reshape(update.shape), update, 0)
    assert _double(_combine(point, base, tuned)[0]) == pytest.approx(expected, abs=1e-6)


def _sce(votes: Any, density: float) -> Any:
    """The merged update by the paper's three steps."""
    spread = votes.var(axis=0)
    least = np.sort(spread.reshape(-1))[::-1][round(density * spread.size) - 1]
    votes = votes * (spread >= least * (1 - 1e-6))
    squares = np.square(votes).sum((1, 2))
    weights = (squares / squares.sum())[:, None, None]
    agreeing = votes * votes.sum(0) > 0
    mass = (weights * agreeing).sum(0)
    return (weights * agreeing * votes).sum(0) / np.where(mass > 0, mass, 1)


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("terms", ["a=1,b=1", "a=0.5,b=-1,c=2"])
def test_sce_selects_calculates_and_erases(density: float, terms: str) -> None:
    base, tuned = _family()
    point = parse(f"sce(density={density}):{terms}", KNOWN)
    votes = np.stack([v * (_double(tuned[n]) - _double(base)) for n, v in point.coefficients])
    result = _double(_combine(point, base, tuned)[0])
    assert result == pytest.approx(_double(base) + _sce(votes, density), abs=1e-6)


@pytest.mark.parametrize("lacking", [False, True])
def test_sce_weighs_vectors_where_both_have_rows(lacking: bool) -> None:
    base, tuned = _family()
    if lacking:
        tuned["a"][:25] = base[:25]  # it changes only rows that the other lacks
    tuned["a"][25:] += 1
    tuned["b"] = tuned["b"][:25]
    votes = np.stack([_double(tuned[n][:25]) - _double(base[:25]) for n in ("a", "b")])
    made = _double(_combine(parse("sce(density=0.5):a=1,b=1", KNOWN), base, tuned)[0])
    assert made[:25] == pytest.approx(_double(base[:25]) + _sce(votes, 0.5), abs=1e-6)
    assert made[25:] == pytest.approx(_double(tuned["a"][25:]), abs=1e-6)


_LINEAR = "a=1,b=-0.5", "dare:a=1,b=1", "della_linear:a=1,b=1", "iso_c:a=1,b=3", "tsv_m:a=1,b=1"


@pytest.mark.parametrize("text", [*_LINEAR, "dare_ties:a=1,b=1", "della:a=1,b=1"])
def test_a_smaller_vocabulary_changes_no_row_that_it_has(text: str) -> None:
    """An embedding: for methods that decide row by row, a lacking row has the others' vectors."""
    base, tuned = _family()
    whole, (first, _) = parse(text, KNOWN), text.split(",")
    expected = _combine(whole, base, tuned, module="embedding")[0][:25]
    alone = _combine(parse(first, KNOWN), base, tuned, module="embedding")[0][25:]
    tuned["b"] = tuned["b"][:25]
    tuned["a"] = torch.cat([tuned["a"], torch.full((5, 8), 9.0)])
    made, _ = _combine(whole, base, tuned, module="embedding")
    assert torch.equal(made[:25], expected)
    assert torch.allclose(made[25:], alone, atol=1e-6)


def test_della_keeps_the_larger_of_a_row_with_the_higher_probability() -> None:
    base = torch.zeros(2000, 8)
    update = torch.tensor([3.0, -1.0, 8.0, -6.0, 2.0, 7.0, -4.0, 5.0]).expand(2000, 8)
    tuned = {"a": base + update, "b": base + update, "c": base}
    out, _ = _combine(parse("della_linear(density=0.4,epsilon=0.3):a=1", KNOWN), base, tuned)
    rank = update[0].abs() - 1
    shares = 0.4 - 0.3 + 0.6 * rank / 7
    frequencies = (out != 0).double().mean(0)
    assert frequencies.numpy() == pytest.approx(shares.numpy(), abs=5 * (0.25 / 2000) ** 0.5)
    assert torch.allclose(out, torch.where(out != 0, update / shares, 0.0), rtol=1e-5)
    both = parse("della(density=0.4,epsilon=0.3):a=1,b=1", KNOWN)
    elected, _ = _combine(both, base, tuned)
    other, _ = _combine(parse("della_linear(density=0.4,epsilon=0.3):b=1", KNOWN), base, tuned)
    agreeing = (out != 0).float() + (other != 0)
    assert torch.allclose(elected, (out + other) / agreeing.clamp_min(1), rtol=1e-5)


def _alike(
    texts: Sequence[str], known: dict[Any, Any], base: torch.Tensor,
    tuned: Mapping[str, torch.Tensor],
) -> None:  # fmt: skip
    """Hold points with a common cache against points without one."""
    shape, infos = tuple(base.shape), {n: {NAME: _info(t)} for n, t in tuned.items()}
    piece = Piece(tensor=NAME, module="q", layer=0, expert=None, shape=shape, rows=((0, shape[0]),))
    blocks = list(cut([piece], {NAME: _info(base)}, infos, {NAME}, 64))
    source, space = _Held(base, tuned), Workspace()
    for text in texts:
        point = parse(text, KNOWN)
        combination = VectorCombination(point, find_marks(point, blocks, source, 2, known))
        out = torch.empty_like(base)
        for block in blocks:
            combination.write(block, source, out.view(-1)[block.elements], space)
        alone, _ = _combine(point, base, tuned)
        assert torch.equal(out.view(torch.uint8), alone.view(torch.uint8)), text


def _info(tensor: torch.Tensor) -> TensorInfo:
    return TensorInfo(tensor.dtype, tuple(tensor.shape))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_della_ranks_a_vector_once_for_all_its_coefficients(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, tuned = _family(dtype)
    tuned["a"][3] = base[3]  # equal ranks
    ranked: list[str] = []
    shares = drops._shares

    def counted(term: Any, block: Any, point: Any) -> Any:
        ranked.append(point.setting)
        return shares(term, block, point)

    monkeypatch.setattr(drops, "_shares", counted)
    lines = [f"della:a={value},b=1" for value in (0.5, 1, -0.3)] + ["della_linear:b=2"]
    blocks, known = 5, dict[Any, Any]()
    _alike(lines, known, base, tuned)
    assert len(ranked) == blocks * (2 + 7)  # of the first point, and of all without a cache
    ranked.clear()
    _alike(["della(seed=1):a=1", "della(seed=1):a=0.1"], known, base, tuned)
    assert len(ranked) == blocks * (1 + 2)
    ranked.clear()
    monkeypatch.setattr("core.models.memory.of_host", lambda: 0)
    _alike(lines, {}, base, tuned)
    assert len(ranked) == blocks * (7 + 7)


def test_cached_drops_take_a_share_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.models.memory.of_host", lambda: 4 * 100)
    cache = drops.Drops(())
    block = Block("t", 0, 1, 8, ("a",), "", 0)
    whole = drops.Dropped(torch.zeros(20, dtype=torch.uint8), torch.zeros(10))
    for vector in KNOWN:
        cache.put(vector, block, whole)
    assert [cache.of(vector, block) is whole for vector in KNOWN] == [True, False, False]
    cache.put("d", block, drops.Dropped(torch.zeros(40, dtype=torch.uint8)))
    assert cache.of("d", block) is not None


def test_della_takes_a_vector_as_one_row() -> None:
    base, info = torch.zeros(1000), TensorInfo(torch.float32, (1000,))
    tuned = {"a": torch.arange(1.0, 1001)}
    piece = Piece(tensor="norm", module="norm", layer=0, shape=(1000,), rows=((0, 1000),))
    (block,) = cut([piece], {"norm": info}, {"a": {"norm": info}}, {"norm"})
    out = torch.empty(1000)
    point = parse("della_linear(density=0.5,epsilon=0.49):a=1", ("a",))
    VectorCombination(point).write(block, _Held(base, tuned), out, Workspace())
    assert (out[:200] != 0).sum() < 40
    assert (out[-200:] != 0).sum() > 160


class _Moved(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of tensors that operations read and write."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0

    def __torch_dispatch__(
        self, called: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        result = called(*args, **given)
        if not called.is_view and "empty" not in called.name():
            # What is written in place is among the arguments and the result.
            read = [each for each in args if isinstance(each, torch.Tensor)]
            read = read[1:] if "copy_" in called.name() else read
            for each in (*read, result):
                self.nbytes += each.nbytes if isinstance(each, torch.Tensor) else 0
        return result


@pytest.mark.parametrize(
    ("terms", "most"), [("a=1", 6), ("a=0.5", 36), ("a=0.5,b=-1", 66), ("a=0.5,b=-1,c=2", 96)]
)
def test_a_point_that_is_not_measured_moves_few_bytes(terms: str, most: int) -> None:
    """Per element of bfloat16: 6 for the base in float32, 18 for the term of each vector and 12 for
    each sum, 10 for the rounded result and 2 for its largest value."""
    base, tuned = _family(torch.bfloat16)
    point = parse(terms, KNOWN)
    counts = []
    for measured in (False, True):
        with _Moved() as moved:
            combined, rounding = _combine(point, base, tuned, size=1 << 20, measured=measured)
        counts.append(moved.nbytes / base.numel())
        wanted = _combine(point, base, tuned)[0]
        assert torch.equal(combined, wanted)
        assert (rounding == Rounding()) is not measured
    assert counts[0] <= most + 0.1
    assert counts[1] > 1.5 * counts[0]


_ON_CPU = {
    "cpp.vec_isa_ok": False, "cpp_cache_precompile_headers": False, "fx_graph_cache": False,
}  # fmt: skip
"""Settings of the compiler under which it takes least time."""


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles kernels for a CPU by g++")
@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a=0.7,b=-0.4", Form(2)),
        ("ties(density=0.3):a=0.7,b=1", Form(2, trims=True, elects=True)),
    ],
)
def test_a_kernel_writes_the_same_bits_in_one_pass(text: str, form: Form) -> None:
    """Counted in the kernel that torch makes for a CPU. For a card it makes one of the same
    operations, loads and stores."""
    base, tuned = _family(torch.bfloat16, rows=200)
    for each in (base, *tuned.values()):
        each[0] = torch.tensor([0.0, -0.0, 1e-40, -1e-40, 1e30, -3e37, 1.0, 256.0])
        each[1] *= 1e-38
    tuned["a"][2] = base[2]
    point, kernels = parse(text, KNOWN), Kernels("cpu")
    metrics.reset()
    with config.patch(_ON_CPU):
        key = Key(form, (torch.bfloat16,) * 4, base.device)
        _, (code,) = run_and_get_code(kernels._compile, key)
    assert list(kernels.complaints()) == []
    assert metrics.generated_kernel_count == 1
    # Base and two vectors are read once, and the result is written once, all as stored.
    moved = re.findall(r"(in|out)_ptr\d+\[static_cast<int64_t>\(x0\)\]", code)
    assert sorted(moved) == ["in", "in", "in", "out"]
    assert code.count("const at::BFloat16* in_ptr") == 3
    wanted = _combine(point, base, tuned, size=1 << 20)[0]
    for size in (1 << 20, 320):
        made = _combine(point, base, tuned, size=size, measured=False, kernels=kernels)[0]
        assert torch.equal(made.view(torch.int16), wanted.view(torch.int16))
    assert metrics.generated_kernel_count == 1


def test_a_kernel_that_fails_is_said_once_and_done_without() -> None:
    base, tuned = _family(torch.bfloat16, rows=20)
    point, kernels = parse("a=0.5,b=1", KNOWN), Kernels("cpu")

    def fails(*_: object) -> None:
        raise RuntimeError("out of resources: shared memory")

    key = Key(Form(2), (torch.bfloat16,) * 4, base.device)
    kernels._ready[key] = fails
    made = _combine(point, base, tuned, size=1 << 20, measured=False, kernels=kernels)[0]
    assert torch.equal(made, _combine(point, base, tuned, size=1 << 20)[0])
    (complaint,) = kernels.complaints()
    assert "out of resources: shared memory" in complaint
    assert not kernels.ready([key])
