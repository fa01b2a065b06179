"""A tiny family with a probe set, for the analyses of states."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from core.study import study
from core.texts.documents.source import read
from core.texts.probe import ProbeSet
from tests.core import zoo

TEXTS = ("the first of them", "a", "neurons at work", "one more", "it is long", "z and so on")


def study_of(folder: Path, *tuned: str, **representation: Any) -> study.Study:
    """A study of the base and these tuned models."""
    return study.Study(
        name="s",
        models=study.Models(
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
