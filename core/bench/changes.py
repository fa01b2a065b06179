"""Changes of columns inside a forward pass: neurons or heads ablated, states moved.

Owns the choice of neurons by scores on the probe set, the mean differences of states and the
directions of updates. Takes the first two from finished units where it can, and computes them once
otherwise. Knows no request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.bench.columns import Ablated, Steered
from core.bench.recipes import Weights, weights_of
from core.engine.measurement import UnitResult
from core.engine.session import Session
from core.engine.subject import Subject
from core.errors import StorageError, StudyError
from core.models.checkpoint import whole
from core.models.hooks import Neurons
from core.models.opening import layers_of
from core.neurons import ranking
from core.neurons.ablation import ablated
from core.sizes import counted
from core.states import difference, forward, readers, sample
from core.states.head import unwrapped
from core.study.study import Probe
from core.vectors.matrices import matrix_of
from core.weights.views import UpdateView
from core.weights.vocabulary import Side

Load = Callable[[str], UnitResult | None]
"""The result of a finished unit by its key; None if there is none."""

Arrays = Sequence[NDArray[Any]]
Sums = Mapping[int, Mapping[str, NDArray[Any]]]


class Changes:
    """Changes of a loaded model's forward pass.

    `session` has the loaded model, `put` gives it weights.
    """

    def __init__(self, session: Session, put: Callable[[Weights], None], load: Load) -> None:
        self._session, self._put, self._load = session, put, load
        self._subject = _probed(session.subject)
        self._chosen: dict[Ablated, tuple[Neurons, ranking.Chosen, Arrays | None]] = {}
        self._ranked: dict[str, tuple[Arrays, Arrays, Arrays]] = {}
        self._finished: dict[str, UnitResult] = {}
        self._sums: dict[str, Sums] = {}
        self._updates: dict[tuple[str, int, str], UpdateView] = {}

    def prepared(self, change: Ablated | Steered | None) -> AbstractContextManager[None]:
        """A context in which the change acts. Preparing it may give the model other weights.

        Raises StudyError for a layer, neuron or head that the model lacks.
        """
        if isinstance(change, Ablated):
            if change not in self._chosen:
                self._chosen[change] = self._choice(change)
            return ablated(*self._chosen[change])
        if isinstance(change, Steered) and change.module:
            unit, side = self.update_direction(change)
            return _pushed(self._layer(change), unit * change.amount, before=side == "read")
        if isinstance(change, Steered):
            return _moved(self._layer(change), self.direction(change) * change.amount)
        return nullcontext()

    def known(self, change: Ablated | Steered | None) -> bool:
        """Can the change be prepared without a pass over the probe set?"""
        if isinstance(change, Steered):
            return bool(change.module) or {"base", change.model} <= self._sums.keys()
        if isinstance(change, Ablated):
            return bool(change.places or change.layers.layers) or change.by in self._ranked
        return True

    def direction(self, steered: Steered) -> Tensor:
        """The mean difference [d] of a tuned model's states from the base's after a layer."""
        self._layer(steered)
        base, tuned = (self._states(name) for name in ("base", steered.model))
        seed = self._subject.study.run.seed
        shift = difference.at_position(
            base[steered.layer], tuned[steered.layer], sample.FIRST, seed
        )
        return torch.from_numpy(shift.mean).float()

    def update_direction(self, steered: Steered) -> tuple[Tensor, Side]:
        """A direction [d] of length 1 that a module's update writes into the residual stream or
        reads from it, as the analysis `directions` has it; its sign is arbitrary."""
        from core.analyses.directions import SIDE_OF

        self._layer(steered)
        side = SIDE_OF[steered.module]
        place = steered.model, steered.layer, steered.module
        if place not in self._updates:
            self._updates[place] = UpdateView(steered.model, self._update(steered))
        view = self._updates[place]
        directions = view.directions(steered.direction)
        if directions.rank < steered.direction or not bool(
            directions.real[0, steered.direction - 1]
        ):
            count = 0 if view.is_zero else int(directions.real.sum())
            raise StudyError(
                f"'{steered.text}': this update has {counted(count, 'direction')}.",
                hint="Name another module, layer or direction.",
            )
        columns = directions.left if side == "write" else directions.right
        return columns[0, :, steered.direction - 1].float(), side

    def _update(self, steered: Steered) -> Tensor:
        """The change [d_out, d_in] of a module's matrix."""
        family = self._subject.family
        piece = next(
            (
                each for each in family.pieces(steered.layer)
                if each.module == steered.module and each.is_matrix and each.expert is None
            ), None,
        )  # fmt: skip
        if piece is None:
            raise StudyError(
                f"'{steered.text}': layer {steered.layer} has no single matrix '{steered.module}'.",
                hint="Name another module.",
            )
        self._session.say(f"reading the update of {steered.module}, layer {steered.layer}")
        base, tuned = (
            matrix_of(whole(member.checkpoint, member.names[piece.tensor]).float(), piece)
            for member in (family.base, family.tuned[steered.model])
        )
        return tuned - base

    def _choice(self, column: Ablated) -> tuple[Neurons, ranking.Chosen, Arrays | None]:
        """The neurons or heads, the ablated ones among them, and their values (None: zero)."""
        of_heads = column.choice.startswith("heads=")
        neurons = self._session.heads if of_heads else self._session.neurons
        if column.places:
            return neurons, _placed(column, neurons, "head" if of_heads else "neuron"), None
        if column.layers.layers:
            return neurons, _whole_layers(column, neurons), None
        if column.by not in self._ranked:
            self._ranked[column.by] = self._ranking(column.by)
        scores, rates, means = self._ranked[column.by]
        asked: Any = self._subject.study.parameters("ablation")
        chosen = ranking.choose(
            ranking.parse(column.choice), scores, rates, per_layer=asked.per_layer
        )
        return neurons, chosen, means if asked.value == "mean" else None

    def _ranking(self, model: str) -> tuple[Arrays, Arrays, Arrays]:
        """The scores, rates and mean values of a model's neurons on the first probe set, by layer,
        as the analysis `activation` computes them."""
        from core.analyses import activation

        subject = self._subject
        given: Any = subject.study.parameters("activation")
        asked: Any = subject.study.parameters("ablation")
        wanted = given.model_copy(
            update={"criteria": tuple(dict.fromkeys((*given.criteria, "gate"))), "scores": True}
        )
        whole = UnitResult()
        session = replace(self._session, subject=subject)
        for unit in activation.plan(subject, wanted):
            if unit.model == model and not unit.requires:
                result = self._finished.get(unit.key) or self._load(unit.key)
                if result is None:
                    self._put(weights_of(model))
                    ((_, result),) = activation.compute([unit], wanted, session)
                self._finished[unit.key] = result
                whole.artifacts += result.artifacts
        layers = [layer.number for layer in self._session.neurons.layers]
        scored = [whole.arrays("scores", layer) for layer in layers]
        rates = [whole.arrays("neurons", layer)["rate"] for layer in layers]
        by = {"attribution": "attribution", "activation": "magnitude"}
        scores = rates if asked.score == "rate" else [arrays[by[asked.score]] for arrays in scored]
        return scores, rates, [arrays["mean"] for arrays in scored]

    def _states(self, model: str) -> Sums:
        """Sums of a model's states after each layer, over the documents of the first probe set
        that the analysis `representation` reads."""
        if model in self._sums:
            return self._sums[model]
        from core.analyses import representation

        subject, count = self._subject, self._subject.family.anatomy.layers
        given: Any = subject.study.parameters("representation")
        unit = representation.plan(subject, given)[0]
        probe = subject.probed.first(unit.options["documents"])
        stored = self._load(unit.key) if model == "base" else None
        try:
            if stored is not None:
                sums: Sums = {n: stored.arrays("sums", n) for n in range(count)}
                self._sums[model] = sums
                return sums
        except StorageError:  # working arrays may have been cleaned away
            pass
        groups = sample.grouped(len(probe.ids), subject.study.run.seed)
        reader = readers.SumReader(count, groups)
        self._put(weights_of(model))
        forward.read(self._session, probe, [reader], stored="", label=f"states of {model}")
        self._sums[model] = reader.summed.layers
        return self._sums[model]

    def _layer(self, steered: Steered) -> nn.Module:
        names = layers_of(self._session.subject.family.base.checkpoint)
        if steered.layer >= len(names):
            raise StudyError(
                f"'{steered.text}' names layer {steered.layer}.",
                hint=f"The model has layers 0 to {len(names) - 1}.",
            )
        module: nn.Module = unwrapped(self._session.model.module).get_submodule(
            names[steered.layer]
        )
        return module


@contextmanager
def _moved(layer: nn.Module, by: Tensor) -> Iterator[None]:
    """Add a vector [d] to the states after a layer, at every token."""

    def ended(module: nn.Module, given: Any, result: Any) -> Any:
        states = result[0] if isinstance(result, tuple) else result
        moved = states + by.to(states)
        return (moved, *result[1:]) if isinstance(result, tuple) else moved

    handle = layer.register_forward_hook(ended)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _pushed(layer: nn.Module, by: Tensor, *, before: bool) -> Iterator[None]:
    """Add a vector [d] times the length of each token's state to the states before or after a
    layer."""

    def pushed(states: Tensor) -> Tensor:
        if states.shape[-1] != len(by):
            raise StudyError(
                f"This direction has {len(by)} coordinates, and the states have "
                f"{states.shape[-1]}.",
                hint="Name another module.",
            )
        given = states.float()
        moved: Tensor = given + given.norm(dim=-1, keepdim=True) * by.to(given)
        return moved.to(states)

    def begins(module: nn.Module, given: Any, named: dict[str, Any]) -> Any:
        if given:
            return (pushed(given[0]), *given[1:]), named
        return given, {**named, "hidden_states": pushed(named["hidden_states"])}

    def ended(module: nn.Module, given: Any, result: Any) -> Any:
        if isinstance(result, tuple):
            return pushed(result[0]), *result[1:]
        return pushed(result)

    if before:
        handle = layer.register_forward_pre_hook(begins, with_kwargs=True)
    else:
        handle = layer.register_forward_hook(ended)
    try:
        yield
    finally:
        handle.remove()


def _placed(column: Ablated, neurons: Neurons, kind: str) -> ranking.Chosen:
    widths = {layer.number: layer.width for layer in neurons.layers}
    for layer, number in column.places:
        if number >= widths.get(layer, 0):
            having = f"has {kind}s 0 to {widths[layer] - 1}" if layer in widths else "has none"
            raise StudyError(
                f"'{column.text}': there is no {kind} {layer}.{number}.",
                hint=f"Layer {layer} {having}.",
            )
    return [
        np.array([n for layer_number, n in column.places if layer_number == layer.number], np.int64)
        for layer in neurons.layers
    ]


def _whole_layers(column: Ablated, neurons: Neurons) -> ranking.Chosen:
    wanted = {n for first, last in column.layers.layers for n in range(first, last + 1)}
    known = {layer.number for layer in neurons.layers}
    if missing := sorted(wanted - known):
        raise StudyError(
            f"'{column.text}': layer {missing[0]} has no neurons.",
            hint=f"The model has neurons in {len(known)} layers, up to layer {max(known)}."
            if known else "This type of model has no neurons.",
        )  # fmt: skip
    return [
        np.arange(layer.width if layer.number in wanted else 0, dtype=np.int64)
        for layer in neurons.layers
    ]


def _probed(subject: Subject) -> Subject:
    """The subject; a study without a probe set gets the built-in one."""
    if subject.study.first_probe() is not None or not subject.probes:
        return subject
    (name,) = subject.probes
    study = subject.study.model_copy(update={"probe": Probe(builtin=name)})
    return replace(subject, study=study)
