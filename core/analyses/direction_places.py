"""Where in the texts states lie most along an update's top direction: method, section 8.

Owns the choice of directions, and the rows and passages of their most extreme places. Imports torch
only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine.measurement import Artifact, Measurement, MetricSpec, Unit, UnitPart, UnitResult
from core.engine.registry import Analysis, Parameters, Workload, shared_pass
from core.figures import direction_passages as passages
from core.figures.figure import BASE
from core.figures.kinds.grids import Heatmap
from core.figures.kinds.passages import PassageView
from core.weights.totals import slice_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import Tensor

    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.models.pieces import Piece
    from core.states.forward import Seen
    from core.texts.probe import Batch
    from core.weights.views import MatrixView, ModuleMoments, Pending, UpdateView

NAME, VERSION = "direction_places", 1
STORES = "representation"
WRITTEN = "written"
"""The artifact of a layer's top directions: an array [d] for each module."""

WRITES = ("o", "down", "fc_out")
"""The modules whose output is added to the residual stream."""


class DirectionPlacesParameters(Parameters):
    """The size of the chance level."""

    random: int = Field(default=100, ge=2, description="Random directions, for chance.")


def plan(subject: Subject, parameters: DirectionPlacesParameters) -> list[Unit]:
    """For each tuned model the top directions of each layer, from the weights; then their places
    in the first probe set, in the base's states and in its own."""
    family = subject.family
    stored = next((u for u in subject.planned.get(STORES, ()) if u.model == BASE), None)
    units = []
    for model in family.tuned if stored is not None else ():
        written = [
            Unit(
                key=family.key(NAME, VERSION, Parameters(), [model], layer), analysis=NAME,
                label=f"top directions of {model}, {slice_name(layer)}", model=model, layer=layer,
            )
            for layer in family.layers if layer is not None
        ]  # fmt: skip
        keys = tuple(unit.key for unit in written)
        units += written
        for observed in (BASE, model):
            assert stored is not None
            key = subject.key(
                NAME,
                VERSION,
                parameters,
                [BASE, model],
                states=observed,
                of=[stored.key, *keys],
            )
            units.append(
                Unit(
                    key=key, analysis=NAME,
                    label=f"places of the directions of {model}, in {observed}",
                    model=observed, reference="" if observed == model else model, loads=observed,
                    requires=keys if observed == BASE else (stored.key, *keys),
                    options={**stored.options, "tuned": model, "written": keys},
                )
            )  # fmt: skip
    return units


def workload(unit: Unit, parameters: DirectionPlacesParameters, subject: Subject) -> Workload:
    """A share of the common pass; the base's share is divided among the tuned models."""
    whole = shared_pass(unit, parameters, subject)
    count = len(subject.family.tuned) if unit.loads == BASE else 1
    return replace(whole, forward=whole.forward // count)


def compute(units: Sequence[Unit], parameters: DirectionPlacesParameters) -> _Directions:
    """The reader of one layer's weights."""
    return _Directions(units)


class _Directions:
    """Takes the top direction that each update of one layer writes into the residual stream."""

    name = NAME
    moments_of: tuple[str, ...] = ()

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = units
        self.updates_of = tuple(unit.model for unit in units)
        self._found: dict[str, dict[str, Any]] = {unit.model: {} for unit in units}

    def wants_updates(self, module: str) -> bool:
        return module in WRITES

    def see_module(self, module: ModuleMoments) -> None:
        """Does nothing: directions are of whole matrices."""

    def measure(self, matrix: MatrixView, update: UpdateView) -> Pending:
        from core.models.transfers import down

        if matrix.piece.expert is not None or update.is_zero:
            return UnitPart
        top, changed = down(update.directions(1).left[0, :, 0].float()), update.changed
        return lambda: UnitPart(arrays={"top": top.numpy()} if changed else {})

    def take(self, piece: Piece, model: str, part: UnitPart) -> None:
        if "top" in part.arrays:
            self._found[model][piece.module] = part.arrays["top"]

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            arrays = self._found[unit.model]
            made = Artifact(name=WRITTEN, arrays=arrays, model=unit.model, layer=unit.layer)
            yield unit, UnitResult(artifacts=[made] if arrays else [])


def reader(
    units: Sequence[Unit], parameters: DirectionPlacesParameters, session: Session
) -> _Places:
    """The reader of the states of one model."""
    return _Places(units, parameters, session)


class _Places:
    """Follows directions through a pass: a tuned model's own, or in the base all models'."""

    def __init__(
        self, units: Sequence[Unit], parameters: DirectionPlacesParameters, session: Session
    ) -> None:
        from core.states.extremes import Extremes

        self.units, self.session = units, session
        self.followed: dict[int, Extremes] = {}
        self.modules: dict[int, list[tuple[str, str]]] = {}
        seed = session.subject.study.run.seed
        for layer in range(session.subject.family.anatomy.layers):
            named = dict(self._written(layer))
            if named:
                self.modules[layer] = list(named)
                directions = np.stack([*named.values()])
                self.followed[layer] = Extremes(directions, parameters.random, seed)

    @property
    def layers(self) -> Collection[int]:
        return self.followed.keys()

    def begin(self, batch: Batch) -> None:
        for each in self.followed.values():
            each.begin(batch)

    def see_layer(self, layer: int, states: Tensor) -> None:
        self.followed[layer].see(states)

    def see(self, seen: Seen) -> None:
        """Does nothing: `see_layer` sees the states."""

    def commit(self) -> None:
        for each in self.followed.values():
            each.commit()

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        for unit in self.units:
            result = UnitResult()
            for layer in self.followed:
                directions = [
                    (index, module)
                    for index, (model, module) in enumerate(self.modules[layer])
                    if model == unit.options["tuned"]
                ]
                if directions:
                    result.measurements += [self._row(unit, layer, *each) for each in directions]
                    result.artifacts.append(self._stored(unit, layer, directions))
            yield unit, result

    def _written(self, layer: int) -> Iterator[tuple[tuple[str, str], Any]]:
        """The directions of a layer by model and module."""
        for unit in self.units:
            for key in unit.options["written"]:
                for artifact in self.session.load(key).artifacts:
                    if artifact.layer == layer and artifact.name == WRITTEN:
                        for module, direction in artifact.arrays.items():
                            yield (unit.options["tuned"], module), direction

    def _row(self, unit: Unit, layer: int, index: int, module: str) -> Measurement:
        followed = self.followed[layer]
        return Measurement(
            metric="extreme_cosine", value=followed.largest(index), chance=followed.chance,
            chance_sd=followed.chance_sd, n=followed.places, model=unit.options["tuned"],
            setting=passages.setting(unit.model), layer=layer, module=module,
        )  # fmt: skip

    def _stored(self, unit: Unit, layer: int, directions: Sequence[tuple[int, str]]) -> Artifact:
        """The passages around the highest and the lowest places of each module's direction."""
        from core.neurons import contexts

        probe = self.session.subject.probes[unit.options["probe"]]
        excerpts, peaks = self.followed[layer].passages([index for index, _ in directions])
        arrays = contexts.stored(excerpts, probe, None, self.session.tokenizer)
        arrays["module"] = np.array(
            [module for _, module in directions for _ in range(2)], dtype=np.str_
        )
        arrays["peaks"] = peaks
        return Artifact(
            name=passages.ARTIFACT, arrays=arrays, model=unit.model, reference=unit.reference,
            layer=layer,
        )  # fmt: skip


ANALYSIS = Analysis(
    name=NAME,
    title="Places",
    short="Plc",
    topic="directions",
    version=VERSION,
    needs="texts",
    parameters=DirectionPlacesParameters,
    plan=plan,
    compute=compute,
    reader=reader,
    workload=workload,
    after=(STORES,),
    metrics=(
        MetricSpec(
            name="extreme_cosine",
            title="largest cosine with a state",
            description="Largest |cosine| over the tokens of the texts between the state after a "
            "layer and the top direction that the update of a matrix writes; chance: the same of "
            "random directions, over as many tokens.",
            has_chance=True,
            empty="no document has two tokens",
        ),
    ),
    views=(
        Heatmap(
            key="heat",
            title="Largest cosine of states with an update's direction",
            short="Places",
            caption="For each matrix that writes into the residual stream: the largest |cosine| of "
            "a state after its layer with the update's top direction.",
            measures=("extreme_cosine",),
            selectors=("model", "setting"),
            opens={"setting": passages.OWN},
            names={"setting": "states"},
            drill="text",
            finding=passages.of_heat,
        ),
        PassageView(
            key="text",
            title="Where states lie most along a direction",
            short="Passages",
            caption="The passages in which the cosine of the state with an update's top direction "
            "is highest and lowest, in the base and in the tuned model.",
            measures=("extreme_cosine",),
            selectors=("model", "layer", "module"),
            free=("setting",),
            tabulate=passages.of_direction,
            drill="alignment:spectrum",
            finding=passages.of_text,
        ),
    ),
)
