"""The valid input that every case begins with, made once; and the right value of its update."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.core import harness_zoo

STUDY = """\
name = "fuzz"
[models]
base = "base"
[models.tuned]
tuned = "tuned"
control = { path = "sharded", role = "control" }
[probe]
file = "probe.jsonl"
documents = 3
[evaluation]
include = "tasks"
limit = 2
bootstrap = 10
[evaluation.tasks]
medical = ["tiny_choice"]
maths = ["tiny_text"]
[analyses.alignment]
energy = 0.9
[analyses.arithmetic]
vectors = ["tuned"]
coefficients = [0.0, 1.0]
[run]
device = "cpu"
dtype = "float32"
batch_size = 2
max_memory = { cpu = "1GiB" }
seed = 0
"""
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
DATABASE = "done.db"


def write(folder: Path) -> Path:
    """The folder of valid input: models, adapter, texts, tasks, study, a run over the weights."""
    from app.cli.main import run_command

    base = harness_zoo.write_language_model(folder / "base")
    tuned = harness_zoo.write_tuned(base, folder / "tuned", seed=1)
    _shard(tuned, folder / "sharded")
    _adapt(base, folder / "adapter")
    harness_zoo.write_tasks(folder / "tasks")
    harness_zoo.write_lines(folder / "probe.jsonl", ({"text": f"the red {w}"} for w in "abcd"))
    (folder / "study.toml").write_text(STUDY)
    weights = "tuning_vectors,vector_cosine,alignment"
    run = ["run", str(folder / "study.toml"), "--only", weights, "--db", str(folder / DATABASE)]
    assert run_command(run) == 0
    return folder


def copied(ground: Path, folder: Path) -> Path:
    """A copy that may be mutated: a file is replaced there, never written to, but for databases."""

    def link(source: str, target: str) -> None:
        if ".db" in source:
            shutil.copy(source, target)
        else:
            os.link(source, target)

    shutil.copytree(ground, folder, copy_function=link)
    return folder


def relative_norm(base: Path, tuned: Path) -> float:
    """The norm of the update over that of the base, of all tensors together, in float64."""
    ours, theirs = load_file(base / "model.safetensors"), load_file(tuned / "model.safetensors")
    change = sum(np.sum((theirs[n].astype(float) - ours[n]) ** 2) for n in ours)
    return float(np.sqrt(change / sum(np.sum(t.astype(float) ** 2) for t in ours.values())))


def _shard(model: Path, folder: Path) -> None:
    """The model in two files with an index."""
    shutil.copytree(model, folder)
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(tensors)
    parts = dict(zip(SHARDS, (names[: len(names) // 2], names[len(names) // 2 :]), strict=True))
    for file, part in parts.items():
        save_file({n: tensors[n] for n in part}, folder / file, metadata={"format": "pt"})
    index = {
        "metadata": {"total_size": sum(t.nbytes for t in tensors.values())},
        "weight_map": {name: file for file, part in parts.items() for name in part},
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _adapt(base: Path, folder: Path) -> None:
    """A LoRA adapter of rank 2 over the query matrices."""
    folder.mkdir()
    drawn = np.random.default_rng(0)
    held = load_file(base / "model.safetensors")
    factors = {}
    for name, matrix in held.items():
        if name.endswith("q_proj.weight"):
            prefix = f"base_model.model.{name.removesuffix('.weight')}"
            rows, columns = matrix.shape
            factors[f"{prefix}.lora_A.weight"] = drawn.normal(size=(2, columns)).astype("f4")
            factors[f"{prefix}.lora_B.weight"] = drawn.normal(size=(rows, 2)).astype("f4")
    save_file(factors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": str(base),
        "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "bias": "none",
        "fan_in_fan_out": False, "use_rslora": False, "use_dora": False, "modules_to_save": None,
        "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": True, "lora_dropout": 0.0,
        "layers_to_transform": None, "layers_pattern": None, "inference_mode": True,
    }  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(settings))
