"""The rows of a matrix are those that are declared, and their mean is the plain one."""

from __future__ import annotations

import math

import pytest
import torch

from core.engine import registry
from core.engine.measurement import Measurement
from core.statistics import overlap
from core.weights import linalg


def _measured(W: torch.Tensor, D: torch.Tensor) -> list[list[Measurement]]:
    basis = linalg.decompose(W, energy=0.9)
    rows, _ = overlap.measure(basis, D, linalg.gram(D), amplified=2, intruders_of=3, match=0.5)
    return rows


@pytest.mark.parametrize("changed", [True, False])
def test_every_declared_metric_has_a_row_and_no_other(changed: bool) -> None:
    W = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    declared = {metric.name for metric in registry.get("alignment").metrics}
    for rows in _measured(W, 0.1 * W.flip(-1) * changed):
        assert {row.metric for row in rows} == {"rank_k", *overlap.MEASURES} == declared
        assert len(rows) == len(declared)


def test_a_matrix_of_a_batch_that_did_not_change_has_no_values_beside_one_that_did() -> None:
    W = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0)).double()
    D = torch.stack([0.1 * W[0], torch.zeros(6, 5).double()])
    first, second = _measured(W, D)
    assert {row.value is None for row in first if not row.metric.endswith("_excess")} == {False}
    assert [row.metric for row in second if row.value is not None] == ["rank_k"]


def test_means_are_of_what_has_a_value_and_ranks_have_none() -> None:
    rows = [
        Measurement(metric="write", value=v, chance=c, chance_sd=0.3, model="m", layer=2, module=m)
        for m, v, c in (("q", 0.2, 0.1), ("k", 0.6, 0.3), ("v", None, None))
    ]
    rows = [*rows, Measurement(metric="rank_k", value=4, model="m", layer=2, module="q")]
    (mean,) = overlap.means(rows, lambda row: ("attention",))
    assert (mean.metric, mean.module, mean.model, mean.layer) == ("write", "attention", "m", 2)
    assert mean.value == pytest.approx(0.4)
    assert mean.n == 2
    assert mean.chance == pytest.approx(0.2)
    assert mean.low is not None
    assert mean.high is not None
    assert mean.high - 0.4 == pytest.approx(12.7062047 * math.sqrt(0.08 / 2), rel=1e-6)


def test_the_mean_of_nothing_that_has_a_value_is_none() -> None:
    (mean,) = overlap.means([Measurement(metric="write", value=None)], lambda row: ("mlp",))
    assert (mean.value, mean.n, mean.module) == (None, 0, "mlp")
