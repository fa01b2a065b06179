"""Weights in whatever layout are the same weights: their norm, their number, what is merged, and
what a forward pass computes with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.engine import runner
from core.models import family as families
from core.models.family import Member
from core.models.loading import loaded
from core.study.study import Run
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


@pytest.mark.parametrize("name", LAYOUTS)
def test_weights_and_forward_passes_open_the_same_model(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name](tmp_path)
    family = families.open_family(study_of(Family("layout", layout.base.parent, "", 0)).models)
    _opens_one(family.base, layout.base_state)
    for tuned in dict(family.tuned).values():
        _opens_one(tuned, layout.tuned_state)


def _opens_one(member: Member, true: Mapping[str, Tensor]) -> None:
    """Hold what is streamed of a model, and what is loaded of it, against its true tensors."""
    checkpoint = member.checkpoint
    with loaded(member, Run(device="cpu")) as model:
        in_memory = model.module.state_dict()
    for name, info in checkpoint.tensors.items():  # a head that a classifier lacks is the base's
        if name in in_memory:
            read = checkpoint.read(name, 0, info.rows).reshape(info.shape)
            assert torch.equal(in_memory[name], read), name
    for name, tensor in true.items():
        if name in checkpoint.tensors:
            info = checkpoint.tensors[name]
            assert torch.equal(checkpoint.read(name, 0, info.rows).reshape(info.shape), tensor), (
                name
            )
        else:  # of two names of one tensor, one is streamed
            assert name in in_memory, name
        # Tensors that the class has no parameter for are compared, and not computed with.
        if name in in_memory:
            assert torch.equal(in_memory[name], tensor), name
    assert len(set(in_memory) & set(true)) > len(true) / 2
