"""A tiny family with a probe set, for the analyses of states."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.study import study
from core.study.models import Models
from core.texts.documents.source import read
from core.texts.probe import ProbeSet
from tests.core import zoo

TEXTS = ("the first of them", "a", "neurons at work", "one more", "it is long", "z and so on")

NORMS = {
    "gpt2": "transformer.ln_f", "gpt_neox": "gpt_neox.final_layer_norm",
    "opt": "model.decoder.final_layer_norm",
}  # fmt: skip
BLOCKS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers", "opt": "model.decoder.layers"}


def study_of(folder: Path, *tuned: str, **representation: Any) -> study.Study:
    """A study of the base and these tuned models."""
    return study.Study(
        name="s",
        models=Models(
            base=str(folder / "base"), tuned={name: str(folder / name) for name in tuned}
        ),
        probe=study.Probe(file=str(folder / "probe.txt"), documents=len(TEXTS), max_tokens=14),
        analyses={"representation": representation},
        run=study.Run(device="cpu", batch_size=4),
    )


def write_family(folder: Path, name: str) -> list[Any]:
    """A base, a model tuned from it, and the base again as `same`; the first two in memory."""
    models: list[Any] = zoo.build(name, folder)
    zoo.write_tokenizer(folder / "base")
    shutil.copytree(folder / "base", folder / "same")
    (folder / "probe.txt").write_text("\n".join(TEXTS))
    return models


def probe_of(folder: Path) -> ProbeSet:
    """The probe set as token ids."""
    ids = [
        np.array([1, *(3 + zoo.LETTERS.index(letter) for letter in text)])[:14]
        for text, _ in read(folder / "probe.txt")
    ]
    return ProbeSet(TEXTS, tuple(ids), (1,) * len(ids))


class Oracle:
    """A model in float64: its states [n, d] after each layer at tokens, and their lenses."""

    def __init__(self, module: Any, name: str, probe: ProbeSet, places: Any) -> None:
        copied = copy.deepcopy(module).double().eval()
        copied.set_experts_implementation("eager")  # the grouped kernel has no float64
        norm = copied.get_submodule(NORMS.get(name, "model.norm"))
        blocks = copied.get_submodule(BLOCKS.get(name, "model.layers"))
        self.states, self.lens = [], []
        cap = getattr(copied.config, "final_logit_softcapping", None)
        with torch.no_grad():
            held = [self._held(copied, block, probe) for block in blocks]
            for documents in held:
                states = torch.stack([documents[d][p] for d, p in places.tolist()])
                logits = copied.get_output_embeddings()(norm(states))
                logits = cap * torch.tanh(logits / cap) if cap else logits
                self.states.append(states.numpy())
                self.lens.append(torch.log_softmax(logits, 1))

    def _held(self, model: Any, block: Any, probe: ProbeSet) -> list[Any]:
        states: list[Any] = []
        handle = block.register_forward_hook(
            lambda m, g, r: states.append((r[0] if isinstance(r, tuple) else r)[0])
        )
        for ids in probe.ids:
            model(input_ids=torch.from_numpy(ids)[None])
        handle.remove()
        return states
