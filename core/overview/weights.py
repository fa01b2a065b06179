"""Candidates from the weights: how far a model moved, into which directions, and shared with whom.

Each rule yields a candidate for every place that it looks at; `ranking` drops and orders them.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.engine.measurement import Measurement
from core.overview.evidence import (
    Estimate,
    Evidence,
    Yardstick,
    correlation,
    log_scale,
)
from core.overview.finding import Candidate, FigurePlace, interval, number
from core.overview.measured import Measured, estimate, yardsticks

WORDS = {
    "two_sided_excess": ("keep to", "avoid", "the base's own directions"),
    "gain": ("amplify", "attenuate", "the base's own directions"),
    "amplification": (
        "strengthen", "strengthen, though less than random updates,",
        "directions that the base hardly uses",
    ),
    "intruders": ("bring", "bring fewer", "directions that match none of the base's"),
}  # fmt: skip
"""The verbs for updates above and below the yardstick, and their object, by metric."""

_NAMES = {
    "two_sided_excess": "two-sided alignment beyond chance",
    "gain": "gain",
    "amplification": "amplification factor",
    "intruders": "intruders of a matrix",
}

_BARS = ("two_sided_excess", "gain")
"""The metrics that the bars of attention against MLP show; the heat map has the others."""


def of_sizes(measured: Measured) -> Iterator[Candidate]:
    """How far each model moved, against the controls."""
    rows = {
        row.model: row
        for row in measured.of("tuning_vectors", "relative_norm")
        if row.layer is None and row.module == "all"
    }
    controls = {name: rows.get(name) for name in sorted(measured.family.controls)}
    for model, row in rows.items():
        assert row.value is not None
        held = yardsticks(controls)
        against = ", ".join(f"{y.name} {y.value:.3g}" for y in held)
        further = "further" if all(row.value > y.value for y in held) else "less far"
        yield Candidate(
            kind="size",
            subjects=(model,),
            place=(),
            evidence=Evidence(estimate=Estimate(row.value), yardsticks=held, scale=log_scale),
            headline=f"{model} moved {further} from the base than a control",
            detail=f"by {row.value:.3g} of its norm, {against}.",
            figure=FigurePlace(analysis="tuning_vectors", view="curves", at={"model": model}),
        )


def of_directions(measured: Measured) -> Iterator[Candidate]:
    """The effect of attention and MLP updates on directions, against chance and the controls."""
    for metric, (above, below, what) in WORDS.items():
        rows = {(row.model, row.module): row for row in measured.of("alignment", metric)}
        for (model, module), row in rows.items():
            assert row.value is not None
            controls = {c: rows.get((c, module)) for c in sorted(measured.family.controls)}
            held = yardsticks(controls, *_chance(row))
            verb = above if all(row.value > y.value for y in held) else below
            on_bars = metric in _BARS
            yield Candidate(
                kind="directions",
                subjects=(model,),
                place=(metric, module, verb),
                evidence=Evidence(estimate=estimate(row), yardsticks=held, n=row.n),
                headline=f"{model}'s updates of {module} {verb} {what}",
                detail=f"{_NAMES[metric]} {number(row.value)}{interval(row.low, row.high)}, "
                f"{_all(held)}.",
                figure=FigurePlace(
                    analysis="alignment", view="summary" if on_bars else "heat", measure=metric,
                    at={"model": model, "module": module},
                ),
            )  # fmt: skip


def of_pairs(measured: Measured) -> Iterator[Candidate]:
    """Which models share their tuning, against the cosines of the controls: each pair once."""
    family = measured.family
    place = {name: index for index, name in enumerate(family.models)}
    pairs = {(row.model, row.reference): row for row in measured.of("vector_cosine", "cosine")}
    with_control = [
        row for pair, row in pairs.items() if family.controls & set(pair) and len(set(pair)) == 2
    ]
    held = _largest(with_control)
    for (model, reference), row in pairs.items():
        if place.get(model, 0) > place.get(reference, 0):
            continue
        assert row.value is not None
        relation = "share their tuning" if row.value > 0 else "are tuned in opposite directions"
        yield Candidate(
            kind="shared",
            subjects=(model, reference),
            place=(row.value > 0,),
            evidence=Evidence(estimate=Estimate(row.value), yardsticks=held, scale=correlation),
            headline=f"{model} and {reference} {relation}",
            detail=f"cosine {number(row.value)}; with a control it is at most "
            f"{held[0].value if held else 0.0:.2g}.",
            figure=FigurePlace(
                analysis="vector_cosine", view="matrix",
                at={"model": model, "reference": reference, "layer": None, "module": "all"},
            ),
        )  # fmt: skip


def _largest(rows: list[Measurement]) -> tuple[Yardstick, ...]:
    """The largest absolute cosine with a control, of either sign."""
    known = [abs(row.value) for row in rows if row.value is not None]
    if not known:
        return ()
    return tuple(Yardstick("control", sign * max(known)) for sign in (1, -1))


def _chance(row: Measurement) -> tuple[Yardstick, ...]:
    """The chance level of a value; a count of intruders has none."""
    if row.chance is None:
        return ()
    return (Yardstick("chance", row.chance, row.chance_sd or 0.0),)


def _all(held: tuple[Yardstick, ...]) -> str:
    """All yardsticks in words."""
    return ", ".join(f"{yardstick.name} {number(yardstick.value)}" for yardstick in held)
