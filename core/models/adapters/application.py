"""An adapter on a model in memory: applied by peft, or written into the tensors.

Owns the size of the vocabulary that an adapter brings, and the errors of peft in plain words.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

from torch import nn

from core.errors import CheckpointError
from core.models.adapters.checkpoint import Adapter
from core.models.construction import untie
from core.models.placement import fixed, max_memory
from core.study.study import Run


def adapted(model: Any, adapter: Adapter, run: Run, offload_folder: str, *, apart: bool) -> Any:
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
    if fixed(run):
        given["device_map"] = {"": run.device}
    if run.max_memory is not None:
        given["max_memory"] = max_memory(run)
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
        except UserWarning as warning:
            raise _incomplete(adapter, str(warning)) from warning
        laid = wrapped if apart else wrapped.merge_and_unload()
    if adapter.changes_vocabulary:
        _tie_no_more(model)
    return laid


def _incomplete(adapter: Adapter, message: str) -> CheckpointError:
    """The error for peft's long warning about an adapter's missing tensors."""
    names = [name.removeprefix("base_model.model.") for name in re.findall(r"'([^']+)'", message)]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return CheckpointError(
        f"The adapter {adapter.where} lacks tensors that its settings ask for: "
        f"{', '.join(names[:3])}{more}.",
        hint="Save it again with PEFT. Its weights alone can still be compared.",
    )


def _holds(model: Any, adapter: Adapter) -> bool:
    """Does the model in memory have all tensors that the adapter changes, under the same names?"""
    names = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {*adapter.updates, *adapter.replaced} <= names


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
    untie(model.config)
