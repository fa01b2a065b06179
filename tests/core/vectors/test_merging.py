"""Merged models as transformers loads them, against sums over state dicts; what fails and stops."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers as hf

from core.errors import CheckpointError, RunError, StudyError
from core.models.checkpoint import open_directory
from core.models.family import Family, open_family
from core.study.models import Model, Models
from core.vectors.arithmetic import BASE, parse, restrict
from core.vectors.merging import Merged, merge
from tests import forked
from tests.conftest import load_all, tiny_config, tiny_tensors, tuned_from, write_model
from tests.core import zoo


def _family(folder: Path, base: str = "base", **tuned: str) -> Family:
    return open_family(
        Models(
            base=str(folder / base),
            tuned={name: Model(path=str(folder / path)) for name, path in tuned.items()},
        )
    )


def _merge(family: Family, text: str, folder: Path, **more: Any) -> Merged:
    return merge(family, parse(text, tuple(family.tuned)), folder, **more)


def _pair(folder: Path, **config: Any) -> Family:
    base = tiny_tensors()
    write_model(folder / "base", tiny_config(**config), base)
    write_model(folder / "a", tiny_config(), tuned_from(base, 1))
    write_model(folder / "b", tiny_config(), tuned_from(base, 2))
    return _family(folder, a="a", b="b")


def _load(folder: Path, dtype: torch.dtype) -> Any:
    return hf.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)


def _expected(base: torch.Tensor, *terms: tuple[float, torch.Tensor]) -> torch.Tensor:
    """base + Σ λ (tuned − base) by numpy in float32, rounded once."""
    start = base.float().numpy()
    update = np.zeros_like(start)
    for value, tuned in terms:
        update += np.float32(value) * (tuned.float().numpy() - start)
    return torch.from_numpy(start + update).to(base.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", sorted(zoo.CONFIGS))
def test_every_architecture_merges_and_loads(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    zoo.build(name, tmp_path, models=2, dtype=dtype)
    base, *tuned = (_load(tmp_path / f, dtype).state_dict() for f in ("base", "tuned0", "tuned1"))
    family = _family(tmp_path, a="tuned0", b="tuned1")
    done = _merge(family, "a=0.7,b=-0.4", tmp_path / "merged")
    merged = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert merged.dtype == dtype
    tensors = merged.state_dict()
    assert tensors.keys() == base.keys()
    for key, tensor in base.items():
        expected = _expected(tensor, (0.7, tuned[0][key]), (-0.4, tuned[1][key]))
        assert torch.equal(tensors[key], expected), key
    assert done.rounding_loss is not None
    assert (done.rounding_loss > 0) == (dtype == torch.bfloat16)
    _merge(family, "removal:a=1", tmp_path / "removed")
    assert _same(load_all(tmp_path / "removed"), load_all(tmp_path / "base"))
    _merge(family, "b=1", tmp_path / "whole")
    assert _same(load_all(tmp_path / "whole"), load_all(tmp_path / "tuned1"))


def _same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_shards_have_an_index_and_hold_the_same(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    _merge(family, "a=0.5", tmp_path / "one")
    _merge(family, "a=0.5", tmp_path / "many", shard_bytes=3000)
    assert [f.name for f in (tmp_path / "one").glob("*.safetensors*")] == ["model.safetensors"]
    files = sorted(f.name for f in (tmp_path / "many").glob("*.safetensors"))
    assert len(files) > 3
    assert files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    tensors = load_all(tmp_path / "one")
    assert set(index["weight_map"].values()) == set(files)
    assert index["weight_map"].keys() == tensors.keys()
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in tensors.values())
    assert _same(load_all(tmp_path / "many"), tensors)
    assert open_directory(tmp_path / "many").tensors.keys() == tensors.keys()
    loaded = _load(tmp_path / "many", torch.float32).state_dict()
    assert all(torch.equal(loaded[n], t) for n, t in tensors.items())


def test_mixed_dtypes_stay_what_they_are(tmp_path: Path) -> None:
    """Tensors of odd sizes before wider ones, which must be aligned for readers."""
    base = {n: t.bfloat16() for n, t in tiny_tensors(vocab=21).items()}
    base = {n: t.float() if "norm" in n or "lm_head" in n else t for n, t in base.items()}
    base["model.layers.0.self_attn.q_proj.bias"] = torch.ones(16).bfloat16()
    write_model(tmp_path / "base", tiny_config(vocab_size=21), base)
    tuned = tuned_from(base, 1)
    write_model(tmp_path / "a", tiny_config(vocab_size=21), tuned)
    _merge(_family(tmp_path, a="a"), "a=0.5", tmp_path / "m")
    tensors = load_all(tmp_path / "m")
    assert {n: t.dtype for n, t in tensors.items()} == {n: t.dtype for n, t in base.items()}
    assert all(torch.equal(tensors[n], _expected(base[n], (0.5, tuned[n]))) for n in base)
    assert json.loads((tmp_path / "m" / "config.json").read_text())["torch_dtype"] == "bfloat16"


def test_a_dtype_is_taken_on_and_said(tmp_path: Path) -> None:
    family = _pair(tmp_path, dtype="float32")
    done = _merge(family, "a=0.5", tmp_path / "m", dtype=torch.bfloat16)
    base, tuned = load_all(tmp_path / "base"), load_all(tmp_path / "a")
    for name, tensor in load_all(tmp_path / "m").items():
        assert torch.equal(tensor, _expected(base[name], (0.5, tuned[name])).bfloat16())
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    assert "torch_dtype" not in config
    assert done.nbytes == sum(t.nbytes for t in base.values()) // 2
    assert (done.rounding_loss or 0) > 1e-3


def test_files_beside_the_weights_are_the_base_s(tmp_path: Path) -> None:
    _pair(tmp_path, rope_theta=5e5, _name_or_path="somewhere", text_config=None)
    files = (
        "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "tokenizer.model",
        "chat_template.jinja", "generation_config.json", "special_tokens_map.json", "modeling_x.py",
    )  # fmt: skip
    for number, name in enumerate((*files, "training.log", "README.md", "optimizer.pt")):
        (tmp_path / "base" / name).write_text(str(number))
        (tmp_path / "a" / name).write_text("the tuned model's")
    family = _family(tmp_path, a="a", b="b")
    done = _merge(family, "a=0.5", tmp_path / "m")
    beside = {f.name for f in (tmp_path / "m").iterdir()}
    assert beside == {*files, "config.json", "model.safetensors", "merge.json"}
    assert all((tmp_path / "m" / n).read_text() == str(i) for i, n in enumerate(files))
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert (config["rope_theta"], "_name_or_path" in config) == (5e5, False)
    recipe = json.loads((tmp_path / "m" / "merge.json").read_text())
    assert recipe["setting"] == "a=0.5"
    assert recipe["models"]["a"]["fingerprint"] == family.tuned["a"].fingerprint
    assert recipe["models"].keys() == {"base", "a"}
    assert recipe["rounding_loss"] == done.rounding_loss
    assert ["a", "rope_theta is 10000.0, in the base 500000.0."] in recipe["warnings"]


def test_a_base_of_bin_files_and_shards(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    _merge(family, "a=0.5", tmp_path / "plain")
    tensors = load_all(tmp_path / "base")
    binary = tmp_path / "binary"
    binary.mkdir()
    (binary / "config.json").write_text(json.dumps(tiny_config()))
    torch.save(tensors, binary / "pytorch_model.bin")
    _merge(_family(tmp_path, base="binary", a="a"), "a=0.5", tmp_path / "from-binary")
    _merge(family, "b=0", tmp_path / "sharded", shard_bytes=2000)
    _merge(_family(tmp_path, base="sharded", a="a"), "a=0.5", tmp_path / "from-shards")
    for name in ("from-binary", "from-shards"):
        assert _same(load_all(tmp_path / name), load_all(tmp_path / "plain"))


def test_a_tied_head_is_not_written_twice(tmp_path: Path) -> None:
    """A stored copy would no longer be the embedding, and be taken for a head of its own."""
    zoo.CONFIGS["llama-tied"] = lambda: hf.LlamaConfig(
        **zoo._COMMON, tie_word_embeddings=True, head_dim=8
    )
    try:
        zoo.build("llama-tied", tmp_path, models=1)
    finally:
        del zoo.CONFIGS["llama-tied"]
    base = load_all(tmp_path / "base")
    assert "lm_head.weight" not in base
    config = json.loads((tmp_path / "base" / "config.json").read_text())
    stored = base | {"lm_head.weight": base["model.embed_tokens.weight"].clone()}
    write_model(tmp_path / "base", config, stored)
    _merge(_family(tmp_path, a="tuned0"), "a=1", tmp_path / "m")
    assert _same(load_all(tmp_path / "m"), load_all(tmp_path / "tuned0"))
    loaded = _load(tmp_path / "m", torch.float32)
    assert torch.equal(loaded.lm_head.weight, loaded.model.embed_tokens.weight)


def test_a_changed_vocabulary_keeps_the_base_s_rows(tmp_path: Path) -> None:
    base = tiny_tensors()
    write_model(tmp_path / "base", tiny_config(), base)
    tuned = {"grown": tuned_from(base, 1), "shrunk": tuned_from(base, 2)}
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        tuned["grown"][name] = torch.cat([tuned["grown"][name], torch.full((3, 16), 9.0)])
        tuned["shrunk"][name] = tuned["shrunk"][name][:11]
    for name, tensors in tuned.items():
        write_model(tmp_path / name, tiny_config(), tensors)
    family = _family(tmp_path, grown="grown", shrunk="shrunk")
    _merge(family, "grown=1,shrunk=0.5", tmp_path / "m")
    tensor = load_all(tmp_path / "m")["lm_head.weight"]
    ours, grown, shrunk = (t["lm_head.weight"] for t in (base, tuned["grown"], tuned["shrunk"]))
    both = _expected(ours[:11], (1, grown[:11]), (0.5, shrunk))
    assert torch.equal(tensor, torch.cat([both, grown[11:20]]))


def test_what_is_not_the_language_model_is_the_base_s(tmp_path: Path) -> None:
    tower = {"vision_tower.layers.0.w": torch.ones(3, 5)}
    write_model(tmp_path / "base", tiny_config(), tiny_tensors() | tower)
    write_model(tmp_path / "a", tiny_config(), tuned_from(tiny_tensors(), 1))
    _merge(_family(tmp_path, a="a"), "a=1", tmp_path / "m")
    assert _same(load_all(tmp_path / "m"), load_all(tmp_path / "a") | tower)


def test_a_restriction_leaves_the_rest_alone(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    _merge(family, "a=1", tmp_path / "m", restriction=restrict("attention,1"))
    base, tuned = load_all(tmp_path / "base"), load_all(tmp_path / "a")
    for name, tensor in load_all(tmp_path / "m").items():
        inside = "layers.1.self_attn" in name
        assert torch.equal(tensor, tuned[name] if inside else base[name])
    assert json.loads((tmp_path / "m" / "merge.json").read_text())["restriction"] == "attention,1"


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_adapters_are_vectors_too(name: str, tmp_path: Path) -> None:
    """As PEFT merges them; one over a tuned parent brings the parent's vector along."""
    zoo.build(name, tmp_path, models=1)
    targets = {"llama": ["q_proj", "down_proj"], "gpt2": ["c_attn", "c_proj"]}[name]
    for number, parent in enumerate(("base", "tuned0")):
        torch.manual_seed(number)
        under = hf.AutoModelForCausalLM.from_pretrained(tmp_path / parent)
        settings = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False)
        adapted = peft.get_peft_model(under, settings)
        adapted.save_pretrained(tmp_path / f"adapter{number}")
        adapted.merge_and_unload().save_pretrained(tmp_path / f"full{number}")
    family = open_family(
        Models(
            base=str(tmp_path / "base"),
            tuned={
                "parent": Model(path=str(tmp_path / "tuned0")),
                "over_base": Model(path=str(tmp_path / "adapter0")),
                "over_parent": Model(path=str(tmp_path / "adapter1"), parent="parent"),
            },
        )
    )
    _merge(family, "over_base=0.5,over_parent=1", tmp_path / "m")
    base, *full = (load_all(tmp_path / f) for f in ("base", "full0", "full1"))
    for key, tensor in load_all(tmp_path / "m").items():
        expected = _expected(base[key], (0.5, full[0][key]), (1, full[1][key]))
        assert torch.allclose(tensor, expected, atol=1e-6), key
    _merge(family, "over_base=1", tmp_path / "alone")
    for key, tensor in load_all(tmp_path / "alone").items():
        assert torch.allclose(tensor, full[0][key], atol=1e-6), key
        if not any(target in key for target in targets):
            assert torch.equal(tensor, base[key]), key


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize("tied", [False, True])
def test_a_base_whose_adapter_adds_tokens_loads_with_them(tied: bool, tmp_path: Path) -> None:
    (plain,) = zoo.build("llama", tmp_path, models=0)
    plain.config.tie_word_embeddings = tied
    plain.tie_weights()
    plain.save_pretrained(tmp_path / "plain")
    grown = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    grown.resize_token_embeddings(44, mean_resizing=False)
    modules = None if tied else ["embed_tokens", "lm_head"]  # PEFT saves what was resized
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=modules)
    adapted = peft.get_peft_model(grown, settings)
    adapted.save_pretrained(tmp_path / "base")
    whole = adapted.merge_and_unload()
    whole.save_pretrained(tmp_path / "whole")
    tuned = hf.AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    for parameter in tuned.parameters():
        parameter.data += 0.01
    tuned.save_pretrained(tmp_path / "a")
    _merge(_family(tmp_path, a="a"), "a=1", tmp_path / "m")
    merged = _load(tmp_path / "m", torch.float32)
    assert merged.config.vocab_size == 44
    ours, theirs = merged.state_dict(), tuned.state_dict()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert torch.equal(ours[name], theirs[name])


def test_a_weight_file_that_the_base_names_is_not_looked_for(tmp_path: Path) -> None:
    """transformers, which reads the named file, leaves the name out when it saves."""
    _pair(tmp_path)
    config = {**tiny_config(), "transformers_weights": "mine.safetensors"}
    (tmp_path / "base" / "config.json").write_text(json.dumps(config))
    (tmp_path / "base" / "model.safetensors").rename(tmp_path / "base" / "mine.safetensors")
    _merge(_family(tmp_path, a="a", b="b"), "b=1", tmp_path / "m")
    assert _same(load_all(tmp_path / "m"), load_all(tmp_path / "b"))
    loaded = _load(tmp_path / "m", torch.float32).state_dict()
    assert all(torch.equal(loaded[n], t) for n, t in load_all(tmp_path / "b").items())


def test_progress_is_told_in_bytes(tmp_path: Path) -> None:
    steps: list[tuple[int, int, str]] = []
    done = _merge(_pair(tmp_path), "a=1", tmp_path / "m", progress=lambda *x: steps.append(x))
    assert steps[0][:2] == (0, done.nbytes)
    assert steps[-1] == (done.nbytes, done.nbytes, "")
    assert sorted(steps) == sorted(steps, key=lambda x: x[0])
    assert {t[2] for t in steps} == {*load_all(tmp_path / "base"), ""}


def _entries(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    before = _entries(tmp_path)
    with pytest.raises(StudyError, match="is not empty"):
        _merge(family, "a=1", tmp_path / "a")
    with pytest.raises(StudyError, match="is a file"):
        _merge(family, "a=1", tmp_path / "a" / "config.json")
    assert _entries(tmp_path) == before
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(RunError, match="circle can't be written"):
        _merge(family, "a=1", tmp_path / "circle")
    (tmp_path / "empty").mkdir()
    _merge(family, "a=1", tmp_path / "empty")
    _merge(family, "a=1", tmp_path / "new" / "deep")
    assert _same(load_all(tmp_path / "empty"), load_all(tmp_path / "new" / "deep"))


def test_what_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    family = _pair(tmp_path)
    before = _entries(tmp_path)
    with pytest.raises(RunError, match=r"a=1e39: tensor .* not finite"):
        _merge(family, "a=1e39", tmp_path / "m")
    with pytest.raises(StudyError, match="layer 7"):
        _merge(family, "a=1", tmp_path / "m", restriction=restrict("7"))

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _merge(family, "a=1", tmp_path / "m", progress=stop)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(RunError, match=r"takes \d+\.\d KiB, but .* has only 100 B free"):
        _merge(family, "a=1", tmp_path / "m")
    assert _entries(tmp_path) == before


def test_a_folder_that_can_not_be_written_is_one_error(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="can't be written"):
        _merge(family, "a=1", tmp_path / "file" / "m")


KILLED = """
import os, signal, sys
from pathlib import Path
from core.study import intake
from core.vectors.arithmetic import parse
from core.models.family import open_family
from core.vectors.merging import merge
base, tuned, to, at = sys.argv[1:]
def progress(done, total, tensor):
    if done >= total * float(at):
        os.kill(os.getpid(), signal.SIGKILL)
family = open_family(intake.of_models(base, [tuned]).models)
merge(family, parse("a=1", ["a"]), Path(to), progress=progress)
"""


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0])
def test_a_killed_merge_leaves_no_model_and_is_cleared_away(tmp_path: Path, moment: float) -> None:
    family = _pair(tmp_path)
    before = _entries(tmp_path)
    places = (tmp_path / "base", tmp_path / "a", tmp_path / "m")
    log = tmp_path.with_suffix(".log")
    command = [sys.executable, "-c", KILLED, *map(str, places), str(moment)]
    assert forked.run(command, log) == -signal.SIGKILL, log.read_text()
    (left,) = _entries(tmp_path) - before
    assert left != "m"
    with pytest.raises(CheckpointError):
        open_directory(tmp_path / left)
    _merge(family, "a=1", tmp_path / "m")
    assert _entries(tmp_path) - before == {"m"}


def test_a_merge_at_work_is_not_cleared_away(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    inner: list[None] = []

    def progress(done: int, total: int, tensor: str) -> None:
        if not inner:
            inner.append(None)
            _merge(family, "b=1", tmp_path / "m")

    with pytest.raises(RunError, match="can't be written"):  # the other one was faster
        _merge(family, "a=1", tmp_path / "m", progress=progress)
    assert _same(load_all(tmp_path / "m"), load_all(tmp_path / "b"))


def test_the_base_itself_can_be_written(tmp_path: Path) -> None:
    family = _pair(tmp_path)
    done = merge(family, BASE, tmp_path / "m")
    assert done.rounding_loss is None
    assert _same(load_all(tmp_path / "m"), load_all(tmp_path / "base"))
