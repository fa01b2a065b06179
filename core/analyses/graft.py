"""The parts of a tuned model that carry its gain on a probe set: method, section 8.

Owns the choice of grafts (single parts, a greedy set of layers, changes cut to a rank), and the
measures of their losses. A graft is the base with a part of a tuned model's weights, so every unit
is computed in the loaded base. Imports torch only when it computes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from core.engine import forms
from core.engine.forms import amount, count, maybe, number
from core.engine.measurement import MetricSpec, Unit, UnitResult, content_key
from core.engine.registry import Analysis, Parameters, Workload
from core.errors import StudyError, did_you_mean
from core.figures import graft_views
from core.figures.figure import BASE
from core.figures.graft_views import GROUPS
from core.models.naming import GROUP_OF, ORDER
from core.statistics import comparison, multiplicity

if TYPE_CHECKING:
    from core.engine.session import Session
    from core.engine.subject import Subject
    from core.texts.probe import ProbeSet
    from core.vectors.grafted import Bed

NAME, VERSION = "graft", 2
TOGETHER = 8
"""The number of layers whose single grafts are one unit."""


class GraftParameters(Parameters):
    """The probe set, the greedy search for layers, and the ranks."""

    probe: str = Field(
        default="",
        description="A probe set; default: the one with the model's name, else the first.",
    )
    documents: int = Field(
        default=16, ge=2, description="Number of documents, from the first of the probe set."
    )
    keep: float = Field(
        default=0.9, gt=0, le=1, description="Share of the gain that a set or a rank must keep."
    )
    tries: int = Field(
        default=8, ge=0, description="Layers tried at each step of the greedy search; 0: all."
    )
    controls: int = Field(
        default=3, ge=2, description="Random sets of layers for each size of the greedy set."
    )
    ranks: tuple[int, ...] = Field(
        default=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        min_length=1,
        description="Ranks to which each matrix's change is cut.",
    )


def plan(subject: Subject, parameters: GraftParameters) -> list[Unit]:
    """For each tuned model units of single grafts, of the greedy search, of its random controls and
    of ranks, and one that compares their losses; none if there are no texts."""
    p, layers = parameters, subject.family.anatomy.layers
    units: list[Unit] = []
    for model in subject.family.tuned if subject.probes else ():
        name, probe = _probe(subject, p, model)

        def unit(step: str, *required: Unit, model: str = model, name: str = name,
                 digest: str = probe.fingerprint, **more: Any) -> Unit:  # fmt: skip
            options = {"step": step, **more}
            parts = dict(options)
            if step not in ("modules", "layers"):  # the others depend on the interval of the gain
                parts["intervals"] = comparison.VERSION
            key = subject.key(
                NAME, VERSION, Parameters(), [BASE, model], probe=digest, **parts,
                of=[each.key for each in required],
            )  # fmt: skip
            return Unit(
                key=key, analysis=NAME, label=f"{_LABELS[step]} of {model}", model=model,
                loads=BASE, requires=tuple(each.key for each in required),
                options={**options, "probe": name},
            )  # fmt: skip

        whole = unit("modules")
        singles = [
            unit("layers", whole, layers=[start, min(start + TOGETHER, layers)])
            for start in range(0, layers, TOGETHER)
        ]
        greedy = unit("greedy", whole, *singles, keep=p.keep, tries=p.tries)
        chance = unit("random", whole, greedy, controls=p.controls)
        ranks = unit("ranks", whole, ranks=sorted(set(p.ranks)))
        model_units = [whole, *singles, greedy, chance, ranks]
        units += [*model_units, _compared(subject, p, model, name, model_units)]
    return units


_LABELS = {
    "modules": "grafts of modules", "layers": "grafts of single layers",
    "greedy": "the greedy set of layers", "random": "random sets of layers",
    "ranks": "changes cut to ranks",
}  # fmt: skip


def _compared(
    subject: Subject, parameters: GraftParameters, model: str, probe: str, units: Sequence[Unit]
) -> Unit:
    required = [unit.key for unit in units]
    options = {
        "keep": parameters.keep, "layers": subject.family.anatomy.layers,
        "probe": probe if len(subject.probes) > 1 else "", "seed": subject.study.run.seed,
    }  # fmt: skip
    versions = {"intervals": comparison.VERSION, "q": multiplicity.VERSION}
    parts: dict[str, Any] = {"of": required, **options, **versions}
    return Unit(
        key=content_key({"analysis": [NAME, VERSION], **parts}), analysis=NAME,
        label=f"the grafts of {model}", model=model, requires=tuple(required), options=options,
    )  # fmt: skip


def _probe(subject: Subject, parameters: GraftParameters, model: str) -> tuple[str, ProbeSet]:
    """The name and the documents of the probe set on which a model's grafts are tried."""
    known, wanted = subject.probes, parameters.probe
    if wanted and wanted not in known:
        raise StudyError(
            f"analyses.graft.probe: there is no probe set '{wanted}'.",
            hint=did_you_mean(wanted, tuple(known)),
        )
    name = wanted or (model if model in known else next(iter(known)))
    return name, known[name].first(parameters.documents)


def workload(unit: Unit, parameters: GraftParameters, subject: Subject) -> Workload:
    """The forward passes of a unit. A graft of layer l computes the layers from l on; the greedy
    search is counted as if it took half of the layers."""
    if not unit.loads:
        return Workload()
    layers = subject.family.anatomy.layers
    tokens = _probe(subject, parameters, unit.model)[1].tokens
    steps = layers / 2
    passes = {
        "modules": len(_parts(subject)) + 2.0,
        "greedy": 0.6 * min(parameters.tries or layers, layers) * steps,
        "random": 0.8 * parameters.controls * steps,
        "ranks": len(parameters.ranks) + 1.0,
    }
    if unit.options["step"] == "layers":
        start, stop = unit.options["layers"]
        alone = sum(layers - layer for layer in range(start, stop)) / layers
        passes["layers"] = len(GROUPS) * alone + stop / layers
    return Workload(forward=round(tokens * passes[unit.options["step"]]))


def _parts(subject: Subject) -> list[str]:
    """The groups and modules that the base has, over all layers."""
    modules = {piece.module for piece in subject.family.anatomy.pieces}
    groups = {"blocks", *(GROUP_OF.get(module) for module in modules)}
    return [part for part in (*GROUPS, *ORDER) if part in modules | groups]


def compute(
    units: Sequence[Unit], parameters: GraftParameters, session: Session
) -> Iterator[tuple[Unit, UnitResult]]:
    """The units of all models in the loaded base, which is restored bit for bit."""
    from core.vectors.grafted import Bed
    from core.vectors.grafting import Grafting
    from core.vectors.sweep import untied

    if is_offloaded(session):
        for unit in units:
            yield unit, UnitResult(state={"losses": {}, "passes": 0.0, "order": []})
        return
    subject, beds = session.subject, dict[str, Bed]()
    members = {unit.model: subject.models[unit.model] for unit in units}
    module, pieces = session.model.module, session.pieces
    with untied(module, pieces), Grafting(module, pieces, members) as grafting:
        for unit in units:
            session.say(unit.label)
            name, probe = _probe(subject, parameters, unit.model)
            if name not in beds:
                beds[name] = Bed(
                    session.model, grafting, probe, batch_size=session.batch_size,
                    pause=session.pause, on_halved=session.halved,
                )  # fmt: skip
            result = _tried(unit, beds[name], session)
            if beds[name].steps is False:
                session.warn(
                    "has layers that can't be called one by one: each graft takes a whole forward "
                    "pass."
                )
            yield unit, result


def is_offloaded(session: Session) -> bool:
    """Is any of the model's weights in memory only while it is used?"""
    return any(parameter.is_meta for parameter in session.model.module.parameters())


def _tried(unit: Unit, bed: Bed, session: Session) -> UnitResult:
    """The losses of a unit's grafts by their names, as JSON: null where there is none."""
    from core.vectors import graft_steps

    known: dict[str, Any] = {}
    for key in unit.requires:
        known |= losses_of(session.load(key))
    model = graft_steps.Model(
        unit.model, session.pieces, session.subject.family.anatomy.layers,
        tuple(_parts(session.subject)),
    )  # fmt: skip
    seed = session.subject.study.run.seed
    tried = graft_steps.tried(unit.options, bed, model, known, seed)
    losses = {
        name: [float(x) if np.isfinite(x) else None for x in values]
        for name, values in tried.losses.items()
    }
    return UnitResult(
        state={"losses": losses, "passes": tried.passes, "order": list(tried.order)}
    )  # fmt: skip


def losses_of(result: UnitResult) -> dict[str, Any]:
    """The losses of a unit's grafts by their names, float64 [documents]; NaN where there is
    none."""
    losses = _state(result)["losses"]
    return {name: np.array(values, dtype=np.float64) for name, values in losses.items()}


def _state(result: UnitResult) -> dict[str, Any]:
    form = {"losses": {"*": [maybe(number)]}, "passes": amount, "order": [count]}
    state: dict[str, Any] = forms.state(result.state, form)
    return state


def reduce(unit: Unit, required: list[UnitResult]) -> UnitResult:
    """The gain and the regained share of every graft of a model."""
    from core.vectors import regained

    known: dict[str, Any] = {}
    order: list[int] = []
    for result in required:
        known |= losses_of(result)
        order += _state(result)["order"]
    if BASE not in known:
        return UnitResult(warnings=[(unit.model, _OFFLOADED)])
    return UnitResult(
        regained.rows(
            known, order, model=unit.model, probe=unit.options["probe"],
            layers=unit.options["layers"], keep=unit.options["keep"], seed=unit.options["seed"],
        )
    )  # fmt: skip


_OFFLOADED = (
    "has no grafts: parts of the base were offloaded, so no weights could be put in. With more "
    "memory, compute the run again with --fresh."
)


_NO_GAIN = "no significant gain on these texts"

ANALYSIS = Analysis(
    name=NAME,
    title="Grafts",
    short="Gra",
    topic="mixing",
    version=VERSION,
    needs="texts",
    parameters=GraftParameters,
    plan=plan,
    compute=compute,
    prepares=True,
    reduce=reduce,
    workload=workload,
    metrics=(
        MetricSpec(
            name="regained",
            title="regained share of the gain",
            description="Share of the tuned model's fall in loss that the base reaches with only "
            "this part of the tuned weights. 0: the base; 1: the tuned model. Shares of parts need "
            "not add up. A greedy set is chosen on half of the documents and measured on the "
            "others. Its chance: random sets of as many layers.",
            better="higher",
            has_chance=True,
            signed=True,
            empty=_NO_GAIN,
        ),
        MetricSpec(
            name="gain",
            title="fall in loss",
            description="Fall of the mean loss of a document from the base's, by this part of the "
            "tuned weights alone; below 0 the loss rises.",
            unit="nats per token",
            better="higher",
            signed=True,
            empty="the base with this part gives no finite loss",
        ),
        MetricSpec(
            name="q_value",
            title="p, corrected",
            description="Paired test over documents that the part does not change the loss, "
            "corrected by Benjamini and Hochberg over the model's single parts.",
            empty="there are fewer than two documents, or nothing changed",
        ),
        MetricSpec(
            name="place",
            title="place in the greedy search",
            description="The step at which the greedy search took this layer; layers that it did "
            "not need have no step.",
        ),
        MetricSpec(
            name="layers_needed",
            title="layers needed",
            description="Size of the greedy set of layers that keeps the wanted share (keep) of "
            "the gain that all layers together regain.",
            empty=_NO_GAIN,
        ),
        MetricSpec(
            name="rank_needed",
            title="rank needed",
            description="Smallest rank tried at which every matrix's cut change keeps the wanted "
            "share (keep) of the gain.",
            empty="there is no gain to regain, or no rank that was tried keeps so much",
        ),
    ),
    views=graft_views.VIEWS,
)
