"""Models from adding, negating, removing and transferring tuning vectors: method, section 5.

Owns the choice of points, their scores, and the share of every domain that they keep. Writes no
checkpoint: each point is computed in the loaded base and scored there. Imports torch and the
harness only when it computes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from core.engine.measurement import Measurement, MetricSpec, Unit, UnitResult, content_key
from core.engine.registry import Analysis, Parameters, Workload
from core.errors import StudyError, item_of
from core.figures import item_findings, point_details, score_findings, score_tables
from core.figures.kinds.grids import Plane
from core.figures.kinds.passages import WholeText
from core.figures.kinds.tables import SortedTable
from core.figures.kinds.trades import DomainPairs
from core.statistics import comparison
from core.vectors import arithmetic
from core.vectors.arithmetic import ArithmeticPoint, Restriction

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.evaluation.scores import StoredScore
    from core.evaluation.tasks import Task
    from core.vectors.sweep import Sweep

NAME, VERSION = "arithmetic", 1
BASE, EVALUATION, GENERAL = "base", "evaluation", "general"


class ArithmeticParameters(Parameters):
    """The points of task arithmetic, and their scored tasks."""

    vectors: tuple[str, ...] = Field(
        default=(),
        description="One or two models for a full grid; default: all, alone and in pairs.",
    )
    coefficients: tuple[float, ...] = Field(
        default=(0.0, 0.5, 1.0), description="The coefficients of the grid."
    )
    negation: tuple[float, ...] = Field(default=(1.0,), description="λ of base − λτ.")
    removal: tuple[float, ...] = Field(default=(1.0,), description="λ of tuned − λτ.")
    points: tuple[str, ...] = Field(
        default=(),
        description="Any further points, such as medical=0.5,maths=0.5 or medical=1@mlp.",
    )
    restrict: tuple[str, ...] = Field(
        default=(), description="Repeat with only attention, mlp or layers 0-3."
    )
    all_tasks: bool = Field(
        default=False,
        description="Score every task, instead of the vectors' domains and a general one.",
    )

    @field_validator("restrict")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        restrictions = []
        for place, text in enumerate(value):
            try:
                with item_of("restrict", place):
                    restrictions.append(arithmetic.restrict(text).text)
            except StudyError as error:
                raise ValueError(f"{error.title} {error.hint}") from None
        return tuple(restrictions)


def plan(subject: Subject, parameters: ArithmeticParameters) -> list[Unit]:
    """A unit for each point, and one that compares it with the base and the domains' own models.

    Raises StudyError for points with unknown vectors, and for layers that the models lack.
    """
    points = points_of(subject, parameters)
    placed = [(point, text) for text in ("", *parameters.restrict) for point in points]
    placed += _restricted(subject, parameters)
    _refuse_absent_layers(subject, [text for _, text in placed])
    vectors = dict.fromkeys(v for point, _ in placed for v in point.vectors)
    tasks = _tasks(subject, parameters, tuple(vectors))
    units = []
    for point, text in dict.fromkeys(placed):
        if text and point == arithmetic.BASE:
            continue  # the base has no vectors to restrict
        made = _made(subject, point, text, tasks)
        units += [made, _held(subject, made, point, tasks)]
    return units


def _refuse_absent_layers(subject: Subject, restrictions: Sequence[str]) -> None:
    try:
        for text in dict.fromkeys(restrictions):
            arithmetic.restrict(text).tensors(subject.family.anatomy.pieces)
    except StudyError as error:
        raise StudyError(f"analyses.arithmetic: {error.title}", hint=error.hint) from None


def _restricted(
    subject: Subject, parameters: ArithmeticParameters
) -> list[tuple[ArithmeticPoint, str]]:
    """The points that name a part of the model, as `point@part`, each with its part."""
    known = tuple(subject.family.tuned)
    restricted = []
    try:
        for text in parameters.points:
            point, restriction = arithmetic.placed(text)
            if restriction.text:
                restricted.append((arithmetic.parse(point, known), restriction.text))
    except StudyError as error:
        raise StudyError(f"analyses.arithmetic: {error.title}", hint=error.hint) from None
    return restricted


def points_of(subject: Subject, parameters: ArithmeticParameters) -> tuple[ArithmeticPoint, ...]:
    """The points of a study in the whole model, each once, the base first."""
    p, known = parameters, tuple(subject.family.tuned)
    given: dict[str, Any] = {"known": known, "negation": p.negation, "removal": p.removal}
    try:
        further = tuple(text for text in p.points if not arithmetic.placed(text)[1].text)
        if p.vectors:
            points = arithmetic.grid(p.vectors, p.coefficients, further, **given)
        else:
            models = list(_own_models(subject))
            points = arithmetic.grid((), (), further, **given)
            for vector in models:
                points += arithmetic.grid((vector,), p.coefficients, **given)
            for pair in combinations(models, 2):
                points += arithmetic.grid(pair, p.coefficients, **given)
    except StudyError as error:
        raise StudyError(f"analyses.arithmetic: {error.title}", hint=error.hint) from None
    return arithmetic.distinct((arithmetic.BASE, *points))


def _own_models(subject: Subject) -> dict[str, str]:
    """The own models of domains, each with its first domain."""
    domain_of: dict[str, str] = {}
    for task in subject.tasks:
        for domain in task.domains:
            model = subject.own_model(domain)
            if model is not None and model not in subject.study.controls():
                domain_of.setdefault(model, domain)
    return domain_of


def _tasks(
    subject: Subject, parameters: ArithmeticParameters, vectors: Sequence[str]
) -> list[Task]:
    if parameters.all_tasks:
        return list(subject.tasks)
    domain_tasks = [
        t for t in subject.tasks if any(subject.own_model(d) in vectors for d in t.domains)
    ]
    general = [t for t in subject.tasks if GENERAL in t.domains and t not in domain_tasks]
    return [*domain_tasks, *general[:1]]


def _made(
    subject: Subject, point: ArithmeticPoint, restriction: str, tasks: Sequence[Task]
) -> Unit:
    key = subject.key(
        NAME, VERSION, Parameters(), [BASE, *point.vectors], point=point.setting,
        restriction=restriction, tasks=[[t.name, t.fingerprint] for t in tasks],
        bootstrap=subject.evaluation.bootstrap, intervals=comparison.VERSION,
    )  # fmt: skip
    where = f" in {restriction}" if restriction else ""
    return Unit(
        key=key, analysis=NAME, label=f"{point.setting}{where}", model=BASE,
        reference=point.start or BASE, setting=point.setting, loads=BASE,
        options={"restriction": restriction, "tasks": [t.name for t in tasks]},
    )  # fmt: skip


def _held(subject: Subject, made: Unit, point: ArithmeticPoint, tasks: Sequence[Task]) -> Unit:
    """The unit that compares a point's scores with the base's and the own models' scores."""
    known = {(u.model, u.task): u for u in subject.planned[EVALUATION] if u.loads}
    against = []
    for task in tasks:
        for domain in filter(subject.own_model, task.domains):
            pair = [known[m, task.name].key for m in (BASE, str(subject.own_model(domain)))]
            against.append([task.name, domain, *pair])
    required = dict.fromkeys(key for entry in against for key in entry[2:])
    return Unit(
        key=content_key({"analysis": [NAME, VERSION], "of": made.key, "against": against}),
        analysis=NAME, label=f"{made.label} against the domains' own models",
        reference=made.reference, setting=made.setting, requires=(made.key, *required),
        options={
            "restriction": made.options["restriction"], "against": against,
            "required": list(required), "resamples": subject.evaluation.bootstrap,
            "seed": subject.study.run.seed,
        },
    )  # fmt: skip


def workload(unit: Unit, parameters: ArithmeticParameters, subject: Subject) -> Workload:
    """A point scores all of its tasks, with the weights of its vectors' models in memory."""
    if not unit.loads:
        return Workload()
    wanted = unit.options["tasks"]
    point = arithmetic.parse(unit.setting, tuple(subject.family.tuned))
    return Workload(
        asked=tuple((t.name, t.items) for t in subject.tasks if t.name in wanted),
        beside=point.vectors,
    )


def compute(
    units: Sequence[Unit], parameters: ArithmeticParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """The points one after another in the loaded base, which is restored bit for bit."""
    from core.vectors.sweep import Sweep, untied

    subject = session.subject
    known = tuple(subject.family.tuned)
    points = {u.key: arithmetic.parse(u.setting, known) for u in units}
    vectors = {}
    for name in dict.fromkeys(v for point in points.values() for v in point.vectors):
        session.say(f"reading the weights of {name}")
        session.pause()
        vectors[name] = subject.models[name].weights()
    module, pieces = session.model.module, session.pieces
    with untied(module, pieces), Sweep(module, vectors, pieces, near=True) as sweep:
        for unit in units:
            session.say(unit.label)
            restriction = arithmetic.restrict(unit.options["restriction"])
            yield unit, _scored(unit, points[unit.key], restriction, sweep, session)


def _scored(
    unit: Unit, point: ArithmeticPoint, restriction: Restriction, sweep: Sweep, session: Session
) -> UnitResult:
    """A point's scores on every task, and its rounding loss."""
    from core.evaluation import scores

    subject = session.subject
    once: dict[str, Any] = {
        "resamples": subject.evaluation.bootstrap, "seed": subject.study.run.seed
    }  # fmt: skip
    coordinates: dict[str, Any] = {
        "reference": unit.reference, "module": restriction.text, "setting": unit.setting
    }  # fmt: skip
    lost = sweep.set(point, restriction)
    result = UnitResult([Measurement(metric="rounding_loss", value=lost, **coordinates)])
    result.state["scores"] = {}
    for task in subject.tasks:
        if task.name in unit.options["tasks"]:
            session.pause()
            results = session.evaluator.evaluate(task)
            result.measurements += scores.rows(results, task=task.name, **once, **coordinates)
            result.artifacts.append(scores.artifact(results, model=unit.setting, task=task.name))
            result.state["scores"][task.name] = scores.state(results)
    return result


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """Normalised scores and the regained share, by task and domain; a task of several domains has a
    row for each domain's own model."""
    from core.evaluation import scores

    scored, known = required[0], dict(zip(unit.options["required"], required[1:], strict=True))
    coordinates: dict[str, Any] = {
        "reference": unit.reference, "module": unit.options["restriction"],
        "setting": unit.setting,
    }  # fmt: skip
    rows: list[Measurement] = []
    by_domain: dict[str, list[Measurement]] = {}
    domains = Counter(task for task, *_ in unit.options["against"])
    for task, domain, base_key, tuned_key in unit.options["against"]:
        coordinates["task"] = f"{task}{score_tables.OF}{domain}" if domains[task] > 1 else task
        base, tuned = scores.stored(known[base_key]), scores.stored(known[tuned_key])
        made = scores.stored(scored, task)
        score_rows = [
            row
            for metric, score in made.items()
            for row in _against(base[metric], tuned[metric], score, unit.options, **coordinates)
        ]
        rows += score_rows
        first = next(iter(made))
        by_domain.setdefault(domain, []).extend(r for r in score_rows if r.metric_of == first)
    for domain, score_rows in by_domain.items():
        rows += _means(domain, score_rows, coordinates)
    return UnitResult(rows)


def _against(
    base: StoredScore,
    tuned: StoredScore,
    merged: StoredScore,
    options: Mapping[str, Any],
    **coordinates: Any,
) -> Iterator[Measurement]:
    once = {"resamples": options["resamples"], "seed": options["seed"]}
    coordinates["metric_of"] = merged.metric
    if base.items is None or tuned.items is None or merged.items is None:
        # A score such as BLEU, without per-item results and without an interval.
        if merged.higher is not None:
            normalised = comparison.share_of(
                tuned.value, merged.value, higher_is_better=merged.higher
            )
            yield Measurement(metric="normalised", value=normalised, **coordinates)
        back = comparison.share_regained(base.value, tuned.value, merged.value)
        yield Measurement(metric="regained", value=back, **coordinates)
        return
    if merged.higher is not None:
        share = comparison.ratio(tuned.items, merged.items, higher_is_better=merged.higher, **once)
        yield Measurement(
            metric="normalised", value=share.value, low=share.low, high=share.high,
            n=len(merged.items.index), **coordinates,
        )  # fmt: skip
    part = comparison.regained(base.items, tuned.items, merged.items, **once)
    yield Measurement(
        metric="regained", value=part.value, low=part.low, high=part.high,
        n=len(merged.items.index), **coordinates,
    )  # fmt: skip


def _means(
    domain: str, rows: Sequence[Measurement], coordinates: Mapping[str, Any]
) -> list[Measurement]:
    """The plain mean over a domain's tasks, each by its first metric; n counts the tasks."""
    means = []
    for metric in ("normalised", "regained"):
        values = [row.value for row in rows if row.metric == metric]
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if known and len(known) == len(values) else None
        place = {**coordinates, "task": f"{score_tables.DOMAIN}{domain}"}
        means.append(Measurement(metric=metric, value=mean, n=len(values), **place))
    return means


ANALYSIS = Analysis(
    name=NAME,
    title="Arithmetic",
    short="Ari",
    topic="mixing",
    version=VERSION,
    needs="tasks",
    parameters=ArithmeticParameters,
    plan=plan,
    compute=compute,
    prepares=True,
    reduce=reduce,
    workload=workload,
    after=(EVALUATION,),
    metrics=(
        MetricSpec(
            name="normalised",
            title="normalised score",
            description="Score over that of the domain's own tuned model, inverted where lower is "
            "better: 1 keeps all of the domain. A domain's row is the mean over all of its tasks.",
            better="higher",
            empty="the score in the denominator is 0",
        ),
        MetricSpec(
            name="regained",
            title="regained share",
            description="Share of the way from the base's score to that of the domain's own tuned "
            "model: 0 the base, 1 the tuned model.",
            better="higher",
            signed=True,
            empty="base and tuned model score the same",
        ),
        MetricSpec(
            name="rounding_loss",
            title="lost in rounding",
            description="Share of the combined vector's norm that is lost when the weights are "
            "rounded to the model's dtype.",
            better="lower",
            empty="nothing was added",
        ),
    ),
    views=(
        DomainPairs(
            key="trade",
            title="One domain against another",
            short="Trade-off",
            caption="One point per model: its share of one domain, and of the other. A domain's "
            "share is the mean over the tasks on which its own model is better than the base.",
            measures=("normalised", "regained"),
            free=("reference", "metric_of"),
            only={"task": score_tables.is_domain},
            names={"setting": "coefficients"},
            group=score_tables.kind_of_point,
            x_guides=(1.0,),
            y_guides=(1.0,),
            marks=score_findings.mark_pareto,
            mark_name="on the Pareto front",
            drill="point",
            finding=score_findings.of_trade,
        ),
        Plane(
            key="grid",
            title="Score by two coefficients",
            short="Grid",
            caption="Down: the coefficient of one vector; across: the coefficient of the other.",
            measures=("normalised", "regained"),
            place=score_tables.pair_grid,
            selectors=("task", "metric_of"),
            fixed={"reference": BASE},
            only={"setting": score_tables.is_plain},
            optional=True,
            marks=score_findings.mark_best,
            mark_name="best",
            drill="point",
            finding=score_findings.of_grid,
        ),
        SortedTable(
            key="table",
            title="Every point on every task",
            short="Every point",
            caption="Each model's score, and its share of the own model's score.",
            free=("reference", "task", "setting", "module", "metric_of"),
            tabulate=score_tables.points,
            orders=score_tables.POINT_ORDERS,
            names={"setting": "coefficients"},
            drill="point",
            finding=score_findings.of_points,
        ),
        WholeText(
            key="point",
            title="One point",
            caption="A point's scores by task, and the command that writes it as a model.",
            selectors=("setting",),
            free=("reference", "task", "module", "metric_of"),
            names={"setting": "coefficients"},
            tabulate=point_details.of_point,
            finding=item_findings.of_nothing,
        ),
    ),
)
