"""Candidates from the behaviour of models: scores, likelihoods, neurons, ablation and arithmetic.

Each rule yields a candidate for every place that it looks at; `ranking` drops and orders them.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from core.engine.measurement import Measurement
from core.figures.score_tables import OF, coefficients
from core.neurons.ranking import is_selection
from core.overview.evidence import Estimate, Evidence, Yardstick
from core.overview.finding import Candidate, FigurePlace, Kind, interval, number
from core.overview.measured import BASE, Measured, called, estimate, yardsticks

UP, DOWN = "higher is better", "lower is better"


def of_scores(measured: Measured) -> Iterator[Candidate]:
    """Each difference of a score from the base's, against 0 and the controls' differences. A metric
    without a direction says neither gain nor loss."""
    tests = {_at(row): row.value for row in measured.of("evaluation", "p_value")}
    rows = {_at(row): row for row in measured.of("evaluation", "difference")}
    for (model, task, metric), row in rows.items():
        gained = measured.gain(row)
        if gained is None:
            continue
        assert row.value is not None
        controls = {c: rows.get((c, task, metric)) for c in sorted(measured.family.controls)}
        held = yardsticks(controls, Yardstick("0", 0.0))
        domain = measured.family.domain_of(task)
        direction = UP if measured.higher[metric] else DOWN
        detail = f"{number(row.value)} {metric}{interval(row.low, row.high)}; {direction}"
        if len(held) > 1:
            detail += f"; {_named(held[1:])}"
        yield Candidate(
            kind=_effect(is_own=measured.family.is_own(model, task), better=gained > 0),
            subjects=(model,),
            place=(task, metric),
            evidence=Evidence(
                estimate=estimate(row), yardsticks=held, n=row.n, given=tests.get(_at(row))
            ),
            headline=f"{model} is {'better' if gained > 0 else 'worse'} than the base on {task}"
            + (f" ({domain})" if domain else ""),
            detail=f"{detail}.",
            figure=FigurePlace(
                analysis="evaluation", view="difference", measure="difference",
                at={"model": model, "task": task, "metric_of": metric},
            ),
        )  # fmt: skip


def of_likelihoods(measured: Measured) -> Iterator[Candidate]:
    """Each change of the loss on a probe set, against 0 and the controls' changes."""
    tests = {(r.model, r.probe): r.value for r in measured.of("divergence", "p_value")}
    rows = {(r.model, r.probe): r for r in measured.of("divergence", "nll_change")}
    for (model, probe), row in rows.items():
        assert row.value is not None
        controls = {c: rows.get((c, probe)) for c in sorted(measured.family.controls)}
        held = yardsticks(controls, Yardstick("0", 0.0))
        is_own = measured.family.is_own_text(model, probe)
        texts = f"the {probe} texts" if probe else "the probe set"
        yield Candidate(
            kind=_effect(is_own=is_own, better=row.value < 0),
            subjects=(model,),
            place=("texts", probe),
            evidence=Evidence(
                estimate=estimate(row), yardsticks=held, n=row.n, given=tests.get((model, probe))
            ),
            headline=f"{model} predicts {texts} {'better' if row.value < 0 else 'worse'} than the "
            "base",
            detail=f"{number(row.value)} nats per token{interval(row.low, row.high)}; {DOWN}"
            f"{'; ' * (len(held) > 1)}{_named(held[1:])}.",
            figure=FigurePlace(
                analysis="divergence", view="models", measure="nll_change",
                at={"model": model, "probe": probe},
            ),
        )  # fmt: skip


def of_activation(measured: Measured) -> Iterator[Candidate]:
    """The change of a layer's share of activated neurons, against 0 and the controls' changes."""
    rows = {
        (row.model, row.layer): row
        for row in measured.of("activation", "activated_percent")
        if row.layer is not None
    }
    changes = {
        place: changed
        for place, row in rows.items()
        if place[0] != BASE and (changed := _change(row, rows.get((BASE, place[1])))) is not None
    }
    for (model, layer), change in changes.items():
        held = (
            Yardstick("0", 0.0),
            *(
                Yardstick(called(name), control.value, control.error or 0.0)
                for name in sorted(measured.family.controls)
                if (control := changes.get((name, layer))) is not None
            ),
        )
        row, base = rows[model, layer], rows[BASE, layer]
        more = "more" if change.value > 0 else "fewer"
        yield Candidate(
            kind="neurons",
            subjects=(model,),
            place=("activated_percent", layer, more),
            evidence=Evidence(estimate=change, yardsticks=held, n=row.n),
            headline=f"{model} activates {more} neurons in layer {layer}",
            detail=f"{row.value:.1f} % at a token, {base.value:.1f} % in the base "
            f"({number(change.value)} points{', ' * (len(held) > 1)}{_named(held[1:])}).",
            figure=FigurePlace(
                analysis="activation", view="curves", at={"model": model, "layer": layer}
            ),
        )


def of_patterns(measured: Measured) -> Iterator[Candidate]:
    """How far a layer's patterns of neurons lie from the base's, against the controls' distances.

    Needs a control, since any tuning moves them from 0.
    """
    rows = {
        (row.model, row.layer): row
        for row in measured.of("edit_distance", "ratio")
        if row.layer is not None
    }
    for (model, layer), row in rows.items():
        controls = {c: rows.get((c, layer)) for c in sorted(measured.family.controls)}
        held = yardsticks(controls)
        against = ", ".join(f"{y.name} {y.value:.2f}" for y in held)
        assert row.value is not None
        keeps = "keeps less" if all(row.value > y.value for y in held) else "keeps more"
        yield Candidate(
            kind="neurons",
            subjects=(model,),
            place=("ratio", layer, keeps),
            evidence=Evidence(estimate=estimate(row), yardsticks=held, n=row.n),
            headline=f"{model} {keeps} of the base's patterns in layer {layer} than a control",
            detail=f"documents' patterns lie at {row.value:.2f} of the distance of unlike "
            f"documents, {against}.",
            figure=FigurePlace(
                analysis="edit_distance", view="curves", at={"model": model, "layer": layer}
            ),
        )


def of_drops(measured: Measured) -> Iterator[Candidate]:
    """The cost of ablating a model's own neurons, against as many random ones."""
    rows = list(measured.of("ablation", "drop_percent"))
    tests = {_ablated(row): row.value for row in measured.of("ablation", "p_value")}
    for row in rows:
        if row.reference != row.model or not is_selection(row.setting) or row.chance is None:
            continue
        assert row.value is not None
        held = (Yardstick("random neurons", row.chance, scatter=row.chance_sd or 0.0),)
        yield Candidate(
            kind="ablation",
            subjects=(row.model,),
            place=(row.task, row.metric_of, row.setting),
            evidence=Evidence(
                estimate=estimate(row), yardsticks=held, n=row.n, given=tests.get(_ablated(row))
            ),
            headline=f"{row.model} needs its {row.setting} neurons on {row.task}",
            detail=f"ablating them costs {row.value:.3g} %{interval(row.low, row.high)} in "
            f"{row.metric_of}, as many random ones {row.chance:.3g} %.",
            figure=FigurePlace(
                analysis="ablation", view="tasks", measure="drop_percent",
                at={
                    "model": row.model, "task": row.task, "reference": row.reference,
                    "metric_of": row.metric_of, "setting": row.setting,
                },
            ),
        )  # fmt: skip


def of_merges(measured: Measured) -> Iterator[Candidate]:
    """Sums of vectors that keep more of their least kept domain than each vector alone."""
    shares = _shares(measured)
    sums = {vectors for setting in shares if len(vectors := _vectors(setting)) > 1}
    weakest = {
        vectors: {
            setting: min(rows, key=lambda row: row.value or 0.0)
            for setting, merge_rows in shares.items()
            if (rows := _on(merge_rows, vectors))
        }
        for vectors in sums
    }
    for vectors, by_setting in weakest.items():
        alone = [
            by_setting[s] for s in by_setting if len(c := _vectors(s)) == 1 and c[0] in vectors
        ]
        if not alone:
            continue
        best = estimate(max(alone, key=lambda row: row.value or 0.0))
        for setting, row in by_setting.items():
            if tuple(_vectors(setting)) != vectors or (row.value or 0.0) <= best.value:
                continue
            yield _merge(setting, vectors, row, best)


def _merge(setting: str, vectors: tuple[str, ...], row: Measurement, best: Estimate) -> Candidate:
    held = (Yardstick("the best single vector", best.value, best.error or 0.0),)
    return Candidate(
        kind="merge",
        subjects=vectors,
        place=(),
        evidence=Evidence(estimate=estimate(row), yardsticks=held, n=row.n),
        headline=f"{setting} keeps at least {row.value:.0%} of each domain's gain",
        detail=f"least on {row.task}; no single vector keeps more than {best.value:.0%} of "
        f"{'both' if len(vectors) == 2 else 'all'}.",
        figure=FigurePlace(analysis="arithmetic", view="table", at={"setting": setting}),
    )


def _shares(measured: Measured) -> Mapping[str, list[Measurement]]:
    """The regained shares of tasks by setting: of sums on the base, on tasks where the domain's own
    model gains and the interval excludes 0."""
    family = measured.family
    telling = {
        (row.model, row.task, row.metric_of)
        for row in measured.of("evaluation", "difference")
        if (gained := measured.gain(row)) is not None
        and gained > 0
        and row.low is not None
        and row.high is not None
        and not row.low <= 0 <= row.high
    }
    by_setting: dict[str, list[Measurement]] = defaultdict(list)
    for row in measured.of("arithmetic", "regained"):
        task, of, domain = row.task.rpartition(OF)
        if not of or domain not in family.domains:
            task, domain = row.task, family.domain_of(row.task)
        owner = family.owners.get(domain, domain)
        if row.reference == BASE and (owner, task, row.metric_of) in telling:
            by_setting[row.setting].append(replace(row, model=owner))
    return by_setting


def _on(rows: list[Measurement], vectors: tuple[str, ...]) -> list[Measurement]:
    """The shares on the domains of these models; nothing unless there is one of each."""
    chosen = [row for row in rows if row.model in vectors]
    return chosen if {row.model for row in chosen} == set(vectors) else []


def _vectors(setting: str) -> tuple[str, ...]:
    """The vectors that a sum adds; none of any other point."""
    parsed = coefficients(setting) or {}
    return tuple(parsed) if all(value > 0 for value in parsed.values()) else ()


def _effect(*, is_own: bool, better: bool) -> Kind:
    """The kind of a change on a model's own domain, or elsewhere."""
    if better:
        return "gain" if is_own else "transfer"
    return "setback" if is_own else "loss"


def _change(row: Measurement, base: Measurement | None) -> Estimate | None:
    """A model's value minus the base's, over the same documents; as if they were unpaired, which
    errs towards no difference."""
    if base is None or row.value is None or base.value is None:
        return None
    tuned, level = estimate(row), estimate(base)
    error = None
    if tuned.error is not None and level.error is not None:
        error = math.hypot(tuned.error, level.error)
    return Estimate(tuned.value - level.value, error)


def _named(held: Sequence[Yardstick]) -> str:
    """Yardsticks in words."""
    return ", ".join(f"{yardstick.name} {number(yardstick.value)}" for yardstick in held)


def _at(row: Measurement) -> tuple[str, str, str]:
    return row.model, row.task, row.metric_of


def _ablated(row: Measurement) -> tuple[str, ...]:
    return row.model, row.reference, row.task, row.metric_of, row.setting
