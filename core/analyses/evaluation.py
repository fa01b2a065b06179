"""Scores of each model on each task, and their differences from the base: method, section 7.

Owns the scores with their intervals and the paired differences. lm-evaluation-harness computes
every score; it is imported only for scoring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from core.engine.measurement import Measurement, MetricSpec, Unit, UnitResult, content_key
from core.engine.registry import Analysis, Parameters, Workload
from core.figures import (
    item_findings,
    item_tables,
    items,
    leaderboard,
    score_findings,
    score_tables,
)
from core.figures.kinds.grids import Board, Heatmap
from core.figures.kinds.passages import PassageView
from core.figures.kinds.tables import SortedTable
from core.statistics import comparison

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.evaluation.scores import StoredScore

NAME, VERSION = "evaluation", 1
BASE = "base"


class EvaluationParameters(Parameters):
    """No parameters: the study's [evaluation] has all settings."""


def plan(subject: Subject, parameters: EvaluationParameters) -> list[Unit]:
    """A unit for each model and task, and one that compares a tuned model's scores with the
    base's."""
    asked = {
        (model, task.name): _asked(subject, parameters, model, task)
        for model in subject.models
        for task in subject.tasks
    }
    compared = [
        _compared(subject, asked[BASE, task], unit, model, task)
        for (model, task), unit in asked.items()
        if model != BASE
    ]
    return [*asked.values(), *compared]


def _asked(subject: Subject, parameters: EvaluationParameters, model: str, task: Any) -> Unit:
    more: dict[str, Any] = {}
    if getattr(task.handle, "multiple_input", 0) and _has_prompts(subject, model):
        more["right"] = "stated"  # earlier versions marked all choices as right
    return Unit(
        key=subject.key(
            NAME, VERSION, parameters, [model], task=[task.name, task.fingerprint],
            bootstrap=subject.evaluation.bootstrap, intervals=comparison.VERSION, **more,
        ),
        analysis=NAME, label=f"{model} on {task.name}", model=model, task=task.name, loads=model,
    )  # fmt: skip


def _has_prompts(subject: Subject, model: str) -> bool:
    """Are the prompts stored with this model's answers? They are the task's: stored once, unless
    each model has a template of its own."""
    return model == BASE or subject.study.models.template == "own"


def _compared(subject: Subject, base: Unit, tuned: Unit, model: str, task: str) -> Unit:
    resamples, seed = subject.evaluation.bootstrap, subject.study.run.seed
    parts = {"analysis": [NAME, VERSION], "requires": [base.key, tuned.key], "model": model}
    return Unit(
        key=content_key(parts), analysis=NAME, label=f"{model} against the base on {task}",
        model=model, reference=BASE, task=task, requires=(base.key, tuned.key),
        options={"resamples": resamples, "seed": seed},
    )  # fmt: skip


def workload(unit: Unit, parameters: EvaluationParameters, subject: Subject) -> Workload:
    """One scoring of the task, for units that run a model."""
    if not unit.loads:
        return Workload()
    return Workload(asked=tuple((t.name, t.items) for t in subject.tasks if t.name == unit.task))


def compute(
    units: Sequence[Unit], parameters: EvaluationParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """The loaded model's tasks, one after the other."""
    from core.evaluation import answers, scores

    tasks = {task.name: task for task in session.subject.tasks}
    resamples, seed = session.subject.evaluation.bootstrap, session.subject.study.run.seed
    for unit in units:
        session.say(unit.label)
        session.pause()
        task = tasks[unit.task]
        results, outputs = session.evaluator.ask(task)
        coordinates: dict[str, Any] = {"model": unit.model, "task": task.name}
        rows = scores.rows(results, resamples=resamples, seed=seed, **coordinates)
        rows += [
            Measurement(metric="stderr", metric_of=s.metric, value=s.stderr, n=s.n, **coordinates)
            for s in results
            if s.stderr is not None
        ]
        artifact = scores.artifact(results, model=unit.model, task=task.name)
        prompts = _has_prompts(session.subject, unit.model)
        asked = answers.artifacts(outputs, prompts=prompts, **coordinates)
        yield unit, UnitResult(rows, [artifact, *asked], {"scores": scores.state(results)})


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The differences of a model's scores from the base's, over the same items."""
    from core.evaluation import scores

    base, tuned = (scores.stored(result) for result in required)
    resamples, seed = unit.options["resamples"], unit.options["seed"]
    result = UnitResult()
    for metric, ours in tuned.items():
        theirs = base.get(metric)
        if theirs is not None:
            result.measurements += _difference(unit, theirs, ours, resamples, seed)
    return result


def _difference(
    unit: Unit, base: StoredScore, tuned: StoredScore, resamples: int, seed: int
) -> list[Measurement]:
    coordinates: dict[str, Any] = {
        "model": unit.model, "reference": BASE, "task": unit.task, "metric_of": tuned.metric
    }  # fmt: skip
    if base.items is None or tuned.items is None:
        plain = None if base.value is None or tuned.value is None else tuned.value - base.value
        return [Measurement(metric="difference", value=plain, **coordinates)]
    estimate = comparison.difference(base.items, tuned.items, resamples=resamples, seed=seed)
    n = len(tuned.items.index)
    rows = [
        Measurement(
            metric="difference", value=estimate.value, low=estimate.low, high=estimate.high, n=n,
            chance=0.0, **coordinates,
        )
    ]  # fmt: skip
    if base.items.binary() and tuned.items.binary():
        p = comparison.mcnemar(base.items, tuned.items)
        rows.append(Measurement(metric="p_value", value=p, n=n, **coordinates))
    return rows


ANALYSIS = Analysis(
    name=NAME,
    title="Scores",
    short="Scr",
    topic="scores",
    version=VERSION,
    needs="tasks",
    parameters=EvaluationParameters,
    plan=plan,
    compute=compute,
    reduce=reduce,
    workload=workload,
    metrics=(
        MetricSpec(
            name="difference",
            title="difference from the base",
            description="Score minus the base's over the same items, with its paired interval. "
            "The better sign depends on the metric: see metric_of.",
            better="metric",
            has_chance=True,
            signed=True,
            empty="one of the two scores is undefined",
        ),
        MetricSpec(
            name="p_value",
            title="McNemar's p",
            description="Two-sided exact test on the items on which base and model differ: each is "
            "right on half of them. For right-or-wrong metrics.",
        ),
        MetricSpec(
            name="stderr",
            title="standard error",
            description="The harness's standard error of the score, for metrics that are means.",
        ),
    ),
    views=(
        Board(
            key="leaderboard",
            title="Leaderboard",
            caption="Each model's score by task, and its difference from the base over the same "
            "items. The mean of a domain is over shares of the gain of the domain's own model (0: "
            "the base, 1: the own model), on the tasks on which that model beats the base.",
            free=("model", "reference", "task", "metric_of"),
            tabulate=leaderboard.board,
            orders=leaderboard.ORDERS,
            drill="items",
            finding=leaderboard.of_board,
        ),
        SortedTable(
            key="table",
            title="Scores by task",
            caption="Models on tasks, and each difference from the base over the same items.",
            free=("model", "reference", "task", "metric_of"),
            tabulate=score_tables.scores,
            orders=score_tables.SCORE_ORDERS,
            drill="items",
            finding=score_findings.of_scores,
        ),
        Heatmap(
            key="difference",
            title="Difference from the base",
            short="Difference",
            caption="Models down, tasks across; the tasks that have the chosen metric.",
            measures=("difference", "p_value"),
            rows="model",
            columns="task",
            selectors=("metric_of",),
            fixed={"reference": BASE},
            drill="items",
            finding=score_findings.of_differences,
        ),
        SortedTable(
            key="items",
            title="Items behind a score",
            short="Items",
            caption="One row per item of the task: the base's result, the model's, and the change.",
            measures=("difference",),
            selectors=("model", "task", "metric_of"),
            fixed={"reference": BASE},
            tabulate=item_tables.of_scores,
            orders=items.ORDERS,
            drill="item",
            finding=item_findings.of_items,
        ),
        PassageView(
            key="item",
            title="One item",
            short="Item",
            caption="The item's prompt, its choices, and the answers of the base and the model. "
            "Items follow one another from the largest change to the smallest.",
            measures=("difference",),
            selectors=("model", "task", "metric_of", "item"),
            fixed={"reference": BASE},
            tabulate=item_tables.of_item,
            finding=item_findings.of_nothing,
        ),
    ),
)
