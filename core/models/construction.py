"""A member's whole model as transformers makes it: its class, its settings and its tensors.

Owns the decision which tensors transformers reads itself. Knows no adapter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from core.errors import CheckpointError, StudyError, did_you_mean, reason
from core.models.adapters.checkpoint import Adapter
from core.models.checkpoint import Checkpoint
from core.models.family import Member
from core.models.headers import read_json
from core.models.opening import is_classifier
from core.models.parameters import CheckpointParameters
from core.models.placement import max_memory, one_device
from core.models.quantised.checkpoint import Lazy, below
from core.sizes import counted
from core.study.study import Run


def made(member: Member, root: Path, run: Run, offload_folder: str, trust_remote_code: bool) -> Any:
    """A member's model without its adapters, with all its weights.

    Raises CheckpointError if transformers misses weights.
    """
    name, kind, opened = member.name, _class_of(member), _read_by_us(member)
    given: dict[str, Any] = {}
    generation = _generation(root)
    if opened is not None:
        given = {**_handed(root, _whole(member), opened, trust_remote_code), **generation}
    one = one_device(run, _nbytes(member, run))
    if run.max_memory is not None:
        given["max_memory"] = max_memory(run)
    if run.attention != "auto":
        given["attn_implementation"] = run.attention
    model, report = kind.from_pretrained(
        root if opened is None else None,
        dtype="auto" if run.dtype == "auto" else getattr(torch, run.dtype),
        device_map="auto" if one is None else {"": one},
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
            f"'{name}' ({root}) lacks {counted(len(missing), 'weight')}: {', '.join(missing[:3])}.",
            hint="Compare its files with the files at its source. The existing weights can still "
            "be compared alone.",
        )
    return model


def _nbytes(member: Member, run: Run) -> int:
    """The bytes of a member's weights in memory."""
    floating = [i for i in _whole(member).tensors.values() if i.dtype is not None]
    if run.dtype == "auto":
        return sum(info.nbytes for info in floating)
    wide: int = getattr(torch, run.dtype).itemsize
    return sum(info.rows * info.columns * wide for info in floating)


def outline(root: Path, member: Member, run: Run, trust_remote_code: bool) -> Any:
    """The model as transformers builds it, on the meta device."""
    config = _config(root, _whole(member), trust_remote_code)
    _unquantise(config)
    stored = (info.dtype for info in member.checkpoint.tensors.values() if info.dtype is not None)
    stored_dtype = getattr(config, "dtype", None) or next(stored, torch.float32)
    dtype = stored_dtype if run.dtype == "auto" else getattr(torch, run.dtype)
    given = {} if run.attention == "auto" else {"attn_implementation": run.attention}
    made = _class_of(member)
    maker = made._from_config if hasattr(made, "_from_config") else made.from_config
    with torch.device("meta"):
        return maker(config, dtype=dtype, **given)


def refuse_unknown_attention(run: Run) -> None:
    """Raise StudyError for a way to compute attention that transformers does not know. A way with
    a slash is a kernel of the Hugging Face hub."""
    from transformers import AttentionInterface

    asked, known = run.attention, ("auto", "eager", *AttentionInterface().keys())
    if "/" not in asked and asked.removeprefix("paged|") not in known:
        raise StudyError(f"run.attention: there is no '{asked}'.", hint=did_you_mean(asked, known))


def chain(checkpoint: Checkpoint) -> tuple[Path, Checkpoint, list[Adapter]]:
    """A whole model's directory and checkpoint, and its adapters in the order of application."""
    adapters: list[Adapter] = []
    while isinstance(checkpoint, Adapter):
        adapters.insert(0, checkpoint)
        checkpoint = checkpoint.over
    return Path(checkpoint.where), checkpoint, adapters


def untie(config: Any) -> None:
    """Have embedding and output head apart."""
    config.get_text_config().tie_word_embeddings = False
    config.tie_word_embeddings = False


def _config(root: Path, opened: Checkpoint, trust_remote_code: bool) -> Any:
    """The configuration by transformers: a folder's or a GGUF file's."""
    from transformers import AutoConfig

    if root.is_file():
        return AutoConfig.for_model(**opened.config)
    return AutoConfig.from_pretrained(
        root, trust_remote_code=trust_remote_code, local_files_only=True
    )


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
    return chain(member.checkpoint)[1]


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
        untie(config)  # the borrowed head is not its embedding
    lazy = {n: Lazy(opened, n) for n, i in opened.tensors.items() if i.dtype is not None}
    # Tied parameters need their own name too if a part of the model is on the disk.
    tied = getattr(whole, "aliases", {}).items()
    lazy |= {name: lazy[source] for name, source in tied if source in lazy and name not in lazy}
    return {"config": config, "state_dict": lazy}


def _generation(root: Path) -> dict[str, Any]:
    """A folder's settings of generation, in transformers' form; empty without a file.

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
            raise CheckpointError(
                f"{file} has {value!r} as {key}, which is not a token.", hint=hint
            )
    try:
        return {"generation_config": GenerationConfig.from_pretrained(root)}
    except Exception as error:
        raise CheckpointError(f"{file} can't be used: {reason(error)}.", hint=hint) from error
