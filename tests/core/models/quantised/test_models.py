"""Quantised models of a family: compared, loaded, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf

from core.engine import runner
from core.models import loading
from core.models.checkpoint import open_directory
from core.models.family import Member, open_family
from core.models.identity import Identities
from core.models.opening import open_folder
from core.models.quantised.checkpoint import below
from core.study.models import Models
from core.study.study import Run, Study
from tests.conftest import MemorySink, Tensors, load_all, tuned_from, write_model
from tests.core.models.quantised import quantisers as q
from tests.core.models.quantised.formats import FORMS, Form

# PEFT's own use of what transformers deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

IDS = torch.tensor([[1, 5, 9, 30], [1, 7, 2, 11]])


def _llama(**changes: Any) -> hf.LlamaConfig:
    return hf.LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, vocab_size=40, dtype="bfloat16", **changes,
    )  # fmt: skip


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = hf.LlamaForCausalLM(_llama())
    for p in model.parameters():
        p.data = torch.randn_like(p) * 0.1
    model.bfloat16().save_pretrained(tmp_path / "plain")
    return tmp_path / "plain"


def _quantised(folder: Path, target: Path, form: Form) -> tuple[Path, Tensors, q.Floats]:
    """The model in a folder with all matrices of its layers quantised; what these then are, and
    the energy that rounding all of them has."""
    stored: Tensors = {}
    meant: Tensors = {}
    energy = []
    for name, tensor in load_all(folder).items():
        if tensor.dim() < 2 or "layers" not in name:
            stored[name] = meant[name] = tensor
            continue
        made = form.make(tensor.double().numpy())
        stored |= {name.removesuffix("weight") + part: t for part, t in made.stored.items()}
        meant[name] = torch.from_numpy(made.values).to(torch.bfloat16)
        energy.append(made.energy.sum())
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = form.settings
    return write_model(target, config, stored), meant, np.array(energy)


def _member(folder: Path) -> Member:
    opened = open_folder(folder, False, Identities())
    return Member("one", str(folder), folder, opened, "", None, False, {})


@pytest.mark.parametrize("name", ["fp8 by blocks", "int4 with zero points", "gptq", "nf4 twice"])
def test_a_forward_pass_has_the_numbers_that_are_streamed(
    name: str, plain: Path, tmp_path: Path
) -> None:
    folder, meant, _ = _quantised(plain, tmp_path / "q", FORMS[name])
    (folder / "generation_config.json").write_text('{"eos_token_id": 17}')
    with loading.loaded(_member(folder), Run(device="cpu")) as model:
        assert model.module.generation_config.eos_token_id == 17  # type: ignore[union-attr]
        state = model.module.state_dict()
        logits = model.module(input_ids=IDS).logits
        assert model.module.dtype == torch.bfloat16
    assert set(state) == set(meant)
    opened = open_directory(folder)
    for tensor, values in meant.items():
        rows = opened.read(tensor, 0, opened.tensors[tensor].rows).reshape(values.shape)
        assert torch.equal(state[tensor], rows), tensor
        assert torch.equal(rows, values), tensor
    reference = hf.LlamaForCausalLM(_llama()).bfloat16().eval()
    reference.load_state_dict(meant)
    assert torch.equal(reference(input_ids=IDS).logits, logits)


def test_a_part_of_a_quantised_model_may_wait_on_the_disk(plain: Path, tmp_path: Path) -> None:
    folder, meant, _ = _quantised(plain, tmp_path / "q", FORMS["int4 in groups"])
    member = _member(folder)
    half = sum(t.nbytes for t in meant.values()) // 2
    run = Run(max_memory={"cpu": f"{half // 1000}KB"}, offload_folder=str(tmp_path / "offload"))
    with loading.loaded(member, run) as model:
        assert "disk" in model.placement.by_device()
        there = model.module(input_ids=IDS).logits
    with loading.loaded(member, Run(device="cpu")) as model:
        assert torch.equal(model.module(input_ids=IDS).logits, there)
    assert sum(p.nbytes for p in loading.placement_of(member, Run(device="cpu"))) == sum(
        t.nbytes for t in meant.values()
    )


def test_a_setting_left_over_does_not_disturb_the_loading(plain: Path) -> None:
    config = json.loads((plain / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (plain / "config.json").write_text(json.dumps(config))
    with loading.loaded(_member(plain), Run(device="cpu")) as model:
        state = model.module.state_dict()
    for name, tensor in load_all(plain).items():
        assert torch.equal(state[name], tensor)


def test_gpt_oss_is_loaded_as_it_is_streamed(tmp_path: Path) -> None:
    config = hf.GptOssConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, vocab_size=40, num_local_experts=4, dtype="bfloat16",
    )  # fmt: skip
    torch.manual_seed(0)
    hf.GptOssForCausalLM(config).bfloat16().save_pretrained(tmp_path / "plain")
    stored: Tensors = {}
    for name, tensor in load_all(tmp_path / "plain").items():
        if name.endswith(("gate_up_proj", "down_proj")):
            made = q.mxfp4(torch.randn_like(tensor).double().numpy())
            stored |= {f"{name}{part}": t for part, t in made.stored.items()}
        else:
            stored[name] = tensor
    settings = config.to_dict() | {"quantization_config": {"quant_method": "mxfp4"}}
    folder = write_model(tmp_path / "q", settings, stored)
    opened = open_directory(folder)
    with loading.loaded(_member(folder), Run(device="cpu")) as model:
        for name, tensor in model.module.state_dict().items():
            rows = opened.read(name, 0, opened.tensors[name].rows)
            assert torch.equal(rows.reshape(tensor.shape), tensor), name


def _run(base: Path, tuned: Path, sink: MemorySink) -> MemorySink:
    study = Study(name="x", models=Models(base=str(base), tuned={"t": str(tuned)}))
    runner.run(study, sink, ["tuning_vectors"])
    return sink


@pytest.mark.parametrize("which", ["tuned", "base", "both"])
def test_a_vector_of_quantised_weights(
    which: str, plain: Path, tmp_path: Path, memory_sink: Callable[..., MemorySink]
) -> None:
    """Norms by brute force, and the warning that says how much of Δ is quantisation."""
    weights = load_all(plain)
    config = json.loads((plain / "config.json").read_text())
    other = write_model(tmp_path / "t", config, tuned_from(weights, 3, 0.02))
    base, tuned, lost = plain, other, 0.0
    values = [weights, load_all(other)]
    if which in ("base", "both"):
        base, values[0], energy = _quantised(plain, tmp_path / "qb", FORMS["gptq"])
        lost += energy.sum()
    if which in ("tuned", "both"):
        tuned, values[1], energy = _quantised(other, tmp_path / "qt", FORMS["fp8 by blocks"])
        lost += energy.sum()
    sink = _run(base, tuned, memory_sink())
    delta2 = sum(((values[1][n].double() - t.double()) ** 2).sum() for n, t in values[0].items())
    row = sink.value("norm", model="t", module="all", layer=None)
    assert row.value == pytest.approx(float(delta2) ** 0.5, rel=1e-6)
    notes = [text for name, text in sink.warnings if name == "t"]
    (share,) = [text for text in notes if "of ‖Δ‖²" in text]
    assert float(share.split()[1]) == pytest.approx(lost / float(delta2), rel=0.05)
    (unlike,) = [text for text in notes if text.endswith("is quantisation error.")]
    assert ("(gptq)" in unlike) == (which != "tuned")
    assert ("(fp8)" in unlike) == (which != "base")


def test_an_adapter_over_a_quantised_base_is_not_rounded(
    plain: Path, tmp_path: Path, memory_sink: Callable[..., MemorySink]
) -> None:
    import peft

    adapted = peft.get_peft_model(
        hf.AutoModelForCausalLM.from_pretrained(plain),
        peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    base, _, _ = _quantised(plain, tmp_path / "q", FORMS["nf4"])
    family = open_family(Models(base=str(base), tuned={"t": str(tmp_path / "adapter")}))
    assert below(family.tuned["t"].checkpoint) is below(family.base.checkpoint)
    assert not [text for _, text in family.warnings if "quantised" in text]
    sink = _run(base, tmp_path / "adapter", memory_sink())
    assert not [text for _, text in sink.warnings if "quantised" in text]
