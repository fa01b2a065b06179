"""Every kind of adapter, read tensor by tensor, against the model that PEFT itself merges."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import CheckpointError
from core.models.adapters.checkpoint import Adapter
from core.models.folders import is_adapter
from tests.core.models.adapters.cases import (
    BASES,
    CASES,
    by_hand,
    llama,
    merged,
    noisy,
    tensor,
    trained,
)
from tests.core.models.adapters.memory import InMemory

# What PEFT says of how it is used, and of what it uses itself.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


@pytest.mark.parametrize("case", CASES)
def test_a_tensor_is_that_of_the_merged_model(case: str, tmp_path: Path) -> None:
    base, kind, settings = CASES[case]
    plain = trained(base, kind, settings, tmp_path)
    wanted, over = merged(plain, tmp_path), InMemory(plain)
    adapter = Adapter(tmp_path, over)
    changed = 0
    for name, info in adapter.tensors.items():
        values = tensor(adapter, name)
        torch.testing.assert_close(values, wanted[name], rtol=1e-5, atol=1e-6)
        changed += name not in over.tensors or not torch.equal(values, tensor(over, name))
        part = adapter.read(name, info.rows // 3, info.rows)
        torch.testing.assert_close(part, values.reshape(-1, info.columns)[info.rows // 3 :])
    assert changed
    for name in wanted.keys() - adapter.tensors.keys():
        assert name == "lm_head.weight", "what is no tensor of its own is a tied head"
        tied = next(n for n in wanted if n.endswith(("embed_tokens.weight", "wte.weight")))
        torch.testing.assert_close(wanted[name], wanted[tied])


@pytest.mark.parametrize("base", ["llama", "tied"])
@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": [2, 41]},
        {"target_modules": ["q_proj"]},
    ],
    ids=["saved", "adapted", "tokens", "resized alone"],
)
def test_a_vocabulary_that_grew(base: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """Trained over a model with four tokens more than the one that it is laid over."""
    torch.manual_seed(0)
    plain = BASES[base]()
    noisy(plain, "")
    plain.save_pretrained(tmp_path / "base")
    grown = type(plain).from_pretrained(tmp_path / "base")
    grown.resize_token_embeddings(44, mean_resizing=False)
    adapted = peft.get_peft_model(deepcopy(grown), peft.LoraConfig(r=4, **settings))
    adapted.requires_grad_(True)
    noisy(adapted, "lora_", "modules_to_save", "trainable_tokens")
    adapted.save_pretrained(tmp_path / "adapter")
    wanted = merged(grown, tmp_path / "adapter")
    adapter = Adapter(tmp_path / "adapter", InMemory(plain))
    assert adapter.vocabulary == 44
    assert tensor(adapter, "model.embed_tokens.weight").shape == (44, 32)
    for name in adapter.tensors:
        if not (name == "lm_head.weight" and settings["target_modules"][-1] == "embed_tokens"):
            torch.testing.assert_close(tensor(adapter, name), wanted[name], rtol=1e-5, atol=1e-6)


def test_experts_that_were_matrices_of_their_own(tmp_path: Path) -> None:
    """An adapter of transformers 4, whose experts are one stack in transformers 5."""
    torch.manual_seed(0)
    plain = BASES["mixtral"]()
    shapes: dict[str, tuple[int, int]] = {}
    for layer in (0, 1):
        moe = f"model.layers.{layer}.block_sparse_moe"
        shapes[f"model.layers.{layer}.self_attn.q_proj"] = (32, 32)
        shapes[f"{moe}.gate"] = (3, 32)
        for expert in range(3):
            for leaf in ("w1", "w3"):
                shapes[f"{moe}.experts.{expert}.{leaf}"] = (48, 32)
            shapes[f"{moe}.experts.{expert}.w2"] = (32, 48)
    given = {"target_modules": ["q_proj", "gate", "w1", "w2", "w3"], "task_type": "CAUSAL_LM"}
    by_hand(tmp_path / "adapter", given, shapes)
    wanted = merged(plain, tmp_path / "adapter")
    adapter = Adapter(tmp_path / "adapter", InMemory(plain))
    for name in adapter.tensors:
        torch.testing.assert_close(tensor(adapter, name), wanted[name], rtol=1e-5, atol=1e-5)
    moe = "model.layers.1.mlp.experts.gate_up_proj"
    assert adapter.updates[moe].rows(0, 288).norm() > 1


@pytest.mark.parametrize(
    "front", ["language_model.model", "model", "_orig_mod.model", "model.model"]
)
def test_a_language_model_under_another_prefix(front: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = BASES["gemma3"]()
    names = {f"{front}.layers.{i}.self_attn.q_proj": (32, 32) for i in (0, 1)}
    by_hand(tmp_path / "adapter", {"target_modules": ["q_proj"]}, names)
    adapter = Adapter(tmp_path / "adapter", InMemory(plain))
    name = "model.language_model.layers.1.self_attn.q_proj.weight"
    assert adapter.updates.keys() == {name.replace("1", str(i)) for i in (0, 1)}
    held = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    a, b = (
        held[f"base_model.model.{front}.layers.1.self_attn.q_proj.lora_{x}.weight"] for x in "AB"
    )
    torch.testing.assert_close(adapter.updates[name].rows(4, 9), (3 * b @ a)[4:9])


def test_a_fingerprint_covers_what_decides_the_numbers(tmp_path: Path) -> None:
    plain = trained("llama", "LOHA", {"target_modules": ["q_proj"]}, tmp_path)
    over = InMemory(plain)
    first = Adapter(tmp_path, over).fingerprint()
    assert first == Adapter(tmp_path, over).fingerprint()
    settings = tmp_path / "adapter_config.json"
    held = json.loads(settings.read_text())
    settings.write_text(json.dumps({**held, "base_model_name_or_path": "elsewhere"}))
    assert first == Adapter(tmp_path, over).fingerprint(), "where the base was decides nothing"
    settings.write_text(json.dumps({**held, "alpha": 3}))
    assert first != Adapter(tmp_path, over).fingerprint()
    settings.write_text(json.dumps(held))
    weights = tmp_path / "adapter_model.safetensors"
    stored = load_file(weights)
    stored[min(stored)][0, 0] += 1
    save_file(stored, weights)
    assert first != Adapter(tmp_path, over).fingerprint()


def test_rows_are_made_once_for_all_that_ask(tmp_path: Path) -> None:
    """A module's update is made when its first rows are asked for, and by one thread alone."""
    plain = trained("llama", "LOHA", {"target_modules": ["q_proj"]}, tmp_path)
    adapter = Adapter(tmp_path, InMemory(plain))
    names = [n for n in adapter.updates if n.endswith("q_proj.weight")]
    whole = {n: adapter.updates[n].rows(0, 32) for n in names}
    with ThreadPoolExecutor(4) as pool:
        asked = [(n, a) for a in range(0, 32, 4) for n in names]
        results = pool.map(
            lambda request: adapter.updates[request[0]].rows(request[1], request[1] + 4), asked
        )
        for (name, start), rows in zip(asked, results, strict=True):
            assert torch.equal(rows, whole[name][start : start + 4])


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("LORA", {}, "but no lora_B.weight"),
        ("LORA", {"target_parameters": ["experts.gate_up_proj"]}, "but no lora_B.weight"),
        ("LOHA", {}, "PEFT can't merge the LOHA adapter of model.layers.0.self_attn.q_proj"),
        ("ADALORA", {"total_step": 10}, "but no lora_B"),
    ],
)
def test_factors_that_are_missing(
    kind: str, given: dict[str, Any], words: str, tmp_path: Path
) -> None:
    plain = trained("llama", kind, {"target_modules": ["q_proj"], **given}, tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    stored = {n: t for n, t in load_file(weights).items() if "lora_B" not in n and "w2_a" not in n}
    save_file(stored, weights)
    name = "model.layers.0.self_attn.q_proj.weight"
    with pytest.raises(CheckpointError, match=words) as error:
        Adapter(tmp_path, InMemory(plain)).read(name, 0, 3)
    assert str(tmp_path) in error.value.title
    assert error.value.hint


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"target_modules": ["q_proj"]},
            "is 32 × 32, the one in the model under it .memory. 16 × 16",
        ),
        (
            {"target_modules": ["o_proj"], "modules_to_save": ["norm"]},
            "tensor for model.layers.0.input_layernorm.weight is 32",
        ),
        ({"target_modules": ["o_proj"], "trainable_token_indices": [39]}, "trained tokens of"),
    ],
)
def test_what_does_not_fit_is_said_by_its_sizes(
    settings: dict[str, Any], words: str, tmp_path: Path
) -> None:
    trained("llama", "LORA", settings, tmp_path)
    small = llama(vocab_size=20) if "tokens" in words else llama(hidden_size=16)
    with pytest.raises(CheckpointError, match=words):
        Adapter(tmp_path, InMemory(small))


def test_a_setting_that_nobody_knows_is_noted(tmp_path: Path) -> None:
    plain = trained("llama", "LORA", {"target_modules": ["q_proj"]}, tmp_path)
    over, settings = InMemory(plain), tmp_path / "adapter_config.json"
    assert Adapter(tmp_path, over).notes == ()
    held = json.loads(settings.read_text())
    settings.write_text(json.dumps({**held, "use_newest_trick": True, "use_older_trick": False}))
    (note,) = Adapter(tmp_path, over).notes
    assert "'use_newest_trick'" in note


def test_a_trainer_s_folder_is_an_adapter_by_its_weights(tmp_path: Path) -> None:
    plain = trained("llama", "LORA", {"target_modules": ["q_proj"]}, tmp_path)
    (tmp_path / "config.json").write_text(plain.config.to_json_string())
    assert is_adapter(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    assert is_adapter(tmp_path)  # as transformers has it: the adapter's weights come first
