"""Rearrangements of stored tensors against the same operations of torch on numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.models import mosaic
from core.models.mosaic import Mosaic


class _Pair:
    """A mosaic beside the tensor that it should be."""

    def __init__(self, made: Mosaic, truth: Tensor) -> None:
        self.made, self.truth = made, truth


def _stored(shapes: list[tuple[int, ...]]) -> dict[str, Tensor]:
    tensors, first = {}, 0
    for i, shape in enumerate(shapes):
        size = int(torch.tensor(shape).prod())
        tensors[f"t{i}"] = torch.arange(first, first + size).reshape(shape)
        first += size
    return tensors


def _pairs(stored: dict[str, Tensor]) -> list[_Pair]:
    return [_Pair(mosaic.whole(n, tuple(t.shape)), t) for n, t in stored.items()]


@st.composite
def _arranged(draw: Any) -> tuple[dict[str, Tensor], _Pair]:
    """Some tensors of one shape, and what a chain of operations makes of them."""
    shape = tuple(draw(st.lists(st.integers(1, 4).map(lambda n: 2 * n), min_size=2, max_size=2)))
    stored = _stored([shape] * draw(st.integers(1, 3)))
    pairs = _pairs(stored)
    if draw(st.booleans()):
        made = mosaic.stacked([p.made for p in pairs])
        pair = _Pair(made, torch.stack([p.truth for p in pairs]))
    else:
        axis = draw(st.integers(0, 1))
        made = mosaic.joined([p.made for p in pairs], axis)
        pair = _Pair(made, torch.cat([p.truth for p in pairs], axis))
    for _ in range(draw(st.integers(0, 4))):
        pair = draw(_step(pair))
    return stored, pair


@st.composite
def _step(draw: Any, pair: _Pair) -> _Pair:
    axis = draw(st.integers(0, pair.truth.dim() - 1))
    kind = draw(st.sampled_from(["transpose", "reorder", "cut"]))
    size = pair.truth.shape[axis]
    if kind == "transpose":
        other = draw(st.integers(0, pair.truth.dim() - 1))
        made = mosaic.transposed(pair.made, axis, other)
        return _Pair(made, pair.truth.transpose(axis, other))
    if kind == "reorder":
        order = draw(st.permutations(range(size)))
        made = mosaic.reordered(pair.made, axis, order)
        return _Pair(made, pair.truth.index_select(axis, torch.tensor(order)))
    split = draw(st.integers(0, size - 1))
    sizes = [split, size - split]
    cut, truths = mosaic.cut(pair.made, sizes, axis), torch.split(pair.truth, sizes, axis)
    parts = zip(cut, truths, strict=True)
    made, truth = list(parts)[1]
    return _Pair(made, truth)


@given(_arranged())
def test_a_chain_of_operations_gives_the_numbers_that_torch_gives(
    given_pair: tuple[dict[str, Tensor], _Pair],
) -> None:
    stored, pair = given_pair
    assert pair.made.shape == tuple(pair.truth.shape)
    assert torch.equal(pair.made.gather(stored.__getitem__, pair.truth.dtype), pair.truth)


@given(_arranged())
def test_runs_are_the_rows_of_the_whole(given_pair: tuple[dict[str, Tensor], _Pair]) -> None:
    stored, pair = given_pair
    runs = pair.made.runs()
    if runs is None:
        return
    columns = pair.truth.shape[-1]
    rows = pair.truth.reshape(-1, columns)
    result = torch.full_like(rows, -1)
    for run in runs:
        source = stored[run.source].reshape(-1, columns)
        result[run.start : run.start + run.count] = source[run.offset : run.offset + run.count]
    assert torch.equal(result, rows)


@given(_arranged())
def test_scattering_undoes_gathering(given_pair: tuple[dict[str, Tensor], _Pair]) -> None:
    stored, pair = given_pair
    whole = pair.made.gather(stored.__getitem__, pair.truth.dtype)
    for name in pair.made.sources:
        into = torch.full_like(stored[name], -1)
        pair.made.scatter(whole, name, into)
        written = into >= 0
        assert torch.equal(into[written], stored[name][written])
        inside = torch.isin(stored[name], pair.truth.contiguous())
        assert torch.equal(written, inside)


def test_experts_that_are_stored_one_by_one_are_read_by_rows() -> None:
    """gate [5, 3] and up [5, 3] of two experts, as transformers stacks and joins them."""
    stored = _stored([(5, 3)] * 4)
    parts = [p.made for p in _pairs(stored)]
    made = mosaic.joined([mosaic.stacked(parts[:2]), mosaic.stacked(parts[2:])], 1)
    runs = made.runs()
    assert runs is not None
    assert [(r.start, r.count, r.source, r.offset) for r in runs] == [
        (0, 5, "t0", 0), (5, 5, "t2", 0), (10, 5, "t1", 0), (15, 5, "t3", 0),
    ]  # fmt: skip


def test_a_kernel_is_flattened_without_taking_its_rows_for_those_of_the_matrix() -> None:
    """[out, channels, time, height, width] as [out, everything else]: rows are not alike."""
    stored = _stored([(2, 3, 1, 2, 2)])
    made = mosaic.reshaped("t0", (2, 3, 1, 2, 2), (2, 12))
    assert made.runs() is None
    assert not made.is_whole
    assert torch.equal(made.gather(stored.__getitem__, torch.int64), stored["t0"].reshape(2, 12))
    into = torch.zeros(2, 3, 1, 2, 2, dtype=torch.int64)
    made.scatter(stored["t0"].reshape(2, 12), "t0", into)
    assert torch.equal(into, stored["t0"])


def test_what_does_not_fit_is_refused() -> None:
    a, b = mosaic.whole("a", (2, 3)), mosaic.whole("b", (2, 4))
    with pytest.raises(ValueError, match="do not join"):
        mosaic.joined([a, b], 0)
    with pytest.raises(ValueError, match="can't be stacked"):
        mosaic.stacked([a, b])
    with pytest.raises(ValueError, match="3 rows expected, not 2"):
        mosaic.cut(a, [1, 2], 0)


def test_parts_of_several_dtypes_keep_the_digits_of_each() -> None:
    """A reordered join of a bfloat16 part and a float32 one, whose values bfloat16 rounds."""
    fine = torch.linspace(1, 2, 12).reshape(4, 3)
    stored = {"coarse": torch.ones(2, 3, dtype=torch.bfloat16), "fine": fine}
    parts = [mosaic.whole("coarse", (2, 3)), mosaic.whole("fine", (4, 3))]
    made = mosaic.reordered(mosaic.joined(parts, 0), 0, [5, 0, 4, 1, 3, 2])
    whole = made.gather(stored.__getitem__, torch.float32)
    assert torch.equal(whole[[4, 2, 0]], fine[[1, 2, 3]])
