"""The model under an adapter, as what the adapter does to it is found out.

Owns where a module's tensors lie, how they are stored, and the errors for what fits nothing. Knows
no form of update.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from core.errors import CheckpointError
from core.models.adapters.names import AdaptedTensor, AdapterNames, without_wrappings
from core.models.adapters.ties import Tie
from core.models.adapters.updates import LowRank, Stack, Update
from core.models.checkpoint import Checkpoint, TensorInfo

_TRANSPOSED_EXPERTS = frozenset({"gpt_oss", "openai_privacy_filter", "aria", "aria_text"})
"""Model types whose experts are applied as x · W: there PEFT takes [experts, d_in, d_out]."""


@dataclass(slots=True)
class AdapterUpdates:
    """What an adapter does: `updates` are added to tensors, `replaced` stand in for them.

    `aliases`: tensors that the model under it has under another name, such as an output head that
    is tied to the embedding there and is not any more. `moved`: the adapter names some tensors
    otherwise than the model.
    """

    updates: dict[str, Update] = field(default_factory=dict)
    replaced: dict[str, Tensor] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    moved: bool = False


class Ground:
    """The checkpoint under an adapter. `under` gives rows of a tensor before the updates."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        over: Checkpoint,
        under: Callable[[str, int, int], Tensor],
    ) -> None:
        self.folder, self.settings, self.over, self.under = folder, settings, over, under
        self.kind = str(settings["peft_type"]).upper()
        self.names = AdapterNames({n: i for n, i in over.tensors.items() if i.dtype is not None})
        self.tie = Tie.of(over, self.names)
        self.found = AdapterUpdates()
        self._parts: dict[str, list[tuple[int, LowRank]]] = {}

    def target(self, name: str) -> AdaptedTensor:
        """Where the tensor of that name lies. Raises CheckpointError where there is none."""
        found = self.names.target(name)
        if found is None and self.tie and self.tie.is_head(name):
            apart = self.tie.head in {**self.found.replaced, **self.found.aliases}
            name = self.tie.head if apart else self.tie.embedding
            info = self.info(name)
            return AdaptedTensor(name, 0, info.rows, info.columns)
        if found is None:
            raise self.unknown(name)
        self.found.moved |= found.name != name
        if found.whole:
            info = self.info(found.name)
            return AdaptedTensor(found.name, 0, info.rows, info.columns)
        return found

    def info(self, name: str) -> TensorInfo:
        """A tensor's shape before the updates: as replaced, else as in the model."""
        if name in self.found.replaced:
            tensor = self.found.replaced[name]
            return TensorInfo(tensor.dtype, tuple(tensor.shape))
        return self.over.tensors[self.found.aliases.get(name, name)]

    def module(self, path: str) -> str:
        """A module's own name, by which patterns in the settings know it."""
        return without_wrappings(path).replace(".base_layer", "")

    def turns(self, name: str) -> bool:
        """Is a matrix stored as [d_in, d_out]?"""
        return self.over.is_transposed(self.found.aliases.get(name, name))

    def turns_experts(self) -> bool:
        """Are stacks of experts stored as [experts, d_in, d_out]?"""
        config = self.over.config
        types = {config.get("model_type"), (config.get("text_config") or {}).get("model_type")}
        return bool(types & _TRANSPOSED_EXPERTS)

    def put(self, name: str, update: Update) -> None:
        """The one update of a tensor. Raises CheckpointError where it has one already."""
        if name in self.found.updates or name in self._parts:
            raise self._twice(name)
        self.found.updates[name] = update

    def put_part(self, name: str, start: int, update: LowRank) -> None:
        """The update of rows from `start` on, beside those of other rows."""
        parts = self._parts.setdefault(name, [])
        if name in self.found.updates or any(start == other for other, _ in parts):
            raise self._twice(name)
        parts.append((start, update))

    def gathered(self) -> AdapterUpdates:
        """What was found, the parts of a tensor as one update."""
        for name, parts in self._parts.items():
            self.found.updates[name] = Stack(tuple(parts), self.info(name).columns)
        return self.found

    def held(self, path: str, own: Mapping[str, Tensor], name: str) -> Tensor:
        """A module's own tensor of that name. Raises CheckpointError where there is none."""
        if name not in own:
            raise CheckpointError(
                f"{self.folder}: {path} has {', '.join(sorted(own))}, but no {name}.",
                hint="Copy the adapter's file from its source, or save the adapter anew.",
            )
        return own[name]

    def unknown(self, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: the adapter changes {name}, which the model under it "
            f"({self.over.where}) does not have.",
            hint=self._trained_on(),
        )

    def misshapen(
        self, name: str, found: tuple[int, ...], wanted: tuple[int, ...]
    ) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: what the adapter brings for {name} is {_sizes(found)}, the tensor in "
            f"the model under it ({self.over.where}) {_sizes(wanted)}.",
            hint=self._trained_on(),
        )

    def _twice(self, name: str) -> CheckpointError:
        return CheckpointError(
            f"{self.folder}: the adapter changes {name} twice, under two names or in two ways.",
            hint="Merge it into its base model with PEFT and save that.",
        )

    def _trained_on(self) -> str:
        named = self.settings.get("base_model_name_or_path")
        where = f": '{named}'" if named else "; its settings don't name it"
        return f"Lay it over the model that it was trained on{where}."


def _sizes(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
