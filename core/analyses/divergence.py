"""How far each tuned model's predictions are from the base's, and the gains and losses of tuning:
method, section 8.

Owns the divergences, likelihoods and agreement on each probe set, with intervals over documents.
Imports torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from core.engine.measurement import MetricSpec, Unit, UnitResult, content_key, quartiles
from core.engine.registry import Analysis, Parameters, shared_pass
from core.figures import forgetting, output_tables, output_texts
from core.figures import output_findings as findings
from core.figures.kinds.boxes import DocumentBoxes
from core.figures.kinds.grids import Heatmap
from core.figures.kinds.passages import PassageView
from core.figures.kinds.scatters import ScatterPlot, TwoMeasures
from core.figures.kinds.tables import SortedTable
from core.figures.spread_findings import of_spread
from core.statistics import comparison, multiplicity

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject

NAME, VERSION = "divergence", 2
REPRESENTATION = "representation"
BASE = "base"


class DivergenceParameters(Parameters):
    """The sizes of the intervals and of the measurement of rounding."""

    bootstrap: int = Field(
        default=1000, ge=1, description="Resamples of documents behind each interval."
    )
    floor: int = Field(
        default=4, ge=1, description="Documents on which the effect of rounding is measured."
    )


def plan(subject: Subject, parameters: DivergenceParameters) -> list[Unit]:
    """For each probe set the base's likelihoods, and each tuned model against the base; then the
    correction for the number of tests."""
    units = []
    for states in subject.planned.get(REPRESENTATION, ()):
        if states.model != BASE:
            continue
        named = states.options["named"]
        required: tuple[str, ...] = (states.key,)
        for model in subject.models:
            key = subject.key(
                NAME, VERSION, parameters, [BASE, model], of=required,
                intervals=comparison.VERSION,
            )  # fmt: skip
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
    tested = tuple(unit.key for unit in units if unit.model != BASE)
    key = content_key({"analysis": [NAME, VERSION], "of": tested, "q": multiplicity.VERSION})
    corrected = Unit(
        key=key, analysis=NAME, label="correction for the number of tests", requires=tested
    )
    return [*units, *([corrected] if tested else [])]


def reader(units: Sequence[Unit], parameters: DivergenceParameters, session: Session) -> Any:
    """The reader of a model's one unit on a probe set."""
    from core.outputs import readers

    (unit,), resamples = units, parameters.bootstrap
    if unit.model == BASE:
        return readers.BaseReader(unit, session, resamples=resamples, documents=parameters.floor)
    return readers.TunedReader(unit, session, resamples=resamples, floor_key=unit.requires[1])


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The p values of all changes, corrected for their number."""
    from core.neurons import drops

    return UnitResult(drops.corrected([row for r in required for row in r.measurements]))


_FLOOR = "chance: the base against itself in another batch, which differs by rounding alone"

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
    reduce=reduce,
    workload=shared_pass,
    after=(REPRESENTATION,),
    metrics=(
        MetricSpec(
            name="kl",
            title="divergence from the base",
            description=f"KL(tuned ‖ base) of the predictions, mean over tokens; {_FLOOR}.",
            unit="nats",
            has_chance=True,
            empty="no document has two tokens, or the base gives a token no probability",
        ),
        MetricSpec(
            name="reverse_kl",
            title="reverse divergence",
            description=f"KL(base ‖ tuned) of the predictions, mean over tokens; {_FLOOR}.",
            unit="nats",
            has_chance=True,
            empty="no document has two tokens, or the tuned model gives a token no probability",
        ),
        MetricSpec(
            name="nll",
            title="negative log-likelihood",
            description="Mean over the next tokens of the texts.",
            unit="nats",
            better="lower",
            empty="no document has two tokens",
        ),
        MetricSpec(
            name="nll_change",
            title="change of the negative log-likelihood",
            description="Tuned model minus base on the same tokens: below 0 the tuned model "
            "gained, above 0 it forgot.",
            unit="nats",
            better="lower",
            signed=True,
            empty="no document has two tokens",
        ),
        MetricSpec(
            name="top1_agreement",
            title="agreement on the likeliest token",
            description="Share of positions at which both models find the same next token "
            f"likeliest; {_FLOOR}.",
            has_chance=True,
            empty="no document has two tokens",
        ),
        MetricSpec(
            name="p_value",
            title="p of the change",
            description="Two-sided test over documents that the likelihood did not change.",
            empty="fewer than two documents",
        ),
        MetricSpec(
            name="q_value",
            title="p, corrected",
            description="The p value by Benjamini and Hochberg over all tuned models and probe "
            "sets of the run; below 0.05 a change counts as significant.",
            empty="fewer than two documents",
        ),
        *quartiles("mean over a document's tokens"),
    ),
    views=(
        Heatmap(
            key="map",
            title="Gains and losses by probe set",
            short="Gain map",
            caption="Models down, probe sets across. A change below 0 is a gain.",
            measures=("nll_change", "kl", "reverse_kl", "top1_agreement"),
            tested={"nll_change": "q_value"},
            rows="model",
            columns="probe",
            fixed={"reference": BASE},
            names={"probe": "probe set"},
            optional=True,
            drill="text",
            finding=findings.of_map,
        ),
        ScatterPlot(
            key="against",
            title="Gain on one probe set against another",
            short="Gain against",
            caption="A point per tuned model: its value on two probe sets. A gain on one may come "
            "with a loss on the other.",
            measures=("nll_change", "kl"),
            points="model",
            across="probe",
            fixed={"reference": BASE},
            x_guides=(0.0,),
            y_guides=(0.0,),
            names={"probe": "probe set"},
            optional=True,
            finding=findings.of_scatter,
        ),
        TwoMeasures(
            key="forgetting",
            title="Divergence on one probe set against loss on another",
            short="Forgetting",
            caption="A point per tuned model: how far its predictions moved on one probe set, and "
            "its loss of likelihood on another.",
            measures=("kl", "nll_change"),
            points="model",
            across="probe",
            fixed={"reference": BASE},
            names={"probe": "probe set"},
            tabulate=forgetting.by_divergence,
            optional=True,
            finding=findings.of_forgetting,
        ),
        SortedTable(
            key="models",
            title="Divergence from the base",
            short="Divergence",
            caption="One row per tuned model and probe set: divergence, change of likelihood, and "
            "agreement on the likeliest token.",
            measures=("kl", "reverse_kl", "nll", "nll_change", "top1_agreement", "q_value"),
            fixed={"reference": BASE},
            free=("model", "probe"),
            tabulate=output_tables.models,
            orders=output_tables.ORDERS,
            drill="text",
            finding=findings.of_models,
        ),
        DocumentBoxes(
            key="spread",
            title="Spread over documents",
            short="Spread",
            caption="The mean and the spread of single documents, by model and probe set.",
            measures=("kl", "nll_change"),
            fixed={"reference": BASE},
            drill="text",
            finding=of_spread,
        ),
        PassageView(
            key="text",
            title="Where predictions diverge in a text",
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
