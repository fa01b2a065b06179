"""The same weights under other names, in other shapes and in other files.

Each layout writes a base and a tuned model, and knows what they hold as transformers loads them.
Owns how files and names are rewritten; draws its weights by `tests.models.families`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.models import families, truth

Tensors = dict[str, Tensor]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = "pytorch_model.bin"


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of a base and a tuned model, and their floating-point tensors by the names that
    they have in memory: of the base by every name, of the tuned model those of several names once.

    A tensor that the class of the model leaves aside has the name that it is stored by.
    """

    base: Path
    tuned: Path
    base_state: Mapping[str, Tensor]
    tuned_state: Mapping[str, Tensor]


def _family(name: str, folder: Path) -> families.Family:
    return families.family(name, folder / "family")


def _as_loaded(family: families.Family) -> Layout:
    """A layout that transformers itself reads: it says what is true."""
    base = truth.load(family.base).state_dict()
    tuned = truth.state(truth.load(family.tuned))
    floating = {name: tensor for name, tensor in base.items() if tensor.is_floating_point()}
    return Layout(family.base, family.tuned, floating, tuned)


def _rewritten(
    name: str, folder: Path, change: Callable[[Tensors], Tensors], *, parts: tuple[str, ...]
) -> Layout:
    """A family whose `parts` get other files, by a change that leaves their meaning as it is."""
    family = _family(name, folder)
    layout = _as_loaded(family)
    for part in parts:
        _change(family.folder / part, change)
    return layout


def _joined(beyond: Tensors, tensors: Tensors) -> Tensors:
    return tensors | beyond


def _change(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    tensors = change(load_file(folder / WEIGHTS))
    save_file({k: t.contiguous() for k, t in tensors.items()}, folder / WEIGHTS, {"format": "pt"})


def _configure(folder: Path, **changes: Any) -> None:
    """Set keys of a config.json; None takes one out."""
    file = folder / "config.json"
    config = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def _in_memory(name: str) -> Callable[[Path], Layout]:
    """The tuned model by the names and shapes in memory: its experts are stacked."""

    def write(folder: Path) -> Layout:
        family = _family(name, folder)
        state = _as_loaded(family).tuned_state
        _change(family.tuned, lambda _: dict(state))
        return _as_loaded(family)

    return write


def _plain(name: str) -> Callable[[Path], Layout]:
    """The family as transformers saves it: experts transposed, interleaved, heads by layer."""
    return lambda folder: _as_loaded(_family(name, folder))


def _prefixed(prefix: str) -> Callable[[Path], Layout]:
    """The tuned model's names behind what a wrapper puts before them."""
    return lambda folder: _rewritten(
        "llama", folder, lambda t: {prefix + k: v for k, v in t.items()}, parts=("tuned",)
    )


def _renamed(name: str, old: str, new: str) -> Callable[[Path], Layout]:
    """The tuned model's names with another beginning."""

    def change(tensors: Tensors) -> Tensors:
        assert any(k.startswith(old) for k in tensors), list(tensors)[:3]
        return {
            new + k.removeprefix(old) if k.startswith(old) else k: v for k, v in tensors.items()
        }

    return lambda folder: _rewritten(name, folder, change, parts=("tuned",))


def _with_more(
    name: str, more: Callable[[Tensors, torch.Generator], Tensors]
) -> Callable[[Path], Layout]:
    """A family with tensors that the class of the model leaves aside, others in each model."""

    def write(folder: Path) -> Layout:
        family = _family(name, folder)
        layout = _as_loaded(family)
        states = []
        for seed, (part, state) in enumerate(
            ((family.base, layout.base_state), (family.tuned, layout.tuned_state))
        ):
            beyond = more(load_file(part / WEIGHTS), torch.Generator().manual_seed(seed))
            _change(part, partial(_joined, beyond))
            states.append({**state, **beyond})
        return Layout(family.base, family.tuned, *states)

    return write


def _prediction_layer(stored: Tensors, generator: torch.Generator) -> Tensors:
    """A layer past the last, for the prediction of several tokens, as DeepSeek publishes it."""
    last = {k: v for k, v in stored.items() if k.startswith("model.layers.3.")}
    return {
        **{k.replace(".3.", ".4.", 1): 1.1 * v for k, v in last.items()},
        "model.layers.4.eh_proj.weight": torch.randn(64, 128, generator=generator),
        "model.layers.4.enorm.weight": torch.rand(64, generator=generator),
        "model.layers.4.hnorm.weight": torch.rand(64, generator=generator),
    }


def _stranger(stored: Tensors, generator: torch.Generator) -> Tensors:
    return {"extra.probe.weight": torch.randn(4, 64, generator=generator)}


def _head_stored(factor: float) -> Callable[[Path], Layout]:
    """A head that is stored although the configuration ties it, `factor` times the embedding."""

    def change(tensors: Tensors) -> Tensors:
        return tensors | {"lm_head.weight": factor * tensors["model.embed_tokens.weight"]}

    def write(folder: Path) -> Layout:
        family = _family("llama-tied", folder)
        for part in ("base", "tuned"):
            _change(family.folder / part, change)
        return _as_loaded(family)

    return write


def _only_the_head(folder: Path) -> Layout:
    """The one tensor that embedding and head share is stored by the name of the head."""

    def change(tensors: Tensors) -> Tensors:
        changed = dict(tensors)
        return changed | {"lm_head.weight": changed.pop("model.embed_tokens.weight")}

    family = _family("llama-tied", folder)
    for part in ("base", "tuned"):
        _change(family.folder / part, change)
    return _as_loaded(family)


def _unsaid(name: str) -> Callable[[Path], Layout]:
    """A configuration that does not say whether the head is tied."""

    def write(folder: Path) -> Layout:
        family = _family(name, folder)
        for part in ("base", "tuned"):
            _configure(family.folder / part, tie_word_embeddings=None)
        return _as_loaded(family)

    return write


def _untied_by_tuning(folder: Path) -> Layout:
    """A base that is tied, and a tuned model with a head of its own."""
    family = _family("llama-tied", folder)
    _change(family.tuned, lambda t: t | {"lm_head.weight": 1.5 * t["model.embed_tokens.weight"]})
    _configure(family.tuned, tie_word_embeddings=False)
    return _as_loaded(family)


def _classifier(folder: Path) -> Layout:
    """A sequence classifier in the place of the tuned model: it has no head over the vocabulary."""
    import transformers

    family = _family("llama", folder)
    model = transformers.LlamaForSequenceClassification.from_pretrained(family.tuned)
    model.save_pretrained(family.tuned)
    return _as_loaded(family)


def _stale_index(folder: Path) -> Layout:
    """An index of older shards, which are still there, beside a newer single file."""
    family = _family("llama", folder)
    old = "model-00001-of-00001.safetensors"
    shutil.copyfile(family.base / WEIGHTS, family.tuned / old)
    _write_index(family.tuned, old)
    return _as_loaded(family)


def _index_of_nothing(folder: Path) -> Layout:
    """An index of shards that are gone, beside the single file that took their place."""
    family = _family("llama", folder)
    _write_index(family.tuned, "model-00001-of-00001.safetensors")
    return _as_loaded(family)


def _sharded(folder: Path) -> Layout:
    """The tuned model in several files, as transformers cuts them."""
    family = _family("llama", folder)
    layout = _as_loaded(family)
    model = truth.load(family.tuned)
    (family.tuned / WEIGHTS).unlink()
    model.save_pretrained(family.tuned, max_shard_size="20KB")
    assert len(list(family.tuned.glob("model-*.safetensors"))) > 1
    return layout


def _pickled(*, shards: int) -> Callable[[Path], Layout]:
    """The tuned model as torch saves it, in one file or in several with an index."""

    def write(folder: Path) -> Layout:
        family = _family("llama", folder)
        layout = _as_loaded(family)
        tensors = load_file(family.tuned / WEIGHTS)
        (family.tuned / WEIGHTS).unlink()
        if shards == 1:
            torch.save(tensors, family.tuned / PICKLED)
            return layout
        names = sorted(tensors)
        files = {name: f"pytorch_model-{i % shards + 1:05}.bin" for i, name in enumerate(names)}
        for file in set(files.values()):
            part = {name: tensors[name] for name in names if files[name] == file}
            torch.save(part, family.tuned / file)
        index = {"metadata": {"total_size": 0}, "weight_map": files}
        (family.tuned / f"{PICKLED}.index.json").write_text(json.dumps(index))
        return layout

    return write


def _older_pickle(folder: Path) -> Layout:
    """The base's weights as torch saves them, left beside the tuned model's own."""
    family = _family("llama", folder)
    torch.save(load_file(family.base / WEIGHTS), family.tuned / PICKLED)
    return _as_loaded(family)


def _write_index(folder: Path, shard: str) -> None:
    names = load_file(folder / WEIGHTS)
    index = {"metadata": {"total_size": 0}, "weight_map": dict.fromkeys(names, shard)}
    (folder / INDEX).write_text(json.dumps(index))


LAYOUTS: dict[str, Callable[[Path], Layout]] = {
    "experts stacked, mixtral": _in_memory("mixtral"),
    "experts stacked, qwen3_moe": _in_memory("qwen3_moe"),
    "experts stacked, deepseek_v3": _in_memory("deepseek_v3"),
    "experts transposed and interleaved, gpt_oss": _plain("gpt_oss"),
    "experts transposed, llama4_text": _plain("llama4_text"),
    "heads by layer, gemma4_text": _plain("gemma4-experts"),
    "heads by layer, dots3_note_text": _plain("dots3_note_text"),
    "heads by layer, laguna": _plain("laguna"),
    "prefix _orig_mod.": _prefixed("_orig_mod."),
    "prefix module.": _prefixed("module."),
    "prefix base_model.model.": _prefixed("base_model.model."),
    "prefix module._orig_mod.": _prefixed("module._orig_mod."),
    "without model.": _renamed("llama", "model.", ""),
    "behind language_model.": _prefixed("language_model."),
    "gpt2 without transformer.": _renamed("gpt2", "transformer.", ""),
    "names in memory, llava": _in_memory("llava"),
    "layers past the last": _with_more("deepseek_v3", _prediction_layer),
    "a tensor of no place": _with_more("llama", _stranger),
    "tied head stored, equal": _head_stored(1.0),
    "tied head stored, different": _head_stored(1.5),
    "tied, stored as the head": _only_the_head,
    "tying unsaid, two tensors": _unsaid("llama"),
    "tying unsaid, one tensor": _unsaid("gemma2"),
    "head untied by the tuning": _untied_by_tuning,
    "classifier without a head": _classifier,
    "stale index, shards there": _stale_index,
    "stale index, shards gone": _index_of_nothing,
    "several files": _sharded,
    "one pickle": _pickled(shards=1),
    "several pickles": _pickled(shards=3),
    "an older pickle beside": _older_pickle,
}
"""Every layout by its name: writes its folders into a folder of its own and says what they hold."""
