"""GGUF models of a family: compared, loaded, merged, and what is said of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize

from core.engine import runner
from core.models import loading
from core.models.family import Family, Member, open_family
from core.models.identity import Identities
from core.models.opening import open_folder
from core.study.models import Models
from core.study.study import Run, Study
from core.vectors.arithmetic import parse
from core.vectors.merging import merge
from tests.conftest import MemorySink, load_all
from tests.core.models.gguf import zoo
from tests.core.models.gguf.writer import as_type, write
from tests.core.zoo import write_tokenizer

# PEFT's own use of what transformers deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

IDS = torch.tensor([[1, 5, 9, 30, 4, 4, 8, 19]])


def _models(base: Path, **tuned: Path) -> Models:
    return Models(base=str(base), tuned={name: str(folder) for name, folder in tuned.items()})


def _member(file: Path) -> Member:
    opened = open_folder(file, False, Identities())
    return Member("one", str(file), file, opened, "", None, False, {})


def _as_transformers(place: Path) -> dict[str, torch.Tensor]:
    given = {"gguf_file": place.name} if place.is_file() else {}
    where = place.parent if place.is_file() else place
    model = hf.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **given)
    tied = set(model.all_tied_weights_keys)
    return {name: t for name, t in model.state_dict().items() if name not in tied}


def _step_energy(file: Path) -> float:
    """Σ step²/12 of Q8_0: a block's step is what its largest code, 127, is worth."""
    total = 0.0
    for tensor in GGUFReader(file).tensors:
        if tensor.tensor_type == GGMLQuantizationType.Q8_0:
            values = dequantize(tensor.data, tensor.tensor_type).reshape(-1, 32)
            total += float(((abs(values).max(1) / 127.0) ** 2).sum() * 32 / 12)
    return total


@pytest.fixture(params=["llama", "qwen3_moe", "gpt2"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A base and a model tuned from it, as transformers saves them."""
    known: Mapping[str, Mapping[str, Any]] = {
        "qwen3_moe": {"moe_intermediate_size": 768}, "gpt2": {"n_inner": None, "n_positions": 1024},
    }  # fmt: skip
    zoo.build(request.param, tmp_path / "base", **known.get(request.param, {}))
    tuned = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    torch.manual_seed(9)
    with torch.no_grad():
        for tensor in tuned.parameters():
            tensor.add_(0.02 * torch.randn_like(tensor))
    tuned.save_pretrained(tmp_path / "tuned")
    return tmp_path / "base", tmp_path / "tuned"


@pytest.mark.parametrize("which", ["tuned", "base", "both"])
def test_a_vector_of_gguf_models(
    which: str, pair: tuple[Path, Path], tmp_path: Path, memory_sink: Callable[..., MemorySink]
) -> None:
    """Norms by float64 over what transformers loads, and how much of Δ is quantisation."""
    base, tuned = pair
    lost = 0.0
    if which in ("base", "both"):
        base = write(base, tmp_path / "b" / "base.gguf", as_type("Q8_0"))
        lost += _step_energy(base)
    if which in ("tuned", "both"):
        tuned = write(tuned, tmp_path / "t" / "tuned.gguf", as_type("Q8_0"))
        lost += _step_energy(tuned)
    sink = memory_sink()
    runner.run(Study(name="x", models=_models(base, t=tuned)), sink, ["tuning_vectors"])
    ours, theirs = _as_transformers(base), _as_transformers(tuned)
    delta2 = sum(float(((theirs[n].double() - t.double()) ** 2).sum()) for n, t in ours.items())
    size2 = sum(float((t.double() ** 2).sum()) for t in ours.values())
    row = sink.value("relative_norm", model="t", module="all", layer=None)
    assert row.value == pytest.approx((delta2 / size2) ** 0.5, rel=1e-6)
    notes = [text for name, text in sink.warnings if name == "t"]
    (share,) = [text for text in notes if "of ‖Δ‖²" in text]
    assert float(share.split()[1]) == pytest.approx(lost / delta2, rel=0.05)
    unlike = [text for text in notes if text.endswith("is quantisation error.")]
    wanted = {
        "tuned": ["is quantised (GGUF Q8_0), the base not quantised"],
        "base": ["is not quantised, the base quantised (GGUF Q8_0)"],
        "both": [],
    }[which]
    assert [text.partition(": part")[0] for text in unlike] == wanted


def test_a_forward_pass_has_the_numbers_that_are_streamed(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    file = write(pair[1], tmp_path / "x.gguf", as_type("Q4_0"))
    meant = _as_transformers(file)
    reference = hf.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="x.gguf", dtype=torch.float32
    )
    member = _member(file)
    with loading.loaded(member, Run(device="cpu")) as model:
        state = model.module.state_dict()
        logits = model.module(input_ids=IDS).logits
    for name, values in meant.items():
        assert torch.equal(state[name], values), name
    torch.testing.assert_close(logits, reference(input_ids=IDS).logits, rtol=1e-4, atol=1e-5)
    sizes = sum(t.nbytes for t in meant.values())
    assert sum(place.nbytes for place in loading.placement_of(member, Run(device="cpu"))) == sizes


def test_a_part_of_a_model_may_wait_on_the_disk(pair: tuple[Path, Path], tmp_path: Path) -> None:
    file = write(pair[1], tmp_path / "x.gguf", as_type("Q8_0"))
    half = sum(t.nbytes for t in _as_transformers(file).values()) // 2
    run = Run(max_memory={"cpu": f"{half // 1000}KB"}, offload_folder=str(tmp_path / "offload"))
    with loading.loaded(_member(file), run) as model:
        assert "disk" in model.placement.by_device()
        there = model.module(input_ids=IDS).logits
    with loading.loaded(_member(file), Run(device="cpu")) as model:
        assert torch.equal(model.module(input_ids=IDS).logits, there)


def test_plain_numbers_keep_their_dtype_and_say_nothing(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    base = write(pair[0], tmp_path / "b" / "base.gguf", as_type("BF16"))
    tuned = write(pair[1], tmp_path / "t" / "tuned.gguf", as_type("BF16"))
    family = open_family(_models(base, t=tuned))
    assert family.warnings == ()
    with loading.loaded(family.tuned["t"], Run(device="cpu")) as model:
        assert model.module.dtype == torch.bfloat16


def _merged(family: Family, folder: Path) -> dict[str, torch.Tensor]:
    merge(family, parse("t=0.5", ("t",)), folder)
    return _as_transformers(folder)


def test_a_gguf_model_is_merged_into_a_folder(pair: tuple[Path, Path], tmp_path: Path) -> None:
    base, tuned = pair
    tuned = write(tuned, tmp_path / "t" / "tuned.gguf", as_type("Q8_0"))
    tensors = _merged(open_family(_models(base, t=tuned)), tmp_path / "out")
    theirs = _as_transformers(tuned)
    assert load_all(tmp_path / "out").keys() == load_all(base).keys()
    for name, values in _as_transformers(base).items():
        wanted = values + 0.5 * (theirs[name] - values)
        torch.testing.assert_close(tensors[name], wanted, rtol=0, atol=1e-6)


def test_a_merge_over_a_gguf_base_is_a_folder_with_a_tokeniser(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    base = write(pair[0], tmp_path / "b" / "base.gguf", as_type("Q8_0"))
    tensors = _merged(open_family(_models(base, t=pair[1])), tmp_path / "out")
    theirs = _as_transformers(pair[1])
    for name, values in _as_transformers(base).items():
        wanted = values + 0.5 * (theirs[name] - values)
        torch.testing.assert_close(tensors[name], wanted, rtol=0, atol=1e-6)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "float32"
    assert loading.tokenizer(tmp_path / "out")("a b")["input_ids"] == [3, 29, 4]


def test_an_adapter_may_lie_over_a_gguf_base(pair: tuple[Path, Path], tmp_path: Path) -> None:
    import peft

    turned = "gpt2" in pair[0].joinpath("config.json").read_text()
    targets = ["c_proj"] if turned else ["o_proj"]
    adapted = peft.get_peft_model(
        hf.AutoModelForCausalLM.from_pretrained(pair[0]),
        peft.LoraConfig(
            r=2, target_modules=targets, init_lora_weights=False, fan_in_fan_out=turned
        ),
    )
    adapted.save_pretrained(tmp_path / "adapter")
    base = write(pair[0], tmp_path / "b" / "base.gguf", as_type("Q8_0"))
    family = open_family(_models(base, t=tmp_path / "adapter"))
    with loading.loaded(family.tuned["t"], Run(device="cpu")) as model:
        logits = model.module(input_ids=IDS).logits
    reference = peft.PeftModel.from_pretrained(
        hf.AutoModelForCausalLM.from_pretrained(base.parent, gguf_file=base.name),
        tmp_path / "adapter",
    )
    wanted = reference.eval()(input_ids=IDS).logits
    torch.testing.assert_close(logits, wanted, rtol=1e-4, atol=1e-5)


def test_the_tokeniser_is_the_one_beside_the_file_else_its_own(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    file = write(pair[0], tmp_path / "b" / "base.gguf", as_type("Q8_0"))
    assert loading.tokenizer(file)("a b")["input_ids"] == [3, 29, 4]
    write_tokenizer(file.parent)
    assert loading.tokenizer(file)("a b")["input_ids"] == [1, 3, 29, 4]
