"""What many tests share: tiny real models on disk, and a sink that keeps results in memory."""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from core.engine import forms, registry
from core.engine.measurement import (
    KEY_COLUMNS,
    FailedUnit,
    Measurement,
    Progress,
    Unit,
    UnitPart,
    UnitResult,
    WorkerState,
)
from core.models.identity import Stamp

if TYPE_CHECKING:
    import torch

# No test is timed: on a busy machine any of them may take long. The same examples each time, so
# that a change is judged by what it changed; `make fuzz` looks for others.
hypothesis.settings.register_profile("same", deadline=None, derandomize=True)
hypothesis.settings.register_profile("other", deadline=None, print_blob=True)
hypothesis.settings.load_profile("same")

MEMORY = Path("/dev/shm")  # of Linux
ROOM = 2**31
"""Bytes of it that must be free; a whole run of the tests writes about a sixth."""

if os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= ROOM:
    # Tests commit to hundreds of databases, and would wait for a disk each time.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_collection_finish() -> None:
    """The collector no more looks through what was imported, some million things, at each turn."""
    gc.collect()
    gc.freeze()


LONG = ("test_cluster", "test_pressing", "test_on_cards", "test_survival", "test_cli",
        "test_scenes", "test_screens", "test_jobs", "test_hostile", "test_newcomer", "test_models",
        "test_tasks", "test_builder", "test_real_family")  # fmt: skip
"""The files of tests that take longest, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files come first: at the end, one process would wait for another's."""
    ranks = {name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path.stem, len(ranks)))


Tensors = dict[str, "torch.Tensor"]

WEIGHTS = tuple(name for name in registry.names() if registry.get(name).needs == "weights")
"""The analyses of a study that has neither texts nor tasks."""


class MemorySink:
    """A ResultSink that keeps everything; `stop_after` cancels once that many units are saved."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.units: dict[str, tuple[Unit, UnitResult]] = {}
        self.saved: list[str] = []
        self.warnings: list[tuple[str, str]] = []
        self.provenance: dict[str, Any] = {}
        self.last = Progress(0, 0)
        self.said: list[Progress] = []
        self.paces: dict[str, float] = {}
        self.identities: dict[Stamp, str] = {}
        self.laid_by: dict[str, dict[str, UnitPart]] = {}
        self.bases: dict[str, Any] = {}
        self.stop_after = stop_after
        self.states: list[WorkerState] = []
        self.failures: dict[str, FailedUnit] = {}

    def finished(self, keys: Any) -> set[str]:
        return set(self.units) & set(keys)

    def adopt(self, keys: Any) -> None:
        assert set(keys) <= set(self.units)

    def load(self, key: str) -> UnitResult:
        return self.units[key][1]

    def save(self, unit: Unit, result: UnitResult, seconds: float) -> None:
        json.dumps(result.state, allow_nan=False)
        places = [tuple(getattr(row, c) for c in KEY_COLUMNS[1:]) for row in result.measurements]
        assert len(places) == len(set(places)), "two rows share all coordinates"
        for artifact in result.artifacts:
            forms.sizes(artifact.name, artifact.arrays)  # is it of the form in which it is read?
        self.units[unit.key] = (unit, result)
        self.saved.append(unit.key)
        self.warnings += [each for each in result.warnings if each not in self.warnings]
        self.failures.pop(unit.key, None)

    def save_slice(self, units: Any) -> None:
        for unit, result, seconds in units:
            self.save(unit, result, seconds)
        self.laid_by.clear()

    def parts(self, slice: str) -> tuple[dict[str, UnitPart], float]:
        return dict(self.laid_by.get(slice, {})), 0.0

    def find_basis(self, key: str) -> Any:
        return self.bases.get(key)

    def keep_basis(self, key: str, arrays: Any) -> None:
        self.bases[key] = arrays

    def save_parts(self, slice: str, by_step: Any, seconds: float) -> None:
        self.laid_by.setdefault(slice, {}).update(by_step)

    def pace(self, analysis: str, parameters: int, device: str) -> float | None:
        return self.paces.get(analysis)

    def recall(self, stamp: Stamp) -> str | None:
        return self.identities.get(stamp)

    def remember(self, stamp: Stamp, identity: str) -> None:
        self.identities[stamp] = identity

    def progress(self, progress: Progress) -> None:
        self.last = progress
        self.said.append(progress)

    def warn(self, subject: str, message: str) -> None:
        self.warnings.append((subject, message))

    def workers(self, states: Sequence[WorkerState]) -> None:
        self.states = list(states)

    def failed(self, unit: Unit, cause: str, attempts: int) -> None:
        assert unit.key not in self.units
        self.failures[unit.key] = FailedUnit(unit.key, unit.analysis, unit.label, cause, attempts)

    def describe(self, provenance: Mapping[str, Any]) -> None:
        json.dumps(dict(provenance))
        self.provenance |= provenance

    def cancelled(self) -> bool:
        return self.stop_after is not None and len(self.saved) >= self.stop_after

    def rows(self, metric: str, **coordinates: Any) -> list[Measurement]:
        """The measurements of a metric with these coordinates."""
        return [
            row
            for _, result in self.units.values()
            for row in result.measurements
            if row.metric == metric and all(getattr(row, k) == v for k, v in coordinates.items())
        ]

    def value(self, metric: str, **coordinates: Any) -> Measurement:
        """The one measurement at these coordinates (whole matrices unless a head is named)."""
        rows = self.rows(metric, **{"head": None, "expert": None, "setting": "", **coordinates})
        assert len(rows) == 1, (metric, coordinates, rows)
        return rows[0]


@pytest.fixture
def memory_sink() -> Callable[..., MemorySink]:
    return MemorySink


def write_model(folder: Path, config: Mapping[str, Any], tensors: Tensors) -> Path:
    """A model's directory with one safetensors file."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    return folder


def tiny_config(**changes: Any) -> dict[str, Any]:
    """A Llama-like configuration of two layers, with grouped key-value heads."""
    return {
        "model_type": "llama", "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 4, "vocab_size": 20,
        "tie_word_embeddings": False, **changes,
    }  # fmt: skip


def tiny_tensors(
    seed: int = 0, dtype: torch.dtype | None = None, vocab: int = 20, layers: int = 2
) -> Tensors:
    """Random weights that fit `tiny_config`."""
    import torch

    g = torch.Generator().manual_seed(seed)

    def matrix(*shape: int) -> torch.Tensor:
        return (torch.randn(*shape, generator=g) * 0.1).to(dtype or torch.float32)

    tensors = {
        "model.embed_tokens.weight": matrix(vocab, 16),
        "model.norm.weight": matrix(16) + 1,
        "lm_head.weight": matrix(vocab, 16),
    }
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        tensors |= {
            f"{prefix}self_attn.q_proj.weight": matrix(16, 16),
            f"{prefix}self_attn.k_proj.weight": matrix(8, 16),
            f"{prefix}self_attn.v_proj.weight": matrix(8, 16),
            f"{prefix}self_attn.o_proj.weight": matrix(16, 16),
            f"{prefix}mlp.gate_proj.weight": matrix(24, 16),
            f"{prefix}mlp.up_proj.weight": matrix(24, 16),
            f"{prefix}mlp.down_proj.weight": matrix(16, 24),
            f"{prefix}input_layernorm.weight": matrix(16) + 1,
            f"{prefix}post_attention_layernorm.weight": matrix(16) + 1,
        }
    return tensors


def tuned_from(tensors: Tensors, seed: int, size: float = 0.01) -> Tensors:
    """The same tensors with a random update of every one."""
    import torch

    g = torch.Generator().manual_seed(seed)
    return {
        name: (t.float() + size * torch.randn(t.shape, generator=g)).to(t.dtype)
        for name, t in tensors.items()
    }


def load_all(folder: Path) -> Tensors:
    """Every tensor of a model's directory."""
    from safetensors.torch import load_file

    tensors: Tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A base and one model tuned from it."""
    base = tiny_tensors()
    return (
        write_model(tmp_path / "base", tiny_config(), base),
        write_model(tmp_path / "tuned", tiny_config(), tuned_from(base, 1)),
    )
