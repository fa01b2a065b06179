"""A base and a tuned model of a configuration, random and tiny, written by transformers.

Owns how weights are drawn and perturbed. Reads nothing back.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from tests.core.zoo import write_tokenizer
from tests.models import configs
from tests.models.isolation import one_line

MOST_PARAMETERS = 40_000_000
NOTES = "family.json"


@dataclass(frozen=True, slots=True)
class Family:
    """The folders of a base and a tuned model, and what they are.

    `mute`: why the model does not compute from text alone; empty where it does.
    """

    name: str
    folder: Path
    class_name: str
    parameters: int
    mute: str = ""

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def tuned(self) -> Path:
        return self.folder / "tuned"


def room() -> Path:
    """Where families are kept: $TAUSCOPE_MODELS, else a folder among the temporary files."""
    named = os.environ.get("TAUSCOPE_MODELS")
    return Path(named) if named else Path(tempfile.gettempdir()) / "tauscope-models"


def family(name: str, root: Path | None = None) -> Family:
    """The family of an entry of `configs`, made unless it is there already."""
    folder, recipe = (root or room()) / name, _recipe(name)
    notes = folder / NOTES
    if not notes.is_file() or json.loads(notes.read_text())["recipe"] != recipe:
        _make(name, folder, recipe)
    stored = json.loads(notes.read_text())
    del stored["recipe"]
    return Family(folder=folder, **stored)


def _recipe(name: str) -> str:
    """Identifies what a family is made of: an older one is made anew."""
    entry = configs.entries()[name]
    parts = [transformers.__version__, entry.model_type, dict(entry.changes), configs.SMALL]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _make(name: str, folder: Path, recipe: str) -> None:
    torch.manual_seed(0)
    config = configs.tiny(configs.entries()[name])
    cls = configs.model_class(config)
    model = cls(config).float().eval()
    count = sum(p.numel() for p in model.parameters())
    if count > MOST_PARAMETERS:
        raise ValueError(f"{count} parameters are too many for a tiny model")
    randomise(model, seed=3)
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("base", "tuned"):
        if part == "tuned":
            perturb(model, seed=7)
        model.save_pretrained(folder / part)
        write_tokenizer(folder / part)
    made = Family(name, folder, cls.__name__, count, _why_mute(model))
    fields = {key: value for key, value in asdict(made).items() if key != "folder"}
    (folder / NOTES).write_text(json.dumps(fields | {"recipe": recipe}))


def randomise(model: Any, seed: int) -> None:
    """Draw the matrices and biases anew, so that none is zero and no layer repeats another."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in _floating(model):
            if tensor.dim() >= 2 and not name.endswith("A_log"):
                scale = 0.3 if "embed" in name else 0.6 / tensor.shape[-1] ** 0.5
                tensor.copy_(scale * torch.randn(tensor.shape, generator=generator))
            elif name.endswith("bias"):
                tensor.copy_(0.05 * torch.randn(tensor.shape, generator=generator))


def perturb(model: Any, seed: int, size: float = 0.15) -> None:
    """Change every floating-point number that is saved, by `size` of its tensor's spread."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in _floating(model):
            if name.endswith("balancing_biases"):
                continue  # of these transformers sets a part anew whenever it loads a model
            spread = float(tensor.std()) if tensor.numel() > 1 else 0.0
            step = size * (spread if spread > 1e-6 else 0.05)
            change = step * torch.randn(tensor.shape, generator=generator)
            tensor.add_(change.abs() if name.endswith("running_var") else change)


def _floating(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Each stored tensor of floating-point numbers once, however many names it has."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point() and id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor


def _why_mute(model: Any) -> str:
    ids = torch.arange(3, 15)[None]
    try:
        with torch.no_grad():
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    except Exception as error:
        return one_line(error)
    return "" if bool(torch.isfinite(output.logits).all()) else "its logits are not finite"
