"""How far each tuned model's states and intermediate predictions are from the base's: method,
section 8.

Owns the comparison of states by layer, and the unit that stores the base's states, on which the
other analyses of states and outputs rest too. Imports torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine.measurement import Measurement, MetricSpec, Unit, UnitResult
from core.engine.registry import Analysis, Parameters, Workload, shared_pass
from core.figures import state_findings as findings
from core.figures.kinds.curves import Curves
from core.states.forwarding import Forwarding
from core.statistics import intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.states.readers import BaseReader, SampleReader

NAME, VERSION = "representation", 2
BASE = "base"


class RepresentationParameters(Parameters):
    """The numbers of the base's states to store, and to compare."""

    tokens: int = Field(
        default=65_536,
        ge=1,
        description="Tokens of each probe set whose states are stored, in whole documents.",
    )
    positions: int = Field(
        default=2048, ge=4, description="Tokens at which states are compared after each layer."
    )
    lens: int = Field(
        default=512, ge=1, description="Tokens among them at which predictions are compared."
    )


def plan(subject: Subject, parameters: RepresentationParameters) -> list[Unit]:
    """For each probe set the base's states, and each tuned model against them."""
    units = []
    for name, probe in subject.probes.items():
        named = name if len(subject.probes) > 1 else ""
        key_parts = {"probe": probe.fingerprint, "named": named}
        key = subject.key(NAME, VERSION, parameters, [BASE], **key_parts)
        within = np.cumsum([len(ids) for ids in probe.ids]) <= parameters.tokens
        options = {
            "probe": name, "named": named, "documents": max(1, int(within.sum())), "stored": key,
        }  # fmt: skip
        units.append(
            Unit(
                key=key, analysis=NAME, label=_label(BASE, named), model=BASE, loads=BASE,
                options=options,
            )
        )  # fmt: skip
        for model in subject.family.tuned:
            model_key = subject.key(
                NAME, VERSION, parameters, [BASE, model], **key_parts, spread="of few draws"
            )
            units.append(
                Unit(
                    key=model_key, analysis=NAME, label=_label(model, named), model=model,
                    reference=BASE, loads=model, requires=(key,), options=options,
                )
            )  # fmt: skip
    return units


def _label(model: str, named: str) -> str:
    return f"states of {model}{named and f' on {named}'}"


def workload(unit: Unit, parameters: RepresentationParameters, subject: Subject) -> Workload:
    """A share of one pass over the documents whose states are stored."""
    work = shared_pass(unit, parameters, subject)
    return (
        replace(work, stored=_stored_bytes(unit, parameters, subject))
        if unit.model == BASE
        else work
    )


def _stored_bytes(unit: Unit, parameters: RepresentationParameters, subject: Subject) -> int:
    """The final states of all tokens, and each layer's sample and sums."""
    import torch

    from core.states.sample import FIRST, GROUPS

    family, run = subject.family, subject.study.run
    embedding = next(p for p in family.anatomy.pieces if p.module == "embedding")
    info = family.base.checkpoint.tensors[family.base.names[embedding.tensor]]
    dtype: Any = info.dtype if run.dtype == "auto" else getattr(torch, run.dtype)
    ids = subject.probes[unit.options["probe"]].ids[: unit.options["documents"]]
    tokens = sum(map(len, ids))
    layers, groups = family.anatomy.layers, min(GROUPS, len(ids))
    states = tokens + (layers + 1) * min(parameters.positions, tokens)
    width = embedding.shape[-1]
    return int(width * (states * dtype.itemsize + 4 * layers * (FIRST + 1) * groups))


def reader(
    units: Sequence[Unit], parameters: RepresentationParameters, session: Session
) -> _Reader:
    """The reader of a model's one unit on a probe set."""
    (unit,) = units
    return _Reader(unit, parameters, session)


class _Reader(Forwarding):
    """Takes a model's states, and after the pass compares them with the base's."""

    def __init__(self, unit: Unit, parameters: RepresentationParameters, session: Session) -> None:
        from core.states import readers, sample

        subject, self.unit, self.session = session.subject, unit, session
        probe = subject.probes[unit.options["probe"]].first(unit.options["documents"])
        seed, count = subject.study.run.seed, subject.family.anatomy.layers
        self.places = sample.chosen(probe, parameters.positions, seed)
        rng = np.random.default_rng(seed)
        self.lens = rng.permutation(len(self.places))[: parameters.lens]
        self.collector: BaseReader | SampleReader = readers.SampleReader(count, self.places)
        self.sampled = self.collector.sampled.layers
        if unit.model == BASE:
            groups = sample.grouped(len(probe.ids), seed)
            self.collector = readers.BaseReader(count, probe, self.places, groups)
            self.sampled = self.collector.sample.sampled.layers

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        from core.states.readers import BaseReader

        result = UnitResult()
        result.measurements += self._own_lens()
        if isinstance(self.collector, BaseReader):
            result.artifacts = self.collector.artifacts()
            result.state = self.collector.writer.state()
        else:
            result.measurements += self._against_base()
        yield self.unit, result

    def _own_lens(self) -> Iterator[Measurement]:
        """The divergence of each layer's lens from the model's own predictions."""
        from core.states import lens

        head = self.session.head
        if not self._is_lens(head, self.sampled):
            self.session.warn("has further maps before its output head: no lens of its layers.")
            return
        final = lens.predicted(head, self._at(self.sampled, -1))
        for layer in self.layers:
            reading = lens.reading(head, self._at(self.sampled, layer))
            divergences = self._divergence(final, reading, head.block)
            yield self._row("lens_to_last", layer, self.lens, *divergences)

    def _against_base(self) -> Iterator[Measurement]:
        from core.models.transfers import up
        from core.states import lens, similarity
        from core.states.store import as_tensor

        base: dict[int, NDArray[Any]] = {-1: self._stored(None)}
        head, other = self.session.head, self.session.base_head
        last = max(self.layers)
        base[last] = self._stored(last)
        is_lens = self._is_lens(head, self.sampled) and self._is_lens(other, base)
        for layer in self.layers:
            base = {layer: self._stored(layer)}
            first, second = as_tensor(base[layer]), as_tensor(self.sampled[layer])
            own_device = self.session.model.device
            # mps has no float64
            device = own_device if own_device.type == "cuda" else first.device
            documents = self.places[:, 0]
            alignment = similarity.alignment(up(first, device), up(second, device), documents)
            yield self._cka(layer, alignment)
            everywhere = np.arange(len(self.places))
            drifts = similarity.drift(first, second, documents)
            yield self._row("drift", layer, everywhere, *drifts)
            if is_lens:
                reading = lens.reading(head, self._at(self.sampled, layer))
                its = lens.reading(other, self._at(base, layer))
                block = min(head.block, other.block)
                yield self._row("lens_kl", layer, self.lens, *self._divergence(reading, its, block))

    def _cka(self, layer: int, alignment: Any) -> Measurement:
        coordinates = {**self._coordinates("cka"), "layer": layer}
        unlike = alignment.unlike[np.isfinite(alignment.unlike)]
        coordinates["chance"] = float(unlike.mean()) if len(unlike) else None
        coordinates["chance_sd"] = intervals.of_draws(unlike)
        if alignment.value is None:
            return Measurement(metric="cka", value=None, **coordinates)
        bounds = intervals.of_jackknife(alignment.value, alignment.without)
        return Measurement(
            metric="cka", value=bounds.value, low=bounds.low, high=bounds.high, **coordinates
        )

    def _row(
        self, metric: str, layer: int, tokens: NDArray[Any], like: Any, unlike: Any
    ) -> Measurement:
        """The mean over tokens with its interval over documents, and that of unlike documents."""
        coordinates = {**self._coordinates(metric), "layer": layer}
        known = np.isfinite(like)
        documents, inverse = np.unique(self.places[tokens, 0][known], return_inverse=True)
        coordinates["n"] = len(documents)
        chance = float(np.nanmean(unlike)) if np.isfinite(unlike).any() else None
        if not len(documents):
            return Measurement(metric=metric, value=None, chance=chance, **coordinates)
        counts = np.bincount(inverse)
        mean = intervals.of_mean(np.bincount(inverse, like[known]) / counts, counts)
        return Measurement(
            metric=metric,
            value=mean.value,
            low=mean.low,
            high=mean.high,
            chance=chance,
            **coordinates,
        )

    def _coordinates(self, metric: str) -> dict[str, Any]:
        return {
            "model": self.unit.model,
            "reference": "" if metric == "lens_to_last" else BASE,
            "probe": self.unit.options["named"],
            "n": len(np.unique(self.places[:, 0])),
        }

    def _divergence(self, first: Any, second: Any, block: int) -> Any:
        from core.states import lens

        self.session.pause()
        documents = self.places[self.lens, 0]
        return lens.divergences(first, second, len(self.lens), block, documents)

    def _is_lens(self, head: Any, states: Mapping[int, NDArray[Any]]) -> bool:
        from core.states import lens

        return lens.agrees(head, self._at(states, max(self.layers)), self._at(states, -1))

    def _stored(self, layer: int | None) -> NDArray[Any]:
        loaded = self.session.load(self.unit.options["stored"])
        return loaded.arrays("sample", layer)["states"]

    def _at(self, states: Mapping[int, NDArray[Any]], layer: int) -> Tensor:
        """The states of a layer at the tokens of the lens, where the head expects them."""
        from core.models.transfers import up
        from core.states.store import as_tensor

        return up(as_tensor(states[layer][self.lens]), self.session.model.device)


_UNLIKE = "chance: the tuned model's at a token of another document"

ANALYSIS = Analysis(
    name=NAME,
    title="Representation",
    short="Rep",
    topic="states",
    version=VERSION,
    needs="texts",
    parameters=RepresentationParameters,
    plan=plan,
    reader=reader,
    workload=workload,
    metrics=(
        MetricSpec(
            name="drift",
            title="drift of states",
            description="‖h_tuned − h_base‖ / ‖h_base‖ after a layer, mean over tokens; "
            f"{_UNLIKE}.",
            has_chance=True,
            empty="the base's states are zero",
        ),
        MetricSpec(
            name="cka",
            title="CKA of states",
            description="Debiased linear centred kernel alignment with the base's states after a "
            "layer: 1 is the same up to rotation and scale; chance: unlike documents paired.",
            better="neither",
            has_chance=True,
            empty="fewer than four tokens, or states that do not vary",
        ),
        MetricSpec(
            name="lens_kl",
            title="divergence of predictions at a layer",
            description="KL(tuned ‖ base) of the predictions that each model's own head makes from "
            "the state after a layer, mean over tokens; chance: the base at a token of another "
            "document.",
            unit="nats",
            has_chance=True,
        ),
        MetricSpec(
            name="lens_to_last",
            title="distance from the final prediction",
            description="KL(final ‖ layer): how far the head's prediction from the state after a "
            "layer is from the model's own; chance: the layer at a token of another "
            "document.",
            unit="nats",
            has_chance=True,
        ),
    ),
    views=(
        Curves(
            key="similarity",
            title="States against the base's by layer",
            short="States",
            caption="One line per tuned model: the distance of its states after a layer from the "
            "base's states at the same tokens.",
            measures=("drift", "cka"),
            selectors=("probe",),
            fixed={"reference": BASE},
            finding=findings.of_states,
        ),
        Curves(
            key="lens",
            title="Divergence of predictions by layer",
            short="Parting",
            caption="One line per tuned model: divergence from the base of the head's predictions "
            "from the state after each layer.",
            measures=("lens_kl",),
            selectors=("probe",),
            fixed={"reference": BASE},
            finding=findings.of_parting,
        ),
        Curves(
            key="depth",
            title="Where predictions are made, by layer",
            short="Depth",
            caption="One line per model, the base included: divergence of a layer's prediction "
            "from the model's own at the end.",
            measures=("lens_to_last",),
            selectors=("probe",),
            finding=findings.of_depth,
        ),
    ),
)
