"""Trials of neurons in a loaded model: ranking on some items, ablating and scoring on others.

Owns the contents of a ranking, and the number of scorings for one selection. The caller chooses the
items, the models and the sources of neurons.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.engine.measurement import Artifact, Measurement, Unit, UnitResult
from core.errors import ResultError
from core.evaluation import examples, scores
from core.neurons import ablation, activity, attribution, drops, ranking

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.evaluation.scores import StoredScore
    from core.evaluation.tasks import Task
    from core.models.hooks import Neurons
    from core.texts.probe import ProbeSet

CHOSEN, NAMED = "chosen", 16
"""The name of the artifacts of ablated neurons by layer, and how many of a layer are named."""


def rank(
    unit: Unit, task: Task, items: Sequence[int], session: Session, *, score: str, heads: bool
) -> UnitResult:
    """The scores, rates and mean values of the neurons (or heads) on these items of a task.

    `score` is `attribution`, `rate` or `activation`. The artifact `ranking` has for each layer
    `<layer>.score`, `<layer>.rate` and `<layer>.mean`, float32 [neurons]; means are per input.
    """
    texts = _examples(task, items, session)
    neurons = session.heads if heads else session.neurons
    attributed = attribution.attribute(
        session.model,
        neurons,
        texts,
        batch_size=max(1, session.batch_size // 2),
        pause=lambda done: session.pause(),
        on_halved=session.halved,
        rules=None if heads else activity.Rules(),  # a head has no activation criterion
    )
    rates = {layer.number: np.ones(layer.width) for layer in neurons.layers}
    if attributed.counter is not None:
        counter = attributed.counter
        rates = {n: counter.layer(n, "gate").counts / texts.tokens for n in rates}
    arrays: dict[str, Any] = {}
    for number, rate in rates.items():
        layer_scores = attributed.layers[number]
        by = {
            "attribution": layer_scores.attribution,
            "rate": rate,
            "activation": layer_scores.magnitude,
        }
        arrays |= _arrays(number, by[score], rate, layer_scores.mean)
    artifact = Artifact(name="ranking", arrays=arrays, model=unit.model, task=unit.task)
    return UnitResult(artifacts=[artifact])


def ranked_on_probe(unit: Unit, required: Sequence[UnitResult], *, score: str) -> UnitResult:
    """The same artifact, from the stored values of the neurons on a probe set."""
    merged = UnitResult(artifacts=[a for result in required for a in result.artifacts])
    arrays: dict[str, Any] = {}
    layers = {a.layer for a in merged.artifacts if a.name == "scores" and a.layer is not None}
    for layer in sorted(layers):
        layer_scores, rate = merged.arrays("scores", layer), merged.arrays("neurons", layer)["rate"]
        by = {
            "attribution": layer_scores["attribution"],
            "rate": rate,
            "activation": layer_scores["magnitude"],
        }
        arrays |= _arrays(layer, by[score], rate, layer_scores["mean"])
    return UnitResult(artifacts=[Artifact(name="ranking", arrays=arrays, model=unit.model)])


def score_whole(unit: Unit, task: Task, items: Sequence[int], session: Session) -> UnitResult:
    """The scores without ablation."""
    evaluated = session.evaluator.evaluate(task, items)
    artifact = scores.artifact(evaluated, model=unit.model, task=unit.task)
    return UnitResult(artifacts=[artifact], state={"scores": scores.state(evaluated)})


def score_ablated(
    unit: Unit,
    task: Task,
    items: Sequence[int],
    session: Session,
    *,
    heads: bool,
    per_layer: bool,
    to_mean: bool,
    controls: int,
) -> UnitResult:
    """The scores with the neurons of the selection `unit.setting` ablated, and with as many random
    ones of each layer, `controls` times. The unit requires a ranking and the scores without
    ablation."""
    ranked, whole = (session.load(key) for key in unit.requires)
    neurons = session.heads if heads else session.neurons
    seed = session.subject.study.run.seed
    chosen = ranking.choose(
        ranking.parse(unit.setting), _ranked(ranked, neurons, "score"),
        _ranked(ranked, neurons, "rate"), per_layer=per_layer,
    )  # fmt: skip
    means = _ranked(ranked, neurons, "mean") if to_mean else None
    coordinates: dict[str, Any] = {
        "model": unit.model,
        "reference": unit.reference,
        "task": unit.task,
    }
    arrays = _told(chosen, _ranked(ranked, neurons, "score"), neurons)
    result = UnitResult(
        artifacts=[Artifact(name=f"{CHOSEN}.{unit.setting}", arrays=arrays, **coordinates)]
    )
    by_setting: dict[str, Mapping[str, StoredScore]] = {}
    for setting, places in _draws(unit.setting, chosen, neurons, seed, controls).items():
        session.pause()
        with ablation.ablated(neurons, places, means):
            evaluated = session.evaluator.evaluate(task, items)
        by_setting[setting] = scores.by_metric(evaluated)
        artifact = scores.artifact(
            evaluated, model=unit.model, task=unit.task, reference=unit.reference
        )
        result.artifacts.append(replace(artifact, name=f"{scores.ITEMS}.{setting}"))
        result.measurements.append(
            Measurement(
                metric="neurons", value=float(sum(map(len, places))), model=unit.model,
                reference=unit.reference, task=unit.task, setting=setting,
            )
        )  # fmt: skip
    result.measurements += drops.rows(
        scores.stored(whole), by_setting.pop(unit.setting), by_setting, unit.setting,
        drops.Bootstrap(session.subject.evaluation.bootstrap, seed),
        model=unit.model, reference=unit.reference, task=unit.task,
    )  # fmt: skip
    return result


def _examples(task: Task, items: Sequence[int], session: Session) -> ProbeSet:
    listed = examples.examples(task, items, tokenizer=session.tokenizer)
    return session.evaluator.shown(listed)


def _arrays(layer: int, score: Any, rate: Any, mean: Any) -> dict[str, Any]:
    return {
        f"{layer}.score": np.asarray(score, dtype=np.float32),
        f"{layer}.rate": np.asarray(rate, dtype=np.float32),
        f"{layer}.mean": np.asarray(mean, dtype=np.float32),
    }


def _ranked(result: UnitResult, neurons: Neurons, kind: str) -> list[Any]:
    """Scores, rates or mean values of every layer's neurons."""
    arrays = result.arrays("ranking")
    ranked = [arrays[f"{layer.number}.{kind}"] for layer in neurons.layers]
    # Means are of inputs, of which a head has several.
    if kind != "mean" and [len(each) for each in ranked] != list(neurons.widths):
        raise ResultError(
            f"A finished unit ranked {sum(map(len, ranked))} neurons or heads, but the model has "
            f"{sum(neurons.widths)}.",
            hint="Compute the run again with --fresh.",
        )
    return ranked


def _told(chosen: ranking.Chosen, score: Sequence[Any], neurons: Neurons) -> dict[str, Any]:
    """The number of chosen neurons of each layer, and the neurons with the highest scores, padded
    with -1."""
    best = np.full((len(chosen), NAMED), -1, np.int64)
    for row, units, values in zip(best, chosen, score, strict=True):
        first = units[np.argsort(-values[units], kind="stable")][:NAMED]
        row[: len(first)] = first
    return {
        "layer": np.array([layer.number for layer in neurons.layers], np.int64),
        "width": np.array(neurons.widths, np.int64),
        "count": np.array([len(units) for units in chosen], np.int64),
        "best": best,
    }


def _draws(
    selection: str, chosen: ranking.Chosen, neurons: Neurons, seed: int, controls: int
) -> dict[str, ranking.Chosen]:
    """The ablated neurons by setting: the chosen ones first, then their random controls."""
    return {
        selection: chosen,
        **{
            ranking.control_name(selection, each): ranking.control(chosen, neurons.widths, each)
            for each in range(seed, seed + controls)
        },
    }
