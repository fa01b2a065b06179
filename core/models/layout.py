"""From the tensors in a model's files to the parameters of its class.

Owns the conversion of stored names to names in memory by transformers' conversion mapping; applies
its operations to mosaics instead of numbers. So two layouts of one model give the same parameters.
Reads no file.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.errors import FamilyError, reason
from core.models import mosaic
from core.models.mosaic import Mosaic
from core.models.naming import BUFFERS

Shapes = Mapping[str, tuple[int, ...]]

_INNER = r"_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module"
_WRAPPERS = re.compile(rf"^(?:(?:{_INNER}|module|base_model\.model)\.)+|(?<=\.)(?:(?:{_INNER})\.)+")
"""Names that training tools put before a model's own, or before a module's."""


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """The contents of a model's files, as parameters of its class.

    `parameters`: by name in memory; `extra`: stored tensors without a parameter in the class, by
    their own names; `missing`: parameters without a stored tensor; `is_renamed`:
    transformers would not find some parameters by their names in the files.
    """

    parameters: Mapping[str, Mosaic]
    extra: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    is_renamed: bool = False


def by_names(stored: Shapes) -> ParameterLayout:
    """The layout of a model of unknown class: every tensor is a parameter of the same name.

    Raises FamilyError if two tensors have one name without the prefixes of training tools.
    """
    names: dict[str, str] = {}
    for name in stored:
        if not BUFFERS.search(name):
            bare = _bare(name)
            if bare in names:
                raise _stored_twice(bare, [names[bare], name])
            names[bare] = name
    return ParameterLayout({bare: mosaic.whole(name, stored[name]) for bare, name in names.items()})


def of_class(module: Any, stored: Shapes) -> ParameterLayout:
    """The layout of a model's class (on the meta device) in files with these tensors.

    Raises FamilyError if an operation of the mapping is unknown or does not fit, or if several
    tensors are the same parameter.
    """
    known = {name: tuple(t.shape) for name, t in module.state_dict().items()}
    groups, extra, is_renamed = _grouped(module, stored, known)
    parameters: dict[str, Mosaic] = {}
    for target, group in groups.items():
        parameters |= _converted(module, target, group, stored, known)
    floats = {name for name, t in module.state_dict().items() if t.is_floating_point()}
    missing = tuple(name for name in known if name in floats and name not in parameters)
    return ParameterLayout(parameters, tuple(extra), missing, is_renamed)


@dataclass(slots=True)
class _Group:
    """Stored tensors that together become one or several parameters."""

    converter: Any = None
    sources: dict[str, list[str]] = field(default_factory=dict)


def _bare(name: str) -> str:
    return _WRAPPERS.sub("", name)


def _grouped(
    module: Any, stored: Shapes, known: Shapes
) -> tuple[dict[str, _Group], list[str], bool]:
    """Stored names grouped by the first parameter that they become; the names of unused
    tensors other than buffers; True if a name was read differently from transformers."""
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import (
        WeightConverter,
        WeightRenaming,
        dot_natural_key,
        rename_source_key,
    )

    mapping = get_model_conversion_mapping(module)
    renamings = [entry for entry in mapping if isinstance(entry, WeightRenaming)]
    converters = [entry for entry in mapping if isinstance(entry, WeightConverter)]
    by_pattern = {p: c for c in converters for p in c.source_patterns}
    prefix, ends = module.base_model_prefix, _Ends(known)
    groups: dict[str, _Group] = {}
    extra: list[str] = []
    is_renamed = False
    for name in sorted(stored, key=dot_natural_key):
        bare = _bare(name)
        target, pattern = rename_source_key(bare, renamings, converters, prefix, known)
        as_transformers = target in known and bare == name
        if target not in known and bare in known:
            target, pattern = bare, None
        if target not in known:
            target, pattern = ends.find(bare), None
        if target is None:
            if not BUFFERS.search(name):
                extra.append(name)
            continue
        is_renamed = is_renamed or not as_transformers
        group = groups.setdefault(target, _Group())
        if pattern is not None:
            group.converter = group.converter or copy.deepcopy(by_pattern[pattern])
        group.sources.setdefault(pattern or name, []).append(name)
    return groups, extra, is_renamed


class _Ends:
    """Parameters by their names without a prefix of the text model."""

    def __init__(self, known: Shapes) -> None:
        self._inner: dict[str, list[str]] = {}
        self._outer: dict[str, list[str]] = {}
        for name in known:
            self._inner.setdefault(name, []).append(name)
            for front in re.finditer(r"language_model\.", name):
                self._inner.setdefault(name[front.end() :], []).append(name)
            if name.startswith(("model.", "transformer.")):
                self._outer.setdefault(name.partition(".")[2], []).append(name)

    def find(self, name: str) -> str | None:
        """The one parameter of this name up to a prefix."""
        end = re.sub(r"^(?:(?:model|language_model|transformer)\.)+", "", name)
        names = self._inner.get(end) or self._outer.get(end, [])
        return names[0] if len(names) == 1 and "." in end else None


def _converted(
    module: Any, target: str, group: _Group, stored: Shapes, known: Shapes
) -> dict[str, Mosaic]:
    parts = {
        pattern: [mosaic.whole(name, stored[name]) for name in names]
        for pattern, names in group.sources.items()
    }
    if group.converter is None:
        ones = [one for each in parts.values() for one in each]
        if len(ones) > 1:
            raise _stored_twice(target, list(group.sources))
        return {target: ones[0]}
    made: dict[str, Any] = parts
    for operation in group.converter.operations:
        follow = _FOLLOWED.get(type(operation).__name__)
        if follow is None:
            raise FamilyError(
                f"Parameter {target}: the operation {type(operation).__name__}, by which "
                f"transformers converts {module.config.model_type} checkpoints, is not known.",
                hint="Load the model with transformers and save it again with save_pretrained.",
            )
        step = _Step(operation, group.converter, target, module, known)
        try:
            made = follow(step, made)
        except (ValueError, IndexError) as error:
            raise FamilyError(
                f"Parameter {target} can't be put together from the files: {reason(error)}."
            ) from None
    full = target.replace("*.", "0.")
    mosaics = {}
    for key, value in made.items():
        one = value[0] if isinstance(value, list) else value
        before, inside, after = next((full.partition(k) for k in made if k in full), ("", "", ""))
        mosaics[before + key + after if inside else key] = one
    return mosaics


def _stored_twice(target: str, names: Sequence[str]) -> FamilyError:
    return FamilyError(
        f"Parameter {target} is stored {len(names)} times, as {', '.join(names[:3])}.",
        hint="Save the model again with save_pretrained, which stores each parameter once.",
    )


@dataclass(frozen=True, slots=True)
class _Step:
    operation: Any
    converter: Any
    target: str
    module: Any
    known: Shapes

    def named(self, pattern: str) -> str:
        """The key of a single result: the target where the converter has one."""
        targets, sources = self.converter.target_patterns, self.converter.source_patterns
        return targets[0] if len(targets) == 1 and len(sources) == 1 else pattern

    def setting(self, name: str) -> int:
        return int(getattr(self.module.config.get_text_config(), name))


Parts = dict[str, Any]


def _one(value: Any) -> Mosaic:
    one: Mosaic = value[0] if isinstance(value, list) else value
    return one


def _chunk(step: _Step, parts: Parts) -> Parts:
    (value,) = parts.values()
    targets, count = step.converter.target_patterns, len(step.converter.target_patterns)
    attribute = step.operation.num_shards_attribute
    if attribute is not None:
        count = step.setting(attribute)
        targets = [targets[0].replace("*", str(i)) for i in range(count)]
    whole, axis = _one(value), step.operation.dim
    size = -(-whole.shape[axis] // count)
    sizes = [min(size, whole.shape[axis] - i * size) for i in range(count)]
    return dict(zip(targets, mosaic.cut(whole, sizes, axis), strict=True))


def _split(step: _Step, parts: Parts) -> Parts:
    (value,) = parts.values()
    targets, axis = step.converter.target_patterns, step.operation.dim
    names = [step.target.replace(targets[0], target) for target in targets]
    sizes = [step.known[name][axis] for name in names]
    return dict(zip(targets, mosaic.cut(_one(value), sizes, axis), strict=True))


def _concatenate(step: _Step, parts: Parts) -> Parts:
    mosaics: list[Mosaic] = []
    for pattern in step.converter.source_patterns:
        value = parts.get(pattern)
        if value is not None:
            mosaics += value if isinstance(value, list) else [value]
    return {step.converter.target_patterns[0]: mosaic.joined(mosaics, step.operation.dim)}


def _merge(step: _Step, parts: Parts) -> Parts:
    axis, single = step.operation.dim, len(parts) == 1
    return {
        (step.converter.target_patterns[0] if single else pattern): mosaic.stacked(values, axis)
        for pattern, values in parts.items()
    }


def _transpose(step: _Step, parts: Parts) -> Parts:
    ((pattern, value),) = parts.items()
    one, operation = _one(value), step.operation
    key = step.named(pattern) if len(step.converter.target_patterns) == 1 else pattern
    if operation.check_dims and one.shape == step.known.get(step.target):
        return {key: one}
    return {key: mosaic.transposed(one, operation.dim0, operation.dim1)}


def _interleave(step: _Step, parts: Parts) -> Parts:
    ((pattern, value),) = parts.items()
    one, axis = _one(value), step.operation.dim
    count = one.shape[axis]
    shape = (2, count // 2) if step.operation.inverse else (count // 2, 2)
    order = [i * shape[1] + j for j in range(shape[1]) for i in range(shape[0])]
    last = step.converter.operations[-1] is step.operation
    key = step.converter.target_patterns[0] if last else pattern
    return {key: mosaic.reordered(one, axis, order)}


def _permute(step: _Step, parts: Parts) -> Parts:
    operation, config = step.operation, step.module.config
    if operation.subconfig_key is not None:
        config = getattr(config, operation.subconfig_key, config)
    heads = getattr(config, "num_attention_heads", 1)
    renamed = {}
    for pattern, value in parts.items():
        one, names = _one(value), operation.permute_layer_names
        if names is None or any(name in pattern for name in names):
            half = one.shape[0] // heads // 2
            a, b = (2, half) if operation.inverse else (half, 2)
            order = [
                head * a * b + i * b + j
                for head in range(heads)
                for j in range(b)
                for i in range(a)
            ]
            one = mosaic.reordered(one, 0, order)
        renamed[step.named(pattern)] = one
    return renamed


def _flatten(step: _Step, parts: Parts) -> Parts:
    ((pattern, value),) = parts.items()
    one = _one(value)
    if len(one.shape) == 5 and one.is_whole:
        rows = one.shape[0]
        size = one.shape[1] * one.shape[2] * one.shape[3] * one.shape[4]
        one = mosaic.reshaped(one.tiles[0].source, one.shape, (rows, size))
    return {step.named(pattern): one}


def _fuse_and_split(step: _Step, parts: Parts) -> Parts:
    """Experts of text and of vision in one list: each half becomes a separate stack."""
    targets: Sequence[str] = step.converter.target_patterns
    stacks: dict[str, list[Mosaic]] = {target: [] for target in targets}
    for pattern in step.converter.source_patterns:
        values = parts[pattern]
        size = -(-len(values) // len(targets))
        for i, target in enumerate(targets):
            part = values[i * size : (i + 1) * size]
            stacks[target].append(mosaic.stacked(part, step.operation.stack_dim))
    return {t: mosaic.joined(pieces, step.operation.concat_dim) for t, pieces in stacks.items()}


_FOLLOWED: Mapping[str, Callable[[_Step, Parts], Parts]] = {
    "Chunk": _chunk,
    "Split": _split,
    "Concatenate": _concatenate,
    "MergeModulelist": _merge,
    "Transpose": _transpose,
    "Interleave": _interleave,
    "PermuteForRope": _permute,
    "Conv3dToLinear": _flatten,
    "ErnieFuseAndSplitTextVisionExperts": _fuse_and_split,
}
"""transformers' operations by name, as functions on mosaics."""
