"""What models lose when neurons are put out of action, against random ones: method, section 4.

Owns which neurons are chosen, in whom they are silenced, on which items that is scored, and whether
a drop beats its random controls. Imports torch and the harness only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from core.errors import StudyError
from core.measurement import (
    Artifact,
    Measurement,
    MetricSpec,
    Unit,
    UnitResult,
    content_key,
    ordered,
)
from core.neurons import ranking
from core.pictures import score_findings, score_tables
from core.registry import Analysis, Parameters, Workload
from core.views import View

if TYPE_CHECKING:
    from core.evaluation.scores import Kept
    from core.evaluation.tasks import Task
    from core.probe import ProbeSet
    from core.session import Session
    from core.subject import Subject

NAME, VERSION = "ablation", 2
ACTIVATION, BASE, GENERAL = "activation", "base", "general"
FIRST = "top-1%"
"""The selection with which the pictures open."""

FEWEST = 4
"""Items that a task must have for neurons to be chosen on some and scored on others."""


class AblationParameters(Parameters):
    """Which neurons are chosen and on what, what they are set to, and what is scored then."""

    score: Literal["attribution", "rate", "activation"] = Field(
        default="attribution", description="By what neurons are ranked."
    )
    selections: tuple[str, ...] = Field(
        default=(FIRST, "top-5%-active", "all-active"),
        description="Which neurons are silenced: top-1%, top-5%-active, all-active.",
    )
    per_layer: bool = Field(default=False, description="Rank within each layer, not over all.")
    value: Literal["zero", "mean"] = Field(
        default="zero", description="What silenced neurons are set to."
    )
    controls: int = Field(default=3, ge=2, description="Random draws for each selection.")
    chosen_on: Literal["task", "probe"] = Field(
        default="task", description="Choose neurons on items of the task, or on the probe texts."
    )
    share: float = Field(
        default=0.5, gt=0, lt=1, description="Share of a task's items on which they are chosen."
    )
    sources: Literal["own", "all"] = Field(
        default="own", description="Choose on the model and the base, or on every model."
    )
    tasks: Literal["own", "all"] = Field(
        default="own", description="Score its own domain's tasks and a general one, or all."
    )
    heads: bool = Field(default=False, description="Silence attention heads instead of neurons.")

    @field_validator("selections")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            try:
                ranking.parse(name)
            except StudyError as error:
                raise ValueError(f"{error.title} {error.hint}") from None
        return ordered(value)


def plan(subject: Subject, parameters: AblationParameters) -> list[Unit]:
    """Scores of neurons by source and task, scores of models left whole, a unit for each selection
    that is silenced, and one that corrects for their number."""
    scored: dict[tuple[str, str], Unit] = {}
    whole: dict[tuple[str, str], Unit] = {}
    silenced = []
    for model in subject.models:
        for task in _tasks(subject, parameters, model):
            _check_disjoint(subject, parameters, task)
            whole[model, task.name] = _whole(subject, parameters, model, task)
            for source in _sources(subject, parameters, model):
                place = source, task.name if parameters.chosen_on == "task" else ""
                if place not in scored:
                    scored[place] = _scored(subject, parameters, source, task)
                silenced += [
                    _silenced(subject, parameters, model, source, task, name,
                              scored[place], whole[model, task.name])
                    for name in parameters.selections
                ]  # fmt: skip
    corrected = Unit(
        key=content_key({"analysis": [NAME, VERSION], "of": [u.key for u in silenced]}),
        analysis=NAME, label="correction for the number of tests",
        requires=tuple(u.key for u in silenced),
    )  # fmt: skip
    return [*scored.values(), *whole.values(), *silenced, *([corrected] if silenced else [])]


def _tasks(subject: Subject, parameters: AblationParameters, model: str) -> list[Task]:
    """The tasks that a model is scored on: its own domains', and the first general one."""
    if parameters.tasks == "all":
        return list(subject.tasks)
    own = [t for t in subject.tasks if any(subject.own(d) == model for d in t.domains)]
    general = [t for t in subject.tasks if GENERAL in t.domains and t not in own]
    return [*own, *general[:1]]


def _sources(subject: Subject, parameters: AblationParameters, model: str) -> list[str]:
    if parameters.sources == "all":
        return list(subject.models)
    return list(dict.fromkeys((BASE, model)))


def _check_disjoint(subject: Subject, parameters: AblationParameters, task: Task) -> None:
    """Refuse to score a task whose items are those that neurons are chosen on."""
    probe = subject.study.probe
    if parameters.chosen_on == "probe" and probe is not None and probe.task == task.name:
        raise StudyError(
            f"analyses.ablation.chosen_on: the items of '{task.name}' are the probe set, so "
            "that neurons would be chosen on what is scored.",
            hint="Set chosen_on = 'task', or take another [probe].",
        )


def _scored(subject: Subject, parameters: AblationParameters, source: str, task: Task) -> Unit:
    """The unit that ranks a source's neurons. On the probe set it is made of what `activation`
    keeps; on a task it needs the model."""
    if parameters.chosen_on == "probe":
        known = [u for u in subject.planned.get(ACTIVATION, ()) if u.model == source]
        if {u.options["scores"] for u in known} != {True, False} or parameters.heads:
            raise StudyError(
                "analyses.ablation.chosen_on: the probe set has no scores of these neurons.",
                hint="It takes a [probe], activation's criterion 'gate' with scores = true, and "
                "heads = false.",
            )
        required = tuple(u.key for u in known)
        return Unit(
            key=content_key({"analysis": [NAME, VERSION, parameters.score], "of": required}),
            analysis=NAME, label=f"neurons of {source} ranked on the probe set", model=source,
            requires=required, options={"score": parameters.score},
        )  # fmt: skip
    if task.items < FEWEST:
        raise StudyError(
            f"The task '{task.name}' has {task.items} items, too few to choose neurons on some and "
            "score the others.",
            hint="Raise evaluation.limit, or leave the task out.",
        )
    by = [parameters.score, parameters.share, parameters.heads]
    key = subject.key(
        NAME, VERSION, Parameters(), [source], step="ranking", task=[task.name, task.fingerprint],
        by=by,
    )  # fmt: skip
    return Unit(
        key=key, analysis=NAME, label=f"neurons of {source} ranked on {task.name}", model=source,
        task=task.name, loads=source, options={"step": "ranking"},
    )  # fmt: skip


def _whole(subject: Subject, parameters: AblationParameters, model: str, task: Task) -> Unit:
    items = [parameters.chosen_on, parameters.share]
    key = subject.key(
        NAME, VERSION, Parameters(), [model], step="whole", task=[task.name, task.fingerprint],
        items=items,
    )  # fmt: skip
    return Unit(
        key=key, analysis=NAME, label=f"{model} whole on {task.name}", model=model, task=task.name,
        loads=model, options={"step": "whole"},
    )  # fmt: skip


def _silenced(
    subject: Subject,
    parameters: AblationParameters,
    model: str,
    source: str,
    task: Task,
    selection: str,
    scored: Unit,
    whole: Unit,
) -> Unit:
    own = parameters.model_copy(
        update={"selections": (selection,), "sources": "own", "tasks": "own"}
    )
    key = subject.key(
        NAME, VERSION, own, [model], step="silenced", task=[task.name, task.fingerprint],
        requires=[scored.key, whole.key], bootstrap=subject.evaluation.bootstrap,
    )  # fmt: skip
    return Unit(
        key=key, analysis=NAME,
        label=f"{selection} of {source} silenced in {model} on {task.name}", model=model,
        reference=source, task=task.name, setting=selection, loads=model,
        requires=(scored.key, whole.key), options={"step": "silenced"},
    )  # fmt: skip


def workload(unit: Unit, parameters: AblationParameters, subject: Subject) -> Workload:
    """A ranking looks at the items kept for choosing; scores are asked once for the model whole,
    and for a selection once with it silenced and once for each of its controls."""
    step = unit.options.get("step")
    if step is None:
        return Workload()
    task = next(t for t in subject.tasks if t.name == unit.task)
    chosen, scored = (len(items) for items in _split(task, parameters))
    if step == "ranking":
        return Workload(ranked=chosen)
    times = 1 if step == "whole" else 1 + parameters.controls
    return Workload(asked=times * ((task.name, scored),))


def compute(
    units: Sequence[Unit], parameters: AblationParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """The loaded model's units, each by its step."""
    steps = {"ranking": _rank, "whole": _score_whole, "silenced": _score_silenced}
    for unit in units:
        session.say(unit.label)
        session.pause()
        yield unit, steps[unit.options["step"]](unit, parameters, session)


def _rank(unit: Unit, parameters: AblationParameters, session: Session) -> UnitResult:
    """The scores, rates and mean values of the neurons on the items kept for choosing."""
    from core.neurons import activity, attribution

    texts = _examples(_task(unit, session), parameters, session)
    neurons = session.heads if parameters.heads else session.neurons
    told: dict[str, Any] = {"pause": lambda done: session.pause(), "on_halved": session.halved}
    scores = attribution.attribute(
        session.model, neurons, texts, batch_size=max(1, session.batch_size // 2), **told
    )
    rates = {layer.number: np.ones(layer.width) for layer in neurons.layers}
    if not parameters.heads:  # a head has no activation that could be off
        counter = activity.observe(
            session.model, neurons, texts, activity.Rules(), batch_size=session.batch_size, **told
        )
        rates = {n: counter.layer(n, "gate").counts / texts.tokens for n in rates}
    arrays: dict[str, Any] = {}
    for number, rate in rates.items():
        own = scores.layers[number]
        by = {"attribution": own.attribution, "rate": rate, "activation": own.magnitude}
        arrays |= _arrays(number, by[parameters.score], rate, own.mean)
    kept = Artifact(name="ranking", arrays=arrays, model=unit.model, task=unit.task)
    return UnitResult(artifacts=[kept])


def _arrays(layer: int, score: Any, rate: Any, mean: Any) -> dict[str, Any]:
    return {
        f"{layer}.score": np.asarray(score, dtype=np.float32),
        f"{layer}.rate": np.asarray(rate, dtype=np.float32),
        f"{layer}.mean": np.asarray(mean, dtype=np.float32),
    }


def _score_whole(unit: Unit, parameters: AblationParameters, session: Session) -> UnitResult:
    from core.evaluation import scores

    task = _task(unit, session)
    found = session.evaluator.evaluate(task, _split(task, parameters)[1])
    kept = scores.artifact(found, model=unit.model, task=unit.task)
    return UnitResult(artifacts=[kept], state={"scores": scores.state(found)})


def _score_silenced(unit: Unit, parameters: AblationParameters, session: Session) -> UnitResult:
    """The scores with the chosen neurons silenced, and with as many random ones of each layer."""
    from core.evaluation import scores
    from core.neurons import drops, silencing

    ranked, whole = (session.load(key) for key in unit.requires)
    neurons = session.heads if parameters.heads else session.neurons
    task = _task(unit, session)
    items = _split(task, parameters)[1]
    layers = [layer.number for layer in neurons.layers]
    chosen = ranking.choose(
        ranking.parse(unit.setting), _ranked(ranked, layers, "score"),
        _ranked(ranked, layers, "rate"), per_layer=parameters.per_layer,
    )  # fmt: skip
    means = _ranked(ranked, layers, "mean") if parameters.value == "mean" else None
    seeds = [session.subject.study.run.seed + i for i in range(parameters.controls)]
    draws = {
        unit.setting: chosen,
        **{
            ranking.control_name(unit.setting, seed): ranking.control(chosen, neurons.widths, seed)
            for seed in seeds
        },
    }
    result = UnitResult()
    found: dict[str, dict[str, Kept]] = {}
    for setting, places in draws.items():
        session.pause()
        with silencing.silenced(neurons, places, means):
            own = session.evaluator.evaluate(task, items)
        found[setting] = scores.kept_of(own)
        kept = scores.artifact(own, model=unit.model, task=unit.task, reference=unit.reference)
        result.artifacts.append(replace(kept, name=f"{scores.ITEMS}.{setting}"))
        result.measurements.append(
            Measurement(
                metric="neurons", value=float(_count(places)), model=unit.model,
                reference=unit.reference, task=unit.task, setting=setting,
            )
        )  # fmt: skip
    result.measurements += drops.rows(
        scores.kept(whole), found.pop(unit.setting), found, unit.setting,
        drops.Bootstrap(session.subject.evaluation.bootstrap, session.subject.study.run.seed),
        model=unit.model, reference=unit.reference, task=unit.task,
    )  # fmt: skip
    return result


def _count(places: ranking.Chosen) -> int:
    return sum(map(len, places))


def _task(unit: Unit, session: Session) -> Task:
    return next(task for task in session.subject.tasks if task.name == unit.task)


def _split(task: Task, parameters: AblationParameters) -> tuple[list[int], list[int]]:
    """The items on which neurons are chosen, and those that are scored: no item is in both.

    The task alone decides, so that all models and sources are scored on the same items.
    """
    if parameters.chosen_on == "probe":
        return [], list(range(task.items))
    rng = np.random.default_rng(int(task.fingerprint[:16], 16))
    order = [int(i) for i in rng.permutation(task.items)]
    count = min(task.items - 2, max(2, round(parameters.share * task.items)))
    return sorted(order[:count]), sorted(order[count:])


def _examples(task: Task, parameters: AblationParameters, session: Session) -> ProbeSet:
    from core import probe
    from core.evaluation import examples

    subject = session.subject
    chosen = _split(task, parameters)[0]
    found = examples.examples(task, chosen, tokenizer=subject.tokenizer())
    return probe.of_examples(found, subject.encoder(), session.model.context)


def _ranked(result: UnitResult, layers: Sequence[int], kind: str) -> list[Any]:
    """Scores, rates or mean values of every layer's neurons."""
    arrays = result.arrays("ranking")
    return [arrays[f"{layer}.{kind}"] for layer in layers]


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """A ranking out of what activation keeps, or the p values of all drops corrected together."""
    return _from_probe(unit, required) if unit.model else _corrected(required)


def _from_probe(unit: Unit, required: list[UnitResult]) -> UnitResult:
    found = {(a.name, a.layer): a.arrays for result in required for a in result.artifacts}
    arrays: dict[str, Any] = {}
    for layer in sorted({at for name, at in found if name == "scores" and at is not None}):
        scores, rate = found["scores", layer], found["neurons", layer]["rate"]
        by = {"attribution": scores["attribution"], "rate": rate, "activation": scores["magnitude"]}
        arrays |= _arrays(layer, by[unit.options["score"]], rate, scores["mean"])
    return UnitResult(artifacts=[Artifact(name="ranking", arrays=arrays, model=unit.model)])


def _corrected(required: list[UnitResult]) -> UnitResult:
    """Benjamini and Hochberg over all tests of a metric."""
    from core.statistics import comparison

    rows = [row for result in required for row in result.measurements if row.metric == "p_value"]
    result = UnitResult()
    for metric in dict.fromkeys(row.metric_of for row in rows):
        own = [row for row in rows if row.metric_of == metric]
        adjusted = comparison.adjusted([row.value for row in own])
        result.measurements += [
            replace(row, metric="q_value", value=q, n=len(own))
            for row, q in zip(own, adjusted, strict=True)
        ]
    return result


ANALYSIS = Analysis(
    name=NAME,
    title="Ablation",
    version=VERSION,
    needs="tasks",
    parameters=AblationParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    workload=workload,
    after=(ACTIVATION,),
    metrics=(
        MetricSpec(
            name="drop_percent",
            title="drop",
            description="What the model loses of its score when the neurons are silenced, in per "
            "cent; below 0 it gains, whichever direction of the metric is better. Chance is the "
            "mean of random controls: as many neurons of each layer, others than those as far as "
            "there are enough; of a layer of which more than half is silenced any, which makes "
            "the test err upwards.",
            unit="%",
            better="lower",
            has_chance=True,
            has_control=True,
            signed=True,
            empty="the whole model's score is 0, or the harness names no direction",
        ),
        MetricSpec(
            name="ablated_score",
            title="score with neurons silenced",
            description="The score on the items that were not used for choosing neurons.",
        ),
        MetricSpec(
            name="score",
            title="score of the whole model",
            description="The score on the same items with nothing silenced.",
        ),
        MetricSpec(
            name="p_value",
            title="p against random controls",
            description="One-sided: is the drop no larger than those of its random controls?",
            better="lower",
            empty="the drop has no interval",
        ),
        MetricSpec(
            name="q_value",
            title="p, corrected",
            description="The p value by Benjamini and Hochberg over all tests of the run with this "
            "metric; below 0.05 a drop counts as beyond its controls.",
            better="lower",
            empty="the drop has no interval",
        ),
        MetricSpec(
            name="neurons",
            title="neurons silenced",
            description="How many neurons (or heads) were set to their substitute.",
        ),
    ),
    views=(
        View(
            key="sources",
            kind="heatmap",
            title="Drop by whose neurons in whom",
            caption="Down: the model on which neurons were chosen; across: the model in which they "
            "are silenced.",
            measures=("drop_percent", "ablated_score", "score", "q_value"),
            tested={"drop_percent": "q_value"},
            rows="reference",
            columns="model",
            selectors=("task", "metric_of", "setting"),
            opens={"setting": FIRST},
            only={"setting": ranking.is_selection},
            names={"reference": "neurons of", "model": "silenced in", "setting": "selection"},
            drill="table",
            finding=score_findings.of_drops,
        ),
        View(
            key="tasks",
            kind="heatmap",
            title="Drop by model and task",
            caption="Down: the model that is silenced; across: the task. Neurons of one model.",
            measures=("drop_percent", "ablated_score", "score", "q_value"),
            tested={"drop_percent": "q_value"},
            rows="model",
            columns="task",
            selectors=("reference", "metric_of", "setting"),
            opens={"setting": FIRST},
            only={"setting": ranking.is_selection},
            names={"reference": "neurons of", "setting": "selection"},
            drill="table",
            finding=score_findings.of_drops,
        ),
        View(
            key="table",
            kind="table",
            title="Every drop and its controls",
            caption="A line for each selection, with the random controls beside it.",
            measures=("drop_percent", "ablated_score", "score", "p_value", "q_value", "neurons"),
            free=("model", "reference", "task", "setting", "metric_of"),
            tabulate=score_tables.drops,
            orders=score_tables.DROP_ORDERS,
            names={"reference": "neurons of", "model": "silenced in", "setting": "selection"},
            finding=score_findings.of_drop_table,
        ),
    ),
)
