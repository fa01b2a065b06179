"""The mean difference of states between each tuned model and the base: method, section 8.

Owns its size and steadiness by layer and position, and its readout in tokens (the lens of arXiv
2510.13900). Rests on the base's states that `representation` stores. Imports torch only when it
computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.engine.measurement import Artifact, Measurement, MetricSpec, Unit, UnitResult
from core.engine.registry import Analysis, Parameters, shared_pass
from core.figures import state_findings as findings
from core.figures import state_tables as tables
from core.figures.kinds.curves import Curves
from core.figures.kinds.tables import SortedTable
from core.states.forwarding import Forwarding
from core.statistics import intervals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.states.difference import MeanDifference
    from core.states.readers import SumReader

NAME, VERSION = "activation_difference", 2
STORES = "representation"
BASE = "base"


class ActivationDifferenceParameters(Parameters):
    """None."""


def plan(subject: Subject, parameters: ActivationDifferenceParameters) -> list[Unit]:
    """For each probe set and tuned model its states against the base's stored ones."""
    units = []
    for stored in subject.planned[STORES]:
        named = stored.options["named"]
        for model in subject.family.tuned if stored.model == BASE else ():
            key = subject.key(NAME, VERSION, parameters, [BASE, model], of=stored.key)
            label = f"mean difference of {model}{named and f' on {named}'}"
            units.append(
                Unit(
                    key=key, analysis=NAME, label=label, model=model, reference=BASE, loads=model,
                    requires=(stored.key,), options=stored.options,
                )
            )  # fmt: skip
    return units


def reader(
    units: Sequence[Unit], parameters: ActivationDifferenceParameters, session: Session
) -> _Reader:
    """The reader of a model's one unit on a probe set."""
    (unit,) = units
    return _Reader(unit, session)


class _Reader(Forwarding):
    """Takes the sums of a model's states, and after the pass compares them with the base's."""

    def __init__(self, unit: Unit, session: Session) -> None:
        from core.states import readers, sample

        subject, self.unit, self.session = session.subject, unit, session
        self.seed = subject.study.run.seed
        groups = sample.grouped(unit.options["documents"], self.seed)
        self.collector: SumReader = readers.SumReader(subject.family.anatomy.layers, groups)

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        from core.states import difference, sample

        result = UnitResult()
        stored = self.session.load(self.unit.options["stored"])
        for layer, sums in self.collector.summed.layers.items():
            self.session.pause()
            base = stored.arrays("sums", layer)
            differences = [
                difference.at_position(base, sums, position, self.seed)
                for position in range(sample.FIRST + 1)
            ]
            whole = differences[-1]
            for setting, mean_difference in zip(settings(), differences, strict=True):
                coordinates = {
                    **self._coordinates(layer),
                    "setting": setting,
                    "n": mean_difference.n,
                }
                result.measurements += _rows(mean_difference, coordinates)
                if mean_difference is not whole:
                    alike = difference.cosine(mean_difference.mean, whole.mean)
                    result.measurements.append(
                        Measurement(metric="cosine", value=alike, **coordinates)
                    )
            result.artifacts += self._readout(
                layer, [mean_difference.mean for mean_difference in differences]
            )
        yield self.unit, result

    def _coordinates(self, layer: int) -> dict[str, Any]:
        return {
            "model": self.unit.model, "reference": BASE, "layer": layer,
            "probe": self.unit.options["named"],
        }  # fmt: skip

    def _readout(self, layer: int, means: list[NDArray[np.float64]]) -> Iterator[Artifact]:
        """The tokens whose logits the mean differences raise and lower most."""
        import torch

        from core.models.transfers import up
        from core.neurons import readout

        session, named = self.session, self.unit.options["named"]
        model = session.model
        vectors = up(torch.from_numpy(np.stack(means)).to(torch.float32), model.device)
        products = readout.products(model, session.pieces, vectors)
        if products is None:
            return
        ids, values = readout.ends(products)
        values[np.linalg.norm(means, axis=1) == 0] = np.nan
        probe = session.subject.probes[self.unit.options["probe"]]
        known = np.unique(ids)
        texts = readout.texts_of(session.tokenizer, known.tolist(), after=int(probe.ids[0][-1]))
        arrays: Mapping[str, NDArray[Any]] = {
            "tokens": np.searchsorted(known, ids).astype(np.int32), "products": values,
            "vocabulary": np.array(texts, dtype=np.str_),
        }  # fmt: skip
        name = tables.readout_name(named)
        yield Artifact(name=name, arrays=arrays, model=self.unit.model, layer=layer)


def settings() -> tuple[str, ...]:
    """The positions by name, in their order in the sums."""
    from core.states.sample import FIRST

    return (*(f"position {place}" for place in range(1, FIRST + 1)), tables.EVERYWHERE)


def _rows(mean_difference: MeanDifference, coordinates: dict[str, Any]) -> Iterator[Measurement]:
    size = Measurement(metric="relative_size", value=None, **coordinates)
    if mean_difference.size is not None:
        bounds = intervals.of_jackknife(mean_difference.size, mean_difference.without)
        size = Measurement(
            metric="relative_size", value=mean_difference.size, low=bounds.low, high=bounds.high,
            chance=mean_difference.noise, **coordinates,
        )  # fmt: skip
    yield size
    yield Measurement(
        metric="half_cosine",
        value=mean_difference.halves,
        chance=None if mean_difference.spread is None else 0.0,
        chance_sd=mean_difference.spread,
        **coordinates,
    )


ANALYSIS = Analysis(
    name=NAME,
    title="Difference",
    short="Dif",
    topic="states",
    version=VERSION,
    needs="texts",
    parameters=ActivationDifferenceParameters,
    plan=plan,
    reader=reader,
    after=(STORES,),
    workload=shared_pass,
    metrics=(
        MetricSpec(
            name="relative_size",
            title="size of the mean difference",
            description="Norm of the mean over documents of h_tuned − h_base, over the mean norm "
            "of h_base; chance: the size if the documents' differences had no common direction.",
            has_chance=True,
            empty="no document has the position, or the base's states are zero",
        ),
        MetricSpec(
            name="half_cosine",
            title="steadiness of the mean difference",
            description="Mean cosine between the mean differences of two random halves of the "
            "documents, over many splits; chance: the same with a random sign for the difference "
            "of each group of documents.",
            has_chance=True,
            signed=True,
            empty="the difference is zero, or there is one document",
        ),
        MetricSpec(
            name="cosine",
            title="cosine with the mean over all tokens",
            description="Cosine of the mean difference at a position with that over all tokens.",
            signed=True,
            empty="a difference is zero",
        ),
    ),
    views=(
        Curves(
            key="size",
            title="Mean difference of states by layer",
            short="Size",
            caption="One line per tuned model: the size of its mean difference from the base, and "
            "its steadiness over documents.",
            measures=("relative_size", "half_cosine"),
            selectors=("setting", "probe"),
            opens={"setting": tables.EVERYWHERE},
            fixed={"reference": BASE},
            names={"setting": "position"},
            drill="readout",
            finding=findings.of_difference,
        ),
        Curves(
            key="positions",
            title="Mean difference by position",
            short="Positions",
            caption="One model: the mean difference at the first positions of a document and over "
            "all its tokens.",
            measures=("relative_size", "half_cosine", "cosine"),
            series="setting",
            selectors=("model", "probe"),
            fixed={"reference": BASE},
            names={"setting": "position"},
            finding=findings.of_positions,
        ),
        SortedTable(
            key="readout",
            title="Tokens of the mean difference",
            short="Readout",
            caption="The tokens whose logits a layer's mean difference would raise and lower most, "
            "through the model's own norm and head.",
            measures=("relative_size", "half_cosine"),
            selectors=("model", "setting", "probe"),
            opens={"setting": tables.EVERYWHERE},
            free=("layer",),
            fixed={"reference": BASE},
            names={"setting": "position"},
            tabulate=tables.readout,
            finding=findings.of_readout,
        ),
    ),
)
