"""Models in memory: built by transformers, placed by accelerate, one at a time.

Owns every import of transformers and accelerate in the engine: the placement of a model's layers,
its dtype, its adapters, its tokeniser, and the reaction to a lack of memory. Knows no analysis and
no use of a model.
"""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import CheckpointError, RunError, reason
from core.files.partial import scratch
from core.models import pointers
from core.models.adapters.checkpoint import Adapter
from core.models.checkpoint import Checkpoint
from core.models.family import Member
from core.models.folders import is_tokeniser
from core.models.headers import read_json
from core.models.opening import is_classifier
from core.models.outline import quiet
from core.models.parameters import CheckpointParameters
from core.models.quantised.checkpoint import Lazy, below
from core.study.study import Run


@dataclass(frozen=True, slots=True)
class Placement:
    """accelerate's placement of a model: the device of each placed module."""

    modules: Mapping[str, str]

    @property
    def offloaded(self) -> bool:
        """Is any part offloaded to the disk, or to the CPU from an accelerator?"""
        devices = set(self.modules.values())
        return "disk" in devices or ("cpu" in devices and len(devices) > 1)

    def by_device(self) -> dict[str, list[str]]:
        """The modules of each device."""
        found: dict[str, list[str]] = {}
        for module, device in self.modules.items():
            found.setdefault(device, []).append(module or "the whole model")
        return found


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
        for key in ("max_position_embeddings", "n_positions"):
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
    root, _, adapters = _chain(member.checkpoint)
    with quiet(), scratch("offload") as spare:
        folder = run.offload_folder or str(spare)
        model: Any = None
        try:
            with _explained(member):
                model = _made(member, root, run, folder, trust_remote_code)
                for adapter in adapters:
                    apart = adapter is adapters[-1] and not merged
                    model = _adapted(model, adapter, run, folder, apart=apart)
            model.eval().requires_grad_(False)
            yield _described(member.name, model)
        finally:
            del model
            _free()


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """A device's share of a model: modules, and the bytes of their parameters."""

    device: str
    modules: tuple[str, ...]
    nbytes: int


def placement_of(
    member: Member, run: Run, *, trust_remote_code: bool = False
) -> tuple[DeviceShare, ...]:
    """The placement of a member's layers if it were loaded now, without reading its weights.

    Uses the functions that place models at loading, on a model of shapes only. Adapters are not
    counted. Raises CheckpointError as `loaded` does.
    """
    root, _, _ = _chain(member.checkpoint)
    with quiet(), _explained(member):
        model = _outline(root, member, run, trust_remote_code)
        devices = _device_map(model, run)
    held: dict[str, int] = dict.fromkeys(devices.values(), 0)
    for name, nbytes in _sizes(model).items():
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
            found = AutoTokenizer.from_pretrained(
                where, trust_remote_code=trust_remote_code, local_files_only=True, **given
            )
            found.decode(found("a text").input_ids)  # whose settings are looked at only now
            return found
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
    from accelerate.utils.memory import should_reduce_batch_size

    while True:
        try:
            return work(size)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
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


def _chain(checkpoint: Checkpoint) -> tuple[Path, Checkpoint, list[Adapter]]:
    """A whole model's directory and checkpoint, and its adapters in the order of application."""
    adapters: list[Adapter] = []
    while isinstance(checkpoint, Adapter):
        adapters.insert(0, checkpoint)
        checkpoint = checkpoint.over
    return Path(checkpoint.where), checkpoint, adapters


def _config(root: Path, opened: Checkpoint, trust_remote_code: bool) -> Any:
    """The configuration by transformers: a folder's or a GGUF file's."""
    from transformers import AutoConfig

    if root.is_file():
        return AutoConfig.for_model(**opened.config)
    return AutoConfig.from_pretrained(
        root, trust_remote_code=trust_remote_code, local_files_only=True
    )


def _outline(root: Path, member: Member, run: Run, trust_remote_code: bool) -> Any:
    """The model as transformers builds it, on the meta device."""
    config = _config(root, _whole(member), trust_remote_code)
    _unquantise(config)
    stored = (info.dtype for info in member.checkpoint.tensors.values() if info.dtype is not None)
    own = getattr(config, "dtype", None) or next(stored, torch.float32)
    dtype = own if run.dtype == "auto" else getattr(torch, run.dtype)
    given = {} if run.attention == "auto" else {"attn_implementation": run.attention}
    made = _class_of(member)
    maker = made._from_config if hasattr(made, "_from_config") else made.from_config
    with torch.device("meta"):
        return maker(config, dtype=dtype, **given)


def _device_map(model: Any, run: Run) -> dict[str, str]:
    from transformers.integrations.accelerate import get_balanced_memory, infer_auto_device_map

    if _fixed(run):
        return {"": run.device}
    kept_whole = model._no_split_modules
    memory = get_balanced_memory(
        model, max_memory=_max_memory(run), no_split_module_classes=kept_whole
    )
    found = infer_auto_device_map(model, max_memory=memory, no_split_module_classes=kept_whole)
    return {module: _word(device) for module, device in found.items()}


def _sizes(model: Any) -> dict[str, int]:
    """The bytes of each parameter, tied ones once."""
    tied = getattr(model, "all_tied_weights_keys", {})
    return {
        name: p.numel() * p.element_size() for name, p in model.named_parameters()
        if name not in tied
    }  # fmt: skip


def _fixed(run: Run) -> bool:
    """Does the study name the one device of its models?"""
    return run.device != "auto" and run.max_memory is None


def _max_memory(run: Run) -> dict[int | str, str] | None:
    if run.max_memory is None:
        return None
    return {int(k) if k.isdigit() else k: v for k, v in run.max_memory.items()}


def _class_of(member: Member) -> Any:
    """The class of the member's outline; the auto class if it is unknown. A classifier is loaded as
    a language model with the base's output head."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING as CAUSAL

    outline = getattr(_whole(member), "outline", None)
    if outline is None:
        return transformers.AutoModelForCausalLM
    if outline.is_classifier:
        return CAUSAL[type(outline.module.config)]
    return type(outline.module)


def _whole(member: Member) -> Checkpoint:
    """A member's model under any adapters."""
    return _chain(member.checkpoint)[1]


def _unquantise(config: Any) -> None:
    """Remove the quantisation settings from a configuration."""
    for part in (config, config.get_text_config()):
        for key in ("quantization_config", "compression_config"):
            if hasattr(part, key):
                delattr(part, key)


def _read_by_us(member: Member) -> Checkpoint | None:
    """The tensors to pass to transformers because it would misread the files or miss parameters in
    them; None if transformers reads the same tensors itself."""
    opened = _whole(member)
    if isinstance(opened, CheckpointParameters) and (opened.is_renamed or opened.borrows):
        return opened
    return below(opened)


def _handed(
    root: Path, whole: Checkpoint, opened: Checkpoint, trust_remote_code: bool
) -> dict[str, Any]:
    """The settings by which transformers loads a folder from tensors that tauscope reads."""
    config = _config(root, opened, trust_remote_code)
    _unquantise(config)
    if isinstance(opened, CheckpointParameters) and opened.borrows and is_classifier(opened):
        _untie(config)  # the borrowed head is not its embedding
    lazy = {n: Lazy(opened, n) for n, i in opened.tensors.items() if i.dtype is not None}
    # Tied parameters need their own name too if a part of the model is on the disk.
    tied = getattr(whole, "aliases", {}).items()
    lazy |= {name: lazy[source] for name, source in tied if source in lazy and name not in lazy}
    return {"config": config, "state_dict": lazy}


def _generation(root: Path) -> dict[str, Any]:
    """What a folder says of generation, in transformers' form; nothing where it says nothing.

    Raises CheckpointError, naming the file: transformers would not.
    """
    from transformers import GenerationConfig

    file = root / "generation_config.json"
    if not file.is_file():
        return {}
    stated = read_json(file)
    hint = "Mend it, or move it away: the model then generates with transformers' defaults."
    for key in ("bos_token_id", "eos_token_id", "pad_token_id"):
        value = stated.get(key)
        ids = value if isinstance(value, list) else [value]
        if not all(each is None or type(each) is int for each in ids):
            raise CheckpointError(f"{file} has {value!r} as {key}, which is no token.", hint=hint)
    try:
        return {"generation_config": GenerationConfig.from_pretrained(root)}
    except Exception as error:
        raise CheckpointError(f"{file} can't be used: {reason(error)}.", hint=hint) from error


def _made(
    member: Member, root: Path, run: Run, offload_folder: str, trust_remote_code: bool
) -> Any:
    name, kind, opened = member.name, _class_of(member), _read_by_us(member)
    given: dict[str, Any] = {}
    generation = _generation(root)
    if opened is not None:
        given = {**_handed(root, _whole(member), opened, trust_remote_code), **generation}
    if run.max_memory is not None:
        given["max_memory"] = _max_memory(run)
    if run.attention != "auto":
        given["attn_implementation"] = run.attention
    model, report = kind.from_pretrained(
        root if opened is None else None,
        dtype="auto" if run.dtype == "auto" else getattr(torch, run.dtype),
        device_map={"": run.device} if _fixed(run) else "auto",
        offload_folder=offload_folder,
        trust_remote_code=trust_remote_code,
        local_files_only=True,
        output_loading_info=True,
        **given,
    )
    missing = sorted(report.get("missing_keys", ()))
    if missing:
        # transformers would continue with random numbers in their place.
        raise CheckpointError(
            f"'{name}' ({root}) lacks {len(missing)} weights: {', '.join(missing[:3])}.",
            hint="Compare its files with the files at its source. The existing weights can still "
            "be compared alone.",
        )
    return model


def _adapted(model: Any, adapter: Adapter, run: Run, offload_folder: str, *, apart: bool) -> Any:
    """The model with an adapter, either separate from its weights or merged into them."""
    from peft import PeftModel

    if "disk" in (getattr(model, "hf_device_map", None) or {}).values():
        # peft would write a copy of the whole checkpoint into the current folder.
        raise CheckpointError(
            f"The adapter {adapter.where} can't be applied to a model that is partly on the disk.",
            hint="Give it more memory (run.max_memory), or merge it with PEFT.",
        )
    if adapter.moved and _holds(model, adapter):
        return _overwritten(model, adapter)
    given: dict[str, Any] = {"offload_folder": offload_folder}
    if _fixed(run):
        given["device_map"] = {"": run.device}
    if run.max_memory is not None:
        given["max_memory"] = _max_memory(run)
    _fit(model, adapter, apart=apart)
    with warnings.catch_warnings():
        # Deprecations between peft and transformers, which the user can't change.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("default", category=UserWarning, module="peft")
        # peft continues with an adapter without effect if names don't match.
        warnings.filterwarnings("error", "Found missing adapter keys")
        try:
            wrapped = PeftModel.from_pretrained(
                model, adapter.where, low_cpu_mem_usage=not adapter.remakes_base, **given
            )
        except UserWarning as said:
            raise _incomplete(adapter, str(said)) from said
        laid = wrapped if apart else wrapped.merge_and_unload()
    if adapter.changes_vocabulary:
        _tie_no_more(model)
    return laid


def _incomplete(adapter: Adapter, said: str) -> CheckpointError:
    """The error for peft's long warning about an adapter's missing tensors."""
    names = [name.removeprefix("base_model.model.") for name in re.findall(r"'([^']+)'", said)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return CheckpointError(
        f"The adapter {adapter.where} lacks tensors that its settings ask for: "
        f"{', '.join(names[:3])}{more}.",
        hint="Save it again with PEFT. Its weights alone can still be compared.",
    )


def _holds(model: Any, adapter: Adapter) -> bool:
    """Does the model in memory have all tensors that the adapter changes, under the same names?"""
    own = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {*adapter.updates, *adapter.replaced} <= own


def _overwritten(model: Any, adapter: Adapter) -> Any:
    """The model with the tuned tensors written into it. peft would miss some of their names.

    Raises CheckpointError if a tensor is neither on the CPU nor on an accelerator.
    """
    _fit(model, adapter, apart=False)
    for name in {*adapter.updates, *adapter.replaced}:
        parameter = model.get_parameter(name)
        if parameter.is_meta:
            raise CheckpointError(
                f"The adapter {adapter.where} has other names than the model, and can't be "
                "applied to a partly offloaded model.",
                hint="Give it more memory (run.max_memory), or merge it with PEFT.",
            )
        info = adapter.tensors[name]
        parameter.data.copy_(adapter.read(name, 0, info.rows).reshape(info.shape))
    return model


def _fit(model: Any, adapter: Adapter, *, apart: bool) -> None:
    """Resize the model for the adapter: a vocabulary of another size, an untied head.

    A separate adapter changes the embedding but not a head tied to it; merging would change both.
    """
    rows, head = adapter.vocabulary, adapter.head
    if rows is not None and rows != model.get_input_embeddings().weight.shape[0]:
        if head is not None and adapter.tensors[head].rows != rows:
            raise CheckpointError(
                f"{adapter.where} brings an embedding of {rows} rows, but the output head has "
                f"{adapter.tensors[head].rows}: the head's rows added in training were not saved.",
                hint="Save the adapter again with the output head in modules_to_save. Its weights "
                "alone can still be compared.",
            )
        model.resize_token_embeddings(rows, mean_resizing=False)
    if head is not None and head not in adapter.over.tensors and not apart:
        module = model.get_output_embeddings()
        module.weight = nn.Parameter(adapter.before(head).to(module.weight), requires_grad=False)
        _tie_no_more(model)


def _tie_no_more(model: Any) -> None:
    """Keep embedding and output head as they are, tied or not, despite later calls to tie them.

    The harness makes such a call, and peft's replacements can't or must not be tied.
    """
    _untie(model.config)


def _untie(config: Any) -> None:
    config.get_text_config().tie_word_embeddings = False
    config.tie_word_embeddings = False


def _described(name: str, model: Any) -> LoadedModel:
    devices = getattr(model, "hf_device_map", None) or {"": str(_home(model))}
    embedding = model.get_input_embeddings()
    hook = getattr(embedding, "_hf_hook", None)
    first = getattr(hook, "execution_device", None)
    device = torch.device(first) if first is not None else embedding.weight.device
    placed = {module: _word(where) for module, where in devices.items()}
    return LoadedModel(name, model, device, Placement(placed), model.config)


def _home(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def _word(device: Any) -> str:
    return f"cuda:{device}" if isinstance(device, int) else str(device)


@contextmanager
def _explained(member: Member) -> Iterator[None]:
    """Turn any error of transformers into a CheckpointError with a hint."""
    try:
        yield
    except CheckpointError:
        raise
    except ImportError as error:
        raise CheckpointError(
            f"'{member.name}' ({member.where}) needs a package: {_first_line(error)}",
            hint="Install it in tauscope's environment.",
        ) from error
    except Exception as error:
        words, hint = _first_line(error), "Its weights alone can still be compared."
        if _out_of_memory(error):
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
            f"'{member.name}' ({member.where}) can't be loaded: {words}", hint=hint
        ) from error


def _out_of_memory(error: Exception) -> bool:
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, MemoryError) or should_reduce_batch_size(error)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]


def _free() -> None:
    from accelerate.utils.memory import clear_device_cache

    gc.collect()
    clear_device_cache()
