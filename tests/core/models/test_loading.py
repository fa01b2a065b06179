"""Models in memory: placed, offloaded, adapted, and refused in one clear sentence."""

from __future__ import annotations

import gc
import json
import logging
import re
import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers as hf
from safetensors.torch import save_file

from core.errors import CheckpointError, RunError
from core.models import construction, loading
from core.models.family import Member, open_family
from core.models.loading import LoadedModel, halving
from core.neurons.activity import Rules, observe
from core.neurons.attribution import attribute
from core.study.models import Model, Models
from core.study.study import Run
from tests.conftest import load_all
from tests.core import zoo

IDS = torch.tensor([[1, 5, 9, 30], [1, 7, 2, 11]])

# PEFT's own use of what transformers deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def family(tmp_path_factory: Any) -> Path:
    """A base, a tuned model, and adapters over both, with what PEFT merges them into."""
    folder: Path = tmp_path_factory.mktemp("family")
    zoo.build("llama", folder, models=1)
    for parent, name in (("base", "adapter"), ("tuned0", "adapter-tuned")):
        torch.manual_seed(4)
        adapted = peft.get_peft_model(
            hf.AutoModelForCausalLM.from_pretrained(folder / parent),
            peft.LoraConfig(
                r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False
            ),
        )  # fmt: skip
        adapted.save_pretrained(folder / name)
        adapted.merge_and_unload().save_pretrained(folder / f"{name}-merged")
    _write_settings(folder / "adapter", base_model_name_or_path=str(folder / "base"))
    return folder


def _write_settings(folder: Path, **changes: Any) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _members(base: Path, **tuned: Any) -> dict[str, Member]:
    models = Models(base=str(base), tuned=tuned or {"t": str(base)})
    opened = open_family(models)
    return {"base": opened.base, **opened.tuned}


@contextmanager
def _base(folder: Path, run: Run | None = None, **more: Any) -> Iterator[LoadedModel]:
    with loading.loaded(_members(folder)["base"], run or Run(device="cpu"), **more) as model:
        yield model


def _logits(model: LoadedModel) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = model.module(input_ids=IDS).logits
    return logits


def _plain(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = hf.AutoModelForCausalLM.from_pretrained(folder)(input_ids=IDS).logits
    return logits


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_model_is_ready_frozen_and_placed(family: Path, device: str) -> None:
    with _base(family / "base", Run(device=device)) as model:
        assert torch.equal(_logits(model), _plain(family / "base"))
        assert not model.module.training
        assert not any(p.requires_grad for p in model.module.parameters())
        assert (model.name, model.device.type, model.vocabulary) == ("base", "cpu", 40)
        assert model.placement.by_device() == {"cpu": ["the whole model"]}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_precision_is_the_one_asked_for(family: Path, dtype: str) -> None:
    with _base(family / "base", Run(device="cpu", dtype=dtype)) as model:
        assert {p.dtype for p in model.module.parameters()} == {getattr(torch, dtype)}


def test_without_wishes_the_precision_is_the_checkpoint_s(tmp_path: Path) -> None:
    zoo.build("qwen2", tmp_path, models=0, dtype=torch.bfloat16)
    with _base(tmp_path / "base") as model:
        assert {p.dtype for p in model.module.parameters()} == {torch.bfloat16}


def test_attention_as_the_study_has_it(family: Path) -> None:
    with _base(family / "base", Run(device="cpu", attention="eager")) as model:
        assert model.config._attn_implementation == "eager"


@pytest.mark.parametrize(
    "given",
    [
        {"attention": "flash_attention_2"},
        {"attention": "nobody/no-kernel"},
        {"max_memory": {"987": "1GiB"}},
        {"max_memory": {"cpu": "1KB"}, "offload_folder": "/dev/null"},
    ],
)
def test_a_setting_that_a_model_cannot_be_loaded_with_is_named(
    family: Path, given: dict[str, Any]
) -> None:
    with pytest.raises(CheckpointError) as caught, _base(family / "base", Run(**given)):
        pass
    name, value = given.popitem()
    assert f"Change run.{name} = {value!r}, or leave it out." in caught.value.hint


def test_memory_is_let_go(family: Path) -> None:
    with _base(family / "base") as model:
        alive = weakref.ref(model.module)
    del model
    gc.collect()
    assert alive() is None


def _on_meta(model: LoadedModel) -> set[str]:
    return {n for n, p in model.module.named_parameters() if p.device.type == "meta"}


def test_a_model_before_is_gone_when_the_next_is_made(
    family: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """accelerate's hooks hold a model that spans devices in a cycle, until it is collected."""
    held = []
    monkeypatch.setattr(loading, "SMALL", 0)
    gc.disable()
    try:
        with _base(family / "base") as model:
            before = weakref.ref(model.module)
            model.module.itself = [model.module]  # type: ignore[assignment]
        del model

        def seen(*given: Any) -> Any:
            held.append(before())
            return construction.made(*given)

        monkeypatch.setattr(loading, "made", seen)
        with _base(family / "base"):
            pass
    finally:
        gc.enable()
    assert held == [None]


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2_moe"])
def test_an_offloaded_model_is_counted_and_scored_like_one_in_memory(
    name: str, tmp_path: Path
) -> None:
    """Some of its layers lie on the disk and come into memory one by one, twice for scores."""
    zoo.build(name, tmp_path, models=0)
    half = sum(t.nbytes for t in load_all(tmp_path / "base").values()) // 2
    folder = tmp_path / "offload"
    run = Run(max_memory={"cpu": f"{half // 1000}KB"}, offload_folder=str(folder))
    probe = zoo.probe(9, 5, 7)
    given: dict[str, Any] = {
        "batch_size": 2, "pause": lambda done: None, "on_halved": lambda size: None,
    }  # fmt: skip
    results = []
    for wanted in (run, Run(device="cpu")):
        with _base(tmp_path / "base", wanted) as model:
            neurons = zoo.found_in(model)
            waiting = _on_meta(model)
            assert bool(waiting) == ("disk" in model.placement.by_device()) == (wanted is run)
            if wanted is run:
                assert any(".1." in name for name in waiting)
            counter = observe(model, neurons, probe, Rules(criteria=("gate", "product")), **given)
            rules = Rules(criteria=("attribution",))
            scores = attribute(model, neurons, probe, rules=rules, **given)
            tied = {"lm_head.weight"}  # accelerate puts a tied head where it likes
            assert set(_on_meta(model)) - tied == set(waiting) - tied
            results.append((counter, scores))
    (a, a_scores), (b, b_scores) = results
    for layer in range(2):
        for criterion in ("gate", "product"):
            one, other = (each.layer(layer, criterion) for each in (a, b))
            np.testing.assert_array_equal(one.counts, other.counts)
            np.testing.assert_array_equal(one.patterns, other.patterns)
        for score in ("attribution", "effect", "magnitude", "mean"):
            np.testing.assert_allclose(
                getattr(a_scores.layers[layer], score), getattr(b_scores.layers[layer], score),
                rtol=1e-5, atol=1e-8,
            )  # fmt: skip
    assert a_scores.counter is not None
    assert b_scores.counter is not None
    np.testing.assert_array_equal(
        a_scores.counter.layer(1, "attribution").counts,
        b_scores.counter.layer(1, "attribution").counts,
    )


def test_an_adapter_gives_what_peft_merges(family: Path) -> None:
    members = _members(
        family / "base",
        tuned0=str(family / "tuned0"),
        plain=str(family / "adapter"),
        over=Model(path=str(family / "adapter-tuned"), parent="tuned0"),
    )
    for name, merged in (("plain", "adapter-merged"), ("over", "adapter-tuned-merged")):
        with loading.loaded(members[name], Run(device="cpu")) as model:
            torch.testing.assert_close(_logits(model), _plain(family / merged))
            assert zoo.found_in(model).widths == (48, 48)
            assert not any(p.requires_grad for p in model.module.parameters())


def test_an_adapter_as_a_base_and_one_over_another(family: Path) -> None:
    members = _members(
        family / "adapter",
        twice=Model(path=str(family / "adapter-tuned"), parent="base"),
    )
    with loading.loaded(members["base"], Run(device="cpu")) as model:
        torch.testing.assert_close(_logits(model), _plain(family / "adapter-merged"))
    first = peft.PeftModel.from_pretrained(
        hf.AutoModelForCausalLM.from_pretrained(family / "base"), str(family / "adapter")
    ).merge_and_unload()
    second = peft.PeftModel.from_pretrained(first, str(family / "adapter-tuned"))
    with loading.loaded(members["twice"], Run(device="cpu")) as model, torch.no_grad():
        torch.testing.assert_close(_logits(model), second(input_ids=IDS).logits)


def test_the_base_that_an_adapter_names_is_read_at_its_revision(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(family / "adapter", tmp_path / "adapter")
    asked: set[tuple[str, str | None]] = set()

    def snapshot(repository: str, revision: str | None) -> Path:
        asked.add((repository, revision))
        return family / "base"

    monkeypatch.setattr("core.models.hub.snapshot", snapshot)
    _write_settings(folder, base_model_name_or_path="me/base", revision="v2")
    _members(folder)
    assert asked == {("me/base", "v2")}
    _write_settings(folder, base_model_name_or_path="../runs/gone")
    words = f"{folder} is an adapter over '../runs/gone': There is no directory ../runs/gone"
    with pytest.raises(CheckpointError, match=re.escape(words)):
        _members(folder)


def test_neurons_of_an_adapted_model_are_scored(family: Path) -> None:
    member = _members(family / "base", plain=str(family / "adapter"))["plain"]
    merged = _members(family / "adapter-merged")["base"]
    results = []
    for each in (member, merged):
        with loading.loaded(each, Run(device="cpu")) as model:
            results.append(
                attribute(
                    model, zoo.found_in(model), zoo.probe(6, 4), batch_size=2,
                    pause=lambda done: None, on_halved=lambda size: None,
                ).layers[1]
            )  # fmt: skip
    np.testing.assert_allclose(results[0].attribution, results[1].attribution, rtol=1e-3, atol=1e-6)


def test_an_adapter_over_a_model_on_the_disk_is_refused_and_nothing_is_written(
    family: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    member = _members(family / "base", plain=str(family / "adapter"))["plain"]
    run = Run(max_memory={"cpu": "40KB"}, offload_folder=str(tmp_path / "offload"))
    with pytest.raises(CheckpointError, match="partly on the disk"), loading.loaded(member, run):
        pass
    assert {path.name for path in tmp_path.iterdir()} <= {"offload"}


# -- what can't be loaded


def _member(folder: Path) -> Member:
    """A model as a family would have it, whatever its configuration has become since."""
    return replace(_members(folder)["base"], name="broken")


def _refused(member: Member, **more: Any) -> CheckpointError:
    with (
        pytest.raises(CheckpointError) as raised,
        loading.loaded(member, Run(device="cpu"), **more),
    ):
        pass
    assert "\n" not in raised.value.title
    assert "'broken'" in raised.value.title
    assert member.where in raised.value.title
    return raised.value


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    zoo.build("llama", tmp_path, models=0)
    return tmp_path / "base"


def _configure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_a_checkpoint_that_lacks_a_tensor(broken: Path) -> None:
    member, tensors = _member(broken), load_all(broken)
    del tensors["model.layers.1.mlp.down_proj.weight"]
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 weight: model.layers.1.mlp.down_proj.weight" in _refused(member).title


@pytest.mark.parametrize("others", [(), ("second",), ("second", "third")])
def test_adapters_that_lead_back_to_themselves_are_refused(
    others: tuple[str, ...], family: Path, tmp_path: Path
) -> None:
    names = ["first", *others]
    for name, base in zip(names, [*others, "first"], strict=True):
        shutil.copytree(family / "adapter", tmp_path / name)
        (tmp_path / f"to-{base}").symlink_to(tmp_path / base)
        _write_settings(tmp_path / name, base_model_name_or_path=f"{tmp_path}/to-{base}")
    with pytest.raises(CheckpointError, match=r"to-first is its own base\.$") as raised:
        _members(tmp_path / "first")
    assert raised.value.title.startswith(f"{tmp_path / 'first'} is an adapter over")


@pytest.mark.parametrize("name", ["base", "adapter"])
def test_weights_that_are_written_before_they_are_loaded_are_refused(
    name: str, family: Path, tmp_path: Path
) -> None:
    """Results would be stored under the fingerprint of the weights before."""
    folder = shutil.copytree(family / name, tmp_path / name)
    member = _members(family / "base", t=str(folder))["t"]
    (file,) = folder.glob("*.safetensors")
    save_file({n: t + 1 for n, t in load_all(folder).items()}, file, metadata={"format": "pt"})
    with (
        pytest.raises(CheckpointError, match="was changed while it was read") as raised,
        loading.loaded(member, Run(device="cpu")),
    ):
        pass
    assert str(file) in raised.value.title


def test_shapes_that_the_configuration_denies(broken: Path) -> None:
    member = _member(broken)
    _configure(broken, intermediate_size=64)
    refused = _refused(member)
    assert "config.json gives other sizes than the tensors have" in refused.title
    assert refused.hint == "Compare config.json with the one at the model's source."


def test_an_unknown_architecture(broken: Path) -> None:
    _configure(broken, model_type="unheard-of")
    assert "unheard-of" in _refused(_member(broken)).title


def test_code_of_its_own_is_not_run_without_permission(broken: Path) -> None:
    _configure(
        broken, model_type="own",
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.Own"},
    )  # fmt: skip
    (broken / "own.py").write_text("raise SystemExit('it ran')")
    assert "models.trust_remote_code = true" in _refused(_member(broken)).hint


def test_a_lack_of_memory_is_not_taken_for_a_damaged_file(
    broken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: Any, **named: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(hf.LlamaForCausalLM, "from_pretrained", full)
    with (
        pytest.raises(RunError, match=r"Memory is too small to load 'broken'") as raised,
        loading.loaded(_member(broken), Run(device="cpu")),
    ):
        pass
    assert "run.max_memory" in raised.value.hint


def test_no_tokeniser(broken: Path) -> None:
    with pytest.raises(CheckpointError, match="base holds no tokeniser"):
        loading.tokenizer(broken)


def test_what_a_tokeniser_says_when_it_decodes_is_not_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo.write_tokenizer(tmp_path)
    file = tmp_path / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps({**settings, "clean_up_tokenization_spaces": True}))
    hf.utils.logging.warning_once.cache_clear()  # it says each thing once in a process
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)  # CI=true sets it too
    tokenizer = loading.tokenizer(tmp_path)
    caplog.clear()
    assert tokenizer.decode([0, 1])
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "can't be read"), ("[]", "does not hold a JSON object"),
     ("[" * 10**5, "nested too deeply"),
     ('{"eos_token_id": "x"}', "has 'x' as eos_token_id, which is not a token"),
     ('{"pad_token_id": [1, 2.5]}', r"has \[1, 2\.5\] as pad_token_id"),
     ('{"max_new_tokens": [1]}', "can't be used: '<=' not supported"),
     ('{"cache_implementation": "x"}', "can't be used: Invalid `cache_implementation`")],
)  # fmt: skip
def test_settings_of_generation_that_are_none_are_named(
    broken: Path, content: str, words: str
) -> None:
    (broken / "generation_config.json").write_text(content)
    with (
        pytest.raises(CheckpointError, match=rf"generation_config\.json .*{words}"),
        loading.loaded(_member(broken), Run(device="cpu")),
    ):
        pass


def test_a_hub_id_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="'nobody/nothing'") as raised:
        _members(Path("nobody/nothing"))
    assert "HF_HUB_OFFLINE" in raised.value.hint


def test_nothing_is_said_while_a_model_is_loaded(family: Path, capfd: Any) -> None:
    member = _members(family / "base", plain=str(family / "adapter"))["plain"]
    with loading.loaded(member, Run(device="cpu")) as model:
        _logits(model)
    tensors = load_all(family / "base")
    assert tensors
    assert capfd.readouterr() == ("", "")
    assert hf.utils.logging.is_progress_bar_enabled()


# -- halving


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `potrf`"),
        RuntimeError("CUSOLVER_STATUS_INTERNAL_ERROR, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=str,
)
def test_halving_goes_down_to_a_single_one_and_no_further(error: RuntimeError) -> None:
    tried: list[int] = []
    halved: list[int] = []

    def work(size: int) -> None:
        tried.append(size)
        raise error

    with pytest.raises(RunError, match="single document"):
        halving(work, 5, halved.append)
    assert (tried, halved) == ([5, 2, 1], [2, 1])


def test_halving_leaves_other_errors_alone() -> None:
    def work(size: int) -> None:
        raise RuntimeError("another")

    with pytest.raises(RuntimeError, match="another"):
        halving(work, 4, lambda size: None)
