"""Models in memory: built by transformers, placed by accelerate, one at a time.

Owns loading and freeing, the tokeniser, and the reaction to a lack of memory. Knows no analysis and
no use of a model.
"""

from __future__ import annotations

import gc
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import CheckpointError, RunError, out_of_memory
from core.files.partial import scratch
from core.models import pointers
from core.models.adapters.application import adapted
from core.models.construction import chain, made, outline
from core.models.family import Member
from core.models.folders import is_tokeniser
from core.models.naming import POSITIONS
from core.models.outline import quiet
from core.models.placement import DeviceShare, Placement, device_map, device_word, sizes
from core.study.study import Run

SMALL = 1 << 26
"""The most bytes of a model whose memory is not collected: a collection looks at every object of
the process."""

_SIGNS = {"attention": "attention|attn|kernel", "max_memory": "device", "offload_folder": "errno"}
"""Signs of an error of transformers about a setting of the study's `run`."""

_LARGE: weakref.WeakSet[Any] = weakref.WeakSet()
"""The larger models in memory, held by their users or only by cycles."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A causal language model that is ready for a forward pass. `device`: the device of its
    inputs."""

    name: str
    module: nn.Module
    device: torch.device
    placement: Placement
    config: Any

    @property
    def context(self) -> int | None:
        """The model's number of positions; None if the configuration does not state it."""
        text = self.config.get_text_config()
        for key in POSITIONS:
            if getattr(text, key, None):
                return int(getattr(text, key))
        return None

    @property
    def vocabulary(self) -> int:
        """The number of rows of the embedding: token ids must be below."""
        embedding: Any = self.module.get_input_embeddings()  # type: ignore[operator]
        return int(embedding.weight.shape[0])


@contextmanager
def loaded(
    member: Member, run: Run, *, trust_remote_code: bool = False, merged: bool = False
) -> Iterator[LoadedModel]:
    """A member of a family in memory, in evaluation mode and with frozen weights.

    An adapter is applied without merging, unless `merged` is true. Raises CheckpointError, naming
    the model, if transformers can't load its files.
    """
    root, _, adapters = chain(member.checkpoint)
    _free()  # cycles may hold an earlier model, and accelerate places by free memory
    with quiet(), scratch("offload") as spare:
        folder = run.offload_folder or str(spare)
        model: Any = None
        try:
            with _explained(member, run):
                model = made(member, root, run, folder, trust_remote_code)
                for adapter in adapters:
                    apart = adapter is adapters[-1] and not merged
                    model = adapted(model, adapter, run, folder, apart=apart)
                member.checkpoint.refuse_changed()
            if sum(p.nbytes for p in model.parameters() if p.device.type != "meta") >= SMALL:
                _LARGE.add(model)
            model.eval().requires_grad_(False)
            yield _described(member.name, model)
        finally:
            del model
            _free()


def placement_of(
    member: Member, run: Run, *, trust_remote_code: bool = False
) -> tuple[DeviceShare, ...]:
    """The placement of a member's layers if it were loaded now, without reading its weights.

    Uses the functions that place models at loading, on a model of shapes only. Adapters are not
    counted. Raises CheckpointError as `loaded` does.
    """
    root, _, _ = chain(member.checkpoint)
    with quiet(), _explained(member, run):
        model = outline(root, member, run, trust_remote_code)
        devices = device_map(model, run)
    held: dict[str, int] = dict.fromkeys(devices.values(), 0)
    for name, nbytes in sizes(model).items():
        within = [m for m in devices if not m or name == m or name.startswith(f"{m}.")]
        if within:
            held[devices[max(within, key=len)]] += nbytes
    modules = Placement(devices).by_device()
    return tuple(DeviceShare(device, tuple(modules[device]), size) for device, size in held.items())


def tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokeniser of a model's directory, or of a GGUF file: from files beside it, else its own.

    Raises CheckpointError if there is none.
    """
    from transformers import AutoTokenizer

    given, where = {}, folder
    if folder.is_file():
        where = folder.parent
        if not any(map(is_tokeniser, where.glob("*"))):
            given = {"gguf_file": folder.name}
    with quiet():
        try:
            opened = AutoTokenizer.from_pretrained(
                where, trust_remote_code=trust_remote_code, local_files_only=True, **given
            )
            opened.decode(opened("a text").input_ids)  # whose settings are looked at only now
            return opened
        except Exception as error:
            for file in filter(is_tokeniser, sorted(folder.glob("*"))):
                pointers.refuse(file)
            raise CheckpointError(
                f"{folder} holds no tokeniser that can be read: {_first_line(error)}",
                hint="Name one with models.tokenizer, or copy the base's tokeniser files there.",
            ) from None


def halving(work: Callable[[int], None], size: int, on_halved: Callable[[int], None]) -> None:
    """Call `work(size)`; if memory runs out, call `on_halved` and try again with half the size.

    `work` must continue after the finished part. Raises RunError if size 1 doesn't fit.
    """
    while True:
        try:
            return work(size)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
            if size == 1:
                raise RunError(
                    "Memory is too small for a single document.",
                    hint="Lower probe.max_tokens, or offload more of the model (run.max_memory).",
                ) from error
        # Outside of the except clause nothing refers to the attempt's memory any more.
        _free()
        size //= 2
        on_halved(size)


def _described(name: str, model: Any) -> LoadedModel:
    devices = getattr(model, "hf_device_map", None) or {"": str(_home(model))}
    embedding = model.get_input_embeddings()
    hook = getattr(embedding, "_hf_hook", None)
    first = getattr(hook, "execution_device", None)
    device = torch.device(first) if first is not None else embedding.weight.device
    placed = {module: device_word(where) for module, where in devices.items()}
    return LoadedModel(name, model, device, Placement(placed), model.config)


def _home(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


@contextmanager
def _explained(member: Member, run: Run) -> Iterator[None]:
    """Turn any error of transformers into a CheckpointError with a hint."""
    try:
        yield
    except CheckpointError:
        raise
    except ImportError as error:
        hint = "Install it in tauscope's environment."
        raise CheckpointError(
            f"'{member.name}' ({member.where}) needs a package: {_first_line(error)}",
            hint=_with_settings(hint, run, error),
        ) from error
    except Exception as error:
        words, hint = _first_line(error), "Its weights alone can still be compared."
        if out_of_memory(error):
            raise RunError(
                f"Memory is too small to load '{member.name}': {words}",
                hint="Offload parts of it to the CPU or the disk (run.max_memory, "
                "run.offload_folder), or load it in another dtype.",
            ) from error
        if "trust_remote_code" in str(error):
            hint = "It brings code of its own: models.trust_remote_code = true lets it run."
        elif "mismatched_sizes" in str(error):
            words = "config.json gives other sizes than the tensors have."
            hint = "Compare config.json with the one at the model's source."
        raise CheckpointError(
            f"'{member.name}' ({member.where}) can't be loaded: {words}",
            hint=_with_settings(hint, run, error),
        ) from error


def _with_settings(hint: str, run: Run, error: BaseException) -> str:
    """The hint, with the settings that the error may be about."""
    given = {name: getattr(run, name) for name in _SIGNS}
    named = [
        f"run.{name} = {value!r}" for name, value in given.items()
        if value not in ("auto", None) and re.search(_SIGNS[name], str(error), re.IGNORECASE)
    ]  # fmt: skip
    return f"Change {' and '.join(named)}, or leave it out. {hint}" if named else hint


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _free() -> None:
    """Collect large models that only cycles hold, and give free memory back to the devices."""
    from accelerate.utils.memory import clear_device_cache

    if _LARGE:
        gc.collect()
    clear_device_cache()
