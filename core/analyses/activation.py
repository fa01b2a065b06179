"""Activated neurons of each model on the probe set, layer by layer: method, section 1.

Owns the shares of activated neurons, the patterns that `edit_distance` compares and the scores of
neurons. Imports torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from traceback import clear_frames
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from core.engine.attempts import ends_run
from core.engine.measurement import (
    Artifact,
    Measurement,
    MetricSpec,
    Unit,
    UnitResult,
    ordered,
    quartiles,
)
from core.engine.registry import Analysis, Parameters, Workload
from core.figures import contexts, findings, tables
from core.figures.kinds.boxes import DocumentBoxes
from core.figures.kinds.curves import Curves
from core.figures.kinds.passages import PassageView
from core.figures.kinds.tables import SortedTable
from core.figures.spread_findings import of_spread
from core.statistics import intervals

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.neurons.activity import Counter, LayerActivity, Rules
    from core.neurons.attribution import Scores

NAME, VERSION = "activation", 1
Criterion = Literal["gate", "product", "magnitude", "attribution"]
DEFAULT = "gate"
BASE = "base"
BEGINNING = 96
"""Stored characters of a document, to identify it."""


class ActivationParameters(Parameters):
    """The criteria of activation, and the scoring of neurons."""

    criteria: Annotated[tuple[Criterion, ...], AfterValidator(ordered)] = Field(
        default=("gate",),
        min_length=1,
        description="Criteria of activation.",
    )
    epsilon: float = Field(
        default=0.01, ge=0, lt=1, description="Share of the largest |h| at a token (magnitude)."
    )
    threshold: float = Field(
        default=0.5,
        ge=0,
        lt=1,
        description="Share of a text's tokens above which a neuron is on.",
    )
    scores: bool = Field(
        default=True,
        description="Also score each neuron, and store the contexts of the strongest.",
    )


def plan(subject: Subject, parameters: ActivationParameters) -> list[Unit]:
    """For each model a unit of forward passes, and one of backward passes if scores or the
    criterion `attribution` are wanted; none if no layer has neurons."""
    if not subject.family.anatomy.neuron_layers:
        return []
    p = parameters
    forward, backward = _forward(p), _backward(p)
    units = []
    for model in subject.models:
        if forward:
            key_parameters = p.model_copy(update={"criteria": forward, "scores": False})
            options = {"scores": False, "patterns": True}
            units.append(_unit(subject, key_parameters, model, f"activations of {model}", options))
        if backward or p.scores:
            key_parameters = p.model_copy(update={"criteria": backward, "scores": True})
            options = {"scores": True, "patterns": bool(backward)}
            units.append(
                _unit(subject, key_parameters, model, f"neuron scores of {model}", options)
            )
    return [*units, *_in_context(subject, p, units)]


def _in_context(
    subject: Subject, parameters: ActivationParameters, units: Sequence[Unit]
) -> Iterator[Unit]:
    """For each tuned model its neurons in context: in the base, and in itself. They are chosen by
    the counts of both and the scores of the tuned model."""
    if DEFAULT not in parameters.criteria or not parameters.scores:
        return
    for tuned in subject.family.tuned:
        counted = [u.key for u in units if not u.options["scores"] and u.model in (BASE, tuned)]
        scored = [u.key for u in units if u.options["scores"] and u.model == tuned]
        required = (*counted, *scored)
        for model in (BASE, tuned):
            key = subject.key(
                NAME, VERSION, Parameters(), [model], probe=subject.probed.fingerprint,
                step="contexts", of=required,
            )  # fmt: skip
            yield Unit(
                key=key, analysis=NAME, label=f"neurons of {tuned} in context, in {model}",
                model=model, reference="" if model == tuned else tuned, loads=model,
                requires=required, options={"scores": False, "patterns": False},
            )  # fmt: skip


def _unit(
    subject: Subject, parameters: Any, model: str, label: str, options: dict[str, Any]
) -> Unit:
    key = subject.key(
        NAME, VERSION, parameters, [model], probe=subject.probed.fingerprint,
        token=subject.token,
    )  # fmt: skip
    return Unit(
        key=key, analysis=NAME, label=label, model=model, loads=model, options=options
    )  # fmt: skip


def workload(unit: Unit, parameters: ActivationParameters, subject: Subject) -> Workload:
    """One pass over the probe set, with a backward pass if neurons are scored."""
    tokens = subject.probed.tokens
    if unit.requires:
        from core.neurons import contexts as snippets

        return Workload(forward=snippets.tokens_seen(subject.probed))
    return Workload(backward=tokens) if unit.options["scores"] else Workload(forward=tokens)


def compute(
    units: Sequence[Unit], parameters: ActivationParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """The units of one loaded model. Counts and scores that are both due share a pass over the
    probe set; each other unit has its own."""
    passes = [unit for unit in units if not unit.requires]
    if len(passes) == 2 and len({unit.options["scores"] for unit in passes}) == 2:
        counts, scores = sorted(passes, key=lambda unit: bool(unit.options["scores"]))
        yield from _together(counts, scores, parameters, session)
    else:
        for unit in passes:
            yield unit, (_scored if unit.options["scores"] else _counted)(unit, parameters, session)
    for unit in units:
        if unit.requires:
            yield unit, _contexts(unit, session)


def _together(
    counts: Unit, scores: Unit, parameters: ActivationParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """Both units of a model from one pass. If scores can't be computed, counts get a pass of their
    own before the error is raised."""
    label = f"activations and {scores.label}"
    fault: Exception | None = None
    try:
        measured = _attributed(label, parameters, parameters.criteria, session)
    except Exception as error:
        if ends_run(error):
            raise
        clear_frames(error.__traceback__)  # they hold the memory of the pass
        fault = error
    if fault is not None:
        yield counts, _counted(counts, parameters, session)
        raise fault
    assert measured.counter is not None
    yield counts, _of_counts(counts, measured.counter, session)
    yield scores, _of_scores(scores, measured, parameters, session)


def _counted(unit: Unit, parameters: ActivationParameters, session: Session) -> UnitResult:
    from core.neurons import activity

    counter = activity.observe(
        session.model,
        session.neurons,
        session.subject.probed,
        _rules(parameters, _forward(parameters), session),
        batch_size=_batch_size(session),
        pause=_telling(unit.label, len(session.subject.probed.ids), session),
        on_halved=session.halved,
    )
    return _of_counts(unit, counter, session)


def _scored(unit: Unit, parameters: ActivationParameters, session: Session) -> UnitResult:
    measured = _attributed(unit.label, parameters, _backward(parameters), session)
    return _of_scores(unit, measured, parameters, session)


def _attributed(
    label: str, parameters: ActivationParameters, criteria: tuple[Criterion, ...], session: Session
) -> Scores:
    from core.neurons import attribution

    return attribution.attribute(
        session.model,
        session.neurons,
        session.subject.probed,
        batch_size=_batch_size(session),
        pause=_telling(label, len(session.subject.probed.ids), session),
        on_halved=session.halved,
        rules=_rules(parameters, criteria, session) if criteria else None,
    )


def _of_counts(unit: Unit, counter: Counter, session: Session) -> UnitResult:
    """The results of a unit of counts."""
    criteria = counter.rules.forward
    if "gate" in criteria and session.neurons.unseen:
        layers = len(session.neurons.unseen)
        session.warn(
            f"has no visible gate in {layers} of its layers: a neuron counts as activated there "
            "if its product is above 0."
        )
    result = _result(unit, counter, session, criteria)
    result.artifacts.append(_documents(unit, session))
    return result


def _of_scores(
    unit: Unit, measured: Scores, parameters: ActivationParameters, session: Session
) -> UnitResult:
    """The results of a unit of scores."""
    result = UnitResult()
    if (criteria := _backward(parameters)) and measured.counter is not None:
        result = _result(unit, measured.counter, session, criteria)
    for layer, layer_scores in measured.layers.items():
        arrays = {
            "attribution": layer_scores.attribution,
            "effect": layer_scores.effect,
            "magnitude": layer_scores.magnitude,
            "mean": layer_scores.mean,
        }
        result.artifacts.append(
            Artifact(name="scores", arrays=arrays, model=unit.model, layer=layer)
        )
    return result


def _contexts(unit: Unit, session: Session) -> UnitResult:
    """The snippets of the neurons that changed or matter most, and the tokens that they promote."""
    from core.neurons import contexts as snippets
    from core.neurons import readout

    base, tuned, scored = (session.load(key) for key in unit.requires)
    chosen = {}
    for layer in session.neurons.layers:
        number = layer.number
        change = tuned.arrays("neurons", number)["rate"] - base.arrays("neurons", number)["rate"]
        chosen[number] = snippets.choose(change, scored.arrays("scores", number)["attribution"])
    probe = session.subject.probed
    count = min(len(probe.ids), snippets.DOCUMENTS)
    observed = snippets.observe(
        session.model, session.neurons, probe, chosen, batch_size=session.batch_size,
        pause=_telling(unit.label, count, session), on_halved=session.halved,
    )  # fmt: skip
    result = UnitResult()
    for layer in session.neurons.layers:
        neuron_contexts = observed[layer.number]
        ends = readout.promoted(session.model, session.pieces, layer, neuron_contexts.neurons)
        arrays = snippets.stored(neuron_contexts, probe, ends, session.tokenizer)
        result.artifacts.append(
            Artifact(
                name="contexts",
                arrays=arrays,
                model=unit.model,
                reference=unit.reference,
                layer=layer.number,
            )
        )
    return result


def _forward(parameters: ActivationParameters) -> tuple[Criterion, ...]:
    """The criteria that a forward pass is enough for."""
    return tuple(c for c in parameters.criteria if c != "attribution")


def _backward(parameters: ActivationParameters) -> tuple[Criterion, ...]:
    return tuple(c for c in parameters.criteria if c == "attribution")


def _batch_size(session: Session) -> int:
    """Documents of a batch, half as many as of a forward pass: for counts too, so that they are the
    same to the last bit with and without scores in the same pass."""
    return max(1, session.batch_size // 2)


def _rules(parameters: ActivationParameters, criteria: Any, session: Session) -> Rules:
    from core.neurons.activity import Rules

    return Rules(
        criteria=criteria,
        epsilon=parameters.epsilon,
        threshold=parameters.threshold,
        last=session.subject.token == "last",
    )


def _telling(label: str, count: int, session: Session) -> Any:
    def pause(done: int) -> None:
        session.say(f"{label}, document {done} of {count}")
        session.pause()

    return pause


def _result(unit: Unit, counter: Counter, session: Session, criteria: Sequence[Any]) -> UnitResult:
    """Rows and arrays of the counts."""
    lengths = np.array([len(ids) for ids in session.subject.probed.ids], dtype=np.float64)
    result = UnitResult()
    for criterion in criteria:
        seen = {
            layer.number: counter.layer(layer.number, criterion) for layer in session.neurons.layers
        }
        setting = "" if criterion == DEFAULT else criterion
        for number, activity in seen.items():
            result.measurements += _rows(unit.model, number, setting, activity.share, lengths)
            result.artifacts += _arrays(unit.model, number, setting, activity, counter.tokens)
        widths = np.array(session.neurons.widths, dtype=np.float64)
        whole = np.average([activity.share for activity in seen.values()], axis=0, weights=widths)
        result.measurements += _rows(unit.model, None, setting, whole, lengths)
    return result


def _rows(
    model: str, layer: int | None, setting: str, share: Any, lengths: Any
) -> list[Measurement]:
    """The mean over all tokens with its interval over documents, and the quartiles of documents."""
    coordinates: dict[str, Any] = {
        "model": model,
        "layer": layer,
        "setting": setting,
        "n": len(share),
    }
    mean = intervals.of_mean(100 * share, lengths)
    rows = [
        Measurement(
            metric="activated_percent",
            value=mean.value,
            low=mean.low,
            high=mean.high,
            **coordinates,
        )
    ]
    names = ("lower_quartile", "median", "upper_quartile")
    for name, value in zip(names, intervals.quartiles(100 * share), strict=True):
        rows.append(
            Measurement(metric=name, metric_of="activated_percent", value=value, **coordinates)
        )
    return rows


def _arrays(
    model: str, layer: int, setting: str, activity: LayerActivity, tokens: int
) -> list[Artifact]:
    suffix = f".{setting}" if setting else ""
    rates = {
        "rate": (activity.counts / tokens).astype(np.float32),
        "drivers": activity.drivers,
        "driven": activity.driven,
    }
    patterns = {"patterns": activity.patterns, "neurons": np.array(len(activity.counts))}
    return [
        Artifact(name=f"neurons{suffix}", arrays=rates, model=model, layer=layer),
        Artifact(name=f"patterns{suffix}", arrays=patterns, model=model, layer=layer),
    ]


def _documents(unit: Unit, session: Session) -> Artifact:
    """The beginnings of the documents, for tables that name them."""
    probe = session.subject.probed
    arrays = {
        "beginning": np.array(
            [" ".join(t.split())[:BEGINNING] for t in probe.texts], dtype=np.str_
        ),
        "tokens": np.array([len(ids) for ids in probe.ids]),
    }
    return Artifact(name="documents", arrays=arrays, model=unit.model)


def _is_tuned(model: str) -> bool:
    """Is it a tuned model, which can be compared with the base?"""
    return model != "base"


ANALYSIS = Analysis(
    name=NAME,
    title="Activation",
    short="Act",
    topic="neurons",
    version=VERSION,
    needs="probe",
    parameters=ActivationParameters,
    plan=plan,
    compute=compute,
    workload=workload,
    metrics=(
        MetricSpec(
            name="activated_percent",
            title="activated neurons",
            description="Mean share of active neurons at a token, over all tokens of the probe "
            "set; the interval is over documents.",
            unit="%",
        ),
        *quartiles("share of activated neurons", unit="%"),
    ),
    views=(
        Curves(
            key="curves",
            title="Activated neurons by layer",
            short="Activated",
            caption="One line per model, the base included: share of neurons active at a token.",
            measures=("activated_percent",),
            drill="neurons",
            finding=findings.of_activation,
        ),
        SortedTable(
            key="neurons",
            title="Neurons",
            caption="Single neurons, their rates in every model, and the tokens that they fire on.",
            measures=("activated_percent",),
            selectors=("model", "layer"),
            only={"model": _is_tuned},
            tabulate=tables.neurons,
            orders=tables.NEURON_ORDERS,
            drill="neuron",
            finding=findings.of_neurons,
        ),
        PassageView(
            key="neuron",
            title="A neuron in context",
            short="In context",
            caption="The snippets in which a neuron is largest, in the tuned model and in the "
            "base, and the tokens that it promotes.",
            measures=("activated_percent",),
            selectors=("model", "item"),
            only={"model": _is_tuned},
            names={"item": "neuron"},
            tabulate=contexts.of_neuron,
            finding=findings.of_context,
        ),
        DocumentBoxes(
            key="spread",
            title="Spread over documents",
            short="Spread",
            caption="The mean of a layer, and the spread of single documents.",
            measures=("activated_percent",),
            selectors=("layer",),
            finding=of_spread,
        ),
        Curves(
            key="criteria",
            title="Activated neurons by another criterion",
            short="Other criteria",
            caption="As in the first figure, with the other criteria of activation.",
            measures=("activated_percent",),
            selectors=("setting",),
            names={"setting": "criterion"},
            optional=True,
            finding=findings.of_activation,
        ),
    ),
)
