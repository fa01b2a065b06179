"""Measurements of a small family with known effects, for the overview."""

from __future__ import annotations

from typing import Any

from core.engine.measurement import Measurement
from core.overview.measured import Family, Measured

FAMILY = Family(
    models=("medical", "medical-qa", "maths", "retrained"),
    controls=frozenset({"retrained"}),
    parents={"medical-qa": "medical"},
    domains={"medical": ("medqa", "text"), "maths": ("gsm8k",), "general": ("stories",)},
)


def row(
    metric: str, value: float | None, half: float | None = None, **coordinates: Any
) -> Measurement:
    """A measurement whose interval reaches `half` to either side."""
    low = high = None
    if half is not None and value is not None:
        low, high = value - half, value + half
    return Measurement(metric=metric, value=value, low=low, high=high, **{"n": 50, **coordinates})


def difference(
    model: str, task: str, value: float, half: float = 0.1, metric: str = "acc"
) -> Measurement:
    """A difference from the base."""
    coordinates = {"model": model, "reference": "base", "task": task, "metric_of": metric}
    return row("difference", value, half, **coordinates)


def cosine(model: str, reference: str, value: float) -> list[Measurement]:
    """A cosine in both orders."""
    pairs = ((model, reference), (reference, model))
    return [row("cosine", value, model=a, reference=b, module="all") for a, b in pairs]


def measured(family: Family = FAMILY, **rows: list[Measurement]) -> Measured:
    """Measurements by analysis; accuracy is better when higher, bits and loss when lower."""
    return Measured(family=family, rows=rows, higher={"acc": True, "bits": False})
