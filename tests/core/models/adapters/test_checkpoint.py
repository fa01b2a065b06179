"""PEFT itself makes the adapters and the merged models they are held against."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

from core.engine import runner
from core.errors import CheckpointError
from core.study import intake, study
from core.study.models import Model, Models
from tests.conftest import MemorySink
from tests.core import zoo

# PEFT's own use of what transformers deprecates, and its notes on Conv1D and tied weights.
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning:peft"),
]

SETTINGS: dict[str, dict[str, Any]] = {
    "llama": {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 16},
    "llama-rslora": {
        "target_modules": ["q_proj", "v_proj"], "use_rslora": True,
        "rank_pattern": {"v_proj": 2}, "alpha_pattern": {"layers.1.self_attn.v_proj": 3},
    },
    "llama-saved": {"target_modules": ["o_proj"], "modules_to_save": ["lm_head"]},
    "llama-embedding": {"target_modules": ["embed_tokens", "k_proj"]},
    "gpt2": {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
    "gpt_neox": {"target_modules": ["query_key_value"]},
}  # fmt: skip


def _adapt(name: str, folder: Path) -> None:
    """A base, an adapter over it, and the merged model, all on disk."""
    zoo.build(name.split("-")[0], folder, models=0)
    base = hf.AutoModelForCausalLM.from_pretrained(folder / "base")
    adapted = peft.get_peft_model(base, peft.LoraConfig(r=4, **SETTINGS[name]))
    torch.manual_seed(4)
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key or "modules_to_save" in key:
                parameter.add_(0.05 * torch.randn(parameter.shape))
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "merged")


def _measure(folder: Path, *tuned: str) -> MemorySink:
    sink = MemorySink()
    of = intake.of_models(str(folder / "base"), [str(folder / t) for t in tuned])
    runner.run(of, sink, ("tuning_vectors", "vector_cosine", "alignment"))
    return sink


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_an_adapter_measures_like_its_merged_model(name: str, tmp_path: Path) -> None:
    _adapt(name, tmp_path)
    sink = _measure(tmp_path, "adapter", "merged")
    for metric in ("norm", "relative_norm", "stable_rank", "write", "two_sided", "gain"):
        rows = sink.rows(metric, model="adapter")
        assert rows
        for row in rows:
            if metric == "stable_rank" and row.value is None:
                continue
            coordinates = {k: getattr(row, k) for k in ("layer", "module", "head")}
            twin = sink.value(metric, model="merged", **coordinates)
            if row.value is None or twin.value is None:
                assert (row.value or 0) == (twin.value or 0), (metric, coordinates)
            else:
                assert row.value == pytest.approx(twin.value, rel=1e-4, abs=1e-4), (
                    metric,
                    coordinates,
                )
    assert sink.value("cosine", model="adapter", layer=None, module="all").value == pytest.approx(
        1, abs=1e-6
    )
    updated = sink.rows("rounding_share", model="adapter", module="attention")
    assert {r.value for r in updated} == {None}, "what is not stored is not rounded"


def test_a_rank_is_that_of_the_factors(tmp_path: Path) -> None:
    _adapt("llama", tmp_path)
    sink = _measure(tmp_path, "adapter")
    rank = sink.value("effective_rank", layer=0, module="q").value
    assert rank is not None
    assert rank <= 4 + 1e-6
    assert sink.value("norm", layer=0, module="k").value == 0
    assert sink.value("stable_rank", layer=0, module="k").value is None


def test_an_adapter_over_a_tuned_parent(tmp_path: Path) -> None:
    """Its vector is the parent's and its own; relative to the parent, its own alone."""
    zoo.build("llama", tmp_path, models=1)
    parent = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "tuned0")
    adapted = peft.get_peft_model(
        parent, peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    adapted.merge_and_unload().save_pretrained(tmp_path / "merged")
    models = Models(
        base=str(tmp_path / "base"),
        tuned={
            "parent": Model(path=str(tmp_path / "tuned0")),
            "adapter": Model(path=str(tmp_path / "adapter"), parent="parent"),
            "merged": Model(path=str(tmp_path / "merged"), parent="parent"),
        },
    )
    sink = MemorySink()
    runner.run(study.Study(name="s", models=models), sink, ("tuning_vectors", "vector_cosine"))
    for layer, module in ((0, "q"), (1, "attention"), (None, "all")):
        coordinates = {"layer": layer, "module": module}
        norms = [sink.value("norm", model=m, **coordinates).value for m in ("adapter", "merged")]
        assert norms[0] == pytest.approx(norms[1], rel=1e-5)
    cosines = sink.rows("cosine", model="adapter", reference="merged", layer=0, module="q",
                    setting="vs-parent")  # fmt: skip
    assert cosines[0].value == pytest.approx(1, abs=1e-5)
    untouched = sink.rows("cosine", model="adapter", reference="merged", layer=0, module="k",
                          setting="vs-parent")  # fmt: skip
    assert untouched[0].value is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "changes no weights: it adds prompt vectors"),
        ({"peft_type": "ADAPTION_PROMPT"}, "changes no weights: it adds prompt vectors"),
        ({"peft_type": "XLORA"}, "no single tuned model"),
        ({"peft_type": "RANDLORA"}, "shares its additions among all layers"),
        ({"peft_type": "SOMETHING"}, "'peft_type' is SOMETHING"),
        ({"peft_type": None}, "'peft_type' is missing"),
        ({"task_type": "SEQ_CLS"}, "adapts a classifier head"),
        ({"task_type": "TOKEN_CLS"}, "adapts a classifier head of tokens"),
        ({"layer_replication": [[0, 1], [0, 2]]}, "'layer_replication'"),
        ({"alora_invocation_tokens": [1]}, "'alora_invocation_tokens'"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed weights are not in the folder"),
        ({"init_lora_weights": "loftq"}, "changed weights are not in the folder"),
        ({"init_lora_weights": "corda"}, "changed weights are not in the folder"),
        ({"use_dora": True}, "no lora_magnitude_vector"),
        ({"peft_type": "IA3"}, "changes model.layers.0.mlp.down_proj.lora_A.weight"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, changed: dict[str, Any], words: str) -> None:
    _adapt("llama", tmp_path)
    _reset(tmp_path / "adapter", changed)
    with pytest.raises(CheckpointError, match=re.escape(words)) as error:
        _measure(tmp_path, "adapter")
    assert str(tmp_path / "adapter") in error.value.title
    assert error.value.hint


def test_factors_that_a_distributed_run_did_not_gather_are_named(tmp_path: Path) -> None:
    _adapt("llama", tmp_path)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    empty = {name: torch.zeros(0) for name in load_file(file)}
    save_file(empty, file)
    with pytest.raises(CheckpointError, match=rf"{len(empty)} tensors? without elements") as error:
        _measure(tmp_path, "adapter")
    assert str(file) in error.value.title
    assert "ZeRO stage 3" in error.value.hint


def _reset(folder: Path, changed: dict[str, Any]) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def test_an_adapter_of_another_base(tmp_path: Path) -> None:
    _adapt("llama", tmp_path / "a")
    zoo.build("gpt2", tmp_path / "b", models=0)
    of = intake.of_models(str(tmp_path / "b" / "base"), [str(tmp_path / "a" / "adapter")])
    with pytest.raises(CheckpointError, match="does not have") as error:
        runner.run(of, MemorySink(), ("tuning_vectors",))
    assert str(tmp_path / "a" / "base") in error.value.hint, "what it was trained on"


def test_square_conv1d_beside_a_linear_layer(tmp_path: Path) -> None:
    """PEFT's own flag of the orientation is that of the last module; here it is the wrong one."""
    SETTINGS["gpt2-mixed"] = {"target_modules": ["c_proj", "lm_head"]}
    try:
        zoo.CONFIGS["gpt2"], plain = (
            lambda: hf.GPT2Config(
                vocab_size=40, n_embd=32, n_layer=2, n_head=4, n_positions=16, bos_token_id=1,
                eos_token_id=2, tie_word_embeddings=False,
            ),
            zoo.CONFIGS["gpt2"],
        )  # fmt: skip
        _adapt("gpt2-mixed", tmp_path)
    finally:
        zoo.CONFIGS["gpt2"] = plain
        del SETTINGS["gpt2-mixed"]
    sink = _measure(tmp_path, "adapter", "merged")
    for module in ("o", "fc_out", "all"):
        row = sink.value("cosine", model="adapter", layer=None, module=module)
        assert row.value == pytest.approx(1, abs=1e-6), module


@pytest.mark.parametrize(
    ("key", "value"),
    [("lora_alpha", None), ("lora_alpha", "x"), ("alpha_pattern", ["q"]), ("alpha_pattern", "q"),
     ("alpha_pattern", {"(": 1}), ("alpha_pattern", {"q_proj": None})],
)  # fmt: skip
def test_settings_of_the_wrong_kind(tmp_path: Path, key: str, value: Any) -> None:
    _adapt("llama", tmp_path)
    _reset(tmp_path / "adapter", {key: value})
    with pytest.raises(CheckpointError, match="can't be understood"):
        _measure(tmp_path, "adapter")
