"""How far each tuned model's predictions moved on its own texts, and the scores it lost elsewhere.

Owns the lost score as a share of the base's, and its mean over tasks. Takes divergence and scores
from finished units; runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from core.engine.measurement import Measurement, MetricSpec, Unit, UnitResult, content_key
from core.engine.registry import Analysis, Parameters
from core.figures import forgetting, output_findings
from core.figures.kinds.scatters import MeasurePairs

if TYPE_CHECKING:
    from core.engine.subject import Subject

NAME, VERSION = "forgetting", 1
DIVERGENCE, SCORES = "divergence", "evaluation"
BASE = "base"


class ForgettingParameters(Parameters):
    """No parameters: everything follows from the study's texts and tasks."""


def plan(subject: Subject, parameters: ForgettingParameters) -> list[Unit]:
    """A unit for each tuned model with tasks outside its own domains."""
    moved = {
        (u.model, u.options["probe"]): u.key
        for u in subject.planned.get(DIVERGENCE, ())
        if u.loads and u.model != BASE
    }
    compared = {(u.model, u.task): u for u in subject.planned[SCORES] if u.reference == BASE}
    scored = {u.task: u.key for u in subject.planned[SCORES] if u.loads == BASE}
    units = []
    for model in subject.family.tuned:
        domains = [d for d in subject.evaluation.tasks if subject.own_model(d) == model]
        texts = next((name for name in (*domains, *subject.probes) if (model, name) in moved), None)
        tasks = [
            task.name
            for task in subject.tasks
            if not set(domains) & set(task.domains) and (model, task.name) in compared
        ]
        if texts is None or not tasks:
            continue
        required = [moved[model, texts]]
        for task in tasks:
            required += [scored[task], compared[model, task].key]
        units.append(
            Unit(
                key=content_key({"analysis": [NAME, VERSION], "requires": required}),
                analysis=NAME, label=f"scores that {model} lost", model=model, reference=BASE,
                requires=tuple(required), options={"tasks": tasks, "texts": texts},
            )
        )  # fmt: skip
    return units


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The divergence on the model's own texts, the score lost on each task, and their mean."""
    moved, *scores = required
    coordinates: dict[str, Any] = {"model": unit.model, "reference": BASE}
    rows = [
        Measurement(
            metric="kl", value=row.value, low=row.low, high=row.high, n=row.n, chance=row.chance,
            setting=unit.options["texts"], **coordinates,
        )
        for row in moved.measurements
        if row.metric == "kl"
    ]  # fmt: skip
    pairs = zip(unit.options["tasks"], scores[::2], scores[1::2], strict=True)
    lost = [row for task, base, change in pairs for row in _lost(task, base, change, coordinates)]
    return UnitResult([*rows, *lost, _mean(lost, coordinates)])


def _lost(
    task: str, base: UnitResult, change: UnitResult, coordinates: dict[str, Any]
) -> Iterator[Measurement]:
    """The score lost on a task, by its first metric with a better direction, if it has one."""
    from core.evaluation import scores

    stored = scores.stored(base)
    named = [s for s in stored.values() if s.higher is not None and s.value]
    apart = {row.metric_of: row for row in change.measurements if row.metric == "difference"}
    for score in (s for s in named if s.metric in apart):
        row = apart[score.metric]
        share = (-1.0 if score.higher else 1.0) / abs(score.value or 1.0)
        value, low, high = (
            None if v is None else v * share for v in (row.value, row.low, row.high)
        )
        if low is not None and high is not None:
            low, high = min(low, high), max(low, high)
        yield Measurement(
            metric="score_lost", metric_of=score.metric, task=task, value=value, low=low,
            high=high, n=row.n, chance=0.0, **coordinates,
        )  # fmt: skip
        return


def _mean(lost: Iterable[Measurement], coordinates: dict[str, Any]) -> Measurement:
    """The mean score lost over tasks; its interval takes the tasks as independent."""
    known = [row for row in lost if row.value is not None]
    if not known:
        return Measurement(metric="mean_lost", value=None, **coordinates)
    mean = sum(row.value or 0.0 for row in known) / len(known)
    below = _together(None if r.low is None else (r.value or 0.0) - r.low for r in known)
    above = _together(None if r.high is None else r.high - (r.value or 0.0) for r in known)
    return Measurement(
        metric="mean_lost", value=mean, n=len(known), chance=0.0,
        low=None if below is None else mean - below, high=None if above is None else mean + above,
        **coordinates,
    )  # fmt: skip


def _together(reaches: Iterable[float | None]) -> float | None:
    """The reach of a mean's interval, from its values' reaches; None if one is unknown."""
    known = list(reaches)
    if None in known:
        return None
    return math.sqrt(sum(reach**2 for reach in known if reach is not None)) / len(known)


ANALYSIS = Analysis(
    name=NAME,
    title="Forgetting",
    short="Fgt",
    topic="scores",
    version=VERSION,
    needs="tasks",
    parameters=ForgettingParameters,
    plan=plan,
    reduce=reduce,
    after=(DIVERGENCE, SCORES),
    metrics=(
        MetricSpec(
            name="kl",
            title="divergence on its own texts",
            description="KL(tuned ‖ base) on the probe set of the model's own domain, or without "
            "one on the first probe set; mean over tokens.",
            unit="nats",
            has_chance=True,
            empty="no document has two tokens, or the base gives a token no probability",
        ),
        MetricSpec(
            name="score_lost",
            title="score lost",
            description="For a task outside the model's own domains: the score lost against the "
            "base, as a share of the base's score.",
            signed=True,
            better="lower",
            empty="the harness gave no number",
        ),
        MetricSpec(
            name="mean_lost",
            title="mean score lost elsewhere",
            description="The mean of the scores lost over all tasks outside the model's own "
            "domains.",
            signed=True,
            better="lower",
            empty="no task outside its own domains has a score",
        ),
    ),
    views=(
        MeasurePairs(
            key="cost",
            title="Divergence against the scores lost elsewhere",
            short="Cost",
            caption="A point per tuned model: how far its predictions moved on its own texts, in "
            "nats per token, and the share of the base's scores that it lost on tasks of other "
            "domains.",
            measures=("kl", "mean_lost"),
            points="model",
            fixed={"reference": BASE},
            free=("model", "setting"),
            tabulate=forgetting.by_scores,
            finding=output_findings.of_forgetting,
        ),
    ),
)
