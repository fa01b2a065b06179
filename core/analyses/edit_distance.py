"""Differences between activation patterns of a tuned model and the base: method, section 2.

Owns the distances between the patterns of the base and of each tuned model, with the expected
distance of independent patterns. Reads the results of `activation`; loads no model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine import forms
from core.engine.forms import amount, count, maybe, number
from core.engine.measurement import (
    Measurement,
    MetricSpec,
    Unit,
    UnitResult,
    content_key,
    quartiles,
)
from core.engine.registry import Analysis, Parameters
from core.errors import ResultError
from core.figures import findings
from core.figures.kinds.boxes import DocumentBoxes
from core.figures.kinds.curves import Curves
from core.figures.spread_findings import of_spread
from core.statistics import intervals

if TYPE_CHECKING:
    from core.engine.subject import Subject
    from core.neurons.distances import Bits

NAME, VERSION = "edit_distance", 2
ACTIVATION = "activation"
BASE = "base"


class EditDistanceParameters(Parameters):
    """The choice of distances."""

    levenshtein: bool = Field(
        default=True, description="Also the Levenshtein distance, which the paper names."
    )


def plan(subject: Subject, parameters: EditDistanceParameters) -> list[Unit]:
    """A unit for each tuned model and layer, and one over all layers of a model; none if no layer
    has neurons."""
    if not subject.family.anatomy.neuron_layers:
        return []
    sources: dict[str, list[str]] = {}
    for unit in subject.planned[ACTIVATION]:
        if unit.options["patterns"]:
            sources.setdefault(unit.model, []).append(unit.key)
    units = []
    for model in subject.family.tuned:
        required = (*sources[BASE], *sources[model])
        layers = [
            _unit(model, layer, required, parameters)
            for layer in subject.family.anatomy.neuron_layers
        ]
        units += [*layers, _unit(model, None, tuple(u.key for u in layers), parameters)]
    return units


def _unit(
    model: str, layer: int | None, required: tuple[str, ...], parameters: EditDistanceParameters
) -> Unit:
    key = content_key(
        {
            "analysis": [NAME, VERSION, parameters.model_dump(mode="json")],
            "model": model,
            "layer": layer,
            "requires": required,
        }
    )
    where = "whole" if layer is None else f"layer {layer}"
    return Unit(
        key=key, analysis=NAME, label=f"patterns of {model} and the base, {where}", model=model,
        reference=BASE, layer=layer, requires=required,
        options={"levenshtein": parameters.levenshtein},
    )  # fmt: skip


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """One layer of a model from the patterns of both models, or a model from its layers."""
    return _layer(unit, required) if unit.layer is not None else _whole(unit, required)


def _layer(unit: Unit, required: list[UnitResult]) -> UnitResult:
    from core.neurons import distances

    result = UnitResult()
    for setting, (base, tuned) in _patterns(unit, required).items():
        coordinates: dict[str, Any] = {
            "model": unit.model, "reference": BASE, "layer": unit.layer, "setting": setting,
            "n": len(base),
        }  # fmt: skip
        hamming = distances.hamming(base, tuned)
        change = distances.rate_change(base, tuned)
        result.measurements += _hamming_rows(
            hamming.observed, hamming.baseline, hamming.baseline_sd, coordinates
        )
        result.measurements += [
            _ratio_row(hamming.ratio, hamming.without, coordinates),
            Measurement(metric="rate_change", value=change, **coordinates),
        ]
        if unit.options["levenshtein"]:
            result.measurements.append(_levenshtein_row(base, tuned, coordinates))
        result.state[setting] = {
            "neurons": base.shape[1],
            "observed": hamming.observed.tolist(),
            "baseline": hamming.baseline,
            "rate_change": change,
        }
    return result


def _patterns(unit: Unit, required: list[UnitResult]) -> dict[str, tuple[Bits, Bits]]:
    """The patterns [documents, neurons] of base and tuned model, by setting."""
    from core.neurons.activity import unpacked

    patterns: dict[str, list[Bits]] = {}
    for result in required:
        for artifact in result.artifacts:
            name, _, setting = artifact.name.partition(".")
            if name == "patterns" and artifact.layer == unit.layer:
                width = int(artifact.arrays["neurons"])
                patterns.setdefault(setting, []).append(
                    unpacked(artifact.arrays["patterns"], width)
                )
    for pair in patterns.values():
        if len(pair) != 2 or pair[0].shape != pair[1].shape:
            raise ResultError(
                f"The patterns of '{unit.model}' and the base in layer {unit.layer} are not of the "
                "same documents and neurons.",
                hint="Compute the run again with --fresh.",
            )
    return {setting: (base, tuned) for setting, (base, tuned) in patterns.items()}


def _hamming_rows(
    observed: Any, baseline: float | None, sd: float | None, coordinates: dict[str, Any]
) -> list[Measurement]:
    mean = intervals.of_mean(observed)
    rows = [
        Measurement(
            metric="hamming", value=mean.value, low=mean.low, high=mean.high, chance=baseline,
            chance_sd=sd, **coordinates,
        )
    ]  # fmt: skip
    names = ("lower_quartile", "median", "upper_quartile")
    for name, value in zip(names, intervals.quartiles(observed), strict=True):
        rows.append(Measurement(metric=name, metric_of="hamming", value=value, **coordinates))
    return rows


def _ratio_row(ratio: float | None, without: Any, coordinates: dict[str, Any]) -> Measurement:
    if ratio is None:
        return Measurement(metric="ratio", value=None, **coordinates)
    bounds = intervals.of_jackknife(ratio, without)
    return Measurement(
        metric="ratio", value=ratio, low=bounds.low, high=bounds.high, chance=1.0, **coordinates
    )


def _levenshtein_row(base: Bits, tuned: Bits, coordinates: dict[str, Any]) -> Measurement:
    from core.neurons import distances

    mean = intervals.of_mean(distances.levenshtein(base, tuned))
    apart = distances.levenshtein_by_chance(base, tuned)
    return Measurement(
        metric="levenshtein", value=mean.value, low=mean.low, high=mean.high,
        chance=float(apart.mean()) if len(apart) else None,
        chance_sd=intervals.of_draws(apart, further=len(base)),
        **coordinates,
    )  # fmt: skip


def _whole(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """All neurons of a model as one long pattern: layers weigh by their neurons."""
    result = UnitResult()
    for setting in required[0].state:
        layers = _layers(required, setting)
        widths = np.array([layer["neurons"] for layer in layers], dtype=np.float64)
        observed = np.average([layer["observed"] for layer in layers], axis=0, weights=widths)
        levels = [layer["baseline"] for layer in layers]
        baseline = float(np.average(levels, weights=widths)) if None not in levels else None
        change = float(np.average([layer["rate_change"] for layer in layers], weights=widths))
        coordinates: dict[str, Any] = {
            "model": unit.model, "reference": BASE, "setting": setting, "n": len(observed)
        }  # fmt: skip
        ratio = float(observed.mean()) / baseline if baseline else None
        result.measurements += _hamming_rows(observed, baseline, None, coordinates)
        result.measurements += [
            Measurement(
                metric="ratio", value=ratio, chance=None if ratio is None else 1.0, **coordinates
            ),
            Measurement(metric="rate_change", value=change, **coordinates),
        ]
    return result


def _layers(required: list[UnitResult], setting: str) -> list[dict[str, Any]]:
    """The states of a setting, a layer each, all of the same documents."""
    form: dict[str, Any] = {
        "neurons": lambda value: count(value) and value > 0, "observed": [number],
        "baseline": maybe(amount), "rate_change": number,
    }  # fmt: skip
    layers: list[dict[str, Any]] = [
        forms.state(each.state, {setting: form})[setting] for each in required
    ]
    documents = {len(layer["observed"]) for layer in layers}
    forms.state(documents, lambda counts: len(counts) == 1 and 0 not in counts)
    return layers


ANALYSIS = Analysis(
    name=NAME,
    title="Patterns",
    short="Pat",
    topic="neurons",
    version=VERSION,
    needs="probe",
    parameters=EditDistanceParameters,
    plan=plan,
    reduce=reduce,
    after=(ACTIVATION,),
    metrics=(
        MetricSpec(
            name="ratio",
            title="Hamming distance over its baseline",
            description="0: a document activates the same neurons in both models; 1: no more alike "
            "than the patterns of unlike documents. Blind to changed rates.",
            has_chance=True,
            empty="no neuron varies between documents, or there is one document",
        ),
        MetricSpec(
            name="hamming",
            title="Hamming distance of patterns",
            description="Share of neurons that a document has on in one of the two models only; "
            "chance: independent patterns with the same rates.",
            has_chance=True,
        ),
        MetricSpec(
            name="levenshtein",
            title="edit distance of patterns",
            description="Levenshtein distance over the number of neurons. It depends on the order "
            "of the neurons, which is arbitrary: draw conclusions on Hamming.",
            has_chance=True,
        ),
        MetricSpec(
            name="rate_change",
            title="change of rates",
            description="Mean change of the share of documents that have a neuron on: the least "
            "Hamming distance that the rates allow.",
        ),
        *quartiles("Hamming distance"),
    ),
    views=(
        Curves(
            key="curves",
            title="Distance of patterns by layer",
            short="Distance",
            caption="One line per tuned model: distance of a document's patterns from the base's.",
            measures=("ratio", "hamming", "levenshtein", "rate_change"),
            fixed={"reference": BASE},
            drill="activation:neurons",
            finding=findings.of_distances,
        ),
        Curves(
            key="baseline",
            title="Distance of patterns against its baseline",
            short="Baseline",
            caption="One model: the observed distance, and the distance of independent patterns.",
            measures=("hamming", "levenshtein"),
            selectors=("model",),
            fixed={"reference": BASE},
            with_chance=True,
            chance_name="independent",
            finding=findings.of_baseline,
        ),
        DocumentBoxes(
            key="spread",
            title="Spread over documents",
            short="Spread",
            caption="The mean Hamming distance of a layer, and the spread of single documents.",
            measures=("hamming",),
            selectors=("layer",),
            fixed={"reference": BASE},
            finding=of_spread,
        ),
        Curves(
            key="criteria",
            title="Distance of patterns by another criterion",
            short="Other criteria",
            caption="As in the first figure, with the other criteria of activation.",
            measures=("ratio", "hamming", "levenshtein", "rate_change"),
            selectors=("setting",),
            fixed={"reference": BASE},
            names={"setting": "criterion"},
            optional=True,
            finding=findings.of_distances,
        ),
    ),
)
