"""A GGUF file as a checkpoint: the parameters of its model, dequantised on reading.

Owns the order of opening and the notes on the file. `rows` reads the blocks, `names` gives the
parameters' names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import CheckpointError
from core.models import checkpoint
from core.models import outline as outlines
from core.models.checkpoint import TensorInfo
from core.models.gguf import header as heads
from core.models.gguf import names, rows, settings, steps
from core.models.gguf.header import PLAIN, TYPES, Header
from core.models.gguf.rows import BlockRecipe, Blocks, Made
from core.models.headers import StoredTensor
from core.models.identity import Identities
from core.models.outline import Outline
from core.models.plausibility import extent_of
from core.models.quantised import parts
from core.models.quantised.checkpoint import Dequantised
from core.models.quantised.parts import Weight
from core.sizes import counted

_FEW = 3  # names in one remark


class Gguf(Dequantised):
    """The parameters of the model in a GGUF file, by their names in memory.

    Tensors stored in blocks are read as float32; plain numbers keep their dtype. `method` names the
    most frequent type of the quantised elements.
    """

    def __init__(
        self, stored: _Named, made: Mapping[str, Weight], dtypes: Mapping[str, Any],
        method: str, notes: tuple[str, ...],
    ) -> None:  # fmt: skip
        super().__init__(stored, made, method)
        self.method, self.notes = method, notes
        self.tensors = {
            name: TensorInfo(dtypes[name], info.shape) for name, info in self.tensors.items()
        }


class _Named:
    """The tensors of a file that are unchanged parameters, by the parameters' names."""

    def __init__(
        self,
        raw: parts.StoredCheckpoint,
        plain: Mapping[str, str],
        tensors: Mapping[str, TensorInfo],
        config: Mapping[str, Any],
    ) -> None:
        self._raw = raw
        self._plain = plain
        self.where = raw.where
        self.config = config
        self.tensors = tensors
        self.raw_dtypes = {name: info.dtype for name, info in tensors.items()}

    @property
    def bytes_read(self) -> int:
        """Bytes of the file."""
        return self._raw.bytes_read

    @bytes_read.setter
    def bytes_read(self, count: int) -> None:
        self._raw.bytes_read = count

    def read(self, name: str, start: int, stop: int, into: Tensor | None = None) -> Tensor:
        """See `Checkpoint.read`."""
        return self._raw.read(self._plain[name], start, stop, into)

    def raw(self, name: str, start: int, stop: int) -> Tensor:
        """Rows as `read` gives them."""
        return self.read(name, start, stop)

    def is_transposed(self, name: str) -> bool:
        """See `Checkpoint.is_transposed`."""
        return False

    def fingerprint(self) -> str:
        """The file's fingerprint: of its metadata and all its bytes."""
        return self._raw.fingerprint()

    def refuse_changed(self) -> None:
        """See `Checkpoint.refuse_changed`."""
        self._raw.refuse_changed()


def opened(file: Path, identities: Identities) -> tuple[Gguf, Outline]:
    """The checkpoint in a GGUF file, and its model's outline.

    Raises CheckpointError if the file is damaged, if its architecture or type of blocks has no
    reader, or if the package gguf is missing; FamilyError if the model is no decoder.
    """
    head = heads.read(file)
    heads.require_package(file)
    names.refuse_misread(file, head)
    config, notes = settings.read(file, head)
    config["dtype"] = _dtype(head)
    extent = extent_of({name: tensor.shape for name, tensor in head.tensors.items()})
    made = outlines.outline(file, config, extent=extent)
    if made is None:
        raise CheckpointError(
            f"{file} is a model of type '{config.get('model_type')}', which transformers does not "
            "know.",
        )
    config["architectures"] = [made.name]
    recipes, unread = names.recipes(file, head, made)
    if unread:
        more = " …" if len(unread) > _FEW else ""
        listed = ", ".join(unread[:_FEW])
        notes += (f"holds {counted(len(unread), 'unread tensor')}: {listed}{more}.",)
    raw = checkpoint.open_tensors(
        str(file), _identifying(head), file,
        {name: _stored(tensor) for name, tensor in head.tensors.items()}, identities,
    )  # fmt: skip
    return _checkpoint(raw, head, recipes, config, notes), made


def _checkpoint(
    raw: parts.StoredCheckpoint,
    head: Header,
    recipes: Mapping[str, BlockRecipe],
    config: Mapping[str, Any],
    notes: tuple[str, ...],
) -> Gguf:
    dtypes = {name: rows.dtype_of(head, recipe) for name, recipe in recipes.items()}
    plain = {
        name: recipe.sources[0] for name, recipe in recipes.items()
        if recipe.is_plain and head.tensors[recipe.sources[0]].kind in PLAIN
        and recipe.shape == head.tensors[recipe.sources[0]].shape
    }  # fmt: skip
    infos = {name: TensorInfo(dtypes[name], recipes[name].shape) for name in plain}
    blocks = Blocks(raw, head)
    made = {name: Made(blocks, recipe) for name, recipe in recipes.items() if name not in plain}
    counts = Counter(rows.elements(head, quantised=True))
    method = f"GGUF {counts.most_common(1)[0][0]}" if counts else ""
    missed = sorted(counts.keys() & steps.NOT_ESTIMATED)
    if missed:
        note = (
            f"has weights of type {', '.join(missed)}, whose quantisation error is not "
            "estimated: the rounding shares leave it out."
        )
        notes += (note,)
    return Gguf(_Named(raw, plain, infos, config), made, dtypes, method, notes)


def _identifying(head: Header) -> dict[str, Any]:
    """The fields that identify a model, without its name, its authors and its conversion."""
    fields = {key: value for key, value in head.fields.items() if not key.startswith("general.")}
    return {**fields, "architecture": head.architecture, "quantization_config": "GGUF"}


def _stored(tensor: heads.Tensor) -> StoredTensor:
    """A tensor as rows of bytes, or of plain numbers."""
    if tensor.kind in PLAIN:
        return StoredTensor(tensor.kind, tensor.shape, tensor.start, tensor.stop)
    _, elements, width = next(each for each in TYPES.values() if each[0] == tensor.kind)
    shape = (*tensor.shape[:-1], tensor.shape[-1] // elements * width)
    return StoredTensor("U8", shape, tensor.start, tensor.stop)


def _dtype(head: Header) -> str:
    """The dtype for running the model: the most frequent one if all weights are plain, else
    float32."""
    if rows.elements(head, quantised=True):
        return "float32"
    words = {"F16": "float16", "BF16": "bfloat16"}
    counts = Counter(rows.elements(head, quantised=False))
    return words.get(counts.most_common(1)[0][0] if counts else "", "float32")
