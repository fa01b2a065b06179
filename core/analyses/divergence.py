"""How far each tuned model's predictions are from the base's, and what tuning gained and forgot:
method, section 8.

Owns the divergences, likelihoods and agreement on each probe set, with intervals over documents.
Imports torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine import forms
from core.engine.forms import maybe, number
from core.engine.measurement import (
    Artifact,
    Measurement,
    MetricSpec,
    Unit,
    UnitResult,
    quartiles,
)
from core.engine.registry import Analysis, Parameters, Workload
from core.figures import output_findings as findings
from core.figures import output_tables, output_texts
from core.figures.kinds.grids import Heatmap
from core.figures.kinds.passages import PassageView
from core.figures.kinds.tables import SortedTable
from core.statistics import comparison, intervals

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.outputs.pairs import Pair
    from core.states.forward import Seen
    from core.texts.probe import Batch

NAME, VERSION = "divergence", 1
REPRESENTATION = "representation"
BASE = "base"
SPREADS = ("kl", "nll_change")
"""The metrics whose spread over documents is told."""


class DivergenceParameters(Parameters):
    """The sizes of the intervals and of the measurement of rounding."""

    bootstrap: int = Field(
        default=1000, ge=1, description="Resamples of documents behind each interval."
    )
    floor: int = Field(
        default=4, ge=1, description="Documents on which the effect of rounding is measured."
    )


def plan(subject: Subject, parameters: DivergenceParameters) -> list[Unit]:
    """For each probe set the base's likelihoods, and each tuned model against the base."""
    units = []
    for states in subject.planned.get(REPRESENTATION, ()):
        if states.model != BASE:
            continue
        named = states.options["named"]
        required: tuple[str, ...] = (states.key,)
        for model in subject.models:
            key = subject.key(NAME, VERSION, parameters, [BASE, model], of=required)
            units.append(
                Unit(
                    key=key, analysis=NAME, loads=model, model=model,
                    label=f"predictions of {model}{named and f' on {named}'}",
                    reference="" if model == BASE else BASE,
                    requires=() if model == BASE else required, options=states.options,
                )
            )  # fmt: skip
            if model == BASE:
                required = (*required, key)
    return units


def workload(unit: Unit, parameters: DivergenceParameters, subject: Subject) -> Workload:
    """A part of the pass that reads the states: the two heads."""
    return Workload()


def reader(units: Sequence[Unit], parameters: DivergenceParameters, session: Session) -> Any:
    """The reader of a model's one unit on a probe set."""
    (unit,) = units
    return (_BaseReader if unit.model == BASE else _TunedReader)(unit, parameters, session)


class _Reader:
    """What the readers of the base and of tuned models share: values summed by document."""

    layers: Sequence[int] = ()

    def __init__(
        self, unit: Unit, parameters: DivergenceParameters, session: Session, columns: int
    ) -> None:
        from core.outputs.divergence import DocumentSums

        self.unit, self.parameters, self.session = unit, parameters, session
        self.sums = DocumentSums(unit.options["documents"], columns)

    def begin(self, batch: Batch) -> None:
        self.sums.begin()

    def see_layer(self, layer: int, states: Tensor) -> None:
        """No layer is asked for."""

    def see(self, seen: Seen) -> None:
        """The predictions are enough."""

    def commit(self) -> None:
        self.sums.commit()

    def row(self, metric: str, totals: NDArray[np.float64], **more: Any) -> Measurement:
        """A mean over tokens, with its interval by resampling documents."""
        known = np.flatnonzero(self.sums.counts)
        at: dict[str, Any] = {
            "metric": metric, "model": self.unit.model, "reference": self.unit.reference,
            "probe": self.unit.options["named"], "n": len(known),
        }  # fmt: skip
        if not len(known):
            return Measurement(value=None, **at)
        items = comparison.Items(
            index=known, total=totals[known], weight=self.sums.counts[known].astype(np.float64)
        )
        seed = self.session.subject.study.run.seed
        found = comparison.score(items, resamples=self.parameters.bootstrap, seed=seed)
        return Measurement(value=found.value, low=found.low, high=found.high, **at, **more)


class _BaseReader(_Reader):
    """Takes the base's likelihoods, and how far rounding moves its predictions."""

    def __init__(self, unit: Unit, parameters: DivergenceParameters, session: Session) -> None:
        super().__init__(unit, parameters, session, 1)
        self.floor: list[NDArray[np.float32]] = []
        self._floor: list[NDArray[np.float32]] = []
        self._left = parameters.floor

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        self._floor = []

    def see(self, seen: Seen) -> None:
        from core.outputs import floor

        if self._left > 0:
            self._floor = [floor.measured(self.session, seen, self._left)]
        self._documents = len(seen.batch.documents)

    def see_pair(self, pair: Pair) -> None:
        nll = -pair.own.gather(1, pair.following[:, None])
        self.sums.see(pair.documents, nll.cpu().numpy())

    def commit(self) -> None:
        super().commit()
        self.floor += self._floor
        self._left -= self._documents

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        from core.outputs.divergence import COLUMNS

        found = np.concatenate(self.floor).astype(np.float64)
        means = found.mean(0).tolist() if len(found) else [None] * len(COLUMNS)
        level = dict(zip(COLUMNS, means, strict=True))
        yield self.unit, UnitResult([self.row("nll", self.sums.sums[:, 0])], state=level)


class _TunedReader(_Reader):
    """Takes how far the predictions of a tuned model are from the base's."""

    def __init__(self, unit: Unit, parameters: DivergenceParameters, session: Session) -> None:
        from core.outputs.divergence import COLUMNS
        from core.outputs.stored import TextStore

        super().__init__(unit, parameters, session, len(COLUMNS))
        self.texts = TextStore()

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        self.texts.begin()

    def see_pair(self, pair: Pair) -> None:
        from core.outputs.divergence import compared

        assert pair.base is not None
        values = compared(pair.own, pair.base, pair.following)
        self.sums.see(pair.documents, values)
        self.texts.see(pair, values)

    def commit(self) -> None:
        super().commit()
        self.texts.commit()

    def results(self) -> Iterator[tuple[Unit, UnitResult]]:
        from core.outputs.divergence import COLUMNS

        form = dict.fromkeys(COLUMNS, maybe(number))
        level = forms.state(self.session.load(self.unit.requires[1]).state, form)
        totals = dict(zip(COLUMNS, self.sums.sums.T, strict=True))
        change = totals["nll_change"] = totals["nll"] - totals.pop("base_nll")
        rows = [self.row(name, total, chance=level.get(name)) for name, total in totals.items()
                if name not in ("nll", "nll_change")]  # fmt: skip
        rows += [self.row("nll", totals["nll"]), self.row("nll_change", change)]
        rows += [row for name in SPREADS for row in self._spread(name, totals[name])]
        yield self.unit, UnitResult(rows, self._artifacts())

    def _spread(self, metric: str, totals: NDArray[np.float64]) -> Iterator[Measurement]:
        known = self.sums.counts > 0
        if known.any():
            means = totals[known] / self.sums.counts[known]
            names = ("lower_quartile", "median", "upper_quartile")
            for name, value in zip(names, intervals.quartiles(means), strict=True):
                yield Measurement(
                    metric=name, metric_of=metric, value=value, model=self.unit.model,
                    reference=BASE, probe=self.unit.options["named"],
                )  # fmt: skip

    def _artifacts(self) -> list[Artifact]:
        options, subject = self.unit.options, self.session.subject
        arrays = self.texts.arrays(subject.probes[options["probe"]], self.session.tokenizer)
        if not arrays:
            return []
        name = output_texts.artifact(options["named"])
        return [Artifact(name=name, arrays=arrays, model=self.unit.model, reference=BASE)]


_FLOOR = "chance: the base against itself in another batch, which rounding alone moves"

ANALYSIS = Analysis(
    name=NAME,
    title="Divergence",
    short="Div",
    topic="outputs",
    version=VERSION,
    needs="texts",
    parameters=DivergenceParameters,
    plan=plan,
    reader=reader,
    workload=workload,
    after=(REPRESENTATION,),
    metrics=(
        MetricSpec(
            name="kl",
            title="divergence from the base",
            description=f"KL(tuned ‖ base) of the predictions, in the mean over tokens; {_FLOOR}.",
            unit="nats",
            has_chance=True,
            empty="no document has two tokens, or the base rules a token out",
        ),
        MetricSpec(
            name="reverse_kl",
            title="reverse divergence",
            description=f"KL(base ‖ tuned) of the predictions, in the mean over tokens; {_FLOOR}.",
            unit="nats",
            has_chance=True,
            empty="no document has two tokens, or the tuned model rules a token out",
        ),
        MetricSpec(
            name="nll",
            title="negative log-likelihood",
            description="Of each next token of the texts, in the mean over tokens.",
            unit="nats",
            better="lower",
            empty="no document has two tokens",
        ),
        MetricSpec(
            name="nll_change",
            title="change of the negative log-likelihood",
            description="The tuned model's less the base's on the same tokens: below 0 tuning "
            "gained, above 0 it forgot.",
            unit="nats",
            better="lower",
            signed=True,
            empty="no document has two tokens",
        ),
        MetricSpec(
            name="top1_agreement",
            title="agreement on the likeliest token",
            description="Share of tokens before which both models find the same token likeliest; "
            f"{_FLOOR}.",
            has_chance=True,
            empty="no document has two tokens",
        ),
        *quartiles("mean over a document's tokens"),
    ),
    views=(
        Heatmap(
            key="map",
            title="What tuning gained and forgot",
            short="Gain map",
            caption="Models down, probe sets across. A change below 0 is a gain.",
            measures=("nll_change", "kl", "reverse_kl", "top1_agreement"),
            rows="model",
            columns="probe",
            fixed={"reference": BASE},
            names={"probe": "probe set"},
            optional=True,
            drill="text",
            finding=findings.of_map,
        ),
        SortedTable(
            key="models",
            title="Divergence from the base",
            short="Divergence",
            caption="One row per tuned model and probe set: divergence, change of likelihood, and "
            "agreement on the likeliest token.",
            measures=("kl", "reverse_kl", "nll", "nll_change", "top1_agreement"),
            fixed={"reference": BASE},
            free=("model", "probe"),
            tabulate=output_tables.models,
            orders=output_tables.ORDERS,
            drill="text",
            finding=findings.of_models,
        ),
        SortedTable(
            key="spread",
            title="Spread over documents",
            short="Spread",
            caption="Quartiles of single documents, by model and probe set.",
            measures=("kl", "nll_change", "lower_quartile", "median", "upper_quartile"),
            fixed={"reference": BASE},
            free=("model", "probe", "metric_of"),
            tabulate=output_tables.spread,
            finding=findings.of_spread,
        ),
        PassageView(
            key="text",
            title="Where predictions part in a text",
            short="Text",
            caption="A document with each token shaded by its value, and the likeliest tokens of "
            "both models where they differ most.",
            measures=("kl", "nll_change"),
            selectors=("model", "probe", "item"),
            fixed={"reference": BASE},
            tabulate=output_texts.of_document,
            finding=findings.of_text,
        ),
    ),
)
