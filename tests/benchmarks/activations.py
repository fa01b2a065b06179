"""What it costs to watch a model's neurons, as ratios to its plain forward pass.

A random model of 7B widths with few layers stands in for a real one: what is measured grows with
layers and tokens as the forward pass does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import transformers as hf

from core import activity, attribution, distances
from core.hooks import Neurons, locate
from core.loading import LoadedModel, Placement
from core.probe import ProbeSet
from tests.benchmarks.report import Row

LAYERS, HIDDEN, NEURONS, TOKENS, DOCUMENTS = 2, 3584, 18944, 128, 4
DEPTH, PATTERNS, FLIPS = 28, 100, 0.05
MEASURED_LAYERS = 7
REPEATS = 5


def rows(folder: Path) -> Iterator[Row]:
    """Counting, attribution, and the distances of patterns."""
    model = _model()
    neurons = locate(model.module, "gated decoder", LAYERS)
    rng = np.random.default_rng(0)
    ids = tuple(rng.integers(3, 500, TOKENS) for _ in range(DOCUMENTS))
    probe = ProbeSet(("",) * DOCUMENTS, ids, (1,) * DOCUMENTS)
    plain, counted, scored = _interleaved(
        lambda: _forward(model, probe), lambda: _count(model, neurons, probe),
        lambda: _score(model, neurons, probe),
    )  # fmt: skip
    note = "best of {} each, interleaved: {:.2f} s against {:.2f} s"
    yield Row(
        "counting activations over a plain forward", counted / plain, "≤", 1.05,
        note.format(REPEATS, counted, plain),
    )  # fmt: skip
    yield Row(
        "attribution over a plain forward", scored / plain, "≤", 4.5,
        note.format(REPEATS, scored, plain),
    )  # fmt: skip
    yield _distances()


def _interleaved(*works: Callable[[], object]) -> list[float]:
    """The best time of each, in seconds."""
    best = [float("inf")] * len(works)
    for _ in range(REPEATS):
        for place, work in enumerate(works):
            started = time.perf_counter()
            work()
            best[place] = min(best[place], time.perf_counter() - started)
    return best


def _model() -> LoadedModel:
    torch.manual_seed(0)
    config = hf.LlamaConfig(
        vocab_size=512, hidden_size=HIDDEN, intermediate_size=NEURONS, num_hidden_layers=LAYERS,
        num_attention_heads=28, num_key_value_heads=4, head_dim=128,
    )  # fmt: skip
    module = hf.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    module.eval().requires_grad_(False)
    return LoadedModel("bench", module, torch.device("cpu"), Placement({"": "cpu"}), config)


def _forward(model: LoadedModel, probe: ProbeSet) -> None:
    with torch.inference_mode():
        for batch in probe.batches(DOCUMENTS):
            activity.forward(model, batch)


def _count(model: LoadedModel, neurons: Neurons, probe: ProbeSet) -> None:
    activity.observe(
        model, neurons, probe, activity.Rules(), batch_size=DOCUMENTS, pause=_nothing,
        on_halved=_nothing,
    )  # fmt: skip


def _score(model: LoadedModel, neurons: Neurons, probe: ProbeSet) -> None:
    attribution.attribute(
        model, neurons, probe, batch_size=DOCUMENTS, pause=_nothing, on_halved=_nothing
    )


def _nothing(number: int) -> None:
    pass


def _distances() -> Row:
    """Some layers' worth, for all of them: layers don't differ."""
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(MEASURED_LAYERS):
        base = rng.random((PATTERNS, NEURONS)) < 0.4
        tuned = base ^ (rng.random(base.shape) < FLIPS)
        distances.hamming(base, tuned)
        distances.levenshtein(base, tuned)
        distances.levenshtein_by_chance(base, tuned)
    seconds = (time.perf_counter() - started) * DEPTH / MEASURED_LAYERS
    return Row(
        f"distances of {PATTERNS} documents × {DEPTH} layers × {NEURONS:,} neurons, s", seconds,
        "≤", 30, f"{MEASURED_LAYERS} layers measured, {FLIPS:.0%} of the neurons flipped",
    )  # fmt: skip
