"""Drops in scores when neurons are ablated, compared with random controls: method, section 4.

Owns the choice of neurons, of ablated models and of scored items; core.neurons works on the loaded
model. Imports torch and the harness only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field, field_validator

from core.engine.measurement import MetricSpec, Unit, UnitResult, content_key, ordered
from core.engine.registry import Analysis, Parameters, Workload
from core.errors import StudyError, item_of
from core.figures import drop_tables, drop_views
from core.neurons import ranking
from core.statistics import comparison, multiplicity

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.evaluation.tasks import Task

NAME, VERSION = "ablation", 2
ACTIVATION, BASE, GENERAL = "activation", "base", "general"

RUNNING = "loglikelihood_rolling"
_NEW_IDS = {"ids": "as scored"}
"""Part of the key of rankings, since earlier versions ranked with other special tokens than in
scoring."""

FEWEST = 4
"""Least number of a task's items, for choosing neurons on some and scoring on others."""


class AblationParameters(Parameters):
    """The choice of neurons, their substitute, and the scored models and tasks."""

    score: Literal["attribution", "rate", "activation"] = Field(
        default="attribution", description="Score for ranking neurons."
    )
    selections: tuple[str, ...] = Field(
        default=(drop_views.FIRST, "top-5%-active", "all-active"),
        description="Ablated selections: top-1%, top-5%-active, all-active.",
    )
    per_layer: bool = Field(default=False, description="Rank within each layer, not over all.")
    value: Literal["zero", "mean"] = Field(
        default="zero", description="Substitute for ablated neurons."
    )
    controls: int = Field(
        default=ranking.CONTROLS,
        ge=2,
        description="Random draws for each selection; few draws have little power.",
    )
    chosen_on: Literal["task", "probe"] = Field(
        default="task", description="Choose neurons on items of the task, or on the probe texts."
    )
    share: float = Field(
        default=0.5, gt=0, lt=1, description="Share of a task's items for choosing neurons."
    )
    sources: Literal["own", "all"] = Field(
        default="own", description="Choose on the model and the base, or on every model."
    )
    tasks: Literal["own", "all"] = Field(
        default="own", description="Score the tasks of its own domain and a general one, or all."
    )
    heads: bool = Field(default=False, description="Ablate attention heads instead of neurons.")

    @field_validator("selections")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for place, name in enumerate(value):
            try:
                with item_of("selections", place):
                    ranking.parse(name)
            except StudyError as error:
                raise ValueError(f"{error.title} {error.hint}") from None
        return ordered(value)


def plan(subject: Subject, parameters: AblationParameters) -> list[Unit]:
    """Units that rank neurons by source and task, units that score unablated models, a unit for
    each ablated selection, and one that corrects for the number of tests; none if there is nothing
    to ablate."""
    outlets = subject.family.anatomy.outlets
    if not any((outlet.role == "o") == parameters.heads for outlet in outlets):
        return []
    scored: dict[tuple[str, str], Unit] = {}
    whole: dict[tuple[str, str], Unit] = {}
    ablated = []
    for model in subject.models:
        for task in _tasks(subject, parameters, model):
            _check_disjoint(subject, parameters, task)
            whole[model, task.name] = _whole(subject, parameters, model, task)
            for source in _sources(subject, parameters, model):
                place = source, task.name if parameters.chosen_on == "task" else ""
                if place not in scored:
                    scored[place] = _scored(subject, parameters, source, task)
                ablated += [
                    _ablated(subject, parameters, model, source, task, name,
                              scored[place], whole[model, task.name])
                    for name in parameters.selections
                ]  # fmt: skip
    tested = tuple(u.key for u in ablated)
    key = content_key({"analysis": [NAME, VERSION], "of": tested, "q": multiplicity.VERSION})
    corrected = Unit(
        key=key, analysis=NAME, label="correction for the number of tests", requires=tested
    )
    return [*scored.values(), *whole.values(), *ablated, *([corrected] if ablated else [])]


def _tasks(subject: Subject, parameters: AblationParameters, model: str) -> list[Task]:
    """The tasks for scoring a model: its own domains', and the first general one."""
    if parameters.tasks == "all":
        return list(subject.tasks)
    domain_tasks = [
        t for t in subject.tasks if any(subject.own_model(d) == model for d in t.domains)
    ]
    general = [t for t in subject.tasks if GENERAL in t.domains and t not in domain_tasks]
    return [*domain_tasks, *general[:1]]


def _sources(subject: Subject, parameters: AblationParameters, model: str) -> list[str]:
    if parameters.sources == "all":
        return list(subject.models)
    return list(dict.fromkeys((BASE, model)))


def _check_disjoint(subject: Subject, parameters: AblationParameters, task: Task) -> None:
    """Raise StudyError if a task's items are also the probe set on which neurons are chosen."""
    probe = subject.study.first_probe()
    if parameters.chosen_on == "probe" and probe is not None and probe.task == task.name:
        raise StudyError(
            f"analyses.ablation.chosen_on: the items of '{task.name}' are the probe set, so "
            "neurons would be chosen on the scored items.",
            hint="Set chosen_on = 'task', or use another [probe].",
        )


def _scored(subject: Subject, parameters: AblationParameters, source: str, task: Task) -> Unit:
    """The unit that ranks a source's neurons. On the probe set it reduces the results of
    `activation`; on a task it needs the model."""
    if parameters.chosen_on == "probe":
        counted = (u for u in subject.planned.get(ACTIVATION, ()) if not u.requires)
        known = [u for u in counted if u.model == source]
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
        by=by, **_NEW_IDS if task.chat_template or task.output_type == RUNNING else {},
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


def _ablated(
    subject: Subject,
    parameters: AblationParameters,
    model: str,
    source: str,
    task: Task,
    selection: str,
    scored: Unit,
    whole: Unit,
) -> Unit:
    key_parameters = parameters.model_copy(
        update={"selections": (selection,), "sources": "own", "tasks": "own"}
    )
    key = subject.key(
        NAME, VERSION, key_parameters, [model], step="silenced", task=[task.name, task.fingerprint],
        requires=[scored.key, whole.key], bootstrap=subject.evaluation.bootstrap,
        intervals=comparison.VERSION,
    )  # fmt: skip
    return Unit(
        key=key, analysis=NAME,
        label=f"{selection} of {source} ablated in {model} on {task.name}", model=model,
        reference=source, task=task.name, setting=selection, loads=model,
        requires=(scored.key, whole.key), options={"step": "silenced"},
    )  # fmt: skip


def workload(unit: Unit, parameters: AblationParameters, subject: Subject) -> Workload:
    """A ranking uses the items for choosing. The unablated model is scored once; a selection is
    scored once, and once for each of its controls."""
    step = unit.options.get("step")
    if step is None:
        return Workload()
    task = _task(unit, subject)
    chosen, scored = (len(items) for items in _split(task, parameters))
    if step == "ranking":
        return Workload(ranked=chosen)
    times = 1 if step == "whole" else 1 + parameters.controls
    return Workload(asked=times * ((task.name, scored),))


def compute(
    units: Sequence[Unit], parameters: AblationParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """The loaded model's units, one after another."""
    from core.neurons import trials

    p = parameters
    for unit in units:
        session.say(unit.label)
        session.pause()
        task = _task(unit, session.subject)
        chosen, scored = _split(task, p)
        match unit.options["step"]:
            case "ranking":
                yield unit, trials.rank(unit, task, chosen, session, score=p.score, heads=p.heads)
            case "whole":
                yield unit, trials.score_whole(unit, task, scored, session)
            case _:
                yield unit, trials.score_ablated(
                    unit, task, scored, session, heads=p.heads, per_layer=p.per_layer,
                    to_mean=p.value == "mean", controls=p.controls,
                )  # fmt: skip


def _task(unit: Unit, subject: Subject) -> Task:
    return next(task for task in subject.tasks if task.name == unit.task)


def _split(task: Task, parameters: AblationParameters) -> tuple[list[int], list[int]]:
    """The items for choosing neurons, and the scored items; the two are disjoint.

    The split depends only on the task, so all models and sources are scored on the same items.
    """
    if parameters.chosen_on == "probe":
        return [], list(range(task.items))
    rng = np.random.default_rng(int(task.fingerprint[:16], 16))
    order = [int(i) for i in rng.permutation(task.items)]
    count = min(task.items - 2, max(2, round(parameters.share * task.items)))
    return sorted(order[:count]), sorted(order[count:])


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """A ranking from the results of activation, or the corrected p values of all drops and the
    doubt about them."""
    from core.neurons import drops, trials

    if unit.model:
        return trials.ranked_on_probe(unit, required, score=unit.options["score"])
    rows = [row for result in required for row in result.measurements]
    corrected = drops.corrected(rows)
    doubts = drop_tables.doubts([*rows, *corrected])
    return UnitResult(corrected, warnings=[(NAME, words) for words in doubts])


ANALYSIS = Analysis(
    name=NAME,
    title="Ablation",
    short="Abl",
    topic="scores",
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
            description="The score that the model loses when the neurons are ablated, in per cent. "
            "Below 0 the model improves, whichever direction of the metric is better. Chance is "
            "the mean of random controls: as many other neurons of each layer. Where more than "
            "half of a layer is ablated, controls may share neurons with the selection, which "
            "makes p too large.",
            unit="%",
            better="lower",
            has_chance=True,
            signed=True,
            empty="the whole model's score is 0, or the harness names no direction",
        ),
        MetricSpec(
            name="ablated_score",
            title="score with neurons ablated",
            description="The score on the items that were not used for choosing neurons.",
            better="metric",
        ),
        MetricSpec(
            name="score",
            title="score of the whole model",
            description="The score on the same items without ablation.",
            better="metric",
        ),
        MetricSpec(
            name="p_value",
            title="p against random controls",
            description="One-sided test that the drop is no larger than its random controls.",
            empty="the drop has no interval",
        ),
        MetricSpec(
            name="q_value",
            title="p, corrected",
            description="The p value by Benjamini and Hochberg over all tests of the run with this "
            "metric; below 0.05 a drop counts as beyond its controls.",
            empty="the drop has no interval",
        ),
        MetricSpec(
            name="neurons",
            title="neurons ablated",
            description="The number of ablated neurons (or heads).",
        ),
    ),
    views=drop_views.VIEWS,
)
