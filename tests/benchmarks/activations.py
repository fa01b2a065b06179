"""Neurons counted and scored against a plain forward pass; distances of patterns; memory."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.benchmarks.report import Row
from tests.benchmarks.workload import INTERMEDIATE, best, family

DOCUMENTS, TOKENS, VOCABULARY = 8, 128, 8192
TURNS = 8
FLIPPED = (0.02, 0.04, 0.07, 0.1)
LAYERS = 28


def rows(folder: Path) -> Iterator[Row]:
    """Every row about activations, as it is measured."""
    folders = family(folder, tuned=1, layers=2)
    yield from _passes(folders[0])
    yield _distances()
    yield _memory(folders)


def _passes(folder: Path) -> Iterator[Row]:
    from core.models import loading
    from core.neurons import activity, attribution
    from tests.core.zoo import found_in

    probe = probe_set(DOCUMENTS)
    batch = next(probe.batches(DOCUMENTS))
    given: dict[str, Any] = {
        "batch_size": DOCUMENTS, "pause": lambda done: None, "on_halved": lambda size: None,
    }  # fmt: skip
    with opened(folder, loading) as model:
        neurons = found_in(model)

        def forward(**more: Any) -> None:
            with torch.inference_mode():
                activity.forward(model, batch, **more)

        # A number in place of the tensor leaves gaps between the last layer's rows, with which the
        # product of the head takes longer than all else.
        last = torch.tensor([TOKENS - 1])
        size = f"{DOCUMENTS} × {TOKENS} tokens, 2 layers, bfloat16"

        def count() -> None:
            activity.observe(model, neurons, probe, activity.Rules(), **given)

        def score(**more: Any) -> None:
            attribution.attribute(model, neurons, probe, **given, **more)

        def recompute() -> None:
            with mock.patch("core.models.memory.free", return_value=0):
                score()

        def apart() -> None:
            count()
            score()

        for name, limit, plain, whole in (
            (
                "counting activations, over a plain forward pass", 1.05,
                lambda: forward(logits_to_keep=last), count,
            ),
            ("attribution of all neurons, over a plain forward pass", 4.5, forward, score),
            ("attribution that keeps states, over one that recomputes them", 0.9, recompute, score),
            (
                "counts and scores of neurons in one pass, over a pass for each", 0.9, apart,
                lambda: score(rules=activity.Rules()),
            ),
        ):  # fmt: skip
            less, more = in_turn(plain, whole)
            yield Row(
                name, more / less, "≤", limit, f"{more:.2f} s against {less:.2f} s, {size}"
            )  # fmt: skip


def probe_set(documents: int) -> Any:
    """Documents of random tokens."""
    from core.texts.probe import ProbeSet

    rng = np.random.default_rng(0)
    ids = tuple(rng.integers(0, VOCABULARY, TOKENS) for _ in range(documents))
    return ProbeSet(("",) * documents, ids, (1,) * documents)


def opened(folder: Path, loading: Any) -> Any:
    """A model in memory for the time of a block."""
    from core.models.family import open_family
    from core.study.intake import of_models
    from core.study.study import Run

    models = of_models(str(folder), [str(folder)]).models
    return loading.loaded(open_family(models).base, Run(device="cpu"))


def in_turn(
    one: Callable[[], object], other: Callable[[], object], turns: int = TURNS
) -> tuple[float, float]:
    """Seconds of the fastest of each, taken in turn so that both meet the same machine."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(turns):
        for work, times in zip((one, other), seconds, strict=True):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
    return min(seconds[0]), min(seconds[1])


def _distances() -> Row:
    """A few layers whose patterns differ by what tuning usually changes, taken for all."""
    from core.neurons import distances

    rng = np.random.default_rng(0)
    shape = (100, INTERMEDIATE)
    base = rng.random(shape) < rng.beta(0.5, 0.5, INTERMEDIATE)
    pairs = [(base, base ^ (rng.random(shape) < share)) for share in FLIPPED]

    def measure() -> None:
        for one, other in pairs:
            distances.hamming(one, other)
            distances.rate_change(one, other)
            distances.levenshtein(one, other)
            distances.levenshtein_by_chance(one, other)

    seconds = best(measure, 2)
    flips = ", ".join(f"{100 * share:.0f}" for share in FLIPPED)
    return Row(
        f"distances of 100 documents × {LAYERS} layers × {INTERMEDIATE} neurons, s",
        seconds * LAYERS / len(FLIPPED), "≤", 30,
        f"{seconds:.1f} s for {len(FLIPPED)} layers with {flips} % of the neurons flipped",
    )  # fmt: skip


_ONE = """
from core.models import loading
from core.neurons import attribution
from tests.core.zoo import found_in
probe = activations.probe_set(4)
with activations.opened(folders[0], loading) as model:
    attribution.attribute(
        model, found_in(model), probe, batch_size=4,
        pause=lambda done: None, on_halved=lambda size: None,
    )
"""
_PAIR = """
import transformers
from core.engine import runner
from core.study import intake, study
from tests.conftest import MemorySink
from core.engine.subject import Subject, open_subject
import core.engine.probes
core.engine.probes.open_sets = lambda *given: ({"probe": activations.probe_set(12)}, [])
models = intake.of_models(str(folders[0]), [str(folders[1])]).models
runner.run(
    study.Study(
        name="s", models=models, probe=study.Probe(builtin="maths"),
        run=study.Run(device="cpu", batch_size=8),
    ),
    MemorySink(), ["activation", "edit_distance"],
)
"""


def _memory(folders: list[Path]) -> Row:
    """Of a process for one model and one batch of scores, and of one for a whole pair."""
    one, pair = (peak(script, folders) for script in (_ONE, _PAIR))
    return Row(
        "peak memory of a pair's activations and scores, over one model and one batch",
        pair / one, "≤", 1.15, f"{pair:.2f} GB against {one:.2f} GB, whole processes",
    )  # fmt: skip


def peak(script: str, folders: list[Path]) -> float:
    """The most memory that a process with this script held, in GB."""
    before = "import sys; from pathlib import Path\nfrom tests.benchmarks import activations\n"
    named = "folders = [Path(p) for p in sys.argv[1:]]\n"
    after = "\nprint(open('/proc/self/status').read())"
    out = subprocess.run(
        [sys.executable, "-c", before + named + script + after, *map(str, folders)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    match = re.search(r"VmHWM:\s*(\d+)", out.stdout)
    assert match
    return int(match[1]) / 2**20
