"""A model as transformers would build it, without weights: names, shapes, modules and ties.

Owns the choice of the model's class, the refusal of other kinds of models, and the facts about
modules that names do not show. Builds on the meta device, so that nothing is allocated.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core import libraries
from core.errors import FamilyError
from core.models.body import Body, Trait
from core.models.naming import family_name
from core.models.plausibility import Extent, limited, refuse_implausible

_PLACES = ("layers", "h", "blocks", "block", "layer")
_CLASSIFIERS = re.compile(r"For(Sequence|Token)Classification$|ForQuestionAnswering$|RewardModel$")
_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_DECODERS = ("num_decoder_layers", "decoder_layers")
"""Keys of the number of decoder layers, for models whose usual key counts encoder layers."""

_QUERY = ("num_attention_heads", "n_head", "n_heads", "num_heads")
_KEY_VALUE = ("num_key_value_heads", "num_kv_heads", "n_head_kv")


@dataclass(frozen=True, slots=True)
class Outline:
    """A model without weights.

    `name`: its class. `module`: the model on the meta device. `body`: its decoder. `ties`:
    parameters that the configuration ties to another one.
    """

    name: str
    module: Any
    body: Body
    ties: Mapping[str, str]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every parameter and saved buffer by its name in memory."""
        return {name: tuple(t.shape) for name, t in self.module.state_dict().items()}

    @property
    def is_classifier(self) -> bool:
        """Does it end in a classification head instead of a language-model head?"""
        return bool(_CLASSIFIERS.search(self.name))


def outline(
    folder: Path, config: Mapping[str, Any], *, extent: Extent, trust_remote_code: bool = False
) -> Outline | None:
    """The outline of the model in a folder or a GGUF file; None if transformers does not know its
    type.

    `extent`: the number and the size of the stored tensors. Raises FamilyError for a configuration
    far larger than that, before building it; for a model that is no decoder; and for a
    configuration that transformers can't build.
    """
    refuse_implausible(folder, config, extent)
    settings = _settings(folder, config, trust_remote_code)
    if settings is None:
        return None
    made = _class_of(settings, config, trust_remote_code)
    if made is None:
        return None
    try:
        with quiet(), torch.device("meta"), _without_initialisation(), limited(folder, extent):
            module = made(settings)
    except FamilyError:
        raise
    except ImportError as error:
        raise FamilyError(
            f"{made.__name__} needs a package: {_reason(error).split('. ')[0]}.",
            hint="Install it in tauscope's environment.",
        ) from None
    except Exception as error:
        raise FamilyError(
            f"{_source(folder)}: transformers can't build a {made.__name__} from it: "
            f"{_reason(error)}",
        ) from None
    return of_module(module)


def of_module(module: Any) -> Outline:
    """The outline of a transformers model, on any device."""
    ties = dict(getattr(module, "all_tied_weights_keys", None) or {})
    return Outline(type(module).__name__, module, _body(module, module.config), ties)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' progress bars, and send its messages to Python's logging: they would
    disturb the screen."""
    from transformers.utils import logging as remarks

    level, bars = remarks.get_verbosity(), remarks.is_progress_bar_enabled()
    remarks.set_verbosity_warning()
    remarks.disable_progress_bar()
    try:
        with libraries.quiet(printed=False):
            yield
    finally:
        remarks.set_verbosity(level)
        if bars:
            remarks.enable_progress_bar()


@contextlib.contextmanager
def _without_initialisation() -> Iterator[None]:
    from transformers.initialization import no_init_weights

    with no_init_weights():
        yield


def _settings(folder: Path, config: Mapping[str, Any], trust_remote_code: bool) -> Any:
    """The configuration as transformers reads it; None for an unknown type."""
    from transformers import CONFIG_MAPPING, AutoConfig

    kind, inner = str(config.get("model_type") or ""), config.get("text_config") or {}
    if not isinstance(inner, Mapping):
        raise FamilyError(f"{_source(folder)}: text_config is not a JSON object.")
    remote = "AutoConfig" in (config.get("auto_map") or {}) and trust_remote_code
    if kind not in CONFIG_MAPPING and not remote:
        return None
    try:
        with quiet():
            if folder.is_file():  # GGUF: it states the configuration itself
                return CONFIG_MAPPING[kind].from_dict(dict(config))
            return AutoConfig.from_pretrained(
                folder, trust_remote_code=trust_remote_code, local_files_only=True
            )
    except Exception as error:
        raise FamilyError(
            f"{_source(folder)}: transformers can't read it: {_reason(error)}"
        ) from None


def _source(folder: Path) -> Path:
    """The file of a model's configuration."""
    return folder if folder.is_file() else folder / "config.json"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _class_of(settings: Any, config: Mapping[str, Any], trust_remote_code: bool) -> Any:
    """The class of `architectures[0]`, else the choice of the auto classes."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    if trust_remote_code and "AutoModelForCausalLM" in (config.get("auto_map") or {}):
        return _remote_class(settings, config)
    mappings = [
        getattr(auto, name)
        for name in (
            "MODEL_FOR_CAUSAL_LM_MAPPING", "MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING",
            "MODEL_FOR_MULTIMODAL_LM_MAPPING",
        )
        if hasattr(auto, name)
    ]  # fmt: skip
    known = [mapping[type(settings)] for mapping in mappings if type(settings) in mapping]
    listed = settings.architectures  # a damaged config.json may hold anything here
    stated = listed[0] if isinstance(listed, list | tuple) and listed else ""
    stated_class = getattr(transformers, stated, None) if isinstance(stated, str) else None
    if not (
        isinstance(stated_class, type) and issubclass(stated_class, transformers.PreTrainedModel)
    ):
        stated_class = None
    _refuse_other_kinds(settings, stated_class, known)
    return stated_class or known[0]


def _remote_class(settings: Any, config: Mapping[str, Any]) -> Any:
    from transformers.dynamic_module_utils import get_class_from_dynamic_module

    return get_class_from_dynamic_module(
        config["auto_map"]["AutoModelForCausalLM"], settings._name_or_path, local_files_only=True
    )


def _refuse_other_kinds(settings: Any, model_class: Any, known: list[Any]) -> None:
    from transformers.models.auto import modeling_auto as auto

    kind, words = settings.model_type, "tauscope compares causal language models."
    name = family_name(model_class.__name__) if model_class is not None else kind
    if getattr(settings, "is_encoder_decoder", False):
        raise FamilyError(f"{name} is an encoder-decoder model; {words}")
    masked = type(settings) in auto.MODEL_FOR_MASKED_LM_MAPPING
    if (
        not known
        or "Diffusion" in str(model_class)
        or (masked and not getattr(settings, "is_decoder", True))
    ):
        kind = "an encoder" if masked else "no causal language model"
        raise FamilyError(f"{name} is {kind}; {words}")


def _body(module: Any, settings: Any) -> Body:
    """The places of a model's decoder layers, embeddings and head."""
    text = settings.get_text_config()
    decoder = _decoder(module)
    names = {id(part): name for name, part in module.named_modules()}
    inside = names.get(id(decoder), "")
    count = _stated(text, (*_DECODERS, *_COUNTS))
    layers, size = _layers(decoder, inside, count)
    embeddings = [_name(names, module, "get_input_embeddings")]
    heads = [_name(names, module, "get_output_embeddings")]
    return Body(
        layers=layers,
        count=min(count, size) if count and size > count else size,
        inside=f"{inside}." if inside else "",
        embeddings=tuple(filter(None, embeddings)),
        heads=tuple(h for h in heads if h and h not in embeddings),
        query=_stated(text, _QUERY),
        key_value=_stated(text, _KEY_VALUE),
        traits=dict(_traits(module, layers)),
    )


def _decoder(module: Any) -> Any:
    """The text model: transformers' choice, if it has a list of layers."""
    candidates: list[Any] = [
        lambda: module.thinker.get_decoder(),  # for models that also speak
        lambda: module.get_decoder(),
        lambda: module.base_model,
    ]
    for candidate in candidates:
        with contextlib.suppress(Exception):
            decoder = candidate()
            if any(isinstance(part, nn.ModuleList) for part in decoder.modules()):
                return decoder
    return module


def _name(names: Mapping[int, str], module: Any, ask: str) -> str:
    with contextlib.suppress(Exception):
        return names.get(id(getattr(module, ask)()), "")
    return ""


def _layers(decoder: Any, inside: str, count: int) -> tuple[str, int]:
    """The name of the list of decoder layers, and its length."""
    lists = [
        (name, len(part)) for name, part in decoder.named_modules()
        if isinstance(part, nn.ModuleList) and len(part)
    ]  # fmt: skip
    prefix = f"{inside}." if inside else ""
    for fits in (
        lambda name, size: name.rsplit(".", 1)[-1] in _PLACES and size == count,
        lambda name, size: size == count,
        lambda name, size: name.rsplit(".", 1)[-1] in _PLACES,
        lambda name, size: "." not in name,
    ):
        fitting = [(name, size) for name, size in lists if fits(name, size)]
        if fitting:
            name, size = min(fitting, key=lambda item: (item[0].count("."), -item[1]))
            return f"{prefix}{name}", size
    return f"{prefix}layers", 0


def _stated(settings: Any, keys: tuple[str, ...]) -> int:
    """The first of these settings that is a number; 0 if it differs by layer."""
    for key in keys:
        with contextlib.suppress(Exception):
            value = getattr(settings, key)
            if isinstance(value, int) and not isinstance(value, bool) and value > 0:
                return value
    return 0


def _traits(module: Any, layers: str) -> Iterator[tuple[str, Trait]]:
    for name, part in module.named_modules():
        if name.startswith(layers):
            yield name, _trait(part)


def _trait(part: Any) -> Trait:
    kind = type(part).__name__
    parameters = dict(part.named_parameters(recurse=False))
    stacks = [p for p in parameters.values() if p.dim() == 3]
    children = dict(part.named_children())
    return Trait(
        kind=kind,
        storage="transposed" if _is_transposed(part, kind, parameters) else "plain",
        interleaved=getattr(part, "is_concatenated", True) is False,
        is_experts=bool(stacks) and bool({"down_proj", "up_proj", "weight"} & set(parameters))
        and "Conv" not in kind,
        heads=_stated(part, (*_QUERY, "num_query_heads")),
        key_value=_key_value(part),
        is_recurrent="A_log" in parameters or isinstance(children.get("conv1d"), nn.Conv1d),
    )  # fmt: skip


def _key_value(part: Any) -> int:
    if getattr(part, "multi_query", None) is True and not getattr(
        part, "new_decoder_architecture", False
    ):
        return 1
    return _stated(part, (*_KEY_VALUE, "num_key_value_heads"))


def _is_transposed(part: Any, kind: str, parameters: Mapping[str, Any]) -> bool:
    """Does the module store its matrices as [d_in, d_out]?"""
    if kind == "Conv1D":  # transformers' own linear map with a transposed weight
        return True
    stated = getattr(part, "is_transposed", None)
    if stated is not None:
        return bool(stated)
    fused, down = parameters.get("gate_up_proj"), parameters.get("down_proj")
    if fused is None or down is None or fused.dim() != 3 or down.dim() != 3:
        return False
    hidden = _stated(part, ("hidden_size", "hidden_dim"))
    plain = fused.shape[2] == down.shape[1] and fused.shape[1] == 2 * down.shape[2]
    turned = fused.shape[1] == down.shape[2] and fused.shape[2] == 2 * down.shape[1]
    return turned and (not plain or fused.shape[1] == hidden)
