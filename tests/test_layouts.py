"""Weights in whatever layout are the same weights: their norm, their number, and what is merged."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from core import family as families
from core import runner
from core.vectors import arithmetic, merging
from tests.conftest import MemorySink, load_all
from tests.models import truth
from tests.models.examination import study_of
from tests.models.families import Family
from tests.models.layouts import LAYOUTS

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_changes_no_number_and_no_merged_tensor(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name](tmp_path)
    study = study_of(Family("layout", layout.base.parent, "", 0))
    sink = MemorySink()
    runner.run(study, sink, ("tuning_vectors",))
    shared = {n: t for n, t in layout.tuned_state.items() if n in layout.base_state}
    base = {n: layout.base_state[n] for n in shared}
    wanted = truth.total(truth.sizes(base, shared).values())
    row = sink.value("relative_norm", layer=None, module="all")
    assert row.n == wanted.count
    assert row.value is not None
    assert math.isclose(row.value, wanted.relative_norm, rel_tol=1e-6)

    folder = tmp_path / "merged"
    point = arithmetic.make({"tuned": 1.0}, ["tuned"])
    merging.merge(families.open_family(study.models), point, folder)
    merged = truth.load(folder).state_dict()
    merged |= {n: t for n, t in load_all(folder).items() if n not in merged}
    assert [n for n, t in shared.items() if not torch.equal(merged[n], t)] == []
