"""A point of task arithmetic as a Hugging Face directory, streamed from disk to disk.

Owns the files of a merged model and the record of its origin. Reads and writes rows. Only a
method that decomposes matrices holds a whole tensor in memory; no method holds a model.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from core.errors import CheckpointError, RunError
from core.models import loading
from core.models.adapters.checkpoint import Adapter
from core.models.checkpoint import Checkpoint, TensorInfo
from core.models.family import Family
from core.sizes import size
from core.vectors.arithmetic import EVERYTHING, ArithmeticPoint, Restriction
from core.vectors.blocks import Block, Workspace, cut, spread, thread_count
from core.vectors.combination import Rounding, VectorCombination
from core.vectors.disk import Disk
from core.vectors.folder import appearing
from core.vectors.selection import find_marks
from core.vectors.shards import ShardWriter
from core.vectors.target import Sink, Target
from core.weights.moments import BLOCK

SHARD_BYTES = 5 * 10**9
RECIPE = "merge.json"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}

_COMPANIONS = (
    "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json",
    "chat_template*", "*.model", "*.tiktoken", "generation_config.json", "*processor_config.json",
    "*.py",
)  # fmt: skip
"""Files of the base that a merged model needs besides its weights, if the base has them."""


_OF_FILES = ("_name_or_path", "transformers_weights")
"""Settings about the base's own files, which a merged model does not have."""


@dataclass(frozen=True, slots=True)
class Merged:
    """The result of a merge: its folder, its size, and its rounding loss (`Rounding.share`)."""

    folder: Path
    nbytes: int
    rounding_loss: float | None


def merge(
    family: Family,
    point: ArithmeticPoint,
    folder: Path,
    *,
    restriction: Restriction = EVERYTHING,
    dtype: torch.dtype | None = None,
    shard_bytes: int = SHARD_BYTES,
    progress: Callable[[int, int, str], None] | None = None,
) -> Merged:
    """Write a point over the family's base as a model's directory, which appears only when
    complete.

    Tensors keep the base's names, shapes and dtypes (`dtype`: all of them in this one); the
    configuration and the tokeniser are the base's. `progress` is called with bytes written, bytes
    in all, and the tensor. Raises StudyError for a non-empty folder or unknown layers, RunError if
    the disk is too small or a value is not finite, CheckpointError if a model can't be read.
    """
    source = Disk(family)
    target = Target.of(family, dtype)
    tensors = target.tensors
    total = sum(info.nbytes for info in tensors.values())
    tuned = {name: source.infos(name) for name in point.vectors}
    base = source.base_infos()
    chosen = restriction.tensors(family.anatomy.pieces)
    blocks = list(cut(family.anatomy.pieces, base, tuned, chosen))
    with appearing(folder) as partial:
        _refuse_small_disk(partial, total)
        marks = find_marks(point, blocks, source, thread_count())
        combination = VectorCombination(point, marks, family.anatomy.pieces)
        done, rounding = 0, Rounding()
        with ShardWriter(partial, tensors, shard_bytes) as writer:
            for tensor, tensor_blocks in _by_tensor(target, base, blocks):
                if progress is not None:
                    progress(done, total, tensor)
                rounding += _combine(
                    combination, tensor_blocks, source, target.sink(tensor, writer)
                )
                done = target.written
            target.copy_tables(writer)
        if progress is not None:
            progress(total, total, "")
        _accompany(family, partial)
        recipe = _recipe(family, point, restriction, tensors, rounding.share)
        (partial / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n", encoding="utf-8")
        # Written last: without it a folder is not recognised as a model.
        config = json.dumps(_config(family, target), indent=2) + "\n"
        (partial / "config.json").write_text(config, encoding="utf-8")
    return Merged(folder, total, rounding.share)


def _combine(
    combination: VectorCombination, blocks: Sequence[Block], source: Disk, sink: Sink
) -> Rounding:
    """Compute a parameter's blocks and write them to the sink."""

    def write(share: Sequence[Block]) -> Rounding:
        space, total = Workspace(), Rounding()
        for block in share:
            size = (block.stop - block.start) * block.columns
            out = space.numbers("out", size, sink.dtype)
            total += combination.write(block, source, out, space)
            sink.write(block.start, out.view(-1, block.columns))
        return total

    combination.prepare(blocks, source)
    rounding = sum(spread(write, blocks, thread_count()), Rounding())
    sink.close()
    return rounding


def _by_tensor(
    target: Target, base: Mapping[str, TensorInfo], blocks: Sequence[Block]
) -> Iterator[tuple[str, list[Block]]]:
    """Blocks of the written parameters; parameters outside of all pieces are the base's own."""
    cut_up = {tensor: list(group) for tensor, group in groupby(blocks, key=lambda b: b.tensor)}
    for name in target.parameters:
        yield name, cut_up.get(name) or _as_it_is(name, base[name])


def _as_it_is(name: str, info: TensorInfo) -> list[Block]:
    step = max(1, BLOCK // max(info.columns, 1))
    return [
        Block(name, start, min(start + step, info.rows), info.columns, (), "", 0)
        for start in range(0, info.rows, step)
    ]


def _refuse_small_disk(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise RunError(
            f"The merged model takes {size(wanted)}, but {folder.parent} has only "
            f"{size(free)} free.",
            hint="Free some, name a folder on another disk, or store it as bfloat16.",
        )


def _folders(checkpoint: Checkpoint) -> Iterator[Path]:
    """The folders of a base's files; for an adapter, first the folders of the model under it."""
    if isinstance(checkpoint, Adapter):
        yield from _folders(checkpoint.over)
    yield Path(checkpoint.where)


def _accompany(family: Family, folder: Path) -> None:
    """Copy the base's tokeniser, generation settings and own code."""
    for path in _folders(family.base.checkpoint):
        if path.is_file():  # GGUF, which may contain a tokeniser
            with contextlib.suppress(CheckpointError):
                loading.tokenizer(path).save_pretrained(folder)
            continue
        for pattern in _COMPANIONS:
            for file in sorted(path.glob(pattern)):
                if file.is_file():
                    shutil.copyfile(file, folder / file.name)


def _config(family: Family, target: Target) -> dict[str, Any]:
    """The base's configuration with the most frequent dtype of the written weights, the number of
    written tokens, and with an untied output head if one is written over a base that ties it."""
    tensors = target.tensors
    config = {k: v for k, v in family.base.checkpoint.config.items() if k not in _OF_FILES}
    sizes: Counter[torch.dtype | None] = Counter()
    for info in tensors.values():
        sizes[info.dtype] += info.rows * info.columns
    stored = str(sizes.most_common(1)[0][0]).removeprefix("torch.")
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        config["text_config"] = {
            k: stored if k in ("dtype", "torch_dtype") else v for k, v in inner.items()
        }
    keys = [key for key in ("dtype", "torch_dtype") if key in config] or ["torch_dtype"]
    config |= dict.fromkeys(keys, stored)
    if target.unties:
        config["tie_word_embeddings"] = False
        if isinstance(inner, Mapping) and "tie_word_embeddings" in inner:
            config["text_config"]["tie_word_embeddings"] = False
    if target.vocabulary is not None:
        text = config["text_config"] if isinstance(inner, Mapping) else config
        text["vocab_size"] = target.vocabulary
        if "vocab_size" in config:
            config["vocab_size"] = target.vocabulary
    return config


def _recipe(
    family: Family,
    point: ArithmeticPoint,
    restriction: Restriction,
    tensors: Mapping[str, TensorInfo],
    rounding_loss: float | None,
) -> dict[str, Any]:
    """The origin of the weights, as JSON."""
    members = [family.base, *(family.tuned[name] for name in point.vectors)]
    return {
        "made_by": "tauscope merge",
        "setting": point.setting,
        "restriction": restriction.text or None,
        "models": {m.name: {"path": m.where, "fingerprint": m.fingerprint} for m in members},
        "dtypes": sorted({str(i.dtype).removeprefix("torch.") for i in tensors.values()}),
        "rounding_loss": rounding_loss,
        "warnings": [list(warning) for warning in family.warnings],
    }
