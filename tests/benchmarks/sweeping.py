"""A point of task arithmetic written into a loaded model, against a plain copy of as many bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from tests.benchmarks.report import Row
from tests.benchmarks.workload import family, processor_time
from tests.core import zoo


def rows(folder: Path) -> Iterator[Row]:
    """The weights of a grid point with one vector, rounding loss included."""
    from transformers import AutoModelForCausalLM

    from core.vectors.arithmetic import make
    from core.vectors.sweep import Sweep

    model, tuned = (
        AutoModelForCausalLM.from_pretrained(f, dtype=torch.bfloat16)
        for f in family(folder, tuned=1, layers=2)
    )
    base, vector = ({n: p.detach() for n, p in m.named_parameters()} for m in (model, tuned))
    pieces = zoo.anatomy_in(model).pieces
    size = sum(t.numel() for t in base.values())
    # Base and vector read and as much written: 8 bytes a parameter in bfloat16.
    read = [*base.values(), *vector.values()]
    written = [torch.empty_like(t) for t in read]

    def copy() -> None:
        for to, tensor in zip(written, read, strict=True):
            to.copy_(tensor)

    point = make({"tuned": 0.5}, ["tuned"])
    with Sweep(model, {"tuned": vector}, pieces) as sweep:
        copied, took = _in_turn(copy, lambda: sweep.set(point))
    yield Row(
        "weights of a grid point, over a plain copy of 8 bytes a parameter", took / copied, "≤", 2,
        f"{took:.2f} s against {copied:.2f} s, {size / 1e9:.1f} billion parameters",
    )  # fmt: skip


def _in_turn(one: Callable[[], object], other: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor of the fastest of each, taken in turn so that both meet the same
    machine."""
    taken = [(processor_time(one)[0], processor_time(other)[0]) for _ in range(15)]
    first, second = zip(*taken, strict=True)
    return min(first), min(second)
