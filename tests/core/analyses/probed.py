"""A tiny family with probe sets, and its models' own predictions in float64."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch

from core.models import loading
from core.study import study
from core.study.models import Models
from tests.core import zoo

TEXTS = ("the first of them", "a", "neurons at work", "one more", "it is long", "z and so on")
FURTHER = ("tokens of another set", "of two")


def study_of(folder: Path, *tuned: str, **more: Any) -> study.Study:
    given: dict[str, Any] = {
        "probe": study.Probe(file=str(folder / "probe.txt"), documents=len(TEXTS), max_tokens=14),
        "run": study.Run(device="cpu", batch_size=4),
        **more,
    }
    return study.Study(
        name="s",
        models=Models(
            base=str(folder / "base"), tuned={name: str(folder / name) for name in tuned}
        ),
        **given,
    )


def family(folder: Path, name: str) -> Any:
    models = zoo.build(name, folder)
    zoo.write_tokenizer(folder / "base")
    shutil.copytree(folder / "base", folder / "same")
    (folder / "probe.txt").write_text("\n".join(TEXTS))
    (folder / "further.txt").write_text("\n".join(FURTHER))
    return models


def ids_of(folder: Path, texts: tuple[str, ...]) -> list[torch.Tensor]:
    tokenizer = loading.tokenizer(folder / "base")
    cut = 14 if texts is TEXTS else 1024
    return [torch.tensor(tokenizer(text).input_ids)[:cut] for text in texts]


def log_probabilities(module: Any, documents: list[torch.Tensor]) -> list[torch.Tensor]:
    """Of each document, the model's own predictions of its tokens but the first, in float64."""
    copied = copy.deepcopy(module).double().eval()
    copied.set_experts_implementation("eager")  # the grouped kernel has no float64
    with torch.no_grad():
        return [
            torch.log_softmax(copied(input_ids=ids[None]).logits[0, :-1], 1) for ids in documents
        ]
